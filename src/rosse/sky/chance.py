"""Random numbers that depend on seed, name, row and place only: the same for any batch, order, worker or device.

A number is a hash of where it is wanted, so nothing has to be drawn before it. Each (seed, name, row) starts its own
SplitMix64 sequence (Steele, Lea & Flood 2014, OOPSLA, doi:10.1145/2660193.2660195) at a hashed place; its k-th number
is ``mix(start + k * GAMMA)``.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

import torch
from torch import Tensor

# Steele+2014 in two's complement: torch's int64 product wraps modulo 2^64 as the unsigned one does.
_GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)


def uniform(seed: int, rows: Tensor, what: str, shape: tuple[int, ...] = ()) -> Tensor:
    """Uniform numbers between 0 and 1, both left out.

    Parameters
    ----------
    seed : any integer.
    rows : (B,) int64, row numbers of the population.
    what : name of the stream, e.g. ``"inclination"``: other names give independent numbers.
    shape : shape of each row's numbers.

    Returns
    -------
    Tensor
        (B, *shape) float64 on the device of `rows`. The first numbers of a row do not depend on how many are asked for.
    """
    word = _words(seed, rows, what, math.prod(shape))
    number: Tensor = _right(word, 11).double().add_(0.5).mul_(2.0**-53).reshape(len(rows), *shape)
    return number


def normal(seed: int, rows: Tensor, what: str, shape: tuple[int, ...] = ()) -> Tensor:
    """Standard normal numbers, (B, *shape) float64: `uniform` through the inverse of the normal distribution."""
    number: Tensor = torch.special.ndtri(uniform(seed, rows, what, shape))
    return number


def noise(seed: int, rows: Tensor, what: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers in float32, quickly, for the noise of pixels.

    Parameters
    ----------
    seed, rows, what : as in `uniform`.
    shape : shape of each row's numbers; a row's numbers depend on how many there are.

    Returns
    -------
    Tensor
        (B, *shape) float32. The bits that are hashed are the same on every device; logarithm and cosine of two
        devices differ in the last digits of float32.

    Notes
    -----
    Box & Muller 1958 (doi:10.1214/aoms/1177706645) on the two halves of each hashed word. The largest number that can
    occur is sqrt(2 ln 2^32) = 6.66.
    """
    count = math.prod(shape)
    half = (count + 1) // 2
    halves: Tensor = _words(seed, rows, what, half).view(torch.int32)  # (B, 2 half)
    radius = halves[:, :half].bitwise_and(0x7FFFFFFF).float().add_(0.5).mul_(2.0**-31).log_().mul_(-2).sqrt_()
    angle = halves[:, half:].float().mul_(math.pi * 2.0**-31)
    pairs: Tensor = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)
    return pairs[:, :count].reshape(len(rows), *shape)


def _words(seed: int, rows: Tensor, what: str, count: int) -> Tensor:
    """(B, count) random 64-bit words as int64."""
    start = _mix_(rows.to(torch.int64) * _GAMMA + _key(seed, what))
    # A second hash: starts of neighbouring rows are then no neighbours in the sequence that they start.
    place = torch.arange(1, count + 1, device=rows.device, dtype=torch.int64) * _GAMMA
    return _mix_(_mix_(start ^ _SECOND)[:, None] + place)


@lru_cache(maxsize=4096)
def _key(seed: int, what: str) -> int:
    """Start of a stream: seed and name, hashed together."""
    named = f"{seed} {what}".encode()
    return int.from_bytes(hashlib.blake2b(named, digest_size=8).digest(), "little", signed=True)


def _mix_(word: Tensor) -> Tensor:
    """The finishing hash of SplitMix64, in place: a bijection of 64-bit words."""
    word ^= _right(word, 30)
    word *= _FIRST
    word ^= _right(word, 27)
    word *= _SECOND
    word ^= _right(word, 31)
    return word


def _right(word: Tensor, bits: int) -> Tensor:
    """Shift to the right that fills with zeros; torch's own copies the sign bit of an int64."""
    return (word >> bits).bitwise_and_((1 << (64 - bits)) - 1)
