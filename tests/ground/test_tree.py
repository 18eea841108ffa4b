"""Decision trees: faults are found on load, columns are contiguous, and P(asked) is that of every path written out."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

import rosse
from rosse.errors import FileError, InputError, OptionError
from rosse.tree import Answer, Question, Tree, read_tree


def ask(name: str, *answers: str, after: tuple[str, ...] = (), multiple: bool = False) -> Question:
    return Question(name=name, answers=tuple(Answer(name=a) for a in answers), after=after, multiple=multiple)


DEEP = Tree(
    name="deep",
    questions=(
        ask("late", "x", "y", after=("left_a", "right_b", "root_none")),  # stands before those that lead to it
        ask("root", "left", "right", "none"),
        ask("left", "a", "b", after=("root_left",)),
        ask("right", "a", "b", "c", after=("root_right",)),
        ask("last", "x", "y", after=("late_x", "right_c")),
        ask("everyone", "x", "y"),
    ),
)


def test_asked_probability_is_that_of_all_people() -> None:
    """Everyone answers every question at random; who is really asked follows from the answers."""
    rng = np.random.default_rng(3)
    fractions = np.concatenate([rng.dirichlet(np.ones(len(q.answers)), 5) for q in DEEP.questions], 1)
    wanted = np.zeros((5, len(DEEP.questions)))
    for given in itertools.product(*(range(s.start, s.stop) for s in DEEP.slices)):
        weight = fractions[:, given].prod(1)
        asked = [False] * len(given)
        for _ in given:  # as many rounds as there are questions reach the deepest
            asked = [
                not parents or any(asked[DEEP.question_of[c]] and given[DEEP.question_of[c]] == c for c in parents)
                for parents in DEEP.parents
            ]
        wanted += weight[:, None] * np.array(asked)
    np.testing.assert_allclose(DEEP.asked_probability(fractions), wanted, rtol=1e-12)


def test_asked_probability_of_the_tree_on_paper() -> None:
    tree = read_tree("gz-decals")
    fractions = np.random.default_rng(1).uniform(size=(4, 7, len(tree.columns)))
    asked = tree.asked_probability(fractions)
    at = {question.name: asked[..., i] for i, question in enumerate(tree.questions)}
    f = {column: fractions[..., i] for i, column in enumerate(tree.columns)}
    featured, face_on = f["smooth-or-featured_featured-or-disk"], f["disk-edge-on_no"]
    np.testing.assert_allclose(at["spiral-arm-count"], featured * face_on * f["has-spiral-arms_yes"])
    np.testing.assert_allclose(at["edge-on-bulge"], featured * f["disk-edge-on_yes"])
    np.testing.assert_allclose(at["merging"], featured + f["smooth-or-featured_smooth"])
    np.testing.assert_allclose(at["smooth-or-featured"], 1)


def test_tensors_keep_their_gradient() -> None:
    fractions = torch.rand(3, len(DEEP.columns), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(DEEP.asked_probability, (fractions,))


def test_what_is_no_fractions_is_refused() -> None:
    with pytest.raises(InputError, match="the 14 answers"):
        DEEP.asked_probability(np.ones((2, 3)))
    with pytest.raises(InputError, match="NaN"):
        DEEP.asked_probability(np.full((2, 14), np.nan))


FAULTS = {
    "there are no questions": (),
    "question 'a' is there 2 times": (ask("a", "x", "y"), ask("a", "x", "y")),
    "question a: 1 answer; two or more are wanted": (ask("a", "x"),),
    "question a: answer 'x' is there 2 times": (ask("a", "x", "x"),),
    "column 'a_b_c' is there 2 times": (ask("a", "b_c", "x"), ask("a_b", "c", "x")),
    "unknown answer 'a_z'": (ask("a", "x", "y"), ask("b", "x", "y", after=("a_z",))),
    "question b: parent 'a_x' is there 2 times": (ask("a", "x", "y"), ask("b", "x", "y", after=("a_x", "a_x"))),
    "in a circle, among b, c": (
        ask("a", "x", "y"), ask("b", "x", "y", after=("c_x",)), ask("c", "x", "y", after=("b_x",)),
    ),
    "in a circle, among a": (ask("a", "x", "y", after=("a_x",)),),
    "could answer both a_x and b_x": (
        ask("a", "x", "y"), ask("b", "x", "y"), ask("c", "x", "y", after=("a_x", "b_x")),
    ),
    "could answer both a_x and a_y": (ask("a", "x", "y", multiple=True), ask("c", "x", "y", after=("a_x", "a_y"))),
    "could answer both a_x and b_x; ": (  # whoever gave b_x gave a_x before
        ask("a", "x", "y"), ask("b", "x", "y", after=("a_x",)), ask("c", "x", "y", after=("a_x", "b_x")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", FAULTS)
def test_each_fault_of_a_tree_gives_one_clear_error(message: str) -> None:
    with pytest.raises(InputError) as caught:
        Tree(name="bad", questions=FAULTS[message])
    assert message in str(caught.value)
    assert str(caught.value).startswith("tree bad")


GOOD = 'name = "t"\n[[question]]\nname = "a"\nanswers = [{ name = "x" }, { name = "y" }]\n'
BAD_FILES = {
    "is not TOML": "name = ",
    "the tree has no name": GOOD.replace('name = "t"', ""),
    "the tree: unknown entry 'titel'; did you mean 'title'?": 'titel = "T"\n' + GOOD,
    "question a: unknown entry 'afters'; did you mean 'after'?": GOOD + "afters = []\n",
    "question a: after is 'b_x'; a list is wanted": GOOD + 'after = "b_x"\n',
    "question a: after is [1]; a list of columns question_answer is wanted": GOOD + "after = [1]\n",
    "question a: multiple is 1; true or false is wanted": GOOD + "multiple = 1\n",
    "question number 1 has no name": GOOD.replace('name = "a"', ""),
    "question a has no answers": GOOD.replace("answers", "# answers"),
    "question a: an answer is 'x'; a table with name, text, same, also is wanted": GOOD.replace(
        '{ name = "x" }', '"x"'
    ),
    "question a: an answer has no name": GOOD.replace('{ name = "x" }', '{ text = "x" }'),
    "question a, answer x: same is {'gz2': 3}; tree = column is wanted": GOOD.replace(
        '{ name = "x" }', '{ name = "x", same = { gz2 = 3 } }'
    ),
    "question a: same.gz2 is {'x': 3}; { answer = column of that tree } is wanted": GOOD + "same.gz2 = { x = 3 }\n",
    "question a: same names an unknown answer 'z'; known: x, y": GOOD + 'same.gz2 = { z = "bar_yes" }\n',
    "question a: also is [1]; a list of texts is wanted": GOOD + "also = [1]\n",
    "the tree: suffixes is [1]; a list of texts is wanted": "suffixes = [1]\n" + GOOD,
    "tree t, question a: 1 answer; two or more are wanted": GOOD.replace(', { name = "y" }', ""),
}


@pytest.mark.parametrize("message", BAD_FILES)
def test_each_fault_of_a_file_gives_one_clear_error(message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(BAD_FILES[message])
    with pytest.raises(FileError) as caught:
        read_tree(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.toml cannot be read: No such file"):
        read_tree(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(GOOD.encode() + b"# \xe9\n")
    with pytest.raises(FileError, match=r"latin\.toml is not TOML"):
        read_tree(tmp_path / "latin.toml")
    with pytest.raises(OptionError, match="did you mean 'gz-decals'"):
        read_tree("gz-decal")
    with pytest.raises(OptionError, match="did you mean 'spiral-winding'"):
        read_tree("gz-decals")["spiral-windings"]


def test_what_a_file_says_of_other_tables_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    rest = 'also = ["t01_a", "What is it?"]\nsame.gz2 = { x = "bar_yes", y = "bar_no" }\n'
    path.write_text('suffixes = ["-t"]\n' + GOOD.replace('{ name = "x" }', '{ name = "x", also = ["a0_x"] }') + rest)
    tree = read_tree(path)
    question = tree.questions[0]
    assert tree.suffixes == ("-t",)
    assert question.also == ("t01_a", "What is it?")
    assert [answer.also for answer in question.answers] == [("a0_x",), ()]
    assert [dict(answer.same) for answer in question.answers] == [{"gz2": "bar_yes"}, {"gz2": "bar_no"}]
    path.write_text(GOOD)
    assert read_tree(path).hash == tree.hash, "other names do not change what the columns mean"


def test_a_tree_with_some_of_its_questions() -> None:
    part = DEEP.only(["root", "left"])
    assert part.columns == ("root_left", "root_right", "root_none", "left_a", "left_b")
    assert part.hash != DEEP.hash
    with pytest.raises(OptionError, match="question last comes after late, right"):
        DEEP.only(["root", "last"])
    with pytest.raises(OptionError, match="did you mean 'root'"):
        DEEP.only(["rot"])


def test_the_hash_is_of_the_meaning_not_of_the_formatting(tmp_path: Path) -> None:
    def read(text: str) -> Tree:
        (tmp_path / "t.toml").write_text(text)
        return read_tree(tmp_path / "t.toml")

    first = read(GOOD)
    again = read("# a remark\n" + GOOD.replace("[{", "[\n    {").replace('"x" }', '"x", text = "An x" }'))
    assert again.hash == first.hash
    changed = {
        read(GOOD.replace('"x"', '"z"')).hash,
        read(GOOD.replace('name = "a"', 'name = "b"')).hash,
        read(GOOD.replace('[{ name = "x" }, { name = "y" }]', '[{ name = "y" }, { name = "x" }]')).hash,
        read(GOOD + "multiple = true\n").hash,
        read(GOOD + '[[question]]\nname = "c"\nanswers = [{ name = "x" }, { name = "y" }]\n').hash,
        read(GOOD + '[[question]]\nname = "c"\nafter = ["a_x"]\nanswers = [{ name = "x" }, { name = "y" }]\n').hash,
    }
    assert len(changed | {first.hash}) == 7


def test_the_noun_is_public() -> None:
    assert rosse.Tree is Tree
