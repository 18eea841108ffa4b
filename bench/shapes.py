"""Shapes beside statmorph, on the same pixels: `python bench/shapes.py --python /path/python --real FOLDER`.

GalSim galaxies (S/N 10 to 500, clumpy ones among them) and real cutouts (EFIGI, SDSS, HSC). Differences are taken
where statmorph flags nothing and S/N per pixel is what its authors ask for (2.5 and more); all without flag are shown
besides. rosse runs in one process, statmorph in one on each core.
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
    parser.add_argument("--count", type=int, default=300, help="GalSim galaxies; as many EFIGI ones at most")
    parser.add_argument("--processes", type=int, default=2)
    a = parser.parse_args()
    image, sigma, kind = simulated(a.count)
    if a.real is not None:
        more = real(a.real, a.count)
        image, sigma, kind = (np.concatenate(pair) for pair in zip((image, sigma, kind), more, strict=True))
    ours, segment, rate = measure(image, sigma)
    use = segment[:, FRAME // 2, FRAME // 2] == 1  # galaxies that the made segmentation finds
    theirs, seconds = peer(a.python, image[use], sigma[use], segment[use], a.processes)
    ours = {name: value[use] for name, value in ours.items()}
    print(f"{use.sum()} galaxies ({', '.join(f'{(kind[use] == k).sum()} {k}' for k in np.unique(kind))})\n")
    table(ours, theirs)
    each = sum(row["seconds"] - row["sersic"] for row in theirs) / len(theirs)
    print(f"\nrosse: {rate:.1f} galaxies/s; statmorph: {len(theirs) / seconds:.2f} in {a.processes} processes "
          f"({a.processes / each:.2f} without its Sersic fit): {rate * seconds / len(theirs):.1f} times "
          f"({rate * each / a.processes:.1f} times)")  # fmt: skip


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


def measure(image: np.ndarray, sigma: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, float]:
    import rosse

    cutouts = rosse.Cutouts.from_arrays(image, sigma=sigma)
    segment = rosse.measure_shapes(cutouts).segments.numpy()
    begin = time.perf_counter()
    shapes = rosse.measure_shapes(cutouts, segments=segment)
    return dict(shapes.values), segment, len(image) / (time.perf_counter() - begin)


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
    flag = np.array([row["flag"] for row in theirs])
    snr = np.array([row.get("snr_pixel", np.nan) for row in theirs])
    clean, fair = (flag == 0), (flag == 0) & (snr >= 2.5)
    print(f"statmorph flags nothing in {clean.sum()}, and S/N per pixel is 2.5 or more in {fair.sum()} of them.\n")
    print("| index | median difference | 95th percentile | all without flag: 95th percentile | same to 1 % |")
    print("|---|---:|---:|---:|---:|")
    for name in [name for name in ours if name in theirs[0]]:
        their = np.array([row.get(name, np.nan) for row in theirs])
        size = np.maximum(np.abs(their), SCALE.get(name, 0.0))
        difference = np.abs(ours[name] - their) / np.where(size > 0, size, np.nan)
        cells = [100 * np.nanpercentile(difference[some], p) for some, p in ((fair, 50), (fair, 95), (clean, 95))]
        same = np.mean(difference[fair] < 0.01)
        print(f"| {name} | {cells[0]:.3f} % | {cells[1]:.2f} % | {cells[2]:.2f} % | {100 * same:.0f} % |")


if __name__ == "__main__":
    main()
