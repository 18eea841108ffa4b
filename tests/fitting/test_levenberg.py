"""The optimiser against SciPy's, on problems that have nothing to do with galaxies."""

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from rosse.fitting.levenberg import Limits, Minimum, minimise

TIME = np.linspace(0, 4, 60)


def curves(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy decays a exp(-b t) + c and the truth, (B, T) and (B, 3)."""
    rng = np.random.default_rng(seed)
    truth = np.stack([rng.uniform(1, 5, count), rng.uniform(0.3, 2.5, count), rng.uniform(-1, 1, count)], 1)
    model = truth[:, :1] * np.exp(-truth[:, 1:2] * TIME) + truth[:, 2:]
    return model + rng.normal(0, 0.05, model.shape), truth


def residual(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    return p[0] * np.exp(-p[1] * TIME) + p[2] - y


def solve(data: np.ndarray, lower: list[float], upper: list[float], start: list[float]) -> Minimum:
    t, y = torch.from_numpy(TIME), torch.from_numpy(data)

    def evaluate(at: torch.Tensor, rows: torch.Tensor):
        decay = torch.exp(-at[:, 1:2] * t)
        jacobian = torch.stack([decay, -at[:, :1] * t * decay, torch.ones_like(decay)], 1)
        residual = y[rows] - (at[:, :1] * decay + at[:, 2:])
        return residual.square().sum(1), (jacobian @ residual[:, :, None])[..., 0], jacobian @ jacobian.transpose(1, 2)

    as_rows = lambda v: torch.tensor(v, dtype=torch.float64).expand(len(data), 3).clone()  # noqa: E731
    limits = Limits(
        lower=as_rows(lower), upper=as_rows(upper), free=torch.ones(3, dtype=torch.bool), step=torch.full((3,), np.inf)
    )
    return minimise(evaluate, as_rows(start), limits, tolerance=1e-10)


@pytest.mark.parametrize(
    ("lower", "upper"),
    [([-9, 0.0, -9], [9, 9, 9]), ([-9, 0.0, -0.2], [9, 1.2, 9]), ([2.0, 0.5, -9], [3.0, 9, 0.1])],
    ids=["inside", "two bounds active for some", "boxed"],
)
def test_minimum_is_scipys(lower: list[float], upper: list[float]) -> None:
    data, _ = curves(40, seed=4)
    start = [2.5, 1.0, 0.0]
    ours = solve(data, lower, upper, start)
    assert ours.converged.all()
    for i, y in enumerate(data):
        theirs = least_squares(residual, start, args=(y,), bounds=(lower, upper), xtol=1e-14, ftol=1e-14, gtol=1e-14)
        assert float(ours.chi2[i]) <= 2 * theirs.cost * (1 + 1e-7)
        np.testing.assert_allclose(ours.vector[i], theirs.x, atol=2e-4)
        away = (theirs.x > np.array(lower) + 1e-6) & (theirs.x < np.array(upper) - 1e-6)
        np.testing.assert_array_equal(ours.at_bound[i].numpy(), ~away)


def test_a_problem_does_not_depend_on_its_neighbours() -> None:
    data, _ = curves(12, seed=5)
    bounds = [-9.0, 0.0, -9.0], [9.0, 9.0, 9.0]
    together = solve(data, *bounds, [2.5, 1.0, 0.0])
    for i in range(len(data)):
        alone = solve(data[i : i + 1], *bounds, [2.5, 1.0, 0.0])
        np.testing.assert_allclose(alone.vector[0], together.vector[i], rtol=1e-9)


def test_a_problem_without_finite_chi2_ends_and_harms_nobody() -> None:
    data, truth = curves(3, seed=6)
    data[1] = np.nan
    ours = solve(data, [-9.0, 0.0, -9.0], [9.0, 9.0, 9.0], [2.5, 1.0, 0.0])
    assert ours.converged.tolist() == [True, False, True]
    np.testing.assert_allclose(ours.vector[[0, 2]], truth[[0, 2]], atol=0.3)
