"""Run forward passes and training steps with the functions that the stages call, on networks with random weights.

`network_work` gives a function that does about `n` images' work and returns the seconds of one image.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ala.config.schema import Profile
from ala.contracts.classifier import Classifier
from ala.contracts.compute import autocast
from ala.explainers.attention import explain_photos
from ala.explainers.fcam.train_classifier import train_classifier
from ala.explainers.fcam.train_classifier import validate as look
from ala.explainers.fcam.train_decoder import train_decoder
from ala.explainers.rise import rise_maps
from ala.metrics.insertion_deletion import blur_kernel, insertion_deletion
from ala.perturbation import running
from ala.plan import stand_ins
from ala.plan.models import Models
from ala.plan.work import AUTO, curve_frames
from ala.training.loop import Epoch, run_epoch
from ala.training.variant import VALIDATED_AT_ONCE, Work, validate

#: Does the work of about the given number of images and returns seconds per image.
Timed = Callable[[int], float]


def network_work(kind: tuple[str, str], profile: Profile, models: Models) -> Timed:
    """Return the function that times `kind`, a verb and a model of :class:`ala.plan.work.Work`."""
    verb, name = kind
    if verb == "pretrain":
        return _pretraining(profile, models)
    if verb == "embed":
        return _repeated(models, profile.data.input_size, models.encoder.pooled)
    if name == "fcam" and verb in ("look", "train classifier", "train decoder"):
        return {"look": _look, "train classifier": _classifier, "train decoder": _decoder}[verb](profile, models)
    if verb == "rise":
        return _rise(name, profile, models)
    if verb == "perturb":
        return _curves(name, profile, models)
    if verb == "explain":
        return _explain(name, profile, models)
    if verb == "encode":
        model = models.explained(name)
        wanted = model.adapter.taps(True)

        def encode(images: Tensor) -> None:
            with autocast(profile.train.precision, models.device):  # training needs most of them
                model.encoder.taps(images, wanted)

        return _repeated(models, profile.data.input_size, encode)
    return _adapter(verb, name, profile, models)


def largest(kind: tuple[str, str], profile: Profile) -> int:
    """Return the number of images of the longest useful timing: some batches, or whole curves."""
    verb, _ = kind
    training = {"train classifier": profile.fcam.classifier.batch, "train decoder": profile.fcam.decoder.batch,
                "pretrain": 4 * profile.encoder.pretrain.batch if profile.encoder.pretrain else 0}  # fmt: skip
    if verb in training:
        return 2 * training[verb]
    if verb.startswith("train"):
        return 4 * profile.train.batch
    return 4 * AUTO


def smallest(kind: tuple[str, str]) -> int:
    """Return the number of images of the shortest timing; BatchNorm needs two in training."""
    return 2 if kind[0].startswith(("train", "pretrain")) else 1


def classifier_of(name: str, profile: Profile, models: Models) -> Classifier:
    """Build the evaluated model, run as `engine` says, but never compiled."""
    model: Classifier = models.fcam.classifier if name == "fcam" else models.explained(name)
    return running(model, profile.engine.model_copy(update={"compile": False}), models.device)


def _clock(models: Models) -> float:
    if models.device.type == "cuda":
        torch.cuda.synchronize(models.device)
    return time.perf_counter()


def _seconds(models: Models, work: Callable[[], object], images: int) -> float:
    began = _clock(models)
    work()
    return (_clock(models) - began) / images


def _repeated(models: Models, side: int, forward: Callable[[torch.Tensor], object]) -> Timed:
    """Time a plain forward pass over `n` images, `AUTO` at a time."""
    photos, normalise = stand_ins.store(side, 4 * AUTO), models.encoder.preprocessing.normalise

    def run(n: int) -> float:
        def work() -> None:
            for start in range(0, n, AUTO):
                forward(normalise(photos.pixels(np.arange(start, min(n, start + AUTO))).to(models.device)))

        return _seconds(models, work, n)

    return run


def _explain(name: str, profile: Profile, models: Models) -> Timed:
    explain = models.fcam.explain if name == "fcam" else models.explained(name).explain
    preprocessing = classifier_of(name, profile, models).preprocessing
    photos = stand_ins.store(preprocessing.size, 4 * AUTO)

    def run(n: int) -> float:
        batch = min(n, profile.metrics.batch)
        return _seconds(models, lambda: explain_photos(
            explain, preprocessing, photos, np.arange(n), batch, models.device), n)  # fmt: skip

    return run


def _curves(name: str, profile: Profile, models: Models) -> Timed:
    """Time insertion and deletion over about `n` forward passes; if `n` is small, of one image in larger steps."""
    model, metrics, reference = classifier_of(name, profile, models), profile.metrics, profile.data.input_size
    side, frames = model.preprocessing.size, curve_frames(profile)
    photos = stand_ins.store(side, max(1, 4 * AUTO // frames))
    maps = stand_ins.maps(photos, reference // profile.ala.sbn.patch).importance
    full = np.ones((len(photos), models.classes), np.float32)
    kernel = blur_kernel(metrics.blur_kernel, metrics.blur_sigma)

    def run(n: int) -> float:
        count = max(1, n // frames)
        step = metrics.step if n >= frames else math.ceil(reference**2 / ((n + 1) // 2))
        made = count * (2 * math.ceil(reference**2 / step) - 1) + 1  # the empty image, too
        return _seconds(models, lambda: insertion_deletion(
            model, photos, np.arange(count), maps[:count], full[:count], method="stand-in", step=step, kernel=kernel,
            seed=0, batch=min(n, metrics.batch), device=models.device, reference_side=reference), made)  # fmt: skip

    return run


def _rise(name: str, profile: Profile, models: Models) -> Timed:
    model = classifier_of(name, profile, models)
    photos, one = stand_ins.store(model.preprocessing.size, 1), np.zeros(1, np.int64)

    def run(n: int) -> float:
        settings = profile.rise.model_copy(update={"n_masks": n, "batch": min(n, profile.rise.batch)})
        return _seconds(models, lambda: rise_maps(model, photos, one, one, settings, models.device), n)

    return run


def _adapter(verb: str, name: str, profile: Profile, models: Models) -> Timed:
    """Time the adapter's steps on precomputed features: `train on`, `train off`, `validate`."""
    model = models.explained(name)
    adapter, train = model.adapter, profile.train
    photos = 2 * train.batch if verb != "validate" else VALIDATED_AT_ONCE
    source = stand_ins.Features.of(profile, adapter.blueprint.channels, model.encoder.grid, photos, models.device)
    tiny = train.model_copy(update={"lr": 1e-9})  # weights stay as they are

    def run(n: int) -> float:
        some = source.first(min(n, photos))
        count = len(some.photos.labels)
        if verb == "validate":
            return _seconds(models, lambda: validate(adapter, some, VALIDATED_AT_ONCE), count)
        work = Work(adapter, tiny, 1.0, 0, lambda: (some, some))
        work.prepare()
        task = work.task(f"{verb} {name}", [], some.photos.image_ids)
        try:
            return _seconds(models, lambda: run_epoch(task, Epoch(0, verb == "train on")), count)
        finally:
            adapter.eval()

    return run


