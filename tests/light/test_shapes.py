"""Shapes of isophotes against the published formulas in NumPy, geometry, and differences."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gamma
from torch import Tensor

from rosse.light.shapes import (
    bend,
    boxy_radius,
    elliptical_angle,
    face_on,
    fourier_radius,
    logarithmic_spiral,
    plane_radius,
    power_spiral,
    truncation,
    unwind,
)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


POINTS = [(0.0, 0.0), (3.0, 0.0), (0.0, -2.0), (1.0, 2.0), (-4.0, 0.3), (2.0, 1.0)]
RANGE = st.floats(-20.0, 20.0)


@given(x=RANGE, y=RANGE, q=st.floats(0.1, 1.0), c0=st.floats(-1.0, 3.0))
def test_boxy_radius_is_the_published_one(x: float, y: float, q: float, c0: float) -> None:
    truth = (abs(x) ** (c0 + 2) + abs(y / q) ** (c0 + 2)) ** (1 / (c0 + 2))
    assert float(boxy_radius(*map(number, (x, y, q, c0)))) == pytest.approx(truth, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("c0", [-1.0, -0.5, 0.0, 1.0, 4.0])
def test_boxy_isophotes_hold_the_area_of_a_superellipse(c0: float) -> None:
    p, q = c0 + 2, 0.6
    phi = (torch.arange(40000, dtype=torch.float64) + 0.5) * (2 * math.pi / 40000)
    reach = 1 / boxy_radius(torch.cos(phi), torch.sin(phi), number(q), number(c0))
    area = float((0.5 * reach**2).mean()) * 2 * math.pi
    assert area == pytest.approx(4 * q * gamma(1 + 1 / p) ** 2 / gamma(1 + 2 / p), rel=1e-6)


@given(angle=st.floats(-3.1, 3.1), q=st.floats(0.1, 1.0), radius=st.floats(0.01, 30.0))
def test_the_elliptical_angle_is_that_of_the_circle(angle: float, q: float, radius: float) -> None:
    x, y = radius * math.cos(angle), q * radius * math.sin(angle)
    assert float(elliptical_angle(number(x), number(y), number(q))) == pytest.approx(angle, abs=1e-9)


@given(angle=st.floats(-3.0, 3.0), m=st.integers(1, 8), a=st.floats(-0.5, 0.5), phase=st.floats(-3.0, 3.0))
def test_fourier_modes_have_their_order_of_symmetry(angle: float, m: int, a: float, phase: float) -> None:
    def radius(angle: float, phase: float) -> float:
        return float(fourier_radius(number(2.0), number(angle), [m, 2 * m], [number(a)] * 2, [number(phase)] * 2))

    truth = 2 * (1 + a * math.cos(m * (angle + phase)) + a * math.cos(2 * m * (angle + phase)))
    assert radius(angle, phase) == pytest.approx(truth, abs=1e-12)
    assert radius(angle + 2 * math.pi / m, phase) == pytest.approx(truth, abs=1e-9)
    assert radius(0.0, angle + phase) == pytest.approx(truth, abs=1e-9)


def test_bending_follows_a_polynomial() -> None:
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)
    along = -0.4 * (x / 2) - 0.3 * (x / 2) ** 2 + 0.1 * (x / 2) ** 3  # where the bent axis runs
    bent = bend(x, along, number(2.0), [1, 2, 3], [number(0.4), number(0.3), number(-0.1)])
    assert torch.allclose(bent, torch.zeros_like(x), atol=1e-12)


@given(angle=st.floats(0, 6.3), inclination=st.floats(0.0, 1.4), node=st.floats(0, 3.1))
def test_a_circle_seen_inclined_is_a_circle_face_on(angle: float, inclination: float, node: float) -> None:
    u, v = math.cos(angle), math.sin(angle) * math.cos(inclination)
    x, y = u * math.cos(node) - v * math.sin(node), u * math.sin(node) + v * math.cos(node)
    flat = face_on(*map(number, (x, y, inclination, node)))
    assert float(flat[0]) == pytest.approx(math.cos(angle), abs=1e-9)
    assert float(flat[1]) == pytest.approx(math.sin(angle), abs=1e-9)
    assert float(plane_radius(*flat)) == pytest.approx(1.0)


def test_unwinding_is_a_turn_back() -> None:
    x, y = unwind(number(0.0), number(2.0), number(math.pi / 2))
    assert (float(x), float(y)) == (pytest.approx(2.0), pytest.approx(0.0, abs=1e-12))


@given(r=st.floats(0.0, 40.0), r_in=st.floats(-5.0, 5.0), width=st.floats(1.0, 30.0), turn=st.floats(-8.0, 8.0))
def test_spirals_are_the_published_ones(r: float, r_in: float, width: float, turn: float) -> None:
    r_out = max(r_in, 0.0) + width
    a = 2 * 0.23 / (abs(turn) + 0.23) - 1.00001
    b = (2 - np.arctanh(a)) * r_out / (r_out - r_in)
    onset = 0.5 * (np.tanh(b * (r / r_out - 1) + 2) + 1)
    shared = [number(v) for v in (r, r_in, r_out, turn)]
    power = turn * onset * (0.5 * (r / r_out + 1)) ** 0.7
    assert float(power_spiral(*shared, number(0.7))) == pytest.approx(power, rel=1e-9, abs=1e-12)
    log = turn * onset * np.log(r / 3 + 1) / np.log(r_out / 3 + 1)
    assert float(logarithmic_spiral(*shared, number(3.0))) == pytest.approx(log, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("turn", [-6.0, 0.5, 9.0])
def test_a_spiral_has_a_bar_inside_and_has_turned_outside(turn: float) -> None:
    at = [power_spiral(number(r), number(4.0), number(12.0), number(turn), number(0.0)) for r in (0.0, 4.0, 12.0)]
    bar = 0.23 / (1 + 0.23 / abs(turn))
    assert abs(float(at[0])) < abs(float(at[1]))
    assert abs(float(at[1])) == pytest.approx(bar, rel=1e-3)
    assert float(at[2]) == pytest.approx(0.5 * (math.tanh(2) + 1) * turn)
    log = logarithmic_spiral(number(12.0), number(4.0), number(12.0), number(turn), number(2.0))
    assert float(log) == pytest.approx(float(at[2]))  # both are normalised at r_out


@given(r_break=st.floats(1.0, 30.0), ratio=st.floats(1.1, 4.0))
def test_truncations_keep_one_side_and_cut_the_other(r_break: float, ratio: float) -> None:
    for soft, kept, cut in ((r_break * ratio, 0.0, ratio), (r_break / ratio, 2 * ratio, 1 / ratio)):
        at = [float(truncation(number(r_break * u), number(r_break), number(soft))) for u in (kept, 1.0, cut)]
        assert at[0] > 0.98
        assert at[1] == pytest.approx(0.5 * (math.tanh(2) + 1))
        assert at[2] < 0.01


def spiral_galaxy(x: Tensor, y: Tensor, q: Tensor, turn: Tensor, alpha: Tensor, a: Tensor, phase: Tensor) -> Tensor:
    u, v = face_on(x, y, number(0.6), phase)
    u, v = unwind(u, v, power_spiral(plane_radius(u, v), number(0.5), number(6.0), turn, alpha))
    return fourier_radius(boxy_radius(u, v, q, a), elliptical_angle(u, v, q), [1, 3], [a, a], [phase, phase])


FORMULAS: dict[str, tuple[Callable[..., Tensor], tuple[float, ...]]] = {
    "boxy": (boxy_radius, (0.6, 0.3)),
    "disky": (boxy_radius, (0.6, -0.3)),
    "fourier": (
        lambda x, y, q, a, p: fourier_radius(boxy_radius(x, y, q, a), elliptical_angle(x, y, q), [2], [a], [p]),
        (0.6, 0.2, 0.4),
    ),
    "bend": (lambda x, y, s, a: boxy_radius(x, bend(x, y, s, [2], [a]), number(0.5), number(0.1)), (3.0, 0.7)),
    "logarithmic": (
        lambda x, y, r_in, r_out, turn, r_ws: logarithmic_spiral(plane_radius(x, y), r_in, r_out, turn, r_ws),
        (1.0, 5.0, 2.0, 1.5),
    ),
    "truncation": (lambda x, y, r_b, r_s: truncation(plane_radius(x, y), r_b, r_s), (4.0, 6.0)),
    "spiral": (spiral_galaxy, (0.4, 3.0, 0.6, 0.2, 0.3)),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")  # torch of itself
@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("point", POINTS)
def test_derivatives_are_differences_and_finite_everywhere(name: str, point: tuple[float, float]) -> None:
    formula, values = FORMULAS[name]
    at = torch.tensor([*point, *values], dtype=torch.float64)
    for i in range(len(at)):
        tangent = torch.zeros_like(at)
        tangent[i] = 1.0
        slope = torch.func.jvp(lambda v: formula(*v.unbind()), (at,), (tangent,))[1]
        assert torch.isfinite(slope), (name, point, i)
        corner = i < 2 and 0.0 in point  # isophotes may have a corner on an axis
        if not corner:
            step = 1e-6 * tangent
            numeric = (formula(*(at + step).unbind()) - formula(*(at - step).unbind())) / 2e-6
            assert float(slope) == pytest.approx(float(numeric), rel=1e-5, abs=1e-7), (name, point, i)


def test_formulas_broadcast() -> None:
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)
    q = torch.tensor([[0.5], [0.8]], dtype=torch.float64)
    both = boxy_radius(x, x.flip(0), q, number(0.4))
    assert both.shape == (2, 5)
    assert torch.equal(both[1], boxy_radius(x, x.flip(0), q[1], number(0.4)))
