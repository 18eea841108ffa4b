"""Dropout that can stay on after training: every draw is one thinned network, the same for every galaxy.

Gal & Ghahramani 2016 (arXiv:1506.02142) read dropout at prediction as draws from a posterior of networks. The usual
layer draws a new mask for each row of a batch, so that a galaxy's numbers depend on its neighbours; here a mask
belongs to a seed. It is a layer of its own kind, so that nothing that freezes or thaws a network switches it off.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rosse.errors import OptionError


class Dropout(nn.Module):
    """Sets a share of the features to 0: new ones for each row in training, those of a seed within `thinned`.

    Parameters
    ----------
    share : of the features, from 0 to below 1.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0 <= share < 1:
            raise OptionError(f"dropout is {share}; a share from 0 to below 1 is wanted")
        self.share = share
        self.seed: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Features (..., F), as they are outside training and `thinned`."""
        if self.training:
            return nn.functional.dropout(x, self.share)
        if self.seed is None or not self.share:
            return x
        draw = torch.Generator().manual_seed(self.seed)
        kept = torch.rand(x.shape[-1], generator=draw) >= self.share
        return x * (kept.to(x.device, x.dtype) / (1 - self.share))

    def extra_repr(self) -> str:
        """What `print` says of it."""
        return f"share={self.share}"


@contextmanager
def thinned(network: nn.Module, seed: int | None) -> Iterator[None]:
    """The network that a seed leaves, within this block; None leaves all of it. Layers but dropout are as they were."""
    layers = [module for module in network.modules() if isinstance(module, Dropout)]
    try:
        for number, layer in enumerate(layers):
            layer.seed = None if seed is None else 1009 * seed + number
        yield
    finally:
        for layer in layers:
            layer.seed = None


def has_dropout(network: nn.Module) -> bool:
    """Whether draws of `thinned` differ at all."""
    return any(isinstance(module, Dropout) and module.share > 0 for module in network.modules())
