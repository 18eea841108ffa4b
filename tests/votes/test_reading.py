"""Vote tables are read under every name they are published with, to the vote, and missing votes stay missing."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from rosse.errors import FileError, InputError, OptionError
from rosse.sky.opinions import Opinions
from rosse.sky.volunteers import volunteers
from rosse.tree import Tree, read_tree
from rosse.votes.reading import read_votes
from rosse.votes.shares import votes_of_shares
from rosse.votes.table import VoteTable

GZ2_FILE = Path("gz2-votes") / "gz2_stripe82_normal_votes_table5.csv.gz"


@pytest.fixture(scope="module")
def stripe82(real_data: Path) -> tuple[pd.DataFrame, VoteTable]:
    """Galaxy Zoo 2 in Stripe 82: the published table as pandas reads it, and as rosse does."""
    frame = pd.read_csv(real_data / GZ2_FILE, dtype={"objid": str})
    return frame, read_votes(real_data / GZ2_FILE, "gz2")


def test_real_votes_are_read_to_the_vote(stripe82: tuple[pd.DataFrame, VoteTable]) -> None:
    frame, votes = stripe82
    assert len(votes) == len(frame) == 19_761
    assert votes.id.tolist() == frame["objid"].tolist(), "18 digits are kept"
    assert not np.isnan(votes.counts).any()
    published = [c for c in frame.columns if c.endswith("_count")]
    assert votes.counts.sum() == frame[published].to_numpy().sum() == frame["total_votes"].sum()
    spiral = votes.counts[:, votes.tree.columns.index("has-spiral-arms_yes")]
    np.testing.assert_array_equal(spiral, frame["t04_spiral_a08_spiral_count"])
    dust = votes.counts[:, votes.tree.columns.index("odd-feature_dust-lane")]
    np.testing.assert_array_equal(dust, frame["t08_odd_feature_a38_dust_lane_count"])
    fractions = np.nan_to_num(votes.fractions[:, votes.tree.columns.index("bulge-size_obvious")])
    same = np.abs(fractions - frame["t05_bulge_prominence_a12_obvious_fraction"]) < 6e-4
    assert same.mean() > 0.95, "the others' published fractions are of weighted votes, whose counts are rounded"


def test_real_people_walk_through_the_tree(stripe82: tuple[pd.DataFrame, VoteTable]) -> None:
    """Who answered a question gave the answers that lead to it: bars are asked of discs that are not edge-on."""
    votes = stripe82[1]
    for i, parents in enumerate(votes.tree.parents):
        if parents:
            sent = votes.counts[:, list(parents)].sum(1)
            assert (sent == votes.people[:, i]).mean() > 0.95, votes.tree.questions[i].name
    doubt = votes.counts[:, votes.tree.columns.index("disk-edge-on_yes")] > 0
    bar, featured = votes.people[doubt, 2], votes.counts[doubt, 1]
    assert (bar == featured).mean() < 0.02, "copies of the tree that send all discs to these questions are wrong"


def zoobot_style(votes: VoteTable, suffix: str, *, fractions: bool) -> pd.DataFrame:
    """The table under the names of Galaxy Zoo Evo, with counts or with shares of three decimals and totals."""
    columns: dict[str, object] = {"id_str": votes.id}
    for i, (question, here) in enumerate(zip(votes.tree.questions, votes.tree.slices, strict=True)):
        total = votes.people[:, i]
        columns[f"{question.name}{suffix}_total-votes"] = total.astype(int)
        for k, answer in zip(range(here.start, here.stop), question.answers, strict=True):
            name = f"{question.name}{suffix}_{answer.name}"
            share = np.where(total > 0, votes.counts[:, k] / np.maximum(total, 1), np.nan)
            columns[f"{name}_fraction"] = share.round(3)
            if not fractions:
                columns[name] = votes.counts[:, k].astype(int)
    return pd.DataFrame(columns)


@pytest.mark.parametrize("fractions", [False, True])
@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet", ".fits", ".ecsv", "pandas", "astropy"])
def test_every_style_and_file_gives_the_same_votes(
    stripe82: tuple[pd.DataFrame, VoteTable], tmp_path: Path, ending: str, fractions: bool
) -> None:
    votes = stripe82[1][:500]
    frame = zoobot_style(votes, "-gz2", fractions=fractions)
    path = tmp_path / f"votes{ending}"
    source: Path | pd.DataFrame | Table = path
    if ending == ".parquet":
        frame.to_parquet(path)
    elif ending.startswith(".csv"):
        frame.to_csv(path, index=False)
    elif ending in (".fits", ".ecsv"):
        Table.from_pandas(frame).write(path)
    else:
        source = frame if ending == "pandas" else Table.from_pandas(frame)
    found = read_votes(source, "gz2")
    assert found.id.tolist() == votes.id.tolist()
    np.testing.assert_array_equal(found.counts, votes.counts)
    np.testing.assert_array_equal(found.people, votes.people)


def test_what_rosse_writes_it_reads(stripe82: tuple[pd.DataFrame, VoteTable], tmp_path: Path) -> None:
    votes = stripe82[1][:50]
    votes.table().write(tmp_path / "votes.ecsv")
    np.testing.assert_array_equal(read_votes(tmp_path / "votes.ecsv", "gz2").counts, votes.counts)
    table = votes.table()
    assert all(table[name].description for name in table.colnames)


# Columns as the descriptions of the public tables have them; a name here is a fact, not our own spelling.
HUBBLE = {
    "t01_smooth_or_features": ("a01_smooth", "a02_features_or_disk", "a03_star_or_artifact"),
    "t12_clumpy": ("a01_yes", "a02_no"),
    "t15_clumps_arrangement": ("a01_line", "a02_chain", "a03_cluster", "a04_spiral"),
    "t16_clumps_count": ("a01_1", "a02_2", "a03_3", "a04_4", "a05_more_than_4", "a06_cant_tell"),
    "t05_bulge_prominence": ("a01_no_bulge", "a02_just_noticeable", "a03_obvious", "a04_dominant"),
    "t06_odd": ("a01_yes", "a02_no"),
}
CANDELS = {
    "t00_smooth_or_featured": ("a0_smooth", "a1_features", "a2_artifact"),
    "t01_how_rounded": ("a0_completely", "a1_inbetween", "a2_cigarshaped"),
    "t03_how_many_clumps": ("a0_1", "a1_2", "a2_3", "a3_4", "a4_5_plus", "a5_cant_tell"),
    "t04_clump_configuration": ("a0_straight_line", "a1_chain", "a2_cluster_or_irregular", "a3_spiral"),
    "t08_clumps_embedded_larger_object": ("a0_yes", "a1_no"),
    "t14_spiral_arm_count": ("a0_1", "a1_2", "a2_3", "a3_4", "a4_5_plus", "a5_cant_tell"),
    "t16_merging_tidal_debris": ("a0_merging", "a1_tidal_debris", "a2_both", "a3_neither"),
}
STYLES = {
    "gz-hubble": (HUBBLE, "_fraction", "_total_count", "survey_id", {"t12_clumpy": "clumpy-appearance"}),
    "gz-candels": (CANDELS, "_frac", "_count", "ID", {"t16_merging_tidal_debris": "merging"}),
}


@pytest.mark.parametrize("name", STYLES)
def test_public_tables_of_hubble_and_candels(name: str, tmp_path: Path) -> None:
    tasks, share, total, key, names = STYLES[name]
    rng = np.random.default_rng(1)
    columns: dict[str, object] = {key: [f"COS_{i}" for i in range(40)]}
    truth = {}
    for task, answers in tasks.items():
        people = rng.integers(0, 70, 40)
        truth[task] = rng.multinomial(people, rng.dirichlet(np.ones(len(answers))))
        columns[task + total] = people.astype(float)
        columns[task + ("_total_weight" if "total" in total else "_weight")] = people * 0.97
        for k, answer in enumerate(answers):
            columns[f"{task}_{answer}{share}"] = np.where(people > 0, truth[task][:, k] / np.maximum(people, 1), 0)
            columns[f"{task}_{answer}_weighted{share}"] = rng.uniform(size=40)
    pd.DataFrame(columns).to_csv(tmp_path / "t.csv", index=False)
    votes = read_votes(tmp_path / "t.csv", name)
    for task, question in names.items():
        np.testing.assert_array_equal(votes.counts[:, votes.tree[question]], truth[task])
    asked = ~np.isnan(votes.people).all(0)
    assert asked.sum() == len(tasks), "questions that are not in the table are missing"
    assert votes.people[:, asked].sum() == sum(k.sum() for k in truth.values())


def simple(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"id": ["a", "b", "c"], **columns})


RINGS = {"ring_yes": [3, 0, None], "ring_no": [1, 0, None]}


def test_missing_votes_are_not_no_votes() -> None:
    votes = read_votes(simple(**RINGS), "gz-rings")
    np.testing.assert_array_equal(votes.counts, [[3, 1], [0, 0], [np.nan, np.nan]])
    np.testing.assert_array_equal(votes.people, [[4], [0], [np.nan]])
    np.testing.assert_array_equal(votes.fractions, [[0.75, 0.25], [np.nan, np.nan], [np.nan, np.nan]])
    assert repr(votes) == "VoteTable of gz-rings: 3 galaxies, votes on 1 of 1 questions"


def test_names_of_galaxies_stay_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "votes.csv"
    path.write_text("objid,ring_yes,ring_no\n007,3,1\n8647474690312307154,0,0\n1e5,2,2\n")
    assert read_votes(path, "gz-rings").id.tolist() == ["007", "8647474690312307154", "1e5"]


def test_campaigns_of_one_table_are_told_apart() -> None:
    frame = pd.DataFrame({"id_str": ["a"]})
    for campaign, votes in (("-dr5", 3), ("-dr8", 7)):
        frame[f"has-spiral-arms{campaign}_yes"], frame[f"has-spiral-arms{campaign}_no"] = votes, 1
    with pytest.raises(OptionError, match=r"several campaigns, suffixes '-dr5', '-dr8'; choose one by suffix="):
        read_votes(frame, "gz-desi")
    found = read_votes(frame, "gz-desi", suffix="-dr8")
    np.testing.assert_array_equal(found.counts[0, found.tree["has-spiral-arms"]], [7, 1])
    with pytest.raises(InputError, match="no column holds votes"):
        read_votes(frame, "gz-desi", suffix="")


UKIDSS = {"something-odd_yes": [6, 2, 0], "something-odd_no": [3, 0, 0]} | {
    f"odd-feature_{a}": [5 if a == "ring" else k, 0, 0]
    for k, a in enumerate(("ring", "lens-or-arc", "disturbed", "irregular", "other", "merger", "dust-lane"))
}


def test_several_answers_of_a_person_are_out_of_all_who_were_asked() -> None:
    votes = read_votes(simple(**UKIDSS), "gz-ukidss")
    question = [q.name for q in votes.tree.questions].index("odd-feature")
    np.testing.assert_array_equal(votes.people[:, question], [6, 2, 0])
    np.testing.assert_allclose(votes.fractions[0, votes.tree["odd-feature"]], np.array([5, 1, 2, 3, 4, 5, 6]) / 6)
    given = read_votes(simple(**UKIDSS, **{"odd-feature_total-votes": [9, 9, 9]}), "gz-ukidss")
    np.testing.assert_array_equal(given.people[:, question], [9, 9, 9])
    alone = {name: values for name, values in UKIDSS.items() if name.startswith("odd")}
    with pytest.raises(
        InputError, match="question odd-feature takes several answers, whose votes do not tell how many"
    ):
        read_votes(simple(**alone), "gz-ukidss")


def test_totals_that_are_not_the_sum_are_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        votes = read_votes(simple(**RINGS, **{"ring_total-votes": [5, 0, None]}), "gz-rings")
    assert "question ring: the total is not the sum of its votes, which counts, rows [0]" in caplog.text
    assert votes.people[0, 0] == 4


SHARES = {
    "ring_yes_fraction": [0.333, 0.5, None],
    "ring_no_fraction": [0.667, 0.5, None],
    "ring_total-votes": [3, 2, 0],
}
FAULTS: dict[str, tuple[pd.DataFrame, type[Exception]]] = {
    "no column holds votes on a question of Tree gz-rings: 1 question, 2 answers; looked for ring_yes": (
        simple(bar_yes=[1, 2, 3]), InputError),
    "the table has only some answers of question ring; it lacks ring_no_count": (
        simple(ring_yes=[1, 2, 3]), InputError),
    "no column names the galaxies (id, id_str, iauname": (
        pd.DataFrame({"ring_yes": [1], "ring_no": [1]}), OptionError),
    "1 galaxies are there several times, such as 'a', rows [0, 2]": (
        simple(**RINGS).assign(id=["a", "b", "a"]), InputError),
    "a galaxy has no name, rows [1]": (simple(**RINGS).assign(id=["a", None, "c"]), InputError),
    "column ring_yes holds what is no number": (simple(**RINGS).assign(ring_yes=["3", "many", ""]), InputError),
    "question ring has negative votes; where they mark missing ones, put NaN, rows [2]": (
        simple(ring_yes=[1, 2, -99], ring_no=[1, 2, -99]), InputError),
    "question ring has votes that are no whole numbers; weighted or debiased votes are no counts, rows [0]": (
        simple(ring_yes=[1.4, 2, 3], ring_no=[1, 2, 3]), InputError),
    "question ring has votes for some answers only": (simple(ring_yes=[1, 2, 3], ring_no=[1, 2, None]), InputError),
    "question ring has shares of votes (ring_yes_fraction) but no number of people": (
        simple(**SHARES).drop(columns="ring_total-votes"), InputError),
    "question ring: shares times ring_total-votes are no whole numbers of votes, rows [0]": (
        simple(**SHARES | {"ring_yes_fraction": [0.45, 0.5, None], "ring_no_fraction": [0.55, 0.5, None]}), InputError),
}  # fmt: skip


@pytest.mark.parametrize("message", FAULTS)
def test_each_fault_of_a_table_gives_one_clear_error(message: str, tmp_path: Path) -> None:
    frame, error = FAULTS[message]
    with pytest.raises(error) as caught:
        read_votes(frame, "gz-rings")
    assert message in str(caught.value)
    path = tmp_path / "votes.csv"
    frame.to_csv(path, index=False)
    with pytest.raises(FileError if error is InputError else error) as caught:
        read_votes(path, "gz-rings")
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_shares_become_votes() -> None:
    votes = read_votes(simple(**SHARES), "gz-rings")
    np.testing.assert_array_equal(votes.counts, [[1, 2], [1, 1], [0, 0]])


@given(st.lists(st.integers(0, 30), min_size=2, max_size=7), st.integers(2, 6))
def test_shares_printed_with_decimals_give_the_votes_back(votes: list[int], decimals: int) -> None:
    people = sum(votes)
    shares = np.round(np.array([votes]) / max(people, 1), decimals)
    found, odd = votes_of_shares(shares, np.array([float(people)]), multiple=False)
    assert not odd.any()
    assert found.sum() == people
    if decimals > 2 or people < 50:  # else two decimals do not tell
        assert found[0].tolist() == votes


@pytest.mark.parametrize(
    ("shares", "votes"),
    [([0.33, 0.33, 0.33], [67, 67, 66]), ([0.34, 0.34, 0.33], [67, 67, 66]), ([0.5, 0.25, 0.25], [100, 50, 50])],
)
def test_votes_add_up_where_two_decimals_do_not(shares: list[float], votes: list[int]) -> None:
    found, odd = votes_of_shares(np.array([shares]), np.array([200.0]), multiple=False)
    assert found[0].tolist() == votes
    assert not odd[0]


def test_shares_of_weighted_votes_are_refused_or_rounded() -> None:
    shares = {"ring_yes_fraction": [0.45, 0.5, 1], "ring_no_fraction": [0.55, 0.5, 0], "ring_total-votes": [3, 2, 7]}
    with pytest.raises(InputError, match=r"rows \[0\]; they are of weighted votes: rounded=True takes the nearest"):
        read_votes(simple(**shares), "gz-rings")
    np.testing.assert_array_equal(
        read_votes(simple(**shares), "gz-rings", rounded=True).counts, [[1, 2], [1, 1], [7, 0]]
    )
    with pytest.raises(InputError, match="no whole numbers of votes"):
        read_votes(simple(**shares | {"ring_no_fraction": [0.1, 0.1, 0.1]}), "gz-rings")


def test_votes_of_the_virtual_sky_are_read_as_they_are() -> None:
    tree = read_tree("gz-decals")
    probability = np.concatenate([np.full((5, len(q.answers)), 1 / len(q.answers)) for q in tree.questions], 1)
    cast = volunteers(Opinions(tree=tree, id=np.arange(5), probability=probability), seed=1, voters=30)
    votes = read_votes(cast.table(), tree)
    np.testing.assert_array_equal(votes.counts, cast.counts)
    np.testing.assert_array_equal(votes.people, cast.asked)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.csv cannot be read as CSV: No such file"):
        read_votes(tmp_path / "none.csv", "gz2")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(FileError, match=r"empty\.csv cannot be read as CSV: No columns"):
        read_votes(tmp_path / "empty.csv", "gz2")
    (tmp_path / "bad.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(FileError, match=r"bad\.parquet cannot be read as a table"):
        read_votes(tmp_path / "bad.parquet", "gz2")
    with pytest.raises(OptionError, match="unknown column 'name'"):
        read_votes(simple(**RINGS), "gz-rings", id="name")
    with pytest.raises(OptionError, match="did you mean 'gz-rings'"):
        read_votes(simple(**RINGS), "gz-ring")


# --- what a table of votes does ---------------------------------------------------------------------------------------


def test_slices_masks_and_ids_keep_votes_with_their_galaxies(stripe82: tuple[pd.DataFrame, VoteTable]) -> None:
    votes = stripe82[1]
    many = votes.people[:, 0] > 40
    assert len(votes[many]) == many.sum()
    assert votes[3].id.tolist() == [votes.id[3]]
    names = votes.id[[9, 2, 5]]
    np.testing.assert_array_equal(votes.of_ids(names).counts, votes.counts[[9, 2, 5]])
    with pytest.raises(InputError, match="1 of 2 galaxies have no votes, such as 'nobody'"):
        votes.of_ids([names[0], "nobody"])


def test_real_votes_as_another_tree_counts_them(stripe82: tuple[pd.DataFrame, VoteTable]) -> None:
    frame, votes = stripe82
    other = votes.to(read_tree("gz-decals-dr12"))
    joined = other.counts[:, other.tree.columns.index("bulge-size_obvious")]
    wanted = frame["t05_bulge_prominence_a11_just_noticeable_count"] + frame["t05_bulge_prominence_a12_obvious_count"]
    np.testing.assert_array_equal(joined, wanted)
    assert np.isnan(other.counts[:, other.tree["merging"]]).all()
    np.testing.assert_array_equal(other.people[:, 0], votes.people[:, 0])
    np.testing.assert_array_equal(votes.to(votes.tree).counts, votes.counts)


def test_missing_votes_stay_missing_in_another_tree() -> None:
    frame = simple(**{f"bar_{a}": [1, 0, None] for a in ("strong", "weak", "no")})
    votes = read_votes(frame, "gz-decals").to(read_tree("gz2"))
    np.testing.assert_array_equal(votes.counts[:, votes.tree["bar"]], [[2, 1], [0, 0], [np.nan, np.nan]])
    several = read_votes(simple(**UKIDSS), "gz-ukidss").to(read_tree("gz-hubble"))
    here = [q.name for q in several.tree.questions].index("odd-feature")
    np.testing.assert_array_equal(several.people[:, here], [6, 2, 0])


def test_votes_in_memory_are_checked() -> None:
    tree: Tree = read_tree("gz-rings")
    with pytest.raises(InputError, match=r"counts have shape \(2, 3\); \(galaxies, 2\)"):
        VoteTable.of(tree, ["a", "b"], np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"people have shape \(2, 2\)"):
        VoteTable.of(tree, ["a", "b"], np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(InputError, match=r"id has shape \(2,\)|counts has shape"):
        VoteTable.of(tree, ["a", "b"], np.zeros((3, 2)))
    with pytest.raises(InputError, match="other votes than people"):
        VoteTable(tree=tree, id=np.array(["a"]), counts=np.array([[1.0, 2.0]]), people=np.array([[4.0]]))
