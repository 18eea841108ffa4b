"""`rosse train` and `rosse predict` on packed stores, pictures and catalogues."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rosse
from rosse.cli import main
from rosse.io import write_packed
from votes.galaxies import galaxies

TREE = """
name = "shapes"
[[question]]
name = "flat"
answers = [{ name = "yes" }, { name = "no" }]
[[question]]
name = "size"
after = ["flat_yes"]
answers = [{ name = "small" }, { name = "middle" }, { name = "large" }]
"""
QUICK = ["--encoder", "tiny", "--side", "24", "--epochs", "2", "--batch", "32", "--draws", "2"]


def command(*words: str) -> int:
    alone = ["--workers", "1"] if words[0] == "predict" else []  # processes take longer to start than to predict
    with pytest.raises(SystemExit) as end:
        main([*words, *alone])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tree, votes, a packed store, pictures and a model."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "shapes.toml").write_text(TREE)
    cutouts, votes, _ = galaxies(300)
    votes.table().write(folder / "votes.csv")
    write_packed(folder / "packed", cutouts)
    (folder / "jpegs").mkdir()
    for name, flux in zip(cutouts.id, cutouts.flux.numpy(), strict=True):
        colours = np.stack([flux[1], flux.mean(0), flux[0]], -1)
        Image.fromarray(np.clip(4 * colours + 20, 0, 255).astype(np.uint8)).save(folder / "jpegs" / f"{name}.png")
    code = command("train", str(folder / "votes.csv"), "--images", str(folder / "packed"), "--tree",
                   str(folder / "shapes.toml"), *QUICK, "--out", str(folder / "model"))  # fmt: skip
    assert code == 0
    return folder


def rows_of(catalogue: Path) -> dict[str, float]:
    frame = rosse.open_catalogue(catalogue).to_pandas()
    return dict(zip(frame["id"], frame["flat_yes_fraction"], strict=True))


def test_predictions_belong_to_their_galaxies(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("predict", str(place / "packed"), "--model", str(place / "model"), "--out", str(tmp_path / "v")) == 0
    cutouts, _, _ = galaxies(300)
    direct = rosse.predict_votes(cutouts, place / "model")
    found = rows_of(tmp_path / "v")
    assert len(found) == 300
    for name, value in zip(direct.id, direct.fractions[:, 0], strict=True):
        assert found[str(name)] == pytest.approx(value, rel=1e-4)
    catalogue = rosse.open_catalogue(tmp_path / "v")
    assert catalogue.provenance["options"]["weights"] == direct.model
    assert all(column.description for column in catalogue.columns)
    capsys.readouterr()
    assert command("export", str(tmp_path / "v"), str(tmp_path / "v.csv")) == 0
    assert direct.model in (tmp_path / "v.csv").read_text().splitlines()[1]
    assert command("predict", str(place / "packed"), "--model", str(place / "model"), "--out", str(tmp_path / "v")) == 0
    assert "nothing was left to do" in capsys.readouterr().out


def test_the_table_is_printed_without_out(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("predict", str(place / "packed"), "--model", str(place / "model")) == 0
    text = capsys.readouterr().out
    assert "flat_yes" in text
    assert text.count(" ok") == 300


def test_a_catalogue_has_all_its_galaxies_even_without_images(place: Path, tmp_path: Path) -> None:
    from astropy.table import Table

    from rosse.store import write_catalogue
    from rosse.tables import to_arrow

    ids = ["g00007", "lost", "g00291", "g00003"]
    write_catalogue(tmp_path / "known", [to_arrow(Table({"id": ids, "ra": [1.0, 2, 3, 4], "dec": [0.0, 0, 0, 0]}))])
    code = command("predict", str(tmp_path / "known"), "--images", str(place / "packed"), "--model",
                   str(place / "model"), "--out", str(tmp_path / "v"))  # fmt: skip
    assert code == 0
    frame = rosse.open_catalogue(tmp_path / "v").to_pandas().set_index("id")
    assert sorted(frame.index) == sorted(ids)
    assert frame["status"].to_dict() == {"g00007": "ok", "g00291": "ok", "g00003": "ok", "lost": "unreadable"}
    cutouts, _, _ = galaxies(300)
    truth = rosse.predict_votes(cutouts[[7, 291, 3]], place / "model").fractions[:, 0]
    assert frame.loc[["g00007", "g00291", "g00003"], "flat_yes_fraction"].tolist() == pytest.approx(truth, rel=1e-4)
    assert np.isnan(frame.loc["lost", "flat_yes_fraction"])


def test_pictures_are_learnt_from_and_a_broken_one_is_a_row(place: Path, tmp_path: Path) -> None:
    words = ("train", str(place / "votes.csv"), "--images", str(place / "jpegs"), "--tree", str(place / "shapes.toml"))
    assert command(*words, *QUICK, "--weights", "balanced", "--out", str(tmp_path / "m")) == 0
    folder = tmp_path / "some"
    folder.mkdir()
    for number in (3, 4, 5):
        data = (place / "jpegs" / f"g{number:05d}.png").read_bytes()
        (folder / f"g{number:05d}.png").write_bytes(data if number != 4 else data[:60])
    assert command("predict", str(folder), "--model", str(tmp_path / "m"), "--out", str(tmp_path / "v")) == 0
    frame = rosse.open_catalogue(tmp_path / "v").to_pandas().set_index("id")
    assert frame["status"].to_dict() == {"g00003": "ok", "g00004": "unreadable", "g00005": "ok"}
    alone = rosse.predict_votes(str(place / "jpegs" / "g00005.png"), tmp_path / "m")
    assert frame.loc["g00005", "flat_yes_fraction"] == pytest.approx(alone.fractions[0, 0], rel=1e-4)


def test_redshifts_are_told_to_the_network(place: Path, tmp_path: Path) -> None:
    table = "id,z\n" + "\n".join(f"g{i:05d},{0.01 + i / 1000}" for i in range(300)) + "\n"
    (tmp_path / "z.csv").write_text(table)
    words = ("predict", str(place / "packed"), "--model", str(place / "model"))
    assert command(*words, "--redshift", str(tmp_path / "z.csv"), "--out", str(tmp_path / "v")) == 0
    cutouts, _, _ = galaxies(300)
    z = 0.01 + np.arange(300) / 1000
    truth = rosse.predict_votes(cutouts, place / "model", redshift=z).fractions[:, 0]
    found = rows_of(tmp_path / "v")
    assert [found[name] for name in cutouts.id] == pytest.approx(truth.tolist(), rel=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train"], "no table of votes came"),
        (["train", "votes.csv"], "--out is missing"),
        (["train", "votes.csv", "--tree", "gz3", "--out", "x"], "unknown tree 'gz3'"),
        (["train", "nowhere.csv", "--out", "x"], "nowhere.csv"),
        (["train", "votes.csv", "--tree", "shapes.toml", "--images", "packed", "--encoder", "smal", "--out", "x"],
         "did you mean 'small'"),
        (["train", "votes.csv", "--tree", "shapes.toml", "--images", "packed", "--weights", "flt=2", "--out", "x"],
         "did you mean 'flat'"),
        (["predict"], "--model is missing"),
        (["predict", "packed", "--model", "packed"], "is no model of votes"),
        (["predict", "--model", "model"], "no image came"),
        (["predict", "jpegs", "--model", "model"], "trained on bands g, r; the cutouts have bands R, G, B"),
        (["predict", "packed", "--model", "model", "--out", "votes.fits"], "the directory of a catalogue is wanted"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_clear_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.chdir(place)
    assert command(*words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert said in lines[-1]
    assert not (place / "x").exists() or not (place / "x" / "model.json").exists()


@pytest.mark.slow
def test_ctrl_c_in_a_shell_saves_and_the_same_command_goes_on(place: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "rosse", "train", str(place / "votes.csv"), "--images", str(place / "packed"),
             "--tree", str(place / "shapes.toml"), *QUICK[:-4], "--epochs", "40", "--batch", "16", "--out"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*words, str(tmp_path / "m")], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        checkpoint = tmp_path / "m" / "training" / "member-0" / "checkpoint.safetensors"
        for _ in range(600):
            if checkpoint.exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "the same command goes on from there" in said
    for folder in ("m", "whole"):
        subprocess.run([*words, str(tmp_path / folder)], env=environment, check=True, capture_output=True)
    assert (tmp_path / "m" / "member-0.safetensors").read_bytes() == (
        tmp_path / "whole" / "member-0.safetensors"
    ).read_bytes()
