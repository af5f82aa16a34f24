"""What a metric is given: maps, the images and objects they belong to, and the models that are evaluated.

A metric is a class with a method `measure` in a file of this folder (or `package.module:Class`), named in `metrics` of
params.yaml. It gives one number per image and protocol; all of them become rows of one long table
(:mod:`ala.contracts.scores`), and everything the report shows is computed from that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ala.config.schema import Metrics
from ala.contracts.classifier import Classifier
from ala.contracts.collapsed import collapsed_of
from ala.contracts.maps import Maps, Selected
from ala.contracts.scores import long_rows
from ala.data.image_cache import ImageCache, subset_indices
from ala.metrics import iou
from ala.metrics.curves import Curves
from ala.metrics.insertion_deletion import blur_kernel
from ala.utils.errors import UserError

Arrays = dict[str, np.ndarray]


class Metric(Protocol):
    """One metric, or several that share their work.

    Attributes:
        images: `mapped`: every test image with a map; `subset`: images_per_class of each class, for what costs forward
            passes; `all`: every test image.
        evaluates: whether it looks at a model's predictions.
        reads: the fields of the profile's `metrics` block that decide about its numbers.
    """

    images: Literal["mapped", "subset", "all"]
    evaluates: bool
    reads: tuple[str, ...]

    def measure(self, scoring: Scoring, index: np.ndarray) -> Arrays:
        """Numbers of the test images `index` `(n,)`.

        Returns:
            `protocol/metric` to float `(n,)`, NaN where an image has none. Keys that begin with `_` are kept beside
            the scores for :meth:`whole`, or for files; their first axis is joined over all shards.
        """

    def whole(self, arrays: Arrays) -> dict[str, float]:
        """Numbers of the whole set, `protocol/metric` to value, from the joined arrays of :meth:`measure`."""


@dataclass(frozen=True)
class Evaluated:
    """A model whose predictions are followed.

    Attributes:
        name: of the model.
        classifier: normalised images to probabilities.
        images: the test images at the size of its input.
        full: float32 `(n, K)`, its probabilities of all test images as they are.
        device: where it lives.
    """

    name: str
    classifier: Classifier
    images: ImageCache
    full: np.ndarray
    device: torch.device


@dataclass(frozen=True)
class Scoring:
    """Everything about the maps of one method.

    Attributes:
        maps: of test images.
        test: the test images and their objects at the size of the evaluation, S = data.input_size.
        mask_threshold: foreground where grey > threshold.
        settings: the `metrics` block.
        tau: the threshold of the rule `val`; None for binary maps.
        evaluated: the model that the maps explain; the main model for maps of none.
        main: the main model.
        evaluated_name, main_name: of both, also where they are not loaded.
    """

    maps: Maps
    test: ImageCache
    mask_threshold: int
    settings: Metrics
    tau: float | None = None
    evaluated: Evaluated | None = None
    main: Evaluated | None = None
    evaluated_name: str = ""
    main_name: str = ""
    kernel: Tensor = field(init=False)

    def __post_init__(self) -> None:
        kernel = blur_kernel(self.settings.blur_kernel, self.settings.blur_sigma)
        object.__setattr__(self, "kernel", kernel)  # (k, k)
        for name in ("evaluated", "main"):
            if (model := getattr(self, name)) is not None:
                object.__setattr__(self, f"{name}_name", model.name)

    def indices(self, which: str) -> np.ndarray:
        """Indices of the test images that a metric with `images = which` is measured on."""
        if which == "all":
            return np.arange(len(self.test))
        if which == "mapped":
            return np.sort(self.test.indices_of(self.maps.image_ids))
        return subset_indices(self.test, self.settings.images_per_class, self.settings.subset_seed)

    def view(self, index: np.ndarray) -> Selected:
        """The maps of test images `index`, not yet in memory."""
        return self.maps.view(self.test.image_ids[index])

    def scaled(self, index: np.ndarray) -> np.ndarray:
        """The maps of test images `index` as threshold rules see them: float32 `(n, S, S)` in [0, 1]."""
        return iou.at_size(self.maps, self.test.image_ids[index], self.test.size)

    def predicted(self, index: np.ndarray, rule: str, values: np.ndarray) -> np.ndarray:
        """Foreground `(n, S, S)` of scaled maps by a threshold rule; binary maps are predictions already."""
        return values > 0.5 if self.maps.binary else iou.predict(values, rule, self.tau)

    def objects(self, index: np.ndarray) -> np.ndarray:
        """The object of test images `index`, boolean `(n, S, S)`.

        Raises:
            UserError: an object has no pixel at this size.
        """
        masks = self.test.foreground(index, self.mask_threshold)
        empty = ~masks.any(axis=(1, 2))
        if empty.any():
            raise UserError(
                f"the mask of image {self.test.image_ids[index[empty]][0]} has no foreground at {self.test.size} x"
                f" {self.test.size} pixels and data.mask_threshold {self.mask_threshold}; remove the image or change"
                " one of the two"
            )
        return masks

    def chunks(self, index: np.ndarray) -> Iterator[np.ndarray]:
        """Positions in `index`, a few at a time, so that no data set lies in memory as a whole."""
        return iou.chunks(np.arange(len(index)), self.test.size)


def val_tau(maps: Maps, val: ImageCache, mask_threshold: int) -> float | None:
    """The threshold of the rule `val`: the best on all validation images that have a map; None for binary maps."""
    if maps.binary:
        return None
    parts = [
        iou.iou_by_tau(iou.at_size(maps, val.image_ids[some], val.size), val.foreground(some, mask_threshold))
        for some in iou.chunks(np.sort(val.indices_of(maps.image_ids)), val.size)
    ]
    return iou.best_tau(np.concatenate(parts))


@dataclass(frozen=True)
class Scored:
    """What one method earned.

    Attributes:
        rows: the long table (:mod:`ala.contracts.scores`).
        curves: insertion and deletion curves by class (`predicted`, `true`); empty without that metric.
        summary: counts, and numbers of the whole set.
    """

    rows: pd.DataFrame
    curves: dict[str, Curves]
    summary: dict[str, Any]


def score(scoring: Scoring, metrics: Sequence[Metric], seed: int = 0) -> Scored:
    """Measure `metrics` in this process, all images at once: what a notebook needs; the pipeline does it in shards.

    Raises:
        UserError: an image of the subset has no map, a map belongs to no image, or an object has no pixel.
    """
    found = {metric: metric.measure(scoring, scoring.indices(metric.images)) for metric in metrics}
    return assembled(scoring, found, seed)


def assembled(scoring: Scoring, found: Mapping[Metric, Arrays], seed: int) -> Scored:
    """Rows, curves and summary from what each metric gave for all its images, in the order of their indices."""
    maps, evaluated = scoring.maps, scoring.evaluated_name
    rows: list[pd.DataFrame] = []
    whole: dict[str, float] = {}
    curves: dict[str, Curves] = {}
    for metric, arrays in found.items():
        ids = scoring.test.image_ids[scoring.indices(metric.images)]
        model = scoring.main_name if getattr(metric, "on_main", False) else evaluated
        numbers = metric.whole(arrays) if arrays else {}
        rows += [long_rows(maps.method, model, seed, ids, arrays), long_rows(maps.method, model, seed, None, numbers)]
        whole |= numbers
        if hasattr(metric, "curves"):
            curves |= metric.curves(maps.method, ids, arrays)
    summary = {
        "method": maps.method, "model": maps.model, "evaluated": evaluated, "seed": seed,
        "n_images": len(scoring.test), "n_maps": len(maps.image_ids), "tau_val": scoring.tau,
        **{f"collapsed_{kind}": int(flags.sum()) for kind, flags in collapsed_of(maps).items()},
        **whole,
    }  # fmt: skip
    return Scored(pd.concat([one for one in rows if len(one)], ignore_index=True), curves, summary)
