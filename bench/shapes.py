"""Shapes beside statmorph, on the same pixels: `python bench/shapes.py --python /path/python --real FOLDER`.

GalSim galaxies (S/N 10 to 500, clumpy ones among them) and real cutouts (EFIGI, SDSS, HSC). Differences are taken
where statmorph flags nothing; those whose S/N per pixel is what its authors ask for (2.5 and more) are shown besides.
rosse runs in one process with a thread on each core, statmorph in one process on each core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

FRAME = 128
# What a difference is compared with where the value itself passes through zero: the scatter of these indices among
# galaxies is of this size.
SCALE = {"asymmetry": 0.05, "outer_asymmetry": 0.1, "rms_asymmetry2": 0.05, "shape_asymmetry": 0.1, "smoothness": 0.05,
         "multimode": 0.1, "intensity": 0.1, "deviation": 0.1, "gini_m20_bulge": 0.3, "gini_m20_merger": 0.1,
         "ellipticity": 0.1}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=sys.executable, help="interpreter that has statmorph")
    parser.add_argument("--real", type=Path, default=None, help="folder with efigi/, galmoss-sdss/ and hsc-pysersic/")
    parser.add_argument("--count", type=int, default=360, help="GalSim galaxies; as many EFIGI ones at most")
    parser.add_argument("--processes", type=int, default=2)
    a = parser.parse_args()
    image, sigma, kind = simulated(a.count)
    if a.real is not None:
        more = real(a.real, a.count)
        image, sigma, kind = (np.concatenate(pair) for pair in zip((image, sigma, kind), more, strict=True))
    torch.set_num_threads(a.processes)
    ours, segment, (rate, cpu) = measure(image, sigma)
    use = segment[:, FRAME // 2, FRAME // 2] == 1  # galaxies that the made segmentation finds
    theirs, seconds = peer(a.python, image[use], sigma[use], segment[use], a.processes)
    ours = {name: value[use] for name, value in ours.items()}
    print(f"{use.sum()} galaxies ({', '.join(f'{(kind[use] == k).sum()} {k}' for k in np.unique(kind))})\n")
    table(ours, theirs)
    each = sum(row["seconds"] - row["sersic"] for row in theirs) / len(theirs)
    peer_rate, peer_cpu = len(theirs) / seconds, sum(row["cpu"] for row in theirs) / len(theirs)
    print(f"\nrosse: {rate:.1f} galaxies/s; statmorph: {peer_rate:.2f} in {a.processes} processes "
          f"({a.processes / each:.2f} without its Sersic fit): {rate / peer_rate:.1f} times "
          f"({rate * each / a.processes:.1f} times).")  # fmt: skip
    print(f"Seconds of CPU for a galaxy: rosse {cpu:.4f}, statmorph {peer_cpu:.3f}: {peer_cpu / cpu:.1f} times.")


def simulated(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sersic galaxies, half of them with clumps, seen with a Moffat PSF in noise of known sigma."""
    import galsim

    rng, images, sigmas = np.random.default_rng(5), [], []
    psf = galsim.Moffat(beta=3.5, fwhm=3.0)
    for i in range(count):
        n, r_e, q = rng.uniform(0.6, 4.5), np.exp(rng.uniform(np.log(3), np.log(10))), rng.uniform(0.3, 1.0)
        angle = rng.uniform(0, np.pi) * galsim.radians
        shape = galsim.Sersic(n=n, half_light_radius=r_e).shear(q=q, beta=angle)
        for _ in range(4 * (i % 2)):
            clump = galsim.Gaussian(half_light_radius=1.0, flux=rng.uniform(0.02, 0.08))
            shape += clump.shift(*(r_e * q * rng.normal(size=2)))
        drawn = galsim.Convolve(shape, psf).drawImage(nx=FRAME, ny=FRAME, scale=1.0, offset=(0.5, 0.5)).array
        snr = np.exp(rng.uniform(np.log(10), np.log(500)))
        sigma = drawn.sum() / 2 / (snr * np.sqrt(np.pi * r_e**2 * q))  # S/N within the half-light ellipse
        images.append(drawn + rng.normal(0, sigma, drawn.shape))
        sigmas.append(np.full(drawn.shape, sigma))
    return np.array(images), np.array(sigmas), np.array(["GalSim"] * count)


