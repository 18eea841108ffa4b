"""A real cluster: two raylets on the loopback, each a node with its own scheduler, object store and workers."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from toy_survey import Faulty, OnNodes, toy_job

import rosse
from rosse.errors import OptionError, RunError
from rosse.io import FieldPsf, open_mosaic
from rosse.pipeline.jobs import FieldOptions, field_job
from rosse.pipeline.local import LocalEngine
from rosse.pipeline.ray_engine import RayEngine
from rosse.pipeline.run import run

CPU_AND_STORE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # tests tell nobody anything
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's switch for 127.0.0.1 instead of the machine's own address
    "PYTHONPATH": str(Path(__file__).parent),  # where its workers find the steps of these tests
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    before = dict(os.environ)
    os.environ.update(QUIET)  # read when ray is imported, and inherited by its processes
    pytest.importorskip("ray", reason="ray is not installed: pip install 'rosse[ray]'")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=CPU_AND_STORE | {"include_dashboard": False})
    try:
        cluster.add_node(**CPU_AND_STORE)
        cluster.wait_for_nodes()
        assert cluster.address.startswith("127.0.0.1:")
        yield cluster.address
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]
        os.environ.clear()
        os.environ.update(before)


def test_two_nodes_and_a_killed_worker_give_the_rows_of_a_local_run(address: str, tmp_path: Path) -> None:
    run(toy_job(), tmp_path / "local", engine=LocalEngine(workers=1))
    for folder in ("marks", "nodes"):
        (tmp_path / folder).mkdir()
    step = OnNodes(folder=tmp_path / "marks", nodes=tmp_path / "nodes", victims=(5,))
    report = run(toy_job(step), tmp_path / "ray", engine=RayEngine(address=address))
    assert (tmp_path / "marks" / "tile-005").exists()
    assert len(list((tmp_path / "nodes").iterdir())) == 2
    assert report.failed == {}
    local, ray = (rosse.open_catalogue(tmp_path / name).to_arrow() for name in ("local", "ray"))
    assert local.num_rows == 40
    assert ray.equals(local)


def test_a_field_is_measured_there_as_it_is_here(address: str, tmp_path: Path) -> None:
    """Sky, detection, fits and merging over two nodes: the rows of a local run, to the last bit."""
    image, psf = galsim_field()
    fits.writeto(tmp_path / "field.fits", image)
    mosaic = open_mosaic(tmp_path / "field.fits", zeropoint=25.0, scale=0.3, sigma=1.0)
    engines = {"local": LocalEngine(workers=1), "ray": RayEngine(address=address)}
    for name, engine in engines.items():
        job = field_job([mosaic], psfs=[FieldPsf.constant(psf)], options=FieldOptions(size=256, margin=64))
        assert len(job.partitions) == 4
        assert run(job, tmp_path / name, engine=engine).failed == {}
    local, ray = (rosse.open_catalogue(tmp_path / name).to_astropy() for name in engines)
    assert len(local) >= 12
    assert (local["status"] == "ok").sum() >= 10
    assert ray.colnames == local.colnames
    for name in local.colnames:
        np.testing.assert_array_equal(ray[name], local[name], err_msg=name)


def galsim_field() -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Fourteen galaxies in 512 x 512 pixels, two of them on the seams of four partitions, and their PSF."""
    galsim = pytest.importorskip("galsim")
    rng = np.random.default_rng(3)
    psf = galsim.Moffat(beta=3.5, fwhm=1.0)
    image = galsim.ImageF(512, 512, scale=0.3)
    places = [(80 + 116 * i, 90 + 110 * j) for i in range(4) for j in range(3)] + [(256, 256), (400, 257)]
    for x, y in places:
        galaxy = galsim.Sersic(n=rng.uniform(0.8, 3), half_light_radius=rng.uniform(0.8, 1.6), flux=6000)
        galaxy = galsim.Convolve(galaxy.shear(q=rng.uniform(0.5, 0.9), beta=rng.uniform(0, 3) * galsim.radians), psf)
        galaxy.drawImage(image, center=galsim.PositionD(x, y), add_to_image=True)
    noise = rng.normal(100, 1, (512, 512))
    return (image.array + noise).astype(np.float32), psf.drawImage(nx=25, ny=25, scale=0.3).array.astype(np.float64)


def test_tile_that_always_kills_is_named_and_the_rest_goes_on(address: str, tmp_path: Path) -> None:
    report = run(
        toy_job(Faulty(raising=(1,), deadly=(2,)), tiles=5), tmp_path / "out", engine=RayEngine(address=address)
    )
    assert set(report.failed) == {"tile-001", "tile-002"}
    assert "WorkerCrashedError" in report.failed["tile-002"]
    assert report.rows == 15


@pytest.mark.usefixtures("address")
def test_cluster_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"Ray cluster at 127.0.0.1:9 cannot be used"):
        run(toy_job(), tmp_path / "out", engine=RayEngine(address="127.0.0.1:9"))


def test_workers_are_checked() -> None:
    with pytest.raises(OptionError, match="workers is 0"):
        RayEngine(workers=0)
