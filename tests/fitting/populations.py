"""GalSim galaxies by the thousand: Sersic indices come from a list, because GalSim makes a table for each."""

from __future__ import annotations

import galsim
import numpy as np

from .galaxies import PSF, SCALE, ZEROPOINT, Galaxies, psf_stamp

INDICES = np.exp(np.linspace(np.log(0.6), np.log(5.0), 60))


def draw_sum(parts: list[tuple[float, float, float, float, float]], x: float, y: float, size: int) -> np.ndarray:
    """Image of Sersic profiles (flux, n, r_e, q, theta) at one centre; r_e is the semi-major axis."""
    galaxy = galsim.Add(
        [
            galsim.Sersic(n=n, half_light_radius=r_e * np.sqrt(q), flux=flux).shear(q=q, beta=theta * galsim.radians)
            for flux, n, r_e, q, theta in parts
        ]
    )
    centre = (size - 1) / 2
    image = galsim.ImageD(size, size)
    return galsim.Convolve(galaxy, PSF).drawImage(image, scale=1.0, offset=(x - centre, y - centre)).array


def sersics(count: int, *, seed: int, size: int = 64, snr: tuple[float, float] = (50, 500)) -> Galaxies:
    """Single Sersic galaxies in white noise; S/N is that of the best-matched filter."""
    rng = np.random.default_rng(seed)
    truth = {
        "x": size // 2 + rng.uniform(-1, 1, count),
        "y": size // 2 + rng.uniform(-1, 1, count),
        "r_e": rng.uniform(2, 6, count),
        "n": rng.choice(INDICES, count),
        "q": rng.uniform(0.2, 0.9, count),
        "theta": rng.uniform(0, np.pi, count),
    }
    each = zip(*(truth[k] for k in ("n", "r_e", "q", "theta", "x", "y")), strict=True)
    shapes = np.stack([draw_sum([(1.0, n, r, q, t)], x, y, size) for n, r, q, t, x, y in each])
    return _noisy(shapes, truth, snr, rng)


def discs_with_bulges(count: int, *, seed: int, size: int = 96, snr: tuple[float, float] = (50, 500)) -> Galaxies:
    """A Sersic bulge in an exponential disc; keys of the truth have the prefixes ``bulge_`` and ``disc_``."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.1, 0.8, count)
    truth = {
        "x": size // 2 + rng.uniform(-1, 1, count),
        "y": size // 2 + rng.uniform(-1, 1, count),
        "disc_r_e": rng.uniform(6, 11, count),
        "disc_q": rng.uniform(0.25, 0.85, count),
        "disc_theta": rng.uniform(0, np.pi, count),
        "bulge_n": rng.choice(INDICES[(INDICES > 0.8) & (INDICES < 4.2)], count),
        "bulge_q": rng.uniform(0.5, 0.9, count),
        "bulge_theta": rng.uniform(0, np.pi, count),
    }
    truth["bulge_r_e"] = truth["disc_r_e"] * rng.uniform(0.15, 0.4, count)
    shapes = np.stack(
        [
            draw_sum(
                [
                    (share[i], *(truth[f"bulge_{k}"][i] for k in ("n", "r_e", "q", "theta"))),
                    (1 - share[i], 1.0, *(truth[f"disc_{k}"][i] for k in ("r_e", "q", "theta"))),
                ],
                truth["x"][i],
                truth["y"][i],
                size,
            )
            for i in range(count)
        ]
    )
    drawn = _noisy(shapes, truth, snr, rng)
    flux = drawn.truth.pop("flux")
    return Galaxies(
        image=drawn.image,
        sigma=drawn.sigma,
        psf=drawn.psf,
        clean=drawn.clean,
        truth=drawn.truth | {"bulge_flux": share * flux, "disc_flux": (1 - share) * flux},
    )


def _noisy(
    shapes: np.ndarray, truth: dict[str, np.ndarray], snr: tuple[float, float], rng: np.random.Generator
) -> Galaxies:
    noise = 0.02
    each = np.exp(rng.uniform(*np.log(snr), len(shapes)))
    flux = each * noise / np.sqrt(np.square(shapes).sum((1, 2)))
    clean = flux[:, None, None] * shapes
    image = clean + rng.normal(0, noise, shapes.shape)
    sigma = np.full_like(image, noise)
    return Galaxies(image=image, sigma=sigma, psf=psf_stamp(), truth=truth | {"flux": flux}, clean=clean)


def true_columns(truth: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The truth in the columns and units of a fit's table."""
    out = {}
    for name, values in truth.items():
        if name.endswith("flux"):
            out[name] = values
            out[name.replace("flux", "mag")] = ZEROPOINT - 2.5 * np.log10(values)
        elif name.endswith("theta"):
            out[name.replace("theta", "pa")] = np.degrees(values) - 90
        else:
            out[name] = values * SCALE if name.endswith("r_e") else values
    return out
