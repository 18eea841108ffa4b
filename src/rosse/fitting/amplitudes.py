"""The best fluxes of shapes that are held: what an image is linear in needs no search."""

from __future__ import annotations

import torch
from torch import Tensor

from rosse.fitting.joint import JointProblem
from rosse.fitting.problem import Problem, pieces_of
from rosse.light.render import unit_images


def with_best_fluxes(vector: Tensor, problem: JointProblem) -> Tensor:
    """The same shapes with the fluxes (and sky) of least chi^2.

    Fluxes are at least one sigma each, so that shapes can be felt.
    """
    layout, coordinates = problem.plan.layout, problem.plan.coordinates
    linear = [p for p, c in enumerate(coordinates) if c.slot in layout.linear]
    if not linear:
        return vector
    each = (_of_amplitudes(part, vector) for part in problem.parts)
    gradient, normal = (torch.stack(what).sum(0) for what in zip(*each, strict=True))
    part, right = normal[:, linear][:, :, linear], gradient[:, linear]
    diagonal = part.diagonal(dim1=1, dim2=2).clamp_min(1e-300)
    scale = diagonal.rsqrt()
    scaled = part * scale[:, :, None] * scale[:, None, :]
    ridge = 1e-9 * torch.eye(len(linear), dtype=part.dtype, device=part.device)
    change = torch.linalg.solve_ex(scaled + ridge, right * scale).result * scale
    best = vector[:, linear] + change
    fluxes = torch.tensor([coordinates[p].slot in layout.fluxes for p in linear], device=vector.device)
    vector = vector.clone()
    vector[:, linear] = torch.where(fluxes, torch.maximum(best.nan_to_num(0.0), scale), best.nan_to_num(0.0))
    return vector


def _of_amplitudes(problem: Problem, vector: Tensor) -> tuple[Tensor, Tensor]:
    """Descent direction (B, P) and normal matrix (B, P, P) of what the image is linear in, 0 for all else."""
    layout, linear = problem.plan.layout, list(problem.plan.layout.linear)
    parts = []
    for piece in pieces_of(problem):
        some = problem.rows(piece)
        view, local = some.view, some.local(vector[piece])
        root = view.root * view.flux.clamp_min(1.0).rsqrt() if problem.poisson else view.root
        flat = (unit_images(layout, local, view.grid) * root[:, :, None]).flatten(3)
        amount = local[..., None, linear].to(flat.dtype)
        residual = (view.flux * root).flatten(2) - (amount @ flat)[:, :, 0]
        parts.append(((flat @ residual[..., None])[..., 0], flat @ flat.transpose(-1, -2)))
    gradient, normal = (torch.cat(part).to(torch.float64) for part in zip(*parts, strict=True))
    matrix = problem.matrix()[:, linear]
    whole = torch.einsum("bca,cap->bp", gradient, matrix)
    square = torch.einsum("cap,bcad,cdq->bpq", matrix, normal, matrix)
    _, whole, square = problem.with_priors(vector, whole[:, 0], whole, square)
    return whole, square
