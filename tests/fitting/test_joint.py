"""One galaxy in several surveys, each with its own pixels, frame, orientation and PSF: shapes are shared, by GalSim."""

from dataclasses import dataclass, replace

import galsim
import numpy as np
import pytest

import rosse
from rosse import Cutouts, Exponential, InputError, OptionError, PointSource, Sersic

COUNT = 40


@dataclass(frozen=True)
class Camera:
    scale: float
    size: int
    fwhm: float
    north: float  # radians from +x
    noise: float
    oversampling: int = 1


GROUND = Camera(scale=0.2, size=101, fwhm=0.7, north=np.pi / 2, noise=0.05)
COARSE = Camera(scale=0.396, size=60, fwhm=1.3, north=np.pi / 2 + 0.6, noise=0.1)
SHARP = Camera(scale=0.1, size=120, fwhm=0.16, north=1.1, noise=0.02, oversampling=3)


def population(seed: int) -> dict[str, np.ndarray]:
    """Sizes in arcsec, angles in degrees east of north."""
    rng = np.random.default_rng(seed)
    return {
        "r_e": np.exp(rng.uniform(np.log(0.5), np.log(2.5), COUNT)),
        "n": rng.uniform(0.8, 4, COUNT),
        "q": rng.uniform(0.3, 0.95, COUNT),
        "pa": rng.uniform(0, 180, COUNT),
    }


