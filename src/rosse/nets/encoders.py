"""Encoders: prepared images in, features out. Own small ones, and every one of timm by its name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from rosse.errors import FileError, InputError, OptionError, require, unknown_name

log = logging.getLogger(__name__)

# Own encoders: widths of their stages. `small` learns 10^4 galaxies of 64 pixels on two cores in minutes.
OWN: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"tiny": (8, 16, 32), "small": (16, 32, 64, 128), "medium": (24, 48, 96, 192)}
)
TURNS = (1, 4, 8)


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """Which encoder: all that is needed to build it again.

    Parameters
    ----------
    name : ``tiny``, ``small`` or ``medium``, which are rosse's own, or any name of timm: ``convnext_nano``, or on a hub
        ``hf-hub:mwalmsley/zoobot-encoder-convnext_nano``.
    bands : number of bands of its images.
    turns : views whose features are averaged: 1; 4 for the turns by right angles, or 8 with their mirror images, which
        makes features that do not change with them.
    arguments : further ones of ``timm.create_model``, such as ``{"drop_path_rate": 0.1}``.
    """

    name: str = "small"
    bands: int = 3
    turns: int = 1
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.bands < 1:
            raise OptionError(f"an encoder of {self.bands} bands is not one; 1 or more are wanted")
        if self.turns not in TURNS:
            raise OptionError(f"turns is {self.turns}; 1, 4 or 8 views are wanted")

    def record(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return asdict(self) | {"arguments": dict(self.arguments)}


class Encoder(nn.Module):
    """A body with the number of features that it gives; `turns` views are averaged.

    Parameters
    ----------
    body : images (B, C, H, W) → features (B, F).
    features : F.
    spec : what it was built from.
    """

    def __init__(self, body: nn.Module, features: int, spec: EncoderSpec) -> None:
        super().__init__()
        self.body = body
        self.features = features
        self.spec = spec

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (B, F)."""
        turns = self.spec.turns
        if turns == 1:
            out: Tensor = self.body(pixels)
            return out
        views = torch.cat([turned(pixels, number) for number in range(turns)])
        out = self.body(views)
        return out.view(turns, len(pixels), -1).mean(0)


def turned(pixels: Tensor, number: int) -> Tensor:
    """The view of a number from 0 to 7: turned by right angles, from 4 on mirrored as well."""
    view = pixels.flip(-1) if number >= 4 else pixels
    return torch.rot90(view, number % 4, (-2, -1))


class _Block(nn.Module):
    """Two convolutions beside a straight way; the first halves the image."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.straight = nn.Conv2d(before, after, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, after, H / 2, W / 2)."""
        inner = self.second(nn.functional.relu(self.norms[0](self.first(x))))
        straight = self.straight(nn.functional.avg_pool2d(x, 2, ceil_mode=True))
        return nn.functional.relu(self.norms[1](inner) + straight)


class SmallBody(nn.Module):
    """Residual network of few channels, for images of 32 to 128 pixels.

    Parameters
    ----------
    bands : of its images.
    widths : channels of its stages, each of which halves the image.
    """

    def __init__(self, bands: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        first = widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(bands, first, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU(),
            nn.Conv2d(first, first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU(),
        )  # fmt: skip
        self.stages = nn.Sequential(*(_Block(before, after) for before, after in pairwise(widths)))

    def forward(self, x: Tensor) -> Tensor:
        """Means and maxima over the last stage's pixels, (B, 2 widths[-1])."""
        x = x.contiguous(memory_format=torch.channels_last)  # a half quicker on a processor
        x = self.stages(self.stem(x))
        return torch.cat((x.mean((2, 3)), x.amax((2, 3))), 1)


def build_encoder(spec: EncoderSpec, *, pretrained: bool = False) -> Encoder:
    """The encoder of a spec.

    Parameters
    ----------
    spec : which.
    pretrained : whether it starts from timm's weights for this name; first layers of other than three bands get the
        mean of the colours'. The spec of the result names the architecture: weights are then rosse's own to keep.
    """
    if spec.name in OWN:
        if pretrained or spec.arguments:
            raise OptionError(f"encoder {spec.name} is rosse's own: it has no arguments, and no pretrained weights")
        return Encoder(SmallBody(spec.bands, OWN[spec.name]), 2 * OWN[spec.name][-1], spec)
    body, name, arguments = _from_timm(spec, pretrained=pretrained)
    with torch.no_grad():
        was = body.training
        features = body.eval()(torch.zeros(1, spec.bands, *_size(body)))
        body.train(was)
    if features.ndim != 2:
        raise OptionError(f"encoder {spec.name} gives features of shape {tuple(features.shape)}; (galaxies, features) "
                          "is wanted: choose one that pools")  # fmt: skip
    known = EncoderSpec(name=name, bands=spec.bands, turns=spec.turns, arguments=arguments)
    return Encoder(body, features.shape[1], known)


def _size(body: nn.Module) -> tuple[int, int]:
    """Pixels that an encoder is asked for: those of its own images, where they are fixed, else few."""
    fixed: Any = getattr(body, "pretrained_cfg", {})
    if fixed.get("fixed_input_size") and fixed.get("input_size"):
        return int(fixed["input_size"][1]), int(fixed["input_size"][2])
    return 64, 64


def _from_timm(spec: EncoderSpec, *, pretrained: bool) -> tuple[nn.Module, str, dict[str, Any]]:
    """Model of timm without its classifier, and name and arguments of its architecture, which need no hub."""
    timm = require("timm", extra="encoders")
    name, arguments = spec.name, dict(spec.arguments)
    if ":" not in name and not timm.is_model(name):
        raise OptionError(unknown_name("encoder", name, [*OWN, *timm.list_models()])[:300])
    try:
        body = timm.create_model(name, pretrained=pretrained, in_chans=spec.bands, num_classes=0, **arguments)
        if ":" in name:
            name, arguments = _without_hub(name, arguments)
    except TypeError as err:
        raise OptionError(f"encoder {spec.name} does not take these arguments: {err}") from err
    except (OSError, RuntimeError, ValueError, AssertionError) as err:
        raise FileError(
            f"encoder {spec.name} cannot be loaded ({type(err).__name__}: {err}); where the name is a hub's, the "
            "network or its files in the hub's cache must be there"
        ) from err
    return body, name, arguments


def _without_hub(name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Architecture and arguments that stand behind a hub's name, ``hf-hub:owner/name`` or ``local-dir:folder``."""
    from timm.models import load_model_config_from_hf
    from timm.models._hub import load_model_config_from_path

    kind, _, where = name.partition(":")
    found = load_model_config_from_path(where) if kind == "local-dir" else load_model_config_from_hf(where)
    _, architecture, given = found
    return str(architecture), {**(given or {}), **arguments}


def check_side(encoder: Encoder, side: int) -> None:
    """Refuse images that are too small for an encoder, or not of the size that it is built for."""
    was = encoder.training
    try:
        with torch.no_grad():
            device = next(encoder.parameters()).device
            encoder.eval()(torch.zeros(1, encoder.spec.bands, side, side, device=device))
    except (RuntimeError, AssertionError) as err:
        raise InputError(f"encoder {encoder.spec.name} does not take images of {side} pixels: {err}") from err
    finally:
        encoder.train(was)
