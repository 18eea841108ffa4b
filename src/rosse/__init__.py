"""Survey images of galaxies in, a morphology catalogue out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name → module that holds it. Loaded on first use, so that `import rosse` and `rosse --help` stay quick.
_PUBLIC = {
    "Cutouts": "rosse.cutouts",
    "Survey": "rosse.surveys",
    "SURVEYS": "rosse.surveys",
    "Status": "rosse.status",
    "Tree": "rosse.tree",
    "RosseError": "rosse.errors",
    "InputError": "rosse.errors",
    "OptionError": "rosse.errors",
    "FileError": "rosse.errors",
    "CatalogueError": "rosse.errors",
    "RunError": "rosse.errors",
    "StorageError": "rosse.errors",
    "MissingPackageError": "rosse.errors",
    "Model": "rosse.light.model",
    "Sersic": "rosse.light.profiles",
    "Exponential": "rosse.light.profiles",
    "DeVaucouleurs": "rosse.light.profiles",
    "Gaussian": "rosse.light.profiles",
    "PointSource": "rosse.light.profiles",
    "Sky": "rosse.light.sky",
    "Parameter": "rosse.light.components",
    "BrokenExponential": "rosse.light.radial_profiles",
    "CoreSersic": "rosse.light.radial_profiles",
    "EdgeOnDisc": "rosse.light.edge_on",
    "Ferrers": "rosse.light.radial_profiles",
    "King": "rosse.light.radial_profiles",
    "ModifiedKing": "rosse.light.radial_profiles",
    "Moffat": "rosse.light.radial_profiles",
    "Nuker": "rosse.light.radial_profiles",
    "Profile": "rosse.light.radial_profiles",
    "Shaped": "rosse.light.shaped",
    "TruncatedSersic": "rosse.light.radial_profiles",
    "fit": "rosse.fitting",
    "Fit": "rosse.fitting",
    "FitOptions": "rosse.fitting",
    "JointFit": "rosse.fitting",
    "choose_model": "rosse.fitting.choose",
    "Choice": "rosse.fitting.choose",
    "measure_shapes": "rosse.shapes",
    "correct_shapes": "rosse.shapes",
    "Shapes": "rosse.shapes",
    "ShapeOptions": "rosse.shapes",
    "detect": "rosse.detection",
    "Detection": "rosse.detection",
    "open_mosaic": "rosse.io",
    "Mosaic": "rosse.io",
    "read_cutouts": "rosse.io",
    "Population": "rosse.sky.population",
    "observe": "rosse.sky.observe",
    "volunteers": "rosse.sky.volunteers",
    "read_votes": "rosse.votes.reading",
    "VoteTable": "rosse.votes.table",
    "train_votes": "rosse.votes.learning",
    "VoteTraining": "rosse.votes.learning",
    "VoteModel": "rosse.votes.model",
    "finetune": "rosse.votes.finetuning",
    "FineTuning": "rosse.votes.finetuning",
    "Quantities": "rosse.votes.quantities",
    "QuantityModel": "rosse.votes.quantity_model",
    "predict_quantities": "rosse.votes.predicting",
    "Estimates": "rosse.votes.quantities",
    "predict_votes": "rosse.votes.predicting",
    "Votes": "rosse.votes.result",
    "acquire": "rosse.votes.acquiring",
    "Acquiring": "rosse.votes.acquiring",
    "Acquisition": "rosse.votes.acquiring",
    "open_catalogue": "rosse.store",
    "Catalogue": "rosse.store",
}

if TYPE_CHECKING:
    from rosse.cutouts import Cutouts as Cutouts
    from rosse.detection import Detection as Detection
    from rosse.detection import detect as detect
    from rosse.errors import CatalogueError as CatalogueError
    from rosse.errors import FileError as FileError
    from rosse.errors import InputError as InputError
    from rosse.errors import MissingPackageError as MissingPackageError
    from rosse.errors import OptionError as OptionError
    from rosse.errors import RosseError as RosseError
    from rosse.errors import RunError as RunError
    from rosse.errors import StorageError as StorageError
    from rosse.fitting import Fit as Fit
    from rosse.fitting import FitOptions as FitOptions
    from rosse.fitting import JointFit as JointFit
    from rosse.fitting import fit as fit
    from rosse.fitting.choose import Choice as Choice
    from rosse.fitting.choose import choose_model as choose_model
    from rosse.io import Mosaic as Mosaic
    from rosse.io import open_mosaic as open_mosaic
    from rosse.io import read_cutouts as read_cutouts
    from rosse.light.components import Parameter as Parameter
    from rosse.light.edge_on import EdgeOnDisc as EdgeOnDisc
    from rosse.light.model import Model as Model
    from rosse.light.profiles import DeVaucouleurs as DeVaucouleurs
    from rosse.light.profiles import Exponential as Exponential
    from rosse.light.profiles import Gaussian as Gaussian
    from rosse.light.profiles import PointSource as PointSource
    from rosse.light.profiles import Sersic as Sersic
    from rosse.light.radial_profiles import BrokenExponential as BrokenExponential
    from rosse.light.radial_profiles import CoreSersic as CoreSersic
    from rosse.light.radial_profiles import Ferrers as Ferrers
    from rosse.light.radial_profiles import King as King
    from rosse.light.radial_profiles import ModifiedKing as ModifiedKing
    from rosse.light.radial_profiles import Moffat as Moffat
    from rosse.light.radial_profiles import Nuker as Nuker
    from rosse.light.radial_profiles import Profile as Profile
    from rosse.light.radial_profiles import TruncatedSersic as TruncatedSersic
    from rosse.light.shaped import Shaped as Shaped
    from rosse.light.sky import Sky as Sky
    from rosse.shapes import ShapeOptions as ShapeOptions
    from rosse.shapes import Shapes as Shapes
    from rosse.shapes import correct_shapes as correct_shapes
    from rosse.shapes import measure_shapes as measure_shapes
    from rosse.sky.observe import observe as observe
    from rosse.sky.population import Population as Population
    from rosse.sky.volunteers import volunteers as volunteers
    from rosse.status import Status as Status
    from rosse.store import Catalogue as Catalogue
    from rosse.store import open_catalogue as open_catalogue
    from rosse.surveys import SURVEYS as SURVEYS
    from rosse.surveys import Survey as Survey
    from rosse.tree import Tree as Tree
    from rosse.votes.acquiring import Acquiring as Acquiring
    from rosse.votes.acquiring import Acquisition as Acquisition
    from rosse.votes.acquiring import acquire as acquire
    from rosse.votes.finetuning import FineTuning as FineTuning
    from rosse.votes.finetuning import finetune as finetune
    from rosse.votes.learning import VoteTraining as VoteTraining
    from rosse.votes.learning import train_votes as train_votes
    from rosse.votes.model import VoteModel as VoteModel
    from rosse.votes.predicting import predict_quantities as predict_quantities
    from rosse.votes.predicting import predict_votes as predict_votes
    from rosse.votes.quantities import Estimates as Estimates
    from rosse.votes.quantities import Quantities as Quantities
    from rosse.votes.quantity_model import QuantityModel as QuantityModel
    from rosse.votes.reading import read_votes as read_votes
    from rosse.votes.result import Votes as Votes
    from rosse.votes.table import VoteTable as VoteTable

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604 - the names above


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rosse' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
