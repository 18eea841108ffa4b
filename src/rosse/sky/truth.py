"""What is known of a drawn galaxy beside its image: the list of its clumps and its H-alpha light."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rosse.sky.columns import PARTS
from rosse.sky.dust import extinction
from rosse.sky.layers import Job, clump_light, clumpy, dimmed
from rosse.sky.lines import LINES
from rosse.sky.scene import CLUMPS, DISC, Structure, mean_transmission
from rosse.sky.spectra import line_fluxes
from rosse.tables import Column, build_table

if TYPE_CHECKING:
    from astropy.table import Table

HALPHA = 656.46  # nm, in vacuum
# How much H-alpha comes with the r-band light of a part, relative to clumps: HII regions shine, old stars do not.
BRIGHTNESS = {"clumps": 1.0, "arms": 0.25, "ring": 0.25, "disc": 0.03, "tides": 0.03}
PATCHY = 0.15  # of the disc's light, where the disc is all patches


def halpha_job(job: Job, table: Table, band: int) -> Job:
    """The same galaxies in one band that holds H-alpha alone, 1e-17 erg/s/cm^2.

    Parameters
    ----------
    job : in the survey's bands.
    table : with what `spectra.line_fluxes` wants.
    band : whose PSF it will be seen with.

    Notes
    -----
    Together its pixels hold the flux of the line in the galaxy's spectrum, behind its dust (`spectra.line_fluxes`). It
    is spread over young parts, and dust dims it where there is much of it as it dims their starlight.
    """
    seen = line_fluxes(table)[0][:, list(LINES).index("h_alpha")]
    total = torch.as_tensor(seen).to(job.reference)
    weight = (
        torch.tensor([BRIGHTNESS.get(name, 0.0) for name in PARTS]).to(job.reference).expand_as(job.reference).clone()
    )
    weight[:, DISC] += PATCHY * job.galaxies.columns["disorder"]
    light = job.reference * weight
    light[:, CLUMPS] *= job.galaxies.columns["clump_count"] > 0
    # an elliptical has no young part; the little that forms there forms in all of it
    none = light.sum(1, keepdim=True) <= 0
    light = torch.where(none, job.reference, light)
    flux = light / light.sum(1, keepdim=True).clamp_min(1e-300) * total[:, None]
    strength = extinction(torch.full_like(job.extinction[:, :1], HALPHA))
    line = replace(job, fluxes=flux[..., None], extinction=strength, waves=job.waves[band : band + 1], held=False)
    through = _let_through(line)
    return replace(line, fluxes=line.fluxes / torch.where(total > 0, through / total, 1.0)[:, None, None])


def _let_through(job: Job) -> Tensor:
    """Flux (B,) of one band that leaves the galaxies; that of clumps is the sum over all of them."""
    structure, flux = Structure(galaxies=job.galaxies), job.fluxes[..., 0]
    leaving = flux * mean_transmission(structure, job.extinction[:, 0], flux > 0).to(flux)
    which = clumpy(job)
    if len(which):
        _, light = clump_light(job.take(which), structure.take(which))
        leaving[which, CLUMPS] = light[:, 0].sum(1).to(flux)
    return leaving.sum(1)


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
