"""The likelihood of votes through a tree is the sum of SciPy's for its questions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from rosse.errors import InputError, OptionError
from rosse.nets.heads import VoteHead, vote_outputs
from rosse.tree import Tree, read_tree, trees
from rosse.votes.likelihood import VoteLikelihood, VoteLoss
from rosse.votes.reading import read_votes
from rosse.votes.zoobot import zoobot_head


def people_and_votes(tree: Tree, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Counts (rows, A) and people (rows, Q), nobody asked now and then."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((rows, len(tree.columns)))
    people = rng.integers(0, 50, (rows, len(tree.questions))) * (rng.uniform(size=(rows, len(tree.questions))) > 0.2)
    for i, (question, here) in enumerate(zip(tree.questions, tree.slices, strict=True)):
        shares = rng.dirichlet(np.ones(len(question.answers)), rows)
        if question.multiple:
            counts[:, here] = rng.binomial(people[:, i, None], shares)
        else:
            counts[:, here] = rng.multinomial(people[:, i], shares)
    return counts, people.astype(float)


def scipys(tree: Tree, counts: np.ndarray, people: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Log-probability (B, Q), question by question and galaxy by galaxy."""
    out = np.zeros(people.shape)
    unticked = iter(range(len(tree.columns), alpha.shape[1]))
    for i, (question, here) in enumerate(zip(tree.questions, tree.slices, strict=True)):
        if question.multiple:
            for column in range(here.start, here.stop):
                distribution = stats.betabinom(people[:, i], alpha[:, column], alpha[:, next(unticked)])
                out[:, i] += distribution.logpmf(counts[:, column])
        else:
            for row in range(len(counts)):
                n = int(people[row, i])
                if n:
                    out[row, i] = stats.dirichlet_multinomial(alpha[row, here], n).logpmf(counts[row, here].astype(int))
    return out


@pytest.mark.parametrize("name", trees())
def test_every_tree_has_the_likelihood_of_its_questions(name: str) -> None:
    tree = read_tree(name)
    counts, people = people_and_votes(tree, 20)
    alpha = np.random.default_rng(1).lognormal(1, 1, (20, len(vote_outputs(tree))))
    likelihood = VoteLikelihood(tree)
    found = likelihood(*(torch.from_numpy(x) for x in (counts, alpha, people)))
    np.testing.assert_allclose(found, scipys(tree, counts, people, alpha), rtol=1e-9, atol=1e-9)
    mean = likelihood.fractions(torch.from_numpy(alpha)).numpy()
    not_ticked = dict(zip(vote_outputs(tree)[len(tree.columns) :], alpha[:, len(tree.columns) :].T, strict=True))
    for question, here in zip(tree.questions, tree.slices, strict=True):
        if question.multiple:
            for column in range(here.start, here.stop):
                wanted = stats.beta(alpha[:, column], not_ticked[f"{tree.columns[column]}_not"]).mean()
                np.testing.assert_allclose(mean[:, column], wanted)
        else:
            np.testing.assert_allclose(mean[0, here], stats.dirichlet(alpha[0, here]).mean())


@pytest.mark.parametrize("name", ["gz-decals", "gz-ukidss"])
def test_questions_without_votes_weigh_exactly_nothing(name: str) -> None:
    tree = read_tree(name)
    counts, people = people_and_votes(tree, 30, seed=3)
    for i, here in enumerate(tree.slices):  # a third of the questions' votes are missing
        gone = np.arange(30) % 3 == i % 3
        counts[gone, here] = np.nan
        people[gone, i] = np.nan
    alpha = torch.rand(30, len(vote_outputs(tree)), dtype=torch.float64).add(0.1).requires_grad_()
    found = VoteLikelihood(tree)(torch.from_numpy(counts), alpha, torch.from_numpy(people))
    nothing = np.nan_to_num(people) == 0
    assert (found.detach().numpy()[nothing] == 0).all()
    assert (found.detach().numpy()[~nothing] != 0).all()
    found.sum().backward()
    assert alpha.grad is not None
    outputs = [*tree.question_of, *(i for i in tree.question_of if tree.questions[i].multiple)]
    slopes = alpha.grad.numpy() != 0
    assert not slopes[nothing[:, outputs]].any()
    single = [k for k, i in enumerate(outputs) if not tree.questions[i].multiple]
    assert slopes[:, single][~nothing[:, outputs][:, single]].all()


