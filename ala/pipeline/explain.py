"""Make the saliency maps of a method, in shards of images."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch

from ala.contracts.compute import used
from ala.contracts.explainer import accepted, trait
from ala.contracts.maps import Maps, disk_backed
from ala.data.image_cache import ImageCache, subset_indices
from ala.data.split import read_splits
from ala.perturbation import predict, running
from ala.pipeline import shards
from ala.pipeline.context import Context
from ala.pipeline.methods import Method, recipe
from ala.utils.errors import UserError

#: Images of a shard where an explainer does not say otherwise (`shard`); a multiple of 16 keeps lanes whole.
IMAGES = 64
SUBSET_IMAGES = 16  # of explainers that take seconds for an image
EXPLAIN_TAKES = ("self", "images", "targets", "ids", "boxes", "stems")


def explain(context: Context, method: Method, split: str) -> Maps:
    """Maps of the images of `split` (`val` or `test`) by `method`; shards that exist are not made again.

    Raises:
        UserError: a map is not finite or has another shape than the explainer's contract says.
    """
    key = (context.key, method.name, split)
    if key not in _explained:
        while len(_explained) > 3:
            _explained.pop(next(iter(_explained)))
        images = _images(context, method, split)
        ids = images.image_ids[_indices(context, method, images)]
        parts = shards.compute(work(context, method, split), context.executor, f"explain {split} by {method.name}")
        _explained[key] = _joined(method, ids, parts)
    return _explained[key]


_explained: dict[tuple[str, str, str], Maps] = {}  # the last ones, by context, method and split


def work(context: Context, method: Method, split: str) -> list[shards.Shard]:
    """The shards of :func:`explain`; their names identify the maps."""
    images = _images(context, method, split)
    index = _indices(context, method, images)
    at_once = SUBSET_IMAGES if trait(method.explainer, "images") == "subset" else IMAGES
    made = recipe(method, context.seed, context.models)
    decides = {**{key: made[key] for key in ("explainer", "code", "settings", "model_sha256")}, **context.decides,
               "split": split, "size": images.size, "batch": context.profile.metrics.batch}  # fmt: skip
    return [
        shards.shard(
            f"explain-{method.name}-seed-{context.seed}",
            {**decides, "ids": images.image_ids[index[start:stop]].tolist()},
            explain_shard, (context, method, split, index[start:stop]), stop - start,
        )
        for start, stop in shards.pieces(len(index), at_once)
    ]  # fmt: skip


def explain_shard(context: Context, method: Method, split: str, index: np.ndarray) -> shards.Arrays:
    """The maps of images `index` of a split: `importance` float32 `(n, h, w)` and `targets` int64 `(n,)`."""
    images = _images(context, method, split)
    explainer, classifier = _opened(context, method)
    if classifier is None:
        pixels, targets = images.pixels(index).float() / 255, np.full(len(index), -1)
    else:
        pixels = classifier.preprocessing.normalise(images.pixels(index).to(context.device))
        targets = np.full(len(index), -1)
        if not trait(method.explainer, "class_agnostic"):
            batch = method.settings.get("batch", context.profile.metrics.batch)
            targets = predict(classifier, images, index, batch, context.device).argmax(axis=1)
    more = accepted(explainer.explain, ids=images.image_ids[index], boxes=images.boxes[index])
    if accepted(explainer.explain, stems=None):
        more["stems"] = _stems(context, split, images.image_ids[index])
    found = explainer.explain(pixels, torch.as_tensor(targets, device=context.device), **more)
    if not isinstance(found, torch.Tensor):
        raise UserError(f"methods: {method.name} gave a {type(found).__name__}; an explainer returns a torch.Tensor")
    importance = found.detach().float().cpu().numpy()
    wanted = 1 if trait(method.explainer, "shared") else len(index)
    if importance.ndim != 3 or len(importance) != wanted:
        raise UserError(
            f"methods: {method.name} gave maps of shape {tuple(importance.shape)} for {len(index)} images; an explainer"
            f" returns ({wanted}, h, w)"
        )
    bad = np.flatnonzero(~np.isfinite(importance).all(axis=(1, 2)))
    if len(bad):
        raise UserError(
            f"methods: {method.name} gave {len(bad)} maps with NaN or infinity, the first of {split} image"
            f" {images.image_ids[index][bad[0]]}; correct its `explain`"
        )
    return {"importance": importance, "targets": targets.astype(np.int64)}


def _stems(context: Context, split: str, ids: np.ndarray) -> list[str]:
    """The names of the images' files, without folder and suffix."""
    paths = read_splits(context.splits)[split].set_index("image_id")["path"]
    return [PurePosixPath(path).stem for path in paths.loc[ids]]


