"""Components whose isophotes are no ellipses: any profile on bent, boxy, lopsided or spiral coordinates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from rosse.errors import OptionError, unknown_name
from rosse.light import shapes
from rosse.light.components import ANGLE, RATIO, Component, Parameter
from rosse.light.elliptical import Elliptical
from rosse.light.polar import polar_spectra, total
from rosse.light.profiles import Sersic
from rosse.light.psf import FourierGrid
from rosse.light.slopes import slope_along

SPIRALS = ("", "power", "log")
BOXINESS = Parameter(
    name="c0", description="boxiness: above 0 boxy, below 0 disky", lower=-0.75, upper=2.0, start=0.0, step=0.3
)
WINDING = (
    Parameter.length("r_in", "radius of the bar, within which the spiral does not turn", start=0.5),
    Parameter.length("dr_arm", "radius beyond r_in where the arms have turned by theta_arm", start=1.5),
    Parameter(
        name="theta_arm", unit="degree", description="rotation of the arms at r_in + dr_arm, positive from +x to +y",
        lower=-12 * math.pi, upper=12 * math.pi, start=math.pi / 2,
    ),
    Parameter(
        name="inclination", unit="degree", description="inclination of the disc that the arms lie in",
        lower=-0.47 * math.pi, upper=0.47 * math.pi, start=0.2,
    ),
    Parameter(name="pa_node", unit="angle", description="position angle of the line of nodes of that disc"),
)  # fmt: skip
ALPHA = Parameter(
    name="alpha_arm", description="power of the rotation beyond r_in + dr_arm", lower=-2, upper=5, start=0.5
)
R_WINDING = Parameter.length("r_winding", "winding scale radius of the logarithmic spiral", start=0.5)


@final
@dataclass(frozen=True, repr=False)
class Shaped(Component):
    """A radial profile whose isophotes are no ellipses, as in GALFIT 3 (Peng et al. 2010, sect. 5).

    Parameters
    ----------
    name, fixed, bounds, prior, start, bands, own_centre : as in `Component`.
    profile : of what brightness; its own name and limits do not count.
    boxy : boxy or disky isophotes (`c0`).
    fourier : azimuthal Fourier modes, e.g. ``(1, 3)``: amplitudes ``a_1, a_3`` and phases ``phi_1, phi_3``.
    bending : bending modes, e.g. ``(2,)``: amplitudes ``bend_2`` in units of the profile's scale radius.
    spiral : ``"power"`` or ``"log"``: coordinates turn with radius as a power law or logarithmically beyond a bar.
    """

    profile: Elliptical = field(default_factory=Sersic)
    boxy: bool = False
    fourier: tuple[int, ...] = ()
    bending: tuple[int, ...] = ()
    spiral: str = ""

    def __post_init__(self) -> None:
        if self.spiral not in SPIRALS:
            raise OptionError(unknown_name("spiral", self.spiral, SPIRALS))
        for modes in (self.fourier, self.bending):
            if any(m < 1 for m in modes) or len(set(modes)) < len(modes):
                raise OptionError(f"modes are {modes}; different whole numbers, 1 or more, are wanted")
        if not (self.boxy or self.fourier or self.bending or self.spiral):
            raise OptionError("a Shaped component is boxy, or has Fourier modes, bending modes or a spiral; none came")
        super().__post_init__()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (*self.profile.radial, *self._extra(), RATIO, ANGLE)

    def _extra(self) -> Iterator[Parameter]:
        if self.boxy:
            yield BOXINESS
        for m in self.fourier:
            about = f"amplitude of Fourier mode {m}"
            yield Parameter(name=f"a_{m}", description=about, lower=-0.9, upper=0.9, start=0.02, step=0.1)
            yield Parameter(name=f"phi_{m}", unit="degree", description=f"phase of Fourier mode {m}", start=0.0)
        for m in self.bending:
            about = f"amplitude of bending mode {m}"
            yield Parameter(name=f"bend_{m}", description=about, lower=-3.0, upper=3.0, start=0.0, step=0.2)
        if self.spiral:
            yield from WINDING
            yield ALPHA if self.spiral == "power" else R_WINDING

    def unit_rows(self, values: Tensor, grid: FourierGrid, rows: Tensor) -> None:
        lead, derivatives = values.shape[:2], rows.shape[2] > 1
        flat = values.flatten(0, 1)
        spectra = self._spectra(flat, grid, derivatives=derivatives)
        out = grid.transfer[:, :, None] * spectra.view(*lead, *spectra.shape[1:])
        if derivatives:
            moved = [out[:, :, :1] * (-1j * k) for k in (grid.kx, grid.ky[:, None])]
            out = torch.cat([out[:, :, :1], *moved, out[:, :, 1:]], 2)
        rows.copy_(grid.to_images(out))

    def _spectra(self, values: Tensor, grid: FourierGrid, *, derivatives: bool) -> Tensor:
        """(M, 1 + S or 1, Ky, Kx) complex: at unit flux, and by each shape parameter."""
        shape, fine = values[:, 3:], grid.zones

        def rows_at(dx: Tensor, dy: Tensor) -> Tensor:
            return self._brightness(dx / fine, dy / fine, shape, derivatives=derivatives)

        scale, q, theta = self._outline(shape)
        flux = total(rows_at, scale=fine * scale, q=q, theta=theta)[..., None, None].to(torch.float32)
        spectra = polar_spectra(
            rows_at,
            centre=fine * values[:, 1:3],
            scale=fine * scale,
            q=q,
            theta=theta,
            frame=(fine * grid.frame[0], fine * grid.frame[1]),
            size=(fine * grid.size[0], fine * grid.size[1]),
        )
        spectra = grid.zoned(spectra) / flux[:, :1]
        spectra[:, 1:] -= spectra[:, :1] * (flux[:, 1:] / flux[:, :1])
        return spectra

    def _brightness(self, dx: Tensor, dy: Tensor, shape: Tensor, *, derivatives: bool) -> Tensor:
        """At offsets (M, N): (M, 1 + S or 1, N), of any normalisation."""
        if not derivatives:
            return self.value(dx, dy, shape)[:, None]
        count, each = shape.shape
        ways = torch.eye(each, dtype=shape.dtype, device=shape.device).repeat_interleave(count, 0)
        x, y = dx.repeat(each, 1), dy.repeat(each, 1)
        value, slope = slope_along(lambda p: self.value(x, y, p), shape.repeat(each, 1), ways)
        slope = torch.where(value == 0, 0.0, slope)  # where the light has faded out, infinity over infinity
        return torch.cat([value[:count], slope]).view(1 + each, count, -1).transpose(0, 1)

    def value(self, dx: Tensor, dy: Tensor, shape: Tensor) -> Tensor:
        """Brightness (M, N) at offsets from the centre, of any normalisation, for shape parameters (M, S) of a fit."""
        radial_count = len(self.profile.radial)
        radial = shape[:, :radial_count]
        rest = (shape[:, i : i + 1] for i in range(radial_count, shape.shape[1]))
        c0 = next(rest) if self.boxy else torch.zeros_like(radial[:, :1])
        modes = [(next(rest), next(rest)) for _ in self.fourier]
        bends = [next(rest) for _ in self.bending]
        winding = [next(rest) for _ in range(6)] if self.spiral else []
        q, theta = torch.exp(next(rest)), next(rest)
        x, y = self._unwound(dx, dy, winding, theta)
        if bends:
            scale = torch.exp(radial[:, :1])
            y = shapes.bend(x, y, scale, self.bending, [b * scale for b in bends])
        radius = shapes.boxy_radius(x, y, q, c0)
        if modes:
            amplitudes, phases = zip(*modes, strict=True)
            angle = shapes.elliptical_angle(x, y, q)
            radius = shapes.fourier_radius(radius, angle, self.fourier, amplitudes, phases).clamp_min(0.0)
        return self.profile.value(radius, radial)

    def _unwound(self, dx: Tensor, dy: Tensor, winding: list[Tensor], theta: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates along and across the component, before its arms were wound."""
        if not winding:
            return shapes.unwind(dx, dy, theta)
        r_in, dr_arm, theta_arm, inclination, node, last = winding
        x, y = shapes.face_on(dx, dy, inclination, node)
        radius = shapes.plane_radius(x, y)
        r_out = torch.exp(r_in) + torch.exp(dr_arm)  # outside of the bar, always
        if self.spiral == "power":
            turn = shapes.power_spiral(radius, torch.exp(r_in), r_out, theta_arm, last)
        else:
            turn = shapes.logarithmic_spiral(radius, torch.exp(r_in), r_out, theta_arm, torch.exp(last))
        return shapes.unwind(x, y, turn + theta - node)

    def _outline(self, shape: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scale radius, axis ratio and direction (M,) of ellipses that the isophotes resemble, the flat one across."""
        ln_q, theta = shape[:, -2], shape[:, -1]
        scale, q = torch.exp(shape[:, 0]), torch.exp(ln_q)
        if self.spiral:
            at = len(self.profile.radial) + int(self.boxy) + 2 * len(self.fourier) + len(self.bending)
            inclined = torch.cos(shape[:, at + 3])
            return scale * torch.minimum(q, 1 / q).sqrt(), inclined, shape[:, at + 4]
        turned = q > 1  # the axes trade places
        scale = torch.where(turned, scale * q, scale)
        return scale, torch.where(turned, 1 / q, q), torch.where(turned, theta + math.pi / 2, theta)
