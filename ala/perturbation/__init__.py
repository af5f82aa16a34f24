"""Run a model on perturbed images: the forward-pass engine shared by RISE, insertion and deletion."""

from ala.perturbation.engine import column_scores, predict, target_scores
from ala.perturbation.perturbed import Filler, Images, PerturbedImages, Score
from ala.perturbation.precision import Running, running
from ala.perturbation.prepared import Prepared

__all__ = [
    "Filler",
    "Images",
    "PerturbedImages",
    "Prepared",
    "Running",
    "Score",
    "column_scores",
    "predict",
    "running",
    "target_scores",
]  # fmt: skip
