"""What is known of a drawn galaxy beside its image: the list of its clumps and its H-alpha light."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from rosse.sky.columns import PARTS
from rosse.sky.dust import extinction
from rosse.sky.layers import Job, clump_light, clumpy, dimmed
from rosse.sky.photometry import distance_modulus
from rosse.sky.scene import CLUMPS, DISC, Structure
from rosse.tables import Column, build_table

if TYPE_CHECKING:
    from astropy.table import Table

HALPHA = 656.46  # nm, in vacuum
PER_SFR = 41.27  # log10 of H-alpha, erg/s, per Msun/yr (Kennicutt & Evans 2012, table 1, after Murphy+2011)
PARSECS_10 = 3.0857e19  # cm
# How much H-alpha comes with the r-band light of a part, relative to clumps: HII regions shine, old stars do not.
BRIGHTNESS = {"clumps": 1.0, "arms": 0.25, "ring": 0.25, "disc": 0.03, "tides": 0.03}
PATCHY = 0.15  # of the disc's light, where the disc is all patches


def halpha_job(job: Job, table: Table, band: int) -> Job:
    """The same galaxies in one band that holds H-alpha alone, 1e-17 erg/s/cm^2.

    Parameters
    ----------
    job : in the survey's bands.
    table : with `log_sfr` and `z`.
    band : whose PSF it will be seen with.

    Notes
    -----
    ``log L(H-alpha) = log SFR + 41.27`` (Kennicutt & Evans 2012, ARA&A 50, 531, table 1), spread over young parts.
    """
    sfr, z = (
        np.nan_to_num(np.asarray(table[name], dtype=float), nan=n) for name, n in (("log_sfr", -99.0), ("z", 0.0))
    )
    area = 4 * np.pi * (PARSECS_10 * 10 ** (0.2 * distance_modulus(z))) ** 2
    total = torch.as_tensor(10 ** (sfr + PER_SFR) / area * 1e17).to(job.reference)
    weight = (
        torch.tensor([BRIGHTNESS.get(name, 0.0) for name in PARTS]).to(job.reference).expand_as(job.reference).clone()
    )
    weight[:, DISC] += PATCHY * job.galaxies.columns["disorder"]
    light = job.reference * weight
    light[:, CLUMPS] *= job.galaxies.columns["clump_count"] > 0
    share = light / light.sum(1, keepdim=True).clamp_min(1e-300)
    strength = extinction(torch.full_like(job.extinction[:, :1], HALPHA))
    return replace(
        job,
        fluxes=(share * total[:, None])[..., None],
        extinction=strength,
        waves=job.waves[band : band + 1],
        held=False,
    )


def clump_table(job: Job, bands: tuple[str, ...]) -> Table:
    """One row per clump: whose, where, how bright and how large."""
    which = clumpy(job)
    columns = [
        Column(name="galaxy", dtype="i8", description="row of the batch that the clump belongs to"),
        Column(name="x", unit="pix", description="position in the frame, 0 at the centre of its first pixel"),
        Column(name="y", unit="pix", description="position in the frame, 0 at the centre of its first pixel"),
        Column(name="fwhm", unit="pix", description="full width at half maximum before the PSF"),
        *(Column(name=f"flux_{band}", description=f"flux in {band}, as seen, in the survey's unit") for band in bands),
    ]
    if not len(which):
        return build_table(columns, {column.name: np.zeros(0) for column in columns})
    structure = Structure(galaxies=job.galaxies.take(which))
    some = dimmed(job.take(which), structure)
    clumps, light = clump_light(some, structure)
    there = clumps.share > 0
    values = {
        "galaxy": which[:, None].expand_as(there),
        "x": some.centre[:, :1] + clumps.x,
        "y": some.centre[:, 1:] + clumps.y,
        "fwhm": 2.3548 * clumps.sigma,
        **{f"flux_{band}": light[:, i] for i, band in enumerate(bands)},
    }
    return build_table(columns, {name: value[there].cpu().numpy() for name, value in values.items()})
