"""What a fit of counts of photons asks of its pixels and its model."""

from __future__ import annotations

import torch

from rosse.cutouts import Cutouts
from rosse.errors import InputError, OptionError, rows_text
from rosse.light.model import Model

WHOLE = 1e-3  # how far a count may be from a whole number


def check_counts(cutouts: Cutouts, model: Model) -> None:
    """Whether pixels can be counts and the model has a sky to hold those that are not the galaxy's.

    Raises
    ------
    InputError
        Pixels that carry weight are negative or no whole numbers.
    OptionError
        The model has no `Sky`.
    """
    if not any(slot.unit == "level" for component in model.components for slot in component.slots):
        raise OptionError(
            "likelihood 'poisson' needs the sky in the model, because counts hold it; add Sky() to the model, or "
            "Sky(fixed={'level': 0}) where there is none"
        )
    use, counts = cutouts.ivar > 0, cutouts.flux
    off = use & ((counts < 0) | ((counts - counts.round()).abs() > WHOLE * counts.clamp_min(1.0)))
    rows = torch.nonzero(off.flatten(1).any(1)).flatten().tolist()
    if rows:
        raise InputError(
            f"likelihood 'poisson' came, but pixels are negative or not whole numbers, {rows_text(rows)}; give counts "
            "of photons with the sky left in (flux times gain), set ivar to 0 where they are not, or use 'gauss'"
        )