def used_for(context: Context, method: Method) -> dict[str, Any] | None:
    """How the network behind a method's maps is run (:func:`ala.contracts.compute.used`); None where there is none.

    A model that makes its map itself does so in float32, whatever `engine.precision` is.
    """
    if method.model is None:
        return None
    engine = "classifier" in accepted(method.explainer, classifier=None)
    precision = context.profile.engine.precision if engine else "fp32"
    return used(context.device, precision, method.settings.get("batch", context.profile.metrics.batch))


def _images(context: Context, method: Method, split: str) -> ImageCache:
    """The images of a split at the input size of the model that is explained."""
    if method.model is None:
        return context.split(split)
    return context.split(split, context.model(method.model).classifier.preprocessing.size)


def _indices(context: Context, method: Method, images: ImageCache) -> np.ndarray:
    """Indices of the images that the method explains."""
    if trait(method.explainer, "images") == "all":
        return np.arange(len(images))
    metrics = context.profile.metrics
    per_class = {"val": metrics.val_images_per_class, "test": metrics.images_per_class}[images.split]
    return subset_indices(images, per_class, metrics.subset_seed)


_ready: dict[tuple[str, str], tuple[Any, Any]] = {}


def _opened(context: Context, method: Method) -> tuple[Any, Any]:
    """The explainer, ready, and the classifier that it explains (None for baseline maps); the last one is kept."""
    key = (context.key, method.name)
    if key not in _ready:
        _ready.clear()
        _ready[key] = _open(context, method)
    return _ready[key]


def _open(context: Context, method: Method) -> tuple[Any, Any]:
    loaded = context.model(method.model) if method.model is not None else None
    classifier = None
    if loaded is not None:
        classifier = running(loaded.classifier, context.profile.engine, context.device)
    profile = context.profile
    offered = {
        "classifier": classifier, "model": loaded.model if loaded is not None else None, "seed": context.seed,
        "batch": profile.metrics.batch, **method.settings,
    }  # fmt: skip
    if accepted(method.explainer, grid=None) and "grid" not in offered:
        offered["grid"] = profile.data.input_size // profile.ala.sbn.patch
    known = accepted(method.explainer, **offered)
    unknown = sorted(set(method.settings) - set(known))
    if unknown:
        raise UserError(f"methods: {method.name} takes no setting {unknown[0]!r}; remove it from params.yaml")
    needed = inspect.signature(method.explainer).parameters.values()
    missing = [one.name for one in needed if one.default is one.empty and one.name not in known]
    if missing:
        raise UserError(
            f'methods: {method.name} needs the settings {", ".join(missing)}; write "{method.name}":'
            f" {{{', '.join(f'{name}: ...' for name in missing)}}} into explainers of"
            f" profiles.{context.settings.profile} in params.yaml"
        )
    needed = inspect.signature(method.explainer.explain).parameters.values()
    unknown = [one.name for one in needed if one.default is one.empty and one.name not in EXPLAIN_TAKES
               and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]  # fmt: skip
    if unknown:
        raise UserError(
            f"methods: explain of {method.name} takes {unknown[0]!r}; it may take images, targets, and by name"
            f" {', '.join(EXPLAIN_TAKES[3:])}"
        )
    return method.explainer(**known), classifier


def _joined(method: Method, ids: np.ndarray, parts: Iterator[shards.Arrays]) -> Maps:
    """One Maps of all shards, filled as they are read: large ones lie on the disk."""
    targets, importance, start = np.empty(len(ids), np.int64), np.empty((0, 0, 0), np.float32), 0
    shared = trait(method.explainer, "shared")
    for part in parts:
        found, stop = part["importance"], start + len(part["targets"])
        if start == 0:
            importance = found if shared else disk_backed((len(ids), *found.shape[1:]))
        elif found.shape[1:] != importance.shape[1:]:
            raise UserError(
                f"methods: {method.name} gave maps of {found.shape[1:]} and of {importance.shape[1:]}; give all one"
                " size"
            )
        if not shared:
            importance[start:stop] = found
        targets[start:stop], start = part["targets"], stop
    calibrated, binary = trait(method.explainer, "calibrated"), trait(method.explainer, "binary")
    return Maps(ids, importance, method.name, method.model or "", targets, calibrated, binary)
