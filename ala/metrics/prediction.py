"""What the evaluated model predicts for each image."""

from __future__ import annotations

import numpy as np

from ala.metrics.scoring import Arrays, Scoring


class Prediction:
    """The predicted class, the true class, and whether they are the same."""

    images = "all"
    evaluates = True
    reads: tuple[str, ...] = ()

    def measure(self, scoring: Scoring, index: np.ndarray) -> Arrays:
        """`prediction/target`, `prediction/label` (from 0) and `prediction/correct`, each `(n,)`."""
        assert scoring.evaluated is not None
        target, label = scoring.evaluated.full[index].argmax(axis=1), scoring.test.labels[index]
        return {"prediction/target": target, "prediction/label": label, "prediction/correct": target == label}

    def whole(self, arrays: Arrays) -> dict[str, float]:
        """Nothing."""
        return {}
