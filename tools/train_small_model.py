"""Build the model of votes that comes with rosse, `gz-decals-small`, from virtual galaxies alone.

    python tools/train_small_model.py --work FOLDER [--parts 40] [--epochs 24] [--out src/rosse/votes/models]

Draws pictures of 1,024 virtual galaxies for each part, as SDSS, the Legacy Surveys, HSC and LSST would see them, with
the votes of 40 virtual volunteers on the tree of Galaxy Zoo DECaLS, and trains the network on them. What was done is
kept in FOLDER: the same command goes on after a stop. Some hours on one core; most of it can be done on several by
starting the command with `--draw FIRST LAST` in as many processes, each with its own parts.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from small_model_sky import SIDE, TARGETS, made
from torch import Tensor, nn

from rosse.cutouts import Cutouts
from rosse.nets.augmenting import Augmentation
from rosse.nets.encoders import EncoderSpec
from rosse.nets.preparing import PICTURE_BANDS, Preparation
from rosse.nets.training import TrainOptions, train
from rosse.tree import read_tree
from rosse.votes.calibration import Calibration
from rosse.votes.examples import Examples, Labelled, Rows, split
from rosse.votes.learning import VoteLearner, VoteTraining, finish, start_at_means
from rosse.votes.model import VoteModel
from rosse.votes.network import NetworkSpec, VoteNetwork
from rosse.votes.table import VoteTable

NAME = "gz-decals-small"
STAMP = 15  # pixels of a PSF
TAUGHT = 0.5  # weight of what is taught beside votes
ABOUT = (
    "Trained on virtual galaxies only, with the votes of 40 virtual volunteers each, seen in SDSS g, r, i, in the "
    "Legacy Surveys' g, r, z, and in HSC and LSST g, r, i. No real image was learnt from. Votes of real people differ "
    "from those of virtual ones: fine-tune to a few hundred real votes before shares are believed to better than 0.1."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Pictures in memory as `rosse.nets.preparing.Images`, with the pixel scale and PSF width of each."""

    ids: NDArray[np.str_]
    pixels: NDArray[np.uint8]
    scale: NDArray[np.float32]
    fwhm: NDArray[np.float32]

    def batch(self, indices: ArrayLike) -> Cutouts:
        """The galaxies in these rows, in this order."""
        rows = np.asarray(indices)
        flux = torch.from_numpy(self.pixels[rows]).permute(0, 3, 1, 2).float()
        x = torch.arange(STAMP) - STAMP // 2
        sigma = torch.from_numpy(self.fwhm[rows])[:, None, None].clamp(0.8, 7.0) / 2.3548
        psf = torch.exp(-0.5 * (x[:, None] ** 2 + x**2) / sigma**2)
        psf = (psf / psf.sum((1, 2), keepdim=True))[:, None].expand(-1, 3, -1, -1)
        return Cutouts(flux=flux, ivar=torch.ones_like(flux), psf=psf, bands=PICTURE_BANDS, id=self.ids[rows],
                       scale=torch.from_numpy(self.scale[rows]).double())  # fmt: skip


class Taught(VoteLearner):
    """A network of votes that is also asked what is to be seen: arms, bar, ring, stage, inclination."""

    def __init__(self, network: VoteNetwork) -> None:
        super().__init__(network, {})
        self.beside = nn.Linear(network.spec.width, len(TARGETS))

    def loss(self, batch: Any) -> Tensor:
        """Mean loss () of images with their votes and targets."""
        seen, counts, people, wanted = batch
        features = self.network.encoder(seen.pixels)
        votes: Tensor = self.criterion(counts, self.network.said(features, seen.conditions), people)
        known = torch.isfinite(wanted)
        off = self.beside(self.network.mixed(features, seen.conditions)).float() - wanted.nan_to_num(0.0)
        far = nn.functional.smooth_l1_loss(off, torch.zeros_like(off), beta=0.3, reduction="none")
        return votes + TAUGHT * (far * known).sum() / len(off)


class Lessons:
    """Examples with targets."""

    def __init__(self, examples: Examples, targets: Tensor) -> None:
        self.examples, self.targets = examples, targets

    def batch(self, rows: Rows, draw: torch.Generator | None) -> Any:
        """What `Taught.loss` takes."""
        return (*self.examples.batch(rows, draw), self.targets[rows].to(self.examples.device))


def read(work: Path, parts: int) -> dict[str, np.ndarray]:
    """Everything that was drawn."""
    found = [np.load(made(work, number)) for number in range(parts)]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0].files}


def main() -> None:
    """Draw, train, calibrate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--parts", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--encoder", default="medium")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "src/rosse/votes/models")
    parser.add_argument("--draw", type=int, nargs=2, metavar=("FIRST", "LAST"), help="draw these parts, no more")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.draw:
        for number in range(*given.draw):
            made(given.work, number)
        return
    built(read(given.work, given.parts), given)


def built(sky: dict[str, np.ndarray], given: argparse.Namespace) -> VoteModel:
    """The model, written."""
    tree = read_tree("gz-decals")
    ids = np.array([f"{number:06d}" for number in range(len(sky["pictures"]))])
    images = Pictures(ids=ids, pixels=sky["pictures"], scale=sky["scale"], fwhm=sky["fwhm"])
    votes = VoteTable.of(tree, ids, sky["counts"].astype(float), sky["asked"].astype(float))
    how = VoteTraining(
        network=NetworkSpec(encoder=EncoderSpec(name=given.encoder), width=192, dropout=0.1),
        options=TrainOptions(epochs=given.epochs, batch=128, rate=3e-3, patience=given.epochs, device=given.device,
                             precision="bfloat16"),
        augmentation=Augmentation(zoom=0.1, shift=0.04, forget=0.4, tone=0.2), draws=8, side=SIDE,
    )  # fmt: skip
    labelled = Labelled(images=images, rows=np.arange(len(ids)), votes=votes, redshift=sky["about"][:, 1].astype(float))
    plain = Examples(labelled, side=SIDE, augmentation=how.augmentation, device=given.device)
    parts = split(ids, how.shares)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.options.seed)
        network = VoteNetwork(how.network, tree)
        start_at_means(network, votes[parts[0]])
        learner = Taught(network)
    history = train(
        learner, Lessons(plain, torch.from_numpy(sky["targets"])), parts[:2], options=how.options,
        folder=given.work / f"training-{given.encoder}-{len(ids)}-{given.epochs}", about=plain.hash,
    )  # fmt: skip
    ready = Preparation(**{**plain.preparation.record(), "colours": True})
    model = VoteModel(tree=tree, preparation=ready, members=(network.to("cpu"),), calibration=Calibration.none(tree),
                      draws=how.draws)  # fmt: skip
    by = {"mag_r": sky["about"][:, 0], "redshift": sky["about"][:, 1], "r90": sky["size"]}
    about = {"mark": f"{NAME} {plain.hash}", "how": how, "story": ABOUT, "by": by, "shares": sky["probability"]}
    return finish(model, plain, parts, folder=given.out / NAME, histories={"member 0": history}, about=about)


if __name__ == "__main__":
    main()
