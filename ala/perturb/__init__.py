"""Run a model on perturbed images: the forward-pass engine shared by RISE, insertion and deletion."""

from ala.perturb.engine import column_scores, predict, target_scores
from ala.perturb.frames import Filler, Frames, Photos, Score
from ala.perturb.precision import Running, running
from ala.perturb.prepared import Prepared

__all__ = [
    "Filler", "Frames", "Photos", "Prepared", "Running", "Score", "column_scores", "predict", "running",
    "target_scores",
]  # fmt: skip
