"""A model of one tree learns another from few labels, and stays as unsure as it should be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import rosse
from rosse.cli import main
from rosse.errors import InputError, OptionError
from rosse.nets.dropout import has_dropout
from rosse.nets.encoders import EncoderSpec
from rosse.nets.training import TrainOptions
from rosse.tree import Answer, Question, Tree
from rosse.votes.finetuning import FineTuning, finetune, layer_groups
from rosse.votes.labels import class_votes, read_classes
from rosse.votes.learning import VoteTraining, train_votes
from rosse.votes.model import VoteModel
from rosse.votes.network import NetworkSpec
from rosse.votes.predicting import predict_votes
from rosse.votes.table import VoteTable
from votes.galaxies import galaxies

ROUND = Tree(name="round", questions=(Question(name="round", answers=(Answer(name="yes"), Answer(name="no"))),))
SHORT = TrainOptions(epochs=15, batch=32, rate=4e-3)
HOW = FineTuning(probe=SHORT, whole=replace(SHORT, rate=1e-3))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> VoteModel:
    cutouts, votes, _ = galaxies(1200)
    how = VoteTraining(
        network=NetworkSpec(encoder=EncoderSpec(name="tiny"), width=32, dropout=0.1),
        options=TrainOptions(epochs=12, batch=32, rate=6e-3), side=24, draws=4, members=1,
    )  # fmt: skip
    return train_votes(votes, cutouts, tmp_path_factory.mktemp("base") / "model", how=how)


def round_votes(count: int, seed: int) -> tuple[rosse.Cutouts, VoteTable, np.ndarray]:
    """The other way to ask for flatness, with the votes of ten people."""
    cutouts, _, shares = galaxies(count, seed=seed)
    draw = np.random.default_rng([seed, 1])  # not the numbers that drew the galaxies
    yes = draw.binomial(10, shares[:, 1])
    return cutouts, VoteTable.of(ROUND, cutouts.id, np.stack([yes, 10 - yes], 1)), shares[:, 1]


def test_few_labels_are_enough_and_posteriors_stay_mixtures(base: VoteModel, tmp_path: Path) -> None:
    cutouts, votes, _ = round_votes(250, seed=11)
    model = finetune(base, votes, cutouts, tmp_path / "round", how=HOW)
    others, _, truth = round_votes(600, seed=12)
    found = predict_votes(others, model)
    error = np.abs(found.fractions[:, 0] - truth).mean()
    assert error < 0.04
    assert found.concentrations.shape[1] == base.components == 4
    assert has_dropout(model.members[0])
    assert (found.concentrations[..., 0].std(1) > 0).all()  # draws of dropout still differ
    inside = (truth >= found.quantile(0.05)[:, 0]) & (truth <= found.quantile(0.95)[:, 0])
    assert inside.mean() > 0.8  # ten people, and forty galaxies to recalibrate with, cannot say it sharper
    assert model.card["started_from"] == base.hash
    scratch = train_votes(
        votes, cutouts, tmp_path / "scratch",
        how=VoteTraining(network=base.members[0].spec, options=replace(SHORT, epochs=30), side=24, draws=4),
    )  # fmt: skip
    alone = predict_votes(others, scratch)
    assert np.abs(alone.fractions[:, 0] - truth).mean() > 1.3 * error


def test_a_probe_leaves_the_encoder_as_it_is(base: VoteModel, tmp_path: Path) -> None:
    cutouts, votes, _ = round_votes(150, seed=11)
    quick = replace(SHORT, epochs=1)
    before = {name: value.clone() for name, value in base.members[0].encoder.state_dict().items()}
    probed = finetune(base, votes, cutouts, tmp_path / "probe", how=FineTuning(probe=quick, whole=None))
    after = probed.members[0].encoder.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    whole = finetune(base, votes, cutouts, tmp_path / "whole", how=FineTuning(probe=quick, whole=quick, norms=False))
    moved = whole.members[0].encoder.state_dict()
    assert not all(torch.equal(moved[name], value) for name, value in before.items())
    statistics = [name for name in before if "running" in name]
    assert statistics
    assert all(torch.equal(moved[name], before[name]) for name in statistics)
    original = base.members[0].encoder.state_dict()
    assert all(torch.equal(original[name], value) for name, value in before.items())  # the model itself is not touched


def test_first_layers_learn_the_slowest(base: VoteModel) -> None:
    groups = layer_groups(base.members[0], 0.5)
    factors = [factor for _, factor in groups]
    assert factors == [0.5**depth for depth in range(7)]
    everything = [id(parameter) for parameters, _ in groups for parameter in parameters]
    assert len(everything) == len(set(everything))
    assert set(everything) == {id(parameter) for parameter in base.members[0].parameters()}
    first = next(base.members[0].encoder.parameters())
    assert any(first is parameter for parameter in groups[-1][0])


def test_other_bands_keep_the_weights_but_not_the_preparation(base: VoteModel, tmp_path: Path) -> None:
    cutouts, votes, _ = round_votes(150, seed=11)
    other = replace(cutouts, bands=("i", "z"), flux=100 * cutouts.flux, ivar=cutouts.ivar / 1e4)
    quick = FineTuning(probe=replace(SHORT, epochs=1), whole=None)
    model = finetune(base, votes, other, tmp_path / "iz", how=quick)
    assert model.preparation.bands == ("i", "z")
    with pytest.raises(InputError, match="trained on bands g, r; the images have band g"):
        finetune(base, votes, cutouts.band("g"), tmp_path / "g", how=quick)


def test_a_vote_for_a_class_has_the_probability_of_the_class() -> None:
    from rosse.votes.calibration import log_votes

    votes = class_votes(["a", "b", "c"], ["spiral", "", "elliptical"])
    assert votes.tree.columns == ("class_elliptical", "class_spiral")
    concentrations = torch.tensor([[[2.0, 6.0]], [[1.0, 1.0]], [[2.0, 6.0]]], dtype=torch.float64)
    found = log_votes(votes, concentrations)[:, 0]
    np.testing.assert_allclose(found, [np.log(0.75), 0.0, np.log(0.25)], atol=1e-12)
    with pytest.raises(InputError, match="labels name 1 class"):
        class_votes(["a"], ["spiral"])


def test_classes_are_read_by_id_or_by_file(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file_loc,kind\njpg/a.png,ring\njpg/b.png,\njpg/c.png,none\n")
    votes = read_classes(tmp_path / "labels.csv", "kind")
    assert votes.id.tolist() == ["jpg/a.png", "jpg/b.png", "jpg/c.png"]
    assert np.isnan(votes.counts[1]).all()
    with pytest.raises(InputError, match="did you mean 'kind'"):
        read_classes(tmp_path / "labels.csv", "kinds")


def test_the_command_learns_classes_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table with paths, as people have it, from training on pictures to classes."""
    monkeypatch.chdir(tmp_path)
    cutouts, votes, shares = galaxies(200, seed=3)
    Path("jpg").mkdir()
    for name, flux in zip(cutouts.id, cutouts.flux.numpy(), strict=True):
        colours = np.stack([flux[1], flux.mean(0), flux[0]], -1)
        Image.fromarray(np.clip(4 * colours + 20, 0, 255).astype(np.uint8)).save(f"jpg/{name}.png")
    votes.table().write("votes.csv")
    Path("shapes.toml").write_text(
        'name = "shapes"\n[[question]]\nname = "flat"\nanswers = [{ name = "yes" }, { name = "no" }]\n'
    )
    kinds = np.where(shares[:, 0] > 0.5, "flat", "round")
    lines = [f"jpg/{name}.png,{kind}" for name, kind in zip(cutouts.id, kinds, strict=True)]
    Path("kinds.csv").write_text("\n".join(["file_loc,kind", *lines]) + "\n")
    quick = ["--epochs", "6", "--batch", "16"]
    for words in (
        ["train", "votes.csv", "--images", "jpg", "--tree", "shapes.toml", "--encoder", "tiny", "--side", "24",
         "--draws", "2", *quick, "--out", "model"],
        ["finetune", "kinds.csv", "--model", "model", "--classes", "kind", *quick, "--out", "kinds"],
        ["predict", "jpg", "--model", "kinds", "--workers", "1", "--out", "found"],
    ):  # fmt: skip
        with pytest.raises(SystemExit) as end:
            main(words)
        assert not end.value.code, words
    frame = rosse.open_catalogue("found").to_pandas().set_index("id").loc[cutouts.id]
    right = (frame["kind_flat_fraction"].to_numpy() > 0.5) == (kinds == "flat")
    assert right.mean() > 0.8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["finetune"], "votes is missing"),
        (["finetune", "a.csv", "--model", "m"], "--out is missing"),
        (["finetune", "a.csv", "--model", "m", "--out", "o"], "--tree for votes, --classes"),
    ],
)
def test_what_is_missing_is_said(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert said in capsys.readouterr().err
    with pytest.raises(OptionError, match="decay is 0"):
        FineTuning(decay=0)
