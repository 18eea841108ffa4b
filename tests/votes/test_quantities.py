"""Numbers learnt from labels: means, errors that cover, missing labels, and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import norm

import rosse
from rosse.cli import main
from rosse.errors import FileError, InputError, OptionError
from rosse.io import write_packed
from rosse.nets.encoders import EncoderSpec
from rosse.nets.training import TrainOptions
from rosse.status import Status
from rosse.votes.finetuning import FineTuning
from rosse.votes.labels import read_quantities
from rosse.votes.learning import VoteTraining, train_votes
from rosse.votes.model import VoteModel, load_any, load_model
from rosse.votes.network import NetworkSpec
from rosse.votes.quantities import Quantities, normal_quantiles
from rosse.votes.tasks import QuantityCriterion
from votes.galaxies import galaxies

HOW = FineTuning(probe=TrainOptions(epochs=12, batch=32, rate=4e-3), whole=TrainOptions(epochs=12, batch=32, rate=1e-3),
                 shares=(0.2, 0.1))  # fmt: skip
SCATTER = 0.2


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> VoteModel:
    cutouts, votes, _ = galaxies(800)
    how = VoteTraining(
        network=NetworkSpec(encoder=EncoderSpec(name="tiny"), width=32, dropout=0.1),
        options=TrainOptions(epochs=8, batch=32, rate=6e-3), side=24, draws=4,
    )  # fmt: skip
    return train_votes(votes, cutouts, tmp_path_factory.mktemp("base") / "model", how=how)


def labelled(count: int, seed: int) -> tuple[rosse.Cutouts, Quantities, np.ndarray]:
    """Flatness with a scatter that nothing in the image tells of; size without, known for half of the galaxies."""
    cutouts, _, shares = galaxies(count, seed=seed)
    draw = np.random.default_rng([seed, 7])
    truth = np.stack([2 * shares[:, 1], shares[:, 4] - shares[:, 2]], 1)
    given = truth + np.array([SCATTER, 0.0]) * draw.normal(size=truth.shape)
    given[draw.uniform(size=count) < 0.5, 1] = np.nan
    values = {"flatness": given[:, 0], "growth": given[:, 1]}
    return cutouts, Quantities.of(cutouts.id, values, {"growth": (-1, 1)}), truth


def test_numbers_are_learnt_with_errors_that_cover(base: VoteModel, tmp_path: Path) -> None:
    cutouts, labels, _ = labelled(500, seed=21)
    model = rosse.finetune(base, labels, cutouts, tmp_path / "model", how=HOW)
    others, given, truth = labelled(600, seed=22)
    found = rosse.predict_quantities(others, model)
    off = found.values - truth
    assert np.sqrt(np.square(off).mean(0))[0] < 0.2 * 2 * truth[:, 0].std()
    assert np.sqrt(np.square(off).mean(0))[1] < 0.5 * truth[:, 1].std()
    inside = (given.values >= found.quantile(0.05)) & (given.values <= found.quantile(0.95))
    known = np.isfinite(given.values)
    for k in range(2):
        assert 0.8 < inside[known[:, k], k].mean() < 0.98  # a hundred galaxies to recalibrate with
    assert found.errors[:, 0].min() > 0.7 * SCATTER  # no image tells of it
    spread = np.sqrt(np.square(found.values - given.values)[:, 0].mean())
    assert np.sqrt(np.square(found.errors[:, 0]).mean()) == pytest.approx(spread, rel=0.25)
    assert (np.abs(found.values[:, 1]) <= 1).all()
    again = load_any(tmp_path / "model")
    np.testing.assert_allclose(rosse.predict_quantities(others[:8], again).means, found.means[:8], rtol=1e-5, atol=1e-6)
    table = found.table()
    assert table["weights"][0] == again.hash == model.hash
    assert {"flatness", "sigma_flatness", "flatness_05", "flatness_95", "status"} <= set(table.colnames)
    text = (tmp_path / "model" / "card.md").read_text()
    assert "| flatness |" in text
    assert base.hash in text


def test_the_wrong_verb_and_broken_galaxies_are_said(base: VoteModel, tmp_path: Path) -> None:
    cutouts, labels, _ = labelled(120, seed=21)
    quick = FineTuning(probe=TrainOptions(epochs=1), whole=None)
    rosse.finetune(base, labels, cutouts, tmp_path / "m", how=quick)
    with pytest.raises(FileError, match="predict_quantities uses it"):
        load_model(tmp_path / "m")
    with pytest.raises(InputError, match="predict_votes uses it"):
        rosse.predict_quantities(cutouts, base)
    ivar = cutouts.ivar[:2].clone()
    ivar[1] = 0
    found = rosse.predict_quantities(rosse.Cutouts(**{**vars(cutouts[:2]), "ivar": ivar}), tmp_path / "m")
    assert found.status.tolist() == [Status.OK, Status.NO_DATA]
    assert np.isnan(found.values[1]).all()
    assert np.isnan(found.quantile(0.5)[1]).all()


def test_the_loss_is_a_normal_log_density_and_missing_labels_weigh_nothing() -> None:
    criterion = QuantityCriterion((1.0, 0.0), (2.0, 1.0))
    said = torch.tensor([[0.3, 0.1, 0.5, 2.0], [0.0, -1.0, 1.0, 1.0]], requires_grad=True)
    values = torch.tensor([[2.0, np.nan], [np.nan, np.nan]], dtype=torch.float64)
    loss = criterion(said, values)
    expected = -norm.logpdf(0.5, 0.3, 0.5) * 0.5 / 2  # standardised label; sigma^1; two galaxies
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert said.grad is not None
    assert (said.grad[0, [1, 3]] == 0).all()
    assert (said.grad[1] == 0).all()
    assert (said.grad[0, [0, 2]] != 0).all()


def test_quantiles_of_mixtures_are_roots_of_their_cumulative() -> None:
    draw = np.random.default_rng(3)
    means, sigmas = draw.normal(size=(5, 4, 2)), draw.uniform(0.1, 2, (5, 4, 2))
    found = normal_quantiles(means, sigmas, 0.05)
    for i in range(5):
        for k in range(2):
            root = brentq(lambda x, i=i, k=k: norm.cdf(x, means[i, :, k], sigmas[i, :, k]).mean() - 0.05, -30, 30)
            assert found[i, k] == pytest.approx(root, abs=1e-9)


def test_tables_are_read_with_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("id_str,file_loc,bar,stage\n1,a.png,0.25,3\n2,b.png,,-2\n3,c.png,nan,1\n")
    labels = read_quantities(tmp_path / "labels.csv", ["bar", "stage"][1:])
    assert labels.values[:, 0].tolist() == [3, -2, 1]
    assert labels.id.tolist() == ["1", "2", "3"]
    with pytest.raises(InputError, match="bar has no two different values"):
        read_quantities(tmp_path / "labels.csv", ["bar"])
    with pytest.raises(FileError, match="did you mean 'stage'"):
        read_quantities(tmp_path / "labels.csv", ["stages"])
    (tmp_path / "words.csv").write_text("id,stage\n1,early\n2,late\n")
    with pytest.raises(FileError, match="no number"):
        read_quantities(tmp_path / "words.csv", ["stage"])
    with pytest.raises(InputError, match=r"lies outside its bounds 0 to 1 in rows \[1\]"):
        Quantities.of(["a", "b"], {"q": [0.5, 2.0]}, {"q": (0, 1)})
    with pytest.raises(OptionError, match="bounds came for bar"):
        Quantities.of(["a", "b"], {"q": [0.5, 2.0]}, {"bar": (0, 1)})
    with pytest.raises(InputError, match="twice"):
        Quantities.of(["a", "a"], {"q": [0.5, 2.0]})


def test_the_command_learns_numbers_and_predicts_them(
    base: VoteModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cutouts, labels, truth = labelled(300, seed=21)
    write_packed("packed", cutouts)
    lines = [f"{name},{'' if np.isnan(b) else b},{a}" for name, (a, b) in zip(labels.id, labels.values, strict=True)]
    Path("labels.csv").write_text("\n".join(["id,growth,flatness", *lines]) + "\n")
    base.save("base")
    for words in (
        ["finetune", "labels.csv", "--model", "base", "--images", "packed", "--numbers", "flatness,growth",
         "--epochs", "6", "--out", "numbers"],
        ["predict", "packed", "--model", "numbers", "--workers", "1", "--out", "found"],
    ):  # fmt: skip
        with pytest.raises(SystemExit) as end:
            main(words)
        assert not end.value.code, words
    frame = rosse.open_catalogue("found").to_pandas().set_index("id").loc[cutouts.id]
    assert np.corrcoef(frame["flatness"], truth[:, 0])[0, 1] > 0.9
    assert (frame["sigma_flatness"] > 0).all()
