"""Check a metric against :class:`ala.metrics.scoring.Metric`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ala.config.schema import Metrics
from ala.contracts.maps import Maps
from ala.data.image_cache import ImageCache
from ala.metrics.scoring import Evaluated, Scoring
from ala.perturbation import predict
from ala.testing import toys
from ala.testing.guards import require, unchanged

_CLOSE = 1e-4  # another number of images in a forward pass changes last bits
_IMAGES = ("mapped", "subset", "all")

#: The `metrics` block of the checks: few steps of large strides.
SETTINGS: dict[str, Any] = {
    "images_per_class": None, "val_images_per_class": None, "subset_seed": 0, "step": 128, "blur_kernel": 5,
    "blur_sigma": 2.0, "lab_points": 3, "box_step": 0.1, "batch": 4,
}  # fmt: skip


def check_metric(metric: Any, **settings: Any) -> None:
    """Check a class of metrics on the maps of a few images; see each `_check_*` below for what is required.

    Args:
        metric: the class; it is constructed without arguments, as the pipeline does.
        settings: fields of the `metrics` block of params.yaml other than :data:`SETTINGS`.

    Raises:
        AssertionError: it breaks the contract; the message says which check, and what was found.
    """
    name = metric.__qualname__
    _check_traits(name, metric)
    read: set[str] = set()
    for kind in ("graded", "binary", "constant"):
        noted = _Noted(Metrics(**(SETTINGS | settings)))
        scoring = _scoring(kind, noted, metric.evaluates, getattr(metric, "on_main", False))
        noted.read.clear()
        _check_numbers(name, metric, scoring)
        read |= noted.read
    unnamed = read - set(metric.reads)
    require(not unnamed, f"settings of {name}", f"it reads metrics.{min(unnamed, default='')}; name it in `reads`")


def _check_traits(name: str, metric: Any) -> None:
    """The class says which images it is measured on, whether it looks at a model, and which settings decide."""
    check = f"traits of {name}"
    for wanted in ("images", "evaluates", "reads"):
        require(hasattr(metric, wanted), check, f"there is no `{wanted}`; see ala.metrics.scoring.Metric")
    require(metric.images in _IMAGES, check, f"images is {metric.images!r}, not one of {', '.join(_IMAGES)}")
    require(isinstance(metric.evaluates, bool), check, f"evaluates is {metric.evaluates!r}, not True or False")
    unknown = sorted(set(metric.reads) - set(Metrics.model_fields))
    require(not unknown, check, f"reads names {unknown[:1]}, which is no field of `metrics` in params.yaml")


def _check_numbers(name: str, metric: Any, scoring: Scoring) -> None:
    """One number per image and protocol, the same again, from any part of the images, and nothing else changes."""
    index = scoring.indices(metric.images)
    networks = {"classifier": scoring.evaluated.classifier} if scoring.evaluated is not None else {}
    inputs = {
        "maps": scoring.maps.importance, "images": scoring.test.images, "masks": scoring.test.masks,
        "boxes": scoring.test.boxes, "index": index,
    }  # fmt: skip
    with unchanged(f"measure of {name}", inputs, networks):
        found = metric().measure(scoring, index)
    _check_arrays(name, found, len(index))
    again = metric().measure(scoring, index)
    for key, values in found.items():
        require(
            np.array_equal(values, again[key], equal_nan=True),
            f"determinism of {name}", f"{key} is another number the second time; draw from a generator with a seed",
        )  # fmt: skip
    parts = [metric().measure(scoring, index[some]) for some in np.array_split(np.arange(len(index)), 3)]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in found}
    for key, values in found.items():
        if not key.startswith("_"):
            apart = float(np.nanmax(np.abs(joined[key].astype(float) - values), initial=0))
            require(
                np.allclose(joined[key], values, atol=_CLOSE, rtol=_CLOSE, equal_nan=True),
                f"independence from the batch, {name}",
                f"{key} of an image moves by {apart:.3g} with the images beside it; use the whole set in `whole` alone",
            )
    _check_whole(name, metric().whole(found), metric().whole(joined))


def _check_arrays(name: str, found: Any, count: int) -> None:
    check = f"numbers of {name}"
    require(isinstance(found, dict), check, f"measure returns a {type(found).__name__}; return a dict of arrays")
    for key, values in found.items():
        require(isinstance(values, np.ndarray), check, f"{key} is a {type(values).__name__}; give a NumPy array")
        if key.startswith("_"):
            continue
        _check_key(check, key)
        require(values.shape == (count,), check, f"{key} has the shape {values.shape}; give one number per image")
        require(values.dtype.kind in "fiub", check, f"{key} holds {values.dtype}; give numbers")
        require(not np.isinf(values).any(), check, f"{key} holds infinity; give NaN where an image has no number")


def _check_whole(name: str, whole: Any, from_parts: Any) -> None:
    """Numbers of the whole set are finite and follow from joined arrays."""
    check = f"whole of {name}"
    require(isinstance(whole, dict), check, f"it returns a {type(whole).__name__}; return a dict, empty if need be")
    for key, value in whole.items():
        _check_key(check, key)
        require(np.isfinite(value), check, f"{key} is {value}; leave out what cannot be computed")
        require(
            np.allclose(value, from_parts[key], atol=_CLOSE, rtol=_CLOSE),
            check, f"{key} is {value:.6g}, but {from_parts[key]:.6g} where images come in parts",
        )  # fmt: skip


def _check_key(check: str, key: str) -> None:
    protocol, slash, metric = key.partition("/")
    good = bool(protocol and slash and metric) and "/" not in metric
    require(good, check, f"{key!r} is no name of a number; write protocol/metric, or _name for what is kept beside")


def _scoring(kind: str, settings: Any, evaluates: bool, on_main: bool) -> Scoring:
    """Maps of one kind (`graded`, `binary`, `constant`) of a few images, with models where the metric looks at them."""
    images = toys.images()
    generator = np.random.default_rng(0)
    importance = generator.random((len(images), toys.GRID, toys.GRID), np.float32)
    if kind == "binary":
        importance = (importance > 0.5).astype(np.float32)
    if kind == "constant":
        importance = np.full_like(importance, 0.25)
    maps = Maps(images.image_ids, importance, kind, "", images.labels.astype(np.int64), binary=kind == "binary")
    models = [_evaluated(f"model {seed}", seed, images) for seed in range(2)] if evaluates else [None, None]
    evaluated, main = models[0], models[1] if on_main else None
    tau = None if kind == "binary" else 0.5
    return Scoring(maps, images, 127, settings, tau, evaluated, main, evaluated_name="model 0", main_name="model 1")


def _evaluated(name: str, seed: int, images: ImageCache) -> Evaluated:
    classifier, device = toys.RandomClassifier(seed), torch.device("cpu")
    full = predict(classifier, images, np.arange(len(images)), len(images), device)
    return Evaluated(name, classifier, images, full, device)


class _Noted:
    """The settings, noting which of them are read."""

    def __init__(self, settings: Metrics) -> None:
        self._settings = settings
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return getattr(self._settings, name)
