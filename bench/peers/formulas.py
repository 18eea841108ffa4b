"""What the adapters share."""

from __future__ import annotations

import math

from scipy.special import gammaincinv

SCALE_LENGTHS = 1.67834699  # half-light radius of an exponential disc in scale lengths


def light(n: float, re: float, q: float) -> float:
    """Whole flux of a Sersic profile whose surface brightness at `re` is 1."""
    b = float(gammaincinv(2 * n, 0.5))
    return 2 * math.pi * n * re**2 * q * math.exp(b - 2 * n * math.log(b) + math.lgamma(2 * n))


def disc_light(h: float, q: float) -> float:
    """Whole flux of an exponential disc of scale length `h` whose central surface brightness is 1."""
    return 2 * math.pi * h**2 * q