def test_infinite_concentrations_of_a_missing_question_do_not_spoil_the_others() -> None:
    tree = read_tree("gz-decals")
    counts, _ = people_and_votes(tree, 2)
    here = tree["merging"]
    counts[0, here] = np.nan
    counts[1, here] = 3, 1, np.nan, 0
    alpha = torch.ones(2, 34, dtype=torch.float64)
    alpha[:, here] = torch.tensor([float("inf"), 1e300, 0.0, 1.0], dtype=torch.float64)
    alpha.requires_grad_()
    loss = VoteLoss(tree)(torch.from_numpy(counts), alpha)
    assert VoteLikelihood(tree)(torch.from_numpy(counts), alpha)[:, -1].tolist() == [0, 0]
    loss.backward()
    assert torch.isfinite(loss)
    assert alpha.grad is not None
    assert torch.isfinite(alpha.grad).all()


def test_slopes_by_finite_differences() -> None:
    tree = read_tree("gz-ukidss").only(["smooth-or-featured", "how-rounded", "something-odd", "odd-feature"])
    counts, people = people_and_votes(tree, 3, seed=5)
    votes, asked = torch.from_numpy(counts), torch.from_numpy(people)
    alpha = torch.rand(3, len(vote_outputs(tree)), dtype=torch.float64).add(0.2).requires_grad_()
    loss = VoteLoss(tree, {"odd-feature": 0.3})
    assert torch.autograd.gradcheck(lambda a: loss(votes, a, asked), (alpha,))


def test_the_loss_is_the_weighted_mean() -> None:
    tree = read_tree("gz-decals")
    counts, people = people_and_votes(tree, 15)
    alpha = np.random.default_rng(2).lognormal(size=(15, 34))
    weights = {"bar": 2.0, "merging": 0.0}
    found = VoteLoss(tree, weights)(torch.from_numpy(counts), torch.from_numpy(alpha))
    factors = np.array([weights.get(q.name, 1.0) for q in tree.questions])
    assert found.item() == pytest.approx(-(scipys(tree, counts, people, alpha) * factors).sum(1).mean(), rel=1e-7)
    assert VoteLoss(tree)(torch.zeros(0, 34), torch.ones(0, 34)).item() == 0


def test_the_best_concentrations_of_real_votes_are_scipys(real_data: Path) -> None:
    """Galaxies of GZ2 that are all the same to the head: the loss leads where SciPy's own likelihood does."""
    table = read_votes(real_data / "gz2-votes" / "gz2_stripe82_normal_votes_table5.csv.gz", "gz2")[:300]
    tree = table.tree.only(["smooth-or-featured"])
    votes = table.counts[:, :3]

    def minus(log_alpha: np.ndarray) -> float:
        alpha = np.exp(log_alpha)
        return -float(stats.dirichlet_multinomial.logpmf(votes.astype(int), alpha, votes.sum(1).astype(int)).mean())

    best = optimize.minimize(minus, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9})
    head, loss = VoteHead(1, tree), VoteLoss(tree)
    ones, counts = torch.ones(1, 1), torch.from_numpy(votes)
    optimiser = torch.optim.LBFGS(head.parameters(), lr=0.5, max_iter=100, line_search_fn="strong_wolfe")

    def step() -> float:
        optimiser.zero_grad()
        value = loss(counts, head(ones).expand(len(counts), 3))
        value.backward()
        return value.item()

    optimiser.step(step)  # type: ignore[arg-type]
    np.testing.assert_allclose(head(ones)[0].detach().numpy(), np.exp(best.x), rtol=0.01)
    assert step() == pytest.approx(best.fun, abs=1e-5)


