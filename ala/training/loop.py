"""Train one variant with one seed, from image caches and a frozen encoder to the best adapter (METHODS 2.6, 2.7)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ala.config.schema import Profile
from ala.contracts.compute import Precision, autocast, require_precision
from ala.model.adapter import Adapter
from ala.model.blueprint import VARIANTS, plan
from ala.model.explained import ExplainedModel, TapEncoder
from ala.model.lora import LoraEncoder
from ala.training.best import Best, Validation
from ala.training.features import Photos, Source, make_source
from ala.training.loss import objective
from ala.training.optimiser import Optimiser
from ala.training.resume import Progress
from ala.training.schedule import Epoch, learning_rate, phases
from ala.utils.errors import UserError
from ala.utils.finite import named, require_finite
from ala.utils.fitting import Halving, training_step
from ala.utils.progress import track
from ala.utils.resume import Resumable
from ala.utils.seeds import numpy_generator, seed_everything, torch_generator

#: Columns of curve.csv. Those after `train_accuracy` (of PB, in training mode) are empty for off epochs.
CURVE = [
    "epoch", "phase", "lr", "train_loss", "train_accuracy",
    "val_loss", "val_accuracy_pb", "val_accuracy_pb_plus_ab", "val_miou", "alpha_mean", "alpha_std",
]  # fmt: skip

#: Validation images per forward pass, if they fit the device.
VALIDATED_AT_ONCE = 64

#: Function of alpha float32 `(n, g, g)` and the indices of validation images, which returns further numbers
#: (`val_miou`).
Diagnose = Callable[[np.ndarray, np.ndarray], Mapping[str, float]]


@dataclass(frozen=True)
class Trained:
    """The best state after an on epoch, and the training curve.

    Attributes:
        model: encoder and adapter, ready to predict and explain.
        curve: one row per epoch that ran, keys :data:`CURVE`.
        epoch: the epoch whose state was kept, always an on epoch.
    """

    model: ExplainedModel
    curve: list[dict[str, Any]]
    epoch: int

    @property
    def chosen(self) -> dict[str, Any]:
        """Return the curve's row of the kept epoch."""
        return self.curve[self.epoch]


def train_variant(
    variant: str,
    profile: Profile,
    encoder: TapEncoder,
    train: Photos,
    val: Photos,
    classes: int,
    seed: int,
    *,
    device: str | torch.device = "cpu",
    diagnose: Diagnose | None = None,
    sources: tuple[Source, Source] | None = None,
    cache_bytes: int = 2 * 2**30,
    log: Callable[[str], None] = print,
    work: Resumable | None = None,
) -> Trained:
    """Train `variant` (a key of :data:`ala.model.blueprint.VARIANTS`).

    Args:
        profile: its `ala`, `abn` and `train` sections are used; try a setting by `model_copy(update=...)`.
        encoder: frozen, on `device`; it is not changed.
        train, val: stores; `train` at `train.augment.resize` pixels if that is set, `val` at the input size.
        classes: K; labels are 0..K-1.
        seed: of the initial weights, the order of images, augmentation and dropout.
        diagnose: called after each on epoch; its numbers are logged in the curve and decide nothing.
        sources: batches of `train` and `val` made before, to share features between trainings; those of `train` in
            the precision that the settings ask for.
        cache_bytes: bound on the features kept of each split.
        log: called with lines about decisions.
        work: saves the state between epochs; a training resumes from a saved state.

    Raises:
        UserError: the settings do not fit the encoder or each other, or the loss, a gradient or a map of attention is
            not finite any more, the device does not compute in `train.precision`, or its memory does not hold a step.
        Stopped: a signal arrived, and the state is saved.
    """
    ala, settings, device = profile.ala, profile.train, torch.device(device)
    size, precision = encoder.preprocessing.size, settings.precision
    require_precision(precision, device, "train.precision")
    blueprint = plan(
        variant, ala, profile.abn,
        tap_channels=encoder.tap_channels, grid=encoder.grid, input_size=size, classes=classes,
    )  # fmt: skip
    epochs = phases(settings.epochs, ala.schedule, VARIANTS[variant][0])
    seed_everything(seed, "weights", "lora")
    lora = LoraEncoder(encoder, blueprint.lora, blueprint.taps).to(device) if blueprint.lora is not None else None
    used: TapEncoder = encoder if lora is None else lora
    adapter = Adapter(blueprint, seed).to(device)
    wanted_size = settings.augment.resize or size
    if train.size != wanted_size or val.size != size:
        raise UserError(
            f"stores have {train.size} (train) and {val.size} (val) pixels, but the settings need {wanted_size} and"
            f" {size}; run the split stage again"
        )
    lambda_ab = profile.abn.lambda_ab if variant == "abn" else ala.lambda_ab
    optimiser = Optimiser(adapter, lora, settings)
    best = Best(settings)
    curve: list[dict[str, Any]] = []
    progress = Progress(work, len(epochs), adapter, lora, optimiser, best, curve)
    if sources is None and not progress.ended:
        sources = (
            make_source(used, train, blueprint.taps, settings.augment, device,
                        fixed=lora is None, limit=cache_bytes, log=log, precision=precision),
            make_source(used, val, blueprint.taps, None, device, fixed=lora is None, limit=cache_bytes, log=log),
        )  # fmt: skip
    halving = Halving()
    left = [] if progress.ended else epochs[progress.done :]
    for epoch in track(left, f"train {variant} seed {seed}", unit="epoch"):
        lr = learning_rate(settings.lr, epoch.index, settings.epochs, settings.poly_power)
        assert sources is not None
        optimiser.start_epoch(lr)
        loss, accuracy = run_epoch(adapter, sources[0], optimiser, epoch, seed, settings.batch, lambda_ab, precision)
        row = dict.fromkeys(CURVE) | {
            "epoch": epoch.index, "phase": epoch.phase, "lr": lr, "train_loss": loss, "train_accuracy": accuracy
        }  # fmt: skip
        curve.append(row)
        if not epoch.on:
            progress.finished_epoch(ended=False)
            continue
        validation = validate(adapter, sources[1], VALIDATED_AT_ONCE, halving)
        if not math.isfinite(validation.loss):
            raise UserError(f"the validation loss is {validation.loss} after epoch {epoch.index}; {_remedy(lr)}")
        require_finite(validation.alpha, val.image_ids, f"attention after epoch {epoch.index}", _remedy(lr))
        row |= {
            "val_loss": validation.loss,
            "val_accuracy_pb": validation.accuracy_pb,
            "val_accuracy_pb_plus_ab": validation.accuracy_pb_plus_ab,
            "alpha_mean": float(validation.alpha.mean()),
            "alpha_std": float(validation.alpha.std()),
        }
        if diagnose is not None:
            row |= diagnose(validation.alpha, np.arange(len(validation.alpha)))
        progress.finished_epoch(ended=best.offer(epoch, validation, adapter, lora))
        if progress.ended:
            break
    best.restore(adapter, lora)
    return Trained(ExplainedModel(used, adapter).to(device), curve, best.epoch)


