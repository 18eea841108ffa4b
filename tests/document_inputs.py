"""The files that README and docs speak of, drawn small: a demo, its field in three bands, and cutouts out of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_inputs(folder: Path) -> Path:
    """``demo/`` of `rosse demo`, ``field-BAND.fits`` with noise and PSF, ``galaxies/NAME_image.fits``, a manifest."""
    from rosse.demo import run_demo
    from rosse.demo.options import DemoOptions

    options = DemoOptions(size=640, galaxies=60, stars=24, hubble=False)
    run_demo(folder / "demo", options=options, workers=1)
    for image in (folder / "demo" / "images").glob("field-*.fits"):
        (folder / image.name).write_bytes(image.read_bytes())
    (folder / "field.fits").write_bytes((folder / "field-r.fits").read_bytes())
    names = _write_cutouts(folder, folder / "galaxies")
    kinds = ("image", "sigma", "psf", "mask")
    lines = [f"{name},{','.join(f'galaxies/{name}_{kind}.fits' for kind in kinds)}\n" for name in names]
    (folder / "galaxies.csv").write_text("id,image,sigma,psf,mask\n" + "".join(lines))
    return folder


def _write_cutouts(images: Path, folder: Path, size: int = 61) -> list[str]:
    """Cutouts of the brightest galaxies that stand alone, by the simulation's truth; names a, b, c, ..."""
    from astropy.io import fits
    from astropy.table import Table

    folder.mkdir()
    truth = Table.read(images / "demo" / "images" / "truth.fits")
    truth = truth[(truth["kind"] == "galaxy") & (truth["neighbour"] > 6)]
    truth.sort("mag_r")
    flux, ivar, psf = (fits.getdata(images / f"field-{kind}r.fits") for kind in ("", "ivar-", "psf-"))
    y, x = np.indices((size, size)) - size // 2
    names: list[str] = []
    for row in truth:
        left, low = (round(row[axis]) - size // 2 for axis in ("x", "y"))
        if min(left, low) < 0 or max(left, low) + size > len(flux):
            continue
        here = (slice(low, low + size), slice(left, left + size))
        mask = (np.hypot(x, y) > 22).astype(np.int16)  # what stands around them
        planes = {"image": flux[here], "sigma": 1 / np.sqrt(ivar[here]), "psf": psf, "mask": mask}
        names.append("abcde"[len(names)])
        for kind, plane in planes.items():
            fits.writeto(folder / f"{names[-1]}_{kind}.fits", plane)
        if len(names) == 5:
            break
    return names
