"""Official insertion and deletion of every map on one common model, the main one (METHODS 5.6)."""

from __future__ import annotations

import numpy as np

from ala.metrics.insertion_deletion import areas, followed
from ala.metrics.scoring import Arrays, Scoring


class CommonModel:
    """Official insertion and deletion on the main model; nothing for maps that are evaluated on it anyway."""

    images = "subset"
    on_main = True
    evaluates = True
    reads: tuple[str, ...] = ("images_per_class", "subset_seed", "step", "blur_kernel", "blur_sigma", "batch")

    def measure(self, scoring: Scoring, index: np.ndarray) -> Arrays:
        """`common-predicted/insertion`, `/deletion` and `/id` `(n,)`, or no key at all."""
        assert scoring.evaluated is not None
        assert scoring.main is not None
        if scoring.main.name == scoring.evaluated.name:
            return {}
        targets = scoring.main.full[index].argmax(axis=1)
        curves = followed(scoring, scoring.main, index, targets[:, None])[0]
        return {
            **areas("common-predicted", curves.insertion, curves.deletion),
            "_forwards": np.array([curves.forwards - 1]),
        }

    def whole(self, arrays: Arrays) -> dict[str, float]:
        """The number of forward passes."""
        return {"common/forwards": float(arrays["_forwards"].sum()) + 1} if "_forwards" in arrays else {}
