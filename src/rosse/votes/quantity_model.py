"""A model of numbers: networks that say a mean and an error of each, kept as models of votes are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from rosse.nets.preparing import Batch, Preparation
from rosse.votes.ensemble import check_components, ensemble_hash, said_by_all, with_weights, write_model
from rosse.votes.network import NetworkSpec, QuantityNetwork
from rosse.votes.quantities import Bounds, Numbers, Quantities

QUANTITIES = "rosse quantity model 1"
LEAST, MOST = 0.3, 3.0  # by which errors are ever recalibrated


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantityModel:
    """What estimates T numbers of galaxies, such as a Hubble stage.

    Parameters
    ----------
    names, bounds : (T,) of the numbers.
    middle, spread : (T,) of the labels: networks learn ``(value - middle) / spread``.
    widths : (T,) factors of the errors, from galaxies held out.
    preparation : of images.
    members : networks of a deep ensemble.
    draws, views : of dropout and of turned images at prediction, as of `rosse.VoteModel`.
    card : what is told of it.
    """

    names: tuple[str, ...]
    bounds: tuple[Bounds, ...]
    middle: tuple[float, ...]
    spread: tuple[float, ...]
    widths: tuple[float, ...]
    preparation: Preparation
    members: tuple[QuantityNetwork, ...]
    draws: int = 0
    views: int = 1
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_components(self.members, self.draws, self.views)

    def __repr__(self) -> str:
        return f"QuantityModel {self.hash} of {', '.join(self.names)}: {self.components} components"

    @property
    def components(self) -> int:
        """M, of the mixture."""
        return len(self.members) * max(1, self.draws) * self.views

    @cached_property
    def hash(self) -> str:
        """Twelve hexadecimal digits of all that decides what it predicts."""
        about = [*self._scaling().values(), self.preparation.record(), self.draws, self.views]
        return ensemble_hash(about, self.members)

    def to(self, device: str) -> QuantityModel:
        """The same on a device."""
        for member in self.members:
            member.to(device)
        return self

    def said(self, batch: Batch) -> tuple[Numbers, Numbers]:
        """Means and one-sigma errors (B, M, T) of the components."""
        out = said_by_all(self.members, batch, draws=self.draws, views=self.views)
        mean, sigma = (each.numpy() for each in out.chunk(2, -1))
        spread = np.array(self.spread)
        middle = mean.mean(1, keepdims=True)
        widths = np.array(self.widths)  # of the whole mixture: components move apart as they become wider
        return np.array(self.middle) + spread * (middle + widths * (mean - middle)), spread * widths * sigma

    def recalibrated(self, labels: Quantities, means: Numbers, sigmas: Numbers) -> QuantityModel:
        """The same model with errors that fit labels held out.

        Parameters
        ----------
        labels : of B galaxies that nothing was learnt from.
        means, sigmas : (B, M, T) that this model says of them.

        Notes
        -----
        The factor under which the labels are most probable is the root of the mean square pull (of a normal
        distribution), here with one pull of 1 more, so that few labels leave it as it is.
        """
        middle, error = means.mean(1), np.sqrt(np.square(sigmas).mean(1) + means.var(1))
        pulls = (labels.values - middle) / error
        count = np.isfinite(pulls).sum(0)
        factor = np.sqrt((np.nansum(np.square(pulls), 0) + 1) / (count + 1)).clip(LEAST, MOST)
        return replace(self, widths=tuple((np.array(self.widths) * factor).tolist()))

    def save(self, folder: str | Path) -> Path:
        """Write the model's folder."""
        about = {"format": QUANTITIES, "hash": self.hash, **self._scaling(), "preparation": self.preparation.record(),
                 "draws": self.draws, "views": self.views, "card": dict(self.card)}  # fmt: skip
        return write_model(Path(folder), self.members, about)

    @classmethod
    def of_record(cls, folder: Path, about: Mapping[str, Any]) -> QuantityModel:
        """What `save` wrote."""
        names = tuple(about["names"])
        members = tuple(
            with_weights(folder, number, QuantityNetwork(NetworkSpec.of_record(record), names))
            for number, record in enumerate(about["networks"])
        )
        bounds = tuple(_numbers(pair) for pair in about["bounds"])
        scaling = {name: tuple(about[name]) for name in ("middle", "spread", "widths")}
        return cls(
            names=names, bounds=bounds, **scaling, preparation=Preparation.of_record(about["preparation"]),
            members=cast(tuple[QuantityNetwork, ...], members), draws=about["draws"], views=about["views"],
            card=about["card"],
        )  # fmt: skip

    def _scaling(self) -> dict[str, Any]:
        bounds = [[None if np.isinf(each) else each for each in pair] for pair in self.bounds]  # JSON has no infinity
        return {"names": list(self.names), "bounds": bounds, "middle": list(self.middle), "spread": list(self.spread),
                "widths": list(self.widths)}  # fmt: skip


def _numbers(pair: list[float | None]) -> Bounds:
    low, high = pair
    return (-np.inf if low is None else low, np.inf if high is None else high)


def scaled(labels: Quantities, middle: tuple[float, ...], spread: tuple[float, ...]) -> Tensor:
    """Labels (N, T) in the units that networks learn."""
    return torch.from_numpy((labels.values - np.array(middle)) / np.array(spread)).float()