def _look(profile: Profile, models: Models) -> Timed:
    network, settings = models.fcam.network, profile.fcam

    def run(n: int) -> float:
        val = stand_ins.store(settings.input_size, n, "val")
        return _seconds(models, lambda: look(network, val, settings), n)

    return run


def _classifier(profile: Profile, models: Models) -> Timed:
    stage = profile.fcam.classifier.model_copy(update={"epochs": 1, "lr": 1e-9})
    settings = profile.fcam.model_copy(update={"classifier": stage, "select": "val_accuracy"})
    network = models.classifier()

    def run(n: int) -> float:
        train = stand_ins.store(settings.resize or settings.input_size, n, "train")
        val = stand_ins.store(settings.input_size, 1, "val")
        return _seconds(models, lambda: train_classifier(network, train, val, settings, 0), n)

    return run


def _decoder(profile: Profile, models: Models) -> Timed:
    """Time the decoder's steps; the classifier's features are a kind of their own, and their time is subtracted."""
    network = models.classifier()
    looking = _look(profile, models)

    def run(n: int) -> float:
        epochs = 1 if n < 8 else 2
        stage = profile.fcam.decoder.model_copy(update={"epochs": epochs, "lr": 1e-9})
        settings = profile.fcam.model_copy(update={"decoder": stage})
        train = stand_ins.store(settings.resize or settings.input_size, n, "train")
        decoder = models.decoder(network)
        all_of_it = _seconds(models, lambda: train_decoder(network, decoder, train, settings, 0), epochs * n)
        looks = 2 / epochs if train.size == settings.input_size else 1.0  # per image and step
        return max(0.0, all_of_it - looks * looking(min(n, 32)))

    return run


def _pretraining(profile: Profile, models: Models) -> Timed:
    from ala.contracts.preprocessing import Preprocessing
    from ala.data.birdlets import draw_pairs
    from ala.encoders.clip_source import read_config
    from ala.encoders.pretrain import pretrain

    birdlets, settings = profile.data.birdlets, profile.encoder.pretrain
    assert birdlets is not None  # the only data set with captions
    assert settings is not None
    side = profile.data.input_size
    preprocessing = Preprocessing.named(side, profile.encoder.norm)
    pixels, captions = draw_pairs(32, side, settings.seed, birdlets)
    once = settings.model_copy(update={"epochs": 1})

    def run(n: int) -> float:
        rows = np.arange(n) % len(pixels)
        return _seconds(models, lambda: pretrain(
            read_config(profile.encoder.name), preprocessing, once, pixels[rows], [captions[row] for row in rows], [],
            models.device), n)  # fmt: skip

    return run
