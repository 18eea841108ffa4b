"""Galaxy fits: rosse beside every other fitter that is installed, on the same pixels, in the same run.

    python bench/fit.py                                             # galaxies that GalSim draws now
    python bench/fit.py --data single.npz --bulge-disc bd.npz       # galaxies of one's own: see simulate.py
    python bench/fit.py --peer pyimfit=/path/to/bin/python --peer petrofit=/path/to/another/bin/python

Peers are pyimfit, petrofit, statmorph, astrophot, pysersic and galmoss. Those that this interpreter can import are run
with it; the others by the interpreter named. Each has as many processes as there are cores, and rosse one process on
all cores; one fitter runs at a time. Import is not timed. The slowest fit only the first few galaxies (`LIMIT` in
`peers/`). Peers are given start values (by sep, or `init` of the file); rosse finds its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from machine import cores, load, machine
from report import Measured, accuracy_table, bulge_disc_table, publish, scaling_table
from starts import start_values

HERE = Path(__file__).parent
PEERS = ("pyimfit", "petrofit", "statmorph", "astrophot", "pysersic", "galmoss")
CONSTANTS = ("TITLE", "PSFS", "BULGE_DISC", "LIMIT")
TITLES = {"psf": "", "psf_point": ", PSF without the pixel"}
COUNTS, FRAMES = (256, 1024, 4096), (32, 64, 128, 256)
PIXELS = 2**23  # of all frames of one size together: enough to keep all cores busy
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
ONE_THREAD |= {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "JAX_PLATFORMS": "cpu"}
QUIET = {"TQDM_DISABLE": "1"}


@dataclass(frozen=True, kw_only=True)
class Job:
    """Galaxies that all fitters get: the arrays, and the file they are in."""

    data: dict[str, np.ndarray]
    path: Path
    bulge_disc: bool


def main() -> None:
    a = arguments()
    if a.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: a.cores])
    busy = load()
    with tempfile.TemporaryDirectory() as folder:
        jobs = [job for job in (single_job(a, Path(folder)), bulge_disc_job(a, Path(folder))) if job]
        lines = [heading(a, busy)]
        for job in jobs:
            fitted = measured(a, job)
            table = bulge_disc_table if job.bulge_disc else accuracy_table
            lines += ["", *table(fitted, job.data["truth"], zeropoint=float(job.data["zp"]), bright=a.bright)]
        if a.scaling:
            lines += ["", *scaling(jobs[0], Path(folder))]
    text = "\n".join(lines)
    print(text)
    if a.out:
        publish(a.out, text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="galaxies of one component each; drawn by GalSim without it")
    parser.add_argument("--bulge-disc", type=Path, help="galaxies of two components")
    parser.add_argument("--simulate", type=int, default=256, metavar="N", help="draw so many, and N / 4 of two")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help="interpreter of a peer")
    parser.add_argument("--only", action="append", metavar="NAME", help="this peer, not all that are there")
    parser.add_argument("--limit", type=int, help="peers fit at most the first so many galaxies")
    parser.add_argument("--cores", type=int, help="so many of the cores that are there")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="of rosse; both without it, where there is a GPU")
    parser.add_argument("--bright", type=float, default=300.0, help="errors are those of galaxies of at least this S/N")
    parser.add_argument("--seconds", type=float, default=5.0, help="rosse fits all again and again for so long")
    parser.add_argument("--scaling", action="store_true", help="also rosse with number of galaxies and frame size")
    parser.add_argument("--out", type=Path, help="page whose figures are replaced, docs/benchmarks.md")
    a = parser.parse_args()
    known = {name: sys.executable for name in PEERS if importlib.util.find_spec(name)}
    for text in a.peer:
        name, _, python = text.partition("=")
        if name not in PEERS or not python:
            parser.error(f"--peer {text}: one of {', '.join(PEERS)} is wanted, with =PYTHON")
        known[name] = python
    a.peer = {name: python for name, python in known.items() if not a.only or name in a.only}
    return a


def heading(a: argparse.Namespace, busy: float) -> str:
    names = [str(path.name) for path in (a.data, a.bulge_disc) if path] or ["galaxies drawn by bench/simulate.py"]
    return f"On {machine()}; {', '.join(names)}; load before the run {busy:.1f}."


# --- the galaxies --------------------------------------------------------------------------------------------------


def single_job(a: argparse.Namespace, folder: Path) -> Job | None:
    data = read(a.data) if a.data else simulated(a.simulate, bulge_disc=False)
    return job_of(data, folder / "single.npz", bulge_disc=False)


def bulge_disc_job(a: argparse.Namespace, folder: Path) -> Job | None:
    if a.data and not a.bulge_disc:
        return None
    data = read(a.bulge_disc) if a.bulge_disc else simulated(max(a.simulate // 4, 1), bulge_disc=True)
    return job_of(data, folder / "bulge_disc.npz", bulge_disc=True)


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def simulated(count: int, *, bulge_disc: bool) -> dict[str, np.ndarray]:
    from simulate import simulate

    return simulate(count, bulge_disc=bulge_disc)


def job_of(data: dict[str, np.ndarray], path: Path, *, bulge_disc: bool) -> Job:
    names = ("image", "sigma", "psf", "psf_point", "zp")
    start = start_values(data, bulge_disc=bulge_disc)
    np.savez(path, start=start, **{name: data[name] for name in names})
    return Job(data=data, path=path, bulge_disc=bulge_disc)


# --- the fitters ---------------------------------------------------------------------------------------------------


def measured(a: argparse.Namespace, job: Job) -> list[Measured]:
    """Every fitter, rosse first."""
    lines = [measure_rosse(job, device, a.seconds) for device in devices(a.device)]
    for name, python in a.peer.items():
        about = described(name)
        if job.bulge_disc and not about["BULGE_DISC"]:
            continue
        count = fewest(len(job.data["image"]), a.limit, about["LIMIT"])
        for psf in about["PSFS"][: 1 if job.bulge_disc else None]:
            print(f"{name}, {psf} ...", file=sys.stderr, flush=True)
            lines.append(measure_peer(job, name, python, psf=psf, count=count))
    return lines


def devices(wanted: str | None) -> list[str]:
    import torch

    if wanted:
        return [wanted]
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def fewest(galaxies: int, *limits: int | None) -> int:
    """Galaxies that a peer fits, where there are limits or none."""
    return min(galaxies, *(galaxies if limit is None else limit for limit in limits))


def described(name: str) -> dict:
    """The constants at the top of an adapter, which cannot be imported without its peer."""
    import ast

    tree = ast.parse((HERE / "peers" / f"{name}.py").read_text())
    plain = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    wanted = {node.targets[0].id: node.value for node in plain}
    found = {key: ast.literal_eval(wanted[key]) for key in CONSTANTS if key in wanted}
    return {"LIMIT": None} | found


def run_rosse(data: Path, *options: str) -> dict:
    out = data.with_suffix(".rosse.json")
    command = [sys.executable, HERE / "run_rosse.py", data, out, "--cores", str(cores()), *options]
    subprocess.run(command, check=True, stdout=sys.stderr)
    return json.loads(out.read_text())


def measure_rosse(job: Job, device: str, seconds: float) -> Measured:
    options = ["--bulge-disc"] if job.bulge_disc else []
    result = run_rosse(job.path, "--device", device, "--seconds", str(seconds), *options)
    where = f"torch {result['torch']}" + (f", {result['device']}" if device == "cuda" else "")
    return Measured(
        title=f"**rosse** {result['version']} ({where})",
        workers="1 GPU" if device == "cuda" else str(cores()),
        rate=result["rate"],
        memory=result.get("device_memory", result["peak_memory"]),
        rows=result["rows"],
    )


def measure_peer(job: Job, name: str, python: str, *, psf: str, count: int) -> Measured:
    """A peer in as many processes as cores, each with its share of the first `count` galaxies."""
    shares, outs = [], []
    workers = min(cores(), count)
    for first in range(workers):
        outs.append(job.path.with_suffix(f".{name}.{first}.json"))
        share = ["--first", str(first), "--step", str(workers), "--count", str(count), "--psf", psf]
        command = [python, "-m", "peers", name, job.path, outs[-1], *share]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        where = os.environ | ONE_THREAD | QUIET | {"PYTHONPATH": str(HERE)}
        # in a folder of its own: some peers write logs wherever they are
        shares.append(subprocess.Popen(command, cwd=job.path.parent, env=where, text=True, **pipes))
    for share in shares:  # all have imported what they need
        while (line := share.stdout.readline()).strip() != "ready":
            if not line:
                raise SystemExit(f"{name} did not run under {python}")
    for share in shares:
        share.stdin.write("go\n")
        share.stdin.flush()
    for share in shares:
        share.communicate()
    results = [json.loads(out.read_text()) for out in outs]
    slowest = max(sum(row["seconds"] for row in result["rows"]) for result in results)
    return Measured(
        title=f"{described(name)['TITLE']} {results[0]['version']}{TITLES[psf]}", rate=count / slowest,
        rows=sorted((row for result in results for row in result["rows"]), key=lambda row: row["i"]),
        memory=sum(result["peak_memory"] for result in results), workers=str(workers),
    )  # fmt: skip


# --- how cost grows ------------------------------------------------------------------------------------------------


def scaling(job: Job, folder: Path) -> list[str]:
    """Rosse with the number of galaxies, and with the frame around the same galaxies."""
    by_count = [run_rosse(job.path, "--catalogue", str(count)) for count in COUNTS]
    data, by_frame = framed(), []
    for frame in FRAMES:
        path, cut = folder / f"frame{frame}.npz", (data["image"].shape[-1] - frame) // 2
        inner = slice(cut, cut + frame)
        smaller = {name: data[name][:, inner, inner] for name in ("image", "sigma")}
        np.savez(path, **smaller, psf=data["psf"], zp=data["zp"])
        by_frame.append((frame, run_rosse(path, "--seconds", "4", "--repeat", str(PIXELS // frame**2))))
    side = job.data["image"].shape[-1]
    own, known = (run_rosse(job.path, *more) for more in (("--own",), ()))
    return [*scaling_table([(side, result) for result in by_count] + by_frame), "", own_profile(own, known)]


def own_profile(own: dict, known: dict) -> str:
    """What a profile of one's own costs."""
    apart = np.median([a["chi2"] - b["chi2"] for a, b in zip(own["rows"], known["rows"], strict=True)])
    times = known["rate"] / own["rate"]
    return (
        f"Sersic's profile written as a function of one's own: {own['rate']:.3g} galaxies/s, the known one "
        f"{known['rate']:.3g}, {times:.1f} times as many; median difference of chi^2 {apart:.3f}."
    )


def framed() -> dict[str, np.ndarray]:
    """Galaxies that are small enough for the smallest frame, in the largest."""
    from simulate import Ranges, simulate

    return simulate(128, size=max(FRAMES), ranges=Ranges(n=(0.7, 3.0), re=(2.0, 4.0), snr=(100.0, 300.0)))


if __name__ == "__main__":
    main()