def real(folder: Path, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Real galaxies on one frame, the border of small ones filled with noise like that of their sky."""
    from PIL import Image

    rng, out = np.random.default_rng(6), []
    names = sorted((folder / "efigi").rglob("*.jpg")) + sorted((folder / "efigi").rglob("*.png"))
    for path in names[:: max(1, len(names) // count)][:count]:
        pixels = np.asarray(Image.open(path).convert("RGB"), dtype=float).mean(2)[::-1]
        out.append((*framed(pixels, rng), "EFIGI"))
    for path in sorted((folder / "galmoss-sdss").rglob("*image.fits")):
        from astropy.io import fits

        out.append((*framed(fits.getdata(path).astype(float), rng), "SDSS"))
    for path in sorted((folder / "hsc-pysersic").rglob("*_im.npy")):
        pixels = np.load(path)
        if pixels.ndim == 2:
            out.append((*framed(pixels.astype(float), rng), "HSC"))
    return tuple(np.array(part) for part in zip(*out, strict=True))  # type: ignore[return-value]


def framed(pixels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sky-subtracted image on the frame, and its noise, from the pixels along its edge."""
    edge = np.concatenate([pixels[:4].ravel(), pixels[-4:].ravel(), pixels[:, :4].ravel(), pixels[:, -4:].ravel()])
    sky = np.median(edge)
    noise = max(1.4826 * np.median(np.abs(edge - sky)), 1e-3 * pixels.max(), 1e-6)
    whole = rng.normal(0, noise, (FRAME, FRAME))
    height, width = (min(FRAME, n) for n in pixels.shape)
    y, x = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    top, left = FRAME // 2 - height // 2, FRAME // 2 - width // 2
    whole[top : top + height, left : left + width] = pixels[y : y + height, x : x + width] - sky
    return whole, np.full((FRAME, FRAME), noise)


def measure(image: np.ndarray, sigma: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, tuple[float, float]]:
    """Indices, segments, galaxies/s and seconds of CPU for a galaxy."""
    import rosse

    cutouts = rosse.Cutouts.from_arrays(image, sigma=sigma)
    segment = rosse.measure_shapes(cutouts).segments.numpy()
    begin, cpu = time.perf_counter(), time.process_time()
    shapes = rosse.measure_shapes(cutouts, segments=segment)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    return dict(shapes.values), segment, (len(image) / seconds, cpu / len(image))


def peer(python: str, image: np.ndarray, sigma: np.ndarray, segment: np.ndarray, processes: int) -> tuple[list, float]:
    script = Path(__file__).with_name("statmorph_shapes.py")
    with tempfile.TemporaryDirectory() as folder:
        file, outs = Path(folder) / "data.npz", [Path(folder) / f"{i}.json" for i in range(processes)]
        np.savez(file, image=image, sigma=sigma, segment=segment)
        workers = [
            subprocess.Popen([python, str(script), str(file), str(out), str(i), str(processes)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for i, out in enumerate(outs)
        ]  # fmt: skip
        for worker in workers:
            worker.stdout.readline()
        begin = time.perf_counter()
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        for worker in workers:
            worker.communicate()
        seconds = time.perf_counter() - begin
        rows = [row for out in outs for row in json.loads(out.read_text())]
    return sorted(rows, key=lambda row: row["i"]), seconds


def table(ours: dict[str, np.ndarray], theirs: list[dict]) -> None:
    """One line for each index; where rosse has no value the difference is infinite."""
    clean, fair, masked = (column(theirs, name) for name in ("flag", "snr_pixel", "masked"))
    clean = clean == 0
    fair = clean & (fair >= 2.5)
    print(f"statmorph flags nothing in {clean.sum()}, and S/N per pixel is 2.5 or more in {fair.sum()} of them.\n")
    heads = (
        "median difference",
        "95th percentile",
        "S/N 2.5: median",
        "95th percentile",
        "within 1 %",
        "5 %",
        "no value",
    )
    print(f"| index | {' | '.join(heads)} |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    far = {}
    for name in [name for name in ours if name in theirs[0]]:
        far[name] = relative(name, ours[name], column(theirs, name))
        line(name, far[name], clean, fair)
    shift = np.hypot(ours["x"] - column(theirs, "x"), ours["y"] - column(theirs, "y"))
    print(f"\nOf the {clean.sum()}:")
    print(f"- centres more than 0.1 pixels apart: {(shift[clean] > 0.1).sum()}")
    for name in ("r_petro", "a_petro", "multimode", "r_max"):
        print(f"- {name} more than 5 % apart: {(far[name][clean] > 0.05).sum()}")
    print(f"- pixels without data in statmorph's map of Gini: {(masked[clean] > 0).sum()}")


def column(theirs: list[dict], name: str) -> np.ndarray:
    return np.array([row.get(name, np.nan) for row in theirs])


def relative(name: str, ours: np.ndarray, their: np.ndarray) -> np.ndarray:
    size = np.maximum(np.abs(their), SCALE.get(name, 0.0))
    difference = np.abs(ours - their) / np.where(size > 0, size, np.nan)
    return np.where(np.isfinite(difference), difference, np.inf)


def line(name: str, difference: np.ndarray, *groups: np.ndarray) -> None:
    cells = [100 * np.percentile(difference[some], p, method="higher") for some in groups for p in (50, 95)]
    near = [100 * np.mean(difference[groups[0]] < limit) for limit in (0.01, 0.05)]
    missing = np.isinf(difference[groups[0]]).sum()
    print("| {} | {:.3f} % | {:.2f} % | {:.3f} % | {:.2f} % | {:.0f} % | {:.1f} % | {} |".format(
        name, *cells, *near, missing))  # fmt: skip


if __name__ == "__main__":
    main()
