"""What an explainer is: a class that turns images into saliency maps, and a few words about itself.

A new explainer is one file in `ala/explainers` (or a class of your own, `package.module:Class`) and its name in
`methods` of params.yaml; docs/extending.md shows one from the first line to its row in the tables.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, Protocol

from torch import Tensor


class Explainer(Protocol):
    """`explain` images; the other attributes may be left out where :data:`TRAITS` says what is meant.

    The constructor takes, by name, what it needs of: `classifier` (normalised images `(B, 3, S, S)` to probabilities
    `(B, K)`), `model` (the loaded model itself, for its own map or its layers), `seed` (of the run), `batch` (images
    per forward pass), `grid` (cells per axis of ALA's map) and the settings of its own block in params.yaml. `explain`
    may take, by name, `ids` int64 `(B,)`, `boxes` float `(B, 4)` (x, y, width, height in pixels) and `stems` (names of
    the images' files) as well.
    """

    label: str  # in tables and figures; default: the name
    explains: Literal["main", "own", "nothing"]  # the main model, the trained model of its own name, no model
    images: Literal["all", "subset"]  # every image, or images_per_class of each class, where a map costs seconds
    calibrated: bool  # values are probabilities: fixed thresholds apply as they are
    binary: bool  # values are 0 or 1 and are the prediction themselves
    class_agnostic: bool  # it knows no target class, and its `targets` are -1
    baseline: bool  # a map that others must beat: grey, not ranked; default: what explains no model
    shared: bool  # one map for every image: explain returns (1, h, w)

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """Saliency maps.

        Args:
            images: normalised, `(B, 3, S, S)`.
            targets: int64 `(B,)`, the class to explain; the class that the explained model predicts.

        Returns:
            float `(B, h, w)` of any resolution, larger = more important; the map of an image depends neither on the
            other images of the batch nor on their number.
        """


#: What an explainer that does not say otherwise is.
TRAITS: dict[str, Any] = {
    "explains": "main", "images": "all", "calibrated": False, "binary": False, "shared": False, "class_agnostic": False,
}  # fmt: skip


def trait(explainer: Any, name: str) -> Any:
    """The attribute `name` of an explainer's class, or what means it in :data:`TRAITS`."""
    return getattr(explainer, name, TRAITS[name])


def accepted(function: Callable[..., Any], **offered: Any) -> dict[str, Any]:
    """Those of the `offered` keyword arguments that `function` names among its parameters."""
    return {name: offered[name] for name in inspect.signature(function).parameters if name in offered}
