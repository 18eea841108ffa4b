"""Classifications exported from Zooniverse are counted person by person."""

from __future__ import annotations

import csv
import gzip
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rosse.errors import FileError, OptionError
from rosse.tree import read_tree
from rosse.votes.reading import read_votes
from rosse.votes.table import VoteTable
from rosse.votes.zooniverse import read_classifications

HEADER = [
    "classification_id", "user_name", "user_id", "user_ip", "workflow_id", "workflow_name", "workflow_version",
    "created_at", "gold_standard", "expert", "metadata", "annotations", "subject_data", "subject_ids",
]  # fmt: skip
ICON = "![icon.png](https://panoptes-uploads.zooniverse.org/production/project_attached_image/f353.png =60x) "
# wordings of the workflow *DECaLS DR5*
FIRST = "Is the galaxy simply smooth and rounded, with no sign of a disk?"
EDGE, BAR = "Could this be a disk viewed edge-on?", "Is there a bar feature through the centre of the galaxy?"
ARMS, COUNT = "Is there any sign of a spiral arm pattern?", "How many spiral arms are there?"
RARE = "Do you see any of these rare features in the image?"


def said(*answers: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"task": f"T{i}", "task_label": label, "value": value} for i, (label, value) in enumerate(answers)]


FEATURED, FACE_ON = (FIRST, ICON + "Features or Disk"), (EDGE, ICON + "No")
SPIRAL = said(FEATURED, FACE_ON, (BAR, "No Bar"), (ARMS, "Yes"), (COUNT, ICON + "Cant tell"), (RARE, []))
SMOOTH = said((FIRST, ICON + "Smooth"), ("How rounded is it?", ICON + "Completely round"))


def write(path: Path, *lines: tuple[str, str, list[dict[str, Any]]], **other: str) -> Path:
    """An export with lines of person, galaxy and annotations."""
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        rows = csv.DictWriter(file, HEADER)
        rows.writeheader()
        for number, (person, galaxy, annotations) in enumerate(lines):
            data = {galaxy: {"retired": None, "iauname": f"J{galaxy}", "#hidden": f"H{galaxy}"}}
            row = dict.fromkeys(HEADER, "") | {
                "classification_id": str(91178981 + number), "user_name": person, "workflow_id": "6122",
                "workflow_name": "DECaLS DR5", "annotations": json.dumps(annotations),
                "subject_data": json.dumps(data), "subject_ids": galaxy,
            }  # fmt: skip
            rows.writerow(row | other)
    return path


def votes_of(votes: VoteTable, galaxy: str) -> dict[str, int]:
    row = votes.counts[votes.id.tolist().index(galaxy)]
    return {column: int(row[k]) for k, column in enumerate(votes.tree.columns) if row[k] > 0}


@pytest.mark.parametrize("name", ["export.csv", "export.csv.gz"])
def test_votes_are_counted_by_galaxy(tmp_path: Path, name: str) -> None:
    path = write(
        tmp_path / name, ("ann", "15715879", SPIRAL), ("bob", "15715879", SMOOTH), ("ann", "77", SMOOTH),
        ("cyd", "15715879", said(FEATURED, (EDGE, ICON + "Yes"), ("How rounded is it?", None))),
    )  # fmt: skip
    votes = read_votes(path, "gz-decals")
    assert votes.id.tolist() == ["15715879", "77"]
    assert votes_of(votes, "15715879") == {
        "smooth-or-featured_smooth": 1, "smooth-or-featured_featured-or-disk": 2, "disk-edge-on_yes": 1,
        "disk-edge-on_no": 1, "has-spiral-arms_yes": 1, "bar_no": 1, "how-rounded_round": 1,
        "spiral-arm-count_cant-tell": 1,
    }  # fmt: skip
    assert votes_of(votes, "77") == {"smooth-or-featured_smooth": 1, "how-rounded_round": 1}
    here = votes.tree["spiral-arm-count"]
    assert votes.counts[1, here].tolist() == [0] * 6, "nobody was asked: no votes"
    assert np.isnan(votes.counts[:, votes.tree["merging"]]).all(), "nobody ever was: missing"


def test_each_person_counts_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "e.csv", ("ann", "1", SMOOTH), ("ann", "1", SPIRAL), ("not-logged-in-a1", "1", SMOOTH))
    with caplog.at_level(logging.INFO):
        votes = read_classifications(path, "gz-decals")
    assert votes_of(votes, "1") == {"smooth-or-featured_smooth": 2, "how-rounded_round": 2}
    assert "1 classifications of galaxies that the same person had classified were left out" in caplog.text
    assert RARE in caplog.text


def test_answers_on_a_way_that_was_left_do_not_count(tmp_path: Path) -> None:
    back = said(FEATURED, FACE_ON, (ARMS, "Yes"), (COUNT, "2"), (FIRST, ICON + "Smooth"))
    path = write(tmp_path / "e.csv", ("ann", "1", back))
    assert votes_of(read_classifications(path, "gz-decals"), "1") == {"smooth-or-featured_smooth": 1}


