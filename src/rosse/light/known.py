"""Every component, by the name that commands use. A new one is one more entry; the contract tests pick it up."""

from __future__ import annotations

from collections.abc import Callable

from rosse.light.components import Component
from rosse.light.edge_on import EdgeOnDisc
from rosse.light.profiles import DeVaucouleurs, Exponential, Gaussian, PointSource, Sersic
from rosse.light.radial_profiles import (
    BrokenExponential,
    CoreSersic,
    Ferrers,
    King,
    ModifiedKing,
    Moffat,
    Nuker,
    TruncatedSersic,
)
from rosse.light.sky import Sky

COMPONENTS: dict[str, Callable[..., Component]] = {
    "sersic": Sersic,
    "exponential": Exponential,
    "devaucouleurs": DeVaucouleurs,
    "gaussian": Gaussian,
    "moffat": Moffat,
    "king": King,
    "modifiedking": ModifiedKing,
    "ferrers": Ferrers,
    "coresersic": CoreSersic,
    "nuker": Nuker,
    "brokenexponential": BrokenExponential,
    "truncatedsersic": TruncatedSersic,
    "edgeondisc": EdgeOnDisc,
    "pointsource": PointSource,
    "sky": Sky,
}