def photograph(shapes: dict[str, np.ndarray], camera: Camera, seed: int) -> tuple[Cutouts, dict[str, np.ndarray]]:
    """Cutouts of galaxies, and their flux and centre there."""
    rng = np.random.default_rng(seed)
    psf = galsim.Moffat(beta=3.0, fwhm=camera.fwhm)
    own = {"flux": rng.uniform(100, 1000, COUNT)}
    own |= {axis: camera.size // 2 + rng.uniform(-1, 1, COUNT) for axis in "xy"}
    images = []
    for i in range(COUNT):
        r_e, n, q, pa = (shapes[name][i] for name in ("r_e", "n", "q", "pa"))
        theta = camera.north + np.radians(pa)
        galaxy = galsim.Sersic(n=n, half_light_radius=r_e * np.sqrt(q), flux=own["flux"][i])
        galaxy = galaxy.shear(q=q, beta=theta * galsim.radians)
        middle = (camera.size - 1) / 2
        offset = (own["x"][i] - middle, own["y"][i] - middle)
        image = galsim.Convolve(galaxy, psf).drawImage(
            nx=camera.size, ny=camera.size, scale=camera.scale, offset=offset
        )
        images.append(image.array + rng.normal(0, camera.noise, (camera.size, camera.size)))
    pixel = galsim.Pixel(camera.scale)  # of the image, in a PSF that is sampled more finely too
    fine = camera.scale / camera.oversampling
    stamp = galsim.Convolve(psf, pixel).drawImage(nx=63, ny=63, scale=fine, method="no_pixel").array
    cutouts = Cutouts.from_arrays(
        np.stack(images),
        sigma=camera.noise,
        psf=stamp / stamp.sum(),
        psf_oversampling=camera.oversampling,
        scale=camera.scale,
        zeropoint=25.0,
        north=np.full(COUNT, camera.north),
    )
    return cutouts, own


@pytest.fixture(scope="module")
def seen():
    shapes = population(seed=3)
    sets, own = {}, {}
    for seed, (name, camera) in enumerate((("ground", GROUND), ("coarse", COARSE), ("sharp", SHARP))):
        sets[name], own[name] = photograph(shapes, camera, seed)
    return shapes, sets, own


@pytest.fixture(scope="module")
def joint(seen):
    return rosse.fit(seen[1], Sersic())


def pulls(table, name: str, true: np.ndarray) -> np.ndarray:
    off = np.asarray(table[name]) - true
    if name == "pa":
        off = (off + 90) % 180 - 90
    return off / np.asarray(table[f"sigma_{name}"])


def test_three_surveys_of_different_pixels_give_one_shape(seen, joint) -> None:
    shapes, _, own = seen
    table = joint.table()
    assert set(table["status"]) == {"ok"}
    expected = dict(shapes)
    for name, values in own.items():
        expected |= {f"flux_{name}": values["flux"], f"x_{name}": values["x"], f"y_{name}": values["y"]}
    for name, true in expected.items():
        pull = pulls(table, name, true)
        assert abs(pull.mean()) < 4 / np.sqrt(COUNT), name
        assert 0.7 < pull.std() < 1.35, name
        assert np.abs(pull).max() < 5, name
    np.testing.assert_allclose(np.median(joint.chi2_dof), 1.0, atol=0.02)


def shape_covariance(fit) -> np.ndarray:
    """Of ln r_e, ln n, ln q and the angle, whatever the pixels are."""
    shape = [
        i for i, c in enumerate(fit.plan.coordinates) if fit.plan.layout.slots[c.slot].name in ("r_e", "n", "q", "pa")
    ]
    return fit.covariance[:, shape][:, :, shape]


def test_the_sum_of_surveys_knows_what_all_of_them_know(seen, joint) -> None:
    # independent measurements of four numbers: the inverses of their covariances add
    alone = [shape_covariance(rosse.fit(cutouts)) for cutouts in seen[1].values()]
    combined = np.linalg.inv(sum(np.linalg.inv(covariance) for covariance in alone))
    together = shape_covariance(joint["ground"])
    ratio = np.sqrt(np.diagonal(together, axis1=1, axis2=2) / np.diagonal(combined, axis1=1, axis2=2))
    np.testing.assert_allclose(np.median(ratio, 0), 1.0, atol=0.02)


def test_each_set_sees_its_own_pixels(seen, joint) -> None:
    for name, cutouts in seen[1].items():
        fit = joint[name]
        residual = (cutouts.flux - fit.model_images()) * cutouts.ivar.sqrt()
        assert abs(float(residual.square().mean()) - 1) < 0.02
        assert joint.plot(2, of=name).axes
    assert joint.plot(0).axes
    assert "40 ok" in repr(joint)


def test_the_order_of_sets_does_not_matter(seen, joint) -> None:
    other = rosse.fit(dict(reversed(seen[1].items())), Sersic()).table()
    table = joint.table()
    for name in ("r_e", "n", "q", "flux_coarse", "x_sharp"):
        sigma = np.asarray(table[f"sigma_{name}"])
        assert (np.abs(np.asarray(other[name]) - np.asarray(table[name])) < 0.05 * sigma).all(), name


def test_fixed_values_priors_and_bounds_are_in_arcsec_and_on_the_sky(seen) -> None:
    shapes, sets, _ = seen
    some = {name: cutouts[:6] for name, cutouts in sets.items()}
    truth = {name: values[:6] for name, values in shapes.items()}
    table = rosse.fit(some, Sersic(fixed={"r_e": truth["r_e"], "pa": truth["pa"]})).table()
    np.testing.assert_allclose(table["r_e"], truth["r_e"], rtol=1e-9)
    assert (np.abs(pulls(table, "n", truth["n"])) < 4.5).all()
    table = rosse.fit(some, Sersic(prior={"n": (2.5, 1e-4)})).table()
    assert (np.abs(np.asarray(table["n"]) - 2.5) < 0.01).all()
    table = rosse.fit(some, Sersic(bounds={"r_e": (0.8, 1.2)})).table()
    assert (np.asarray(table["r_e"]) >= 0.8 * (1 - 1e-9)).all()
    assert (np.asarray(table["r_e"]) <= 1.2 * (1 + 1e-9)).all()


def test_bands_of_one_name_are_told_apart_and_sums_have_ties(seen) -> None:
    _, sets, _ = seen
    named = {
        "a": replace(sets["ground"][:3], bands=("r",)),
        "b": replace(sets["coarse"][:3], bands=("r",)),
        "c": replace(sets["sharp"][:3], bands=("VIS",)),
    }
    model = Sersic("bulge") + Exponential("disc") + PointSource("agn")
    names = rosse.fit(named, model).table().colnames
    assert {"disc_mag_a_r", "disc_mag_b_r", "disc_mag_VIS", "bulge_r_e", "agn_fraction_VIS", "x_b"} <= set(names)


def test_what_cannot_be_shared_is_said(seen) -> None:
    sets = {name: cutouts[:3] for name, cutouts in seen[1].items()}
    with pytest.raises(InputError, match="do not hold the same galaxies: 2 against 3"):
        rosse.fit(sets | {"sharp": sets["sharp"][:2]})
    with pytest.raises(InputError, match=r"same galaxies, rows \[0, 2\]"):
        rosse.fit(sets | {"sharp": sets["sharp"][[2, 1, 0]]})
    with pytest.raises(InputError, match="pixel scale of sharp is not known"):
        rosse.fit(sets | {"sharp": replace(sets["sharp"], scale=None)})
    with pytest.raises(InputError, match="handedness"):
        rosse.fit(sets | {"sharp": replace(sets["sharp"], parity=-sets["sharp"].parity)})
    with pytest.raises(OptionError, match="free in each set"):
        rosse.fit(sets, Sersic(start={"x": 50.0}))
    with pytest.raises(OptionError, match="neighbours"):
        rosse.fit(sets, neighbours={"row": [0], "x": [1.0], "y": [2.0]})
    with pytest.raises(OptionError, match="one set"):
        rosse.fit(sets)["sharp"].bootstrap(0)
    with pytest.raises(OptionError, match="did you mean 'sharp'"):
        rosse.fit(sets)["shrap"]
    with pytest.raises(InputError, match="no cutouts"):
        rosse.fit({})
