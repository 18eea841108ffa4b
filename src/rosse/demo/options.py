"""What the demo measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What the demo measures.

    Parameters
    ----------
    size, galaxies, stars, seed : of the simulated field, see `simulate_field`.
    minimum_snr : of the flux in r, for galaxies whose recovered numbers are compared with the truth.
    hubble : whether the Hubble Deep Field is measured as well.
    """

    size: int = 1400
    galaxies: int = 340
    stars: int = 60
    seed: int = 1849  # a sky with bright galaxies of every kind
    minimum_snr: float = 20.0
    hubble: bool = True