def test_what_does_not_fit_the_tree_is_refused() -> None:
    tree, several = read_tree("gz-decals"), read_tree("gz-ukidss")
    likelihood = VoteLikelihood(tree)
    with pytest.raises(InputError, match=r"counts have shape \(2, 3\); \(2, 34\) is wanted"):
        likelihood(torch.ones(2, 3), torch.ones(2, 34))
    with pytest.raises(InputError, match=r"concentrations have shape \(1, 34\)"):
        likelihood(torch.ones(2, 34), torch.ones(1, 34))
    with pytest.raises(InputError, match="people are wanted too"):
        VoteLikelihood(several)(torch.ones(2, 37), torch.ones(2, 44))
    with pytest.raises(OptionError, match="did you mean 'merging'"):
        VoteLoss(tree, {"mergin": 1})
    with pytest.raises(OptionError, match="the weight of bar is -1"):
        VoteLoss(tree, {"bar": -1})


# --- Zoobot ----------------------------------------------------------------------------------------------------------

ZOOBOT = ["smooth-or-featured", "disk-edge-on", "has-spiral-arms", "bar"]  # in Zoobot's order
GZ2 = ["smooth-or-featured", "disk-edge-on", "bar"]
ROWS = [  # a model that was trained on two surveys
    "smooth-or-featured-dr5_smooth", "smooth-or-featured-dr5_featured-or-disk", "smooth-or-featured-dr5_artifact",
    "disk-edge-on-dr5_yes", "disk-edge-on-dr5_no", "has-spiral-arms-dr5_yes", "has-spiral-arms-dr5_no",
    "bar-dr5_strong", "bar-dr5_weak", "bar-dr5_no",
    "smooth-or-featured-gz2_smooth", "smooth-or-featured-gz2_featured-or-disk", "smooth-or-featured-gz2_artifact",
    "disk-edge-on-gz2_yes", "disk-edge-on-gz2_no", "bar-gz2_yes", "bar-gz2_no",
]  # fmt: skip


def test_zoobots_weights_give_zoobots_concentrations() -> None:
    torch.manual_seed(3)
    theirs = torch.nn.Sequential(torch.nn.Dropout(0.2), torch.nn.Sequential(torch.nn.Linear(8, len(ROWS))))
    state = {f"head.{name}": value for name, value in theirs.state_dict().items()} | {
        "encoder.weight": torch.ones(9, 9)
    }
    features = torch.randn(6, 8)
    wanted = torch.sigmoid(theirs.eval()(features)) * 100 + 1
    gz2 = read_tree("gz2").only(GZ2)
    for tree, suffix in ((read_tree("gz-decals").only(ZOOBOT), "-dr5"), (gz2, "-gz2")):
        head = zoobot_head(state, ROWS, tree, suffix=suffix).eval()
        rows = [
            ROWS.index(f"{tree.questions[i].name}{suffix}_{tree.columns[k].split('_')[1]}")
            for k, i in enumerate(tree.question_of)
        ]
        torch.testing.assert_close(head(features), wanted[:, rows])


def test_weights_that_do_not_fit_are_refused() -> None:
    state = {"head.weight": torch.zeros(len(ROWS), 8), "head.bias": torch.zeros(len(ROWS))}
    with pytest.raises(InputError, match="no output for has-spiral-arms_yes"):
        zoobot_head(state, ROWS, read_tree("gz2").only([*GZ2, "has-spiral-arms"]), suffix="-gz2")
    with pytest.raises(InputError, match="one matrix with 3 rows"):
        zoobot_head(state, ["a", "b", "c"], read_tree("gz-rings"))
