"""Where in an image a part of a galaxy is to be seen."""

from __future__ import annotations

from torch import Tensor

from rosse.sky.columns import PARTS

# From which share of the surface brightness a part is seen.
MASK_SHARES = {"bulge": 0.5, "bar": 0.25, "arms": 0.25, "ring": 0.25, "clumps": 0.2, "tides": 0.3}
FLOOR = 0.05  # of a part's own brightest pixel, below which it is not seen


def masks_of(parts: Tensor, shares: dict[str, float]) -> dict[str, Tensor]:
    """Pixels (B, H, W) of each part named in `shares`.

    A pixel belongs to a part where the part has at least this share of all light in the pixel, and at least 5 % of the
    part's own brightest pixel. Both are of the noiseless image through the PSF; a pixel may belong to several parts.

    Parameters
    ----------
    parts : (B, K, H, W) image of each part in one band.
    shares : part -> share of the light.
    """
    total = parts.sum(1)
    out = {}
    for name, share in shares.items():
        own = parts[:, PARTS.index(name)]
        peak = own.amax((1, 2), keepdim=True)
        out[name] = (own > share * total) & (own > FLOOR * peak) & (peak > 0)
    return out
