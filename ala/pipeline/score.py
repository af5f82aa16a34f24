"""Score the maps of a method by every metric that params.yaml names, in shards of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ala import registry
from ala.contracts.compute import used
from ala.metrics.scoring import Arrays, Evaluated, Metric, Scored, Scoring, assembled, val_tau
from ala.perturbation import predict, running
from ala.pipeline import code, shards
from ala.pipeline.context import Context
from ala.pipeline.explain import explain, work
from ala.pipeline.methods import Method, model_digest

#: Images of a shard by what a metric is measured on: a few minutes of forward passes, or of arithmetic, at most.
IMAGES = {"subset": 16, "mapped": 512, "all": 512}
PREDICTED_IMAGES = 256


def score(context: Context, method: Method, metrics: Sequence[str] | None = None) -> Scored:
    """Scores of a method's maps by `metrics` (default: all that the settings name).

    Shards that exist are not made again, so a metric more is one metric's work.

    Raises:
        UserError: an image of the subset has no map, a map belongs to no image, or an object has no pixel.
    """
    data = context.profile.data
    val, test = (explain(context, method, split) for split in ("val", "test"))
    tau = val_tau(val, context.split("val"), data.mask_threshold)
    scoring = Scoring(
        test, context.split("test"), data.mask_threshold, context.profile.metrics, tau,
        evaluated_name=method.evaluated,
    )  # fmt: skip
    base = {
        **context.decides, "maps": [one.path.stem for one in work(context, method, "test")],
        "data": data.model_dump(mode="json"), "tau": tau,
    }  # fmt: skip
    found: dict[Metric, Arrays] = {}
    for name in metrics or context.settings.metrics:
        metric: Metric = registry.find("metrics", name)()
        models = _looked_at(context, method, metric)
        if getattr(metric, "on_main", False):
            scoring = replace(scoring, main_name=context.settings.main_variant)
        index = scoring.indices(metric.images)
        block = context.profile.metrics.model_dump()
        decides = {
            **base, "code": code.digest(type(metric).__module__, "ala.pipeline.models"),
            "settings": {field: block[field] for field in metric.reads},
            "models": [model_digest(one, context.seed, context.models) for one in models],
        }  # fmt: skip
        pieces = [
            shards.shard(
                f"{name}-{method.name}-seed-{context.seed}",
                {**decides, "metric": name, "ids": scoring.test.image_ids[index[start:stop]].tolist()},
                score_shard, (context, method, name, tau, index[start:stop]), stop - start,
            )
            for start, stop in shards.pieces(len(index), IMAGES[metric.images])
        ]  # fmt: skip
        parts = list(shards.compute(pieces, context.executor, f"{name} of {method.name}"))
        arrays = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]} if parts else {}
        found[metric] = arrays
    scored = assembled(scoring, found, context.seed)
    scored.summary["used"] = used(context.device, context.profile.engine.precision, context.profile.metrics.batch)
    return scored


def score_shard(context: Context, method: Method, name: str, tau: float | None, index: np.ndarray) -> Arrays:
    """The arrays of one metric for test images `index`."""
    metric: Metric = registry.find("metrics", name)()
    data = context.profile.data
    models = [evaluated_model(context, one) for one in _looked_at(context, method, metric)]
    evaluated, main = (*models, None, None)[:2]
    scoring = Scoring(
        explain(context, method, "test"), context.split("test"), data.mask_threshold, context.profile.metrics, tau,
        evaluated, main,
    )  # fmt: skip
    return metric.measure(scoring, index)


def _looked_at(context: Context, method: Method, metric: Metric) -> list[str]:
    """The models whose predictions a metric follows: that of the method, and for some the main one."""
    if not metric.evaluates:
        return []
    main = [context.settings.main_variant] if getattr(metric, "on_main", False) else []
    return [method.evaluated, *main]


_evaluated: dict[tuple[str, str], Evaluated] = {}


def evaluated_model(context: Context, name: str) -> Evaluated:
    """A trained model as metrics see it, with its predictions of all test images (kept as shards, and in memory)."""
    key = (context.key, name)
    if key in _evaluated:
        _evaluated[key] = _evaluated.pop(key)
    else:
        while len(_evaluated) > 1:  # the two that were used last are kept: of a method, and the main model
            del _evaluated[next(iter(_evaluated))]
        classifier = context.model(name).classifier
        images = context.split("test", classifier.preprocessing.size)
        decides = {
            **context.decides, "model": model_digest(name, context.seed, context.models),
            "code": code.digest("ala.pipeline.models", "ala.perturbation"), "size": images.size,
            "batch": context.profile.metrics.batch,
        }  # fmt: skip
        pieces = [
            shards.shard(
                f"predict-{name}-seed-{context.seed}", {**decides, "ids": images.image_ids[start:stop].tolist()},
                predict_shard, (context, name, np.arange(start, stop)), stop - start,
            )
            for start, stop in shards.pieces(len(images), PREDICTED_IMAGES)
        ]  # fmt: skip
        serial = registry.find("executors", "serial")()  # within a worker there is no other one
        full = np.concatenate([part["probabilities"] for part in shards.compute(pieces, serial, f"predict by {name}")])
        running_as = running(classifier, context.profile.engine, context.device)
        _evaluated[key] = Evaluated(name, running_as, images, full, context.device)
    return _evaluated[key]


def predict_shard(context: Context, name: str, index: np.ndarray) -> Arrays:
    """`probabilities` float32 `(n, K)` of test images `index` by a trained model."""
    classifier = context.model(name).classifier
    images = context.split("test", classifier.preprocessing.size)
    running_as = running(classifier, context.profile.engine, context.device)
    return {"probabilities": predict(running_as, images, index, context.profile.metrics.batch, context.device)}