def test_names_of_galaxies_come_from_the_metadata(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", ("ann", "1", SMOOTH), ("bob", "2", SMOOTH))
    assert read_classifications(path, "gz-decals", id="iauname").id.tolist() == ["J1", "J2"]
    assert read_votes(path, "gz-decals", id="hidden").id.tolist() == ["H1", "H2"]
    with pytest.raises(FileError, match="line 2: subject 1 has no 'name'; its metadata are retired, iauname, #hidden"):
        read_classifications(path, "gz-decals", id="name")


def test_several_answers_of_one_person(tmp_path: Path) -> None:
    odd = ("Is there anything odd?", "Yes")
    path = write(
        tmp_path / "e.csv",
        ("ann", "1", said(FEATURED, odd, ("What are the odd features?", ["Ring", "Dust lane"]))),
        ("bob", "1", said(FEATURED, odd, ("What are the odd features?", []))),
    )
    votes = read_classifications(path, "gz-ukidss")
    assert votes_of(votes, "1")["odd-feature_ring"] == votes_of(votes, "1")["odd-feature_dust-lane"] == 1
    question = [q.name for q in votes.tree.questions].index("odd-feature")
    assert votes.people[0, question] == 2, "who ticked nothing was asked as well"


def test_wordings_of_ones_own(tmp_path: Path) -> None:
    path = write(
        tmp_path / "e.csv", ("ann", "1", said(("Ring or not?", "Yes"))), ("bob", "1", said(("Ring or not?", "No")))
    )
    with pytest.raises(
        FileError, match=r"no task is a question of tree gz-rings; there are 'Ring or not\?'; say which"
    ):
        read_classifications(path, "gz-rings")
    for tasks in ({"T0": "ring"}, {"Ring or not?": "ring"}):
        assert votes_of(read_classifications(path, "gz-rings", tasks=tasks), "1") == {"ring_yes": 1, "ring_no": 1}
    with pytest.raises(OptionError, match="tasks: unknown question 'rings'; did you mean 'ring'"):
        read_classifications(path, "gz-rings", tasks={"T0": "rings"})


def test_tasks_on_one_page(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", ("ann", "1", [{"task": "T9", "task_label": None, "value": SMOOTH}]))
    assert votes_of(read_classifications(path, "gz-decals"), "1")["how-rounded_round"] == 1


def test_workflows_are_not_mixed(tmp_path: Path) -> None:
    one = write(tmp_path / "1.csv", ("ann", "1", SMOOTH))
    two = write(tmp_path / "2.csv", ("ann", "2", SMOOTH), workflow_id="7", workflow_name="Euclid")
    both = tmp_path / "both.csv"
    both.write_text(one.read_text() + "\n".join(two.read_text().splitlines()[1:]) + "\n")
    with pytest.raises(OptionError, match="several workflows, 6122 DECaLS DR5 and 7 Euclid; choose with workflow="):
        read_classifications(both, "gz-decals")
    assert read_classifications(both, "gz-decals", workflow="Euclid").id.tolist() == ["2"]
    assert read_classifications(both, "gz-decals", workflow=6122).id.tolist() == ["1"]
    with pytest.raises(OptionError, match="no classification is of workflow 'HSC'"):
        read_classifications(both, "gz-decals", workflow="HSC")


FAULTS = {
    "line 2: question smooth-or-featured of tree gz-decals: unknown answer 'Fuzzy'; write it into the tree's file": (
        said((FIRST, "Fuzzy"))
    ),
    "line 2: question smooth-or-featured: the answer 1 is no text": said((FIRST, 1)),
    "line 2: question smooth-or-featured takes one answer of a person": said((FIRST, ["Smooth", "Artifact"])),
    "line 2: an annotation is 'T0'; task and value are wanted": ["T0"],
}


@pytest.mark.parametrize("message", FAULTS)
def test_each_fault_of_an_export_gives_one_clear_error(message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", ("ann", "1", FAULTS[message]))  # type: ignore[arg-type]
    with pytest.raises(FileError) as caught:
        read_votes(path, read_tree("gz-decals"))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_files_that_are_no_exports(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.csv cannot be read: No such file"):
        read_classifications(tmp_path / "none.csv", "gz-decals")
    (tmp_path / "a.csv").write_text("id,bar_yes\n")
    with pytest.raises(FileError, match="columns annotations, subject_ids are wanted"):
        read_classifications(tmp_path / "a.csv", "gz-decals")
    with pytest.raises(FileError, match="there are no classifications"):
        read_classifications(write(tmp_path / "e.csv"), "gz-decals")
    path = write(tmp_path / "b.csv", ("ann", "1", SMOOTH), annotations="[{")
    with pytest.raises(FileError, match="line 2: annotations are no JSON"):
        read_classifications(path, "gz-decals")