def run_epoch(
    adapter: Adapter, source: Source, optimiser: Optimiser, epoch: Epoch, seed: int, batch: int, lambda_ab: float,
    precision: Precision = "fp32",
) -> tuple[float, float]:  # fmt: skip
    """Train for one pass over the images; return mean loss and PB's accuracy over them.

    Args:
        precision: in which the adapter runs; its loss, gradients and weights are float32.

    Raises:
        UserError: the loss of a batch or its gradient is NaN or infinite; it names epoch, batch and images. Or the
            device's memory does not hold a step; nothing of the epoch may then be saved.
    """
    adapter.train_phase(epoch.on)
    seed_everything(seed, "dropout", epoch.index)
    generator = torch_generator(seed, "augment", epoch.index)
    order = numpy_generator(seed, "order", epoch.index).permutation(len(source.photos.labels))
    total = correct = 0.0

    def stopped(wrong: str, some: np.ndarray) -> str:
        ids, lr = named(source.photos.image_ids[some]), optimiser.perception.param_groups[0]["lr"]
        return f"{wrong} in epoch {epoch.index}, batch {number} (images {ids}); {_remedy(lr)}"

    for number, rows in enumerate(batches(order, batch)):  # noqa: B007 - `stopped` names it
        with training_step(batch, "train.batch"):
            optimiser.clear()
            with torch.set_grad_enabled(epoch.on):  # with LoRA the features carry a gradient, but not in off epochs
                images, taps, labels = source.batch(rows, adapter.taps(epoch.on), generator)
            with autocast(precision, images.device):
                output = adapter(images, taps, epoch.on)
            loss = objective(output, labels, lambda_ab)
            value = loss.item()
            if not math.isfinite(value):
                raise UserError(stopped(f"the loss is {value}", rows))
            loss.backward()
            norm = optimiser.step(epoch.on)
        if not math.isfinite(norm):
            raise UserError(stopped(f"the gradients' norm is {norm}", rows))
        total += value * len(rows)
        correct += (output.pb_logits.argmax(1) == labels).sum().item()
    return total / len(order), correct / len(order)


def batches(order: np.ndarray, batch: int) -> list[np.ndarray]:
    """Split `order` into batches of `batch`; a single leftover image joins the last batch (BatchNorm needs two)."""
    cuts = list(range(batch, len(order), batch))
    if cuts and len(order) - cuts[-1] == 1:
        cuts.pop()
    return np.split(order, cuts)


@torch.no_grad()
def validate(
    adapter: Adapter, source: Source, batch: int = VALIDATED_AT_ONCE, halving: Halving | None = None
) -> Validation:
    """Validate the adapter in eval mode and float32, attention on, on all images, `batch` at once if they fit."""
    adapter.eval()
    n, halving = len(source.photos.labels), halving or Halving()
    alphas: list[Tensor] = []
    loss = pb = both = 0.0

    def look(start: int, stop: int) -> tuple[float, float, float, Tensor]:
        images, taps, labels = source.batch(np.arange(start, stop), adapter.taps(True), None)
        alpha, ab_logits, pb_logits = adapter(images, taps, True)
        assert alpha is not None
        assert ab_logits is not None
        summed = pb_logits + ab_logits  # (B, K)
        return (
            F.cross_entropy(summed, labels, reduction="sum").item(),
            (pb_logits.argmax(1) == labels).sum().item(),
            (summed.argmax(1) == labels).sum().item(),
            alpha[:, 0].float().cpu(),
        )

    for first in range(0, n, batch):
        for more, right, right_both, alpha in halving(first, min(first + batch, n), look):
            loss, pb, both = loss + more, pb + right, both + right_both
            alphas.append(alpha)
    return Validation(loss / n, pb / n, both / n, torch.cat(alphas).numpy())


def _remedy(lr: float) -> str:
    return f"lower train.lr (now {lr:.3g}) or train.clip_norm"
