"""Train one variant of ALA, or ABN, from image caches and a frozen encoder to the best adapter (METHODS 2.6, 2.7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ala.config.schema import Profile, Train
from ala.contracts.compute import autocast, require_precision
from ala.model.adapter import Adapter
from ala.model.blueprint import VARIANTS, plan
from ala.model.explained import ExplainedModel, FeatureEncoder
from ala.model.lora import LoraEncoder, LowRank
from ala.training.features import Images, Source, make_source
from ala.training.loop import Epoch, Row, Task, phases, train
from ala.training.loss import objective
from ala.training.optimiser import adapter_parts, parameters
from ala.utils.checkpoint import Checkpoint
from ala.utils.errors import UserError
from ala.utils.finite import require_finite
from ala.utils.fitting import Halving
from ala.utils.seeds import numpy_generator, seed_everything, torch_generator

#: Columns of curve.csv. Those after `train_accuracy` (of PB, in training mode) are empty for off epochs.
CURVE = [
    "epoch", "phase", "lr", "train_loss", "train_accuracy",
    "val_loss", "val_accuracy_pb", "val_accuracy_pb_plus_ab", "val_miou", "alpha_mean", "alpha_std",
]  # fmt: skip

#: Validation images per forward pass, if they fit the device.
VALIDATED_AT_ONCE = 64

#: What `train.criterion` compares, the larger the better: cross-entropy of PB + AB, its accuracy (ties by lower loss),
#: or the latest.
CRITERIA: dict[str, Callable[[Row], tuple[float, ...]]] = {
    "val_loss": lambda row: (-row["val_loss"],),
    "val_accuracy": lambda row: (row["val_accuracy_pb_plus_ab"], -row["val_loss"]),
    "last": lambda row: (float(row["epoch"]),),
}

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
    encoder: FeatureEncoder,
    images: Images,
    val: Images,
    classes: int,
    seed: int,
    *,
    device: str | torch.device = "cpu",
    diagnose: Diagnose | None = None,
    cache_bytes: int = 2 * 2**30,
    log: Callable[[str], None] = print,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train `variant` (a key of :data:`ala.model.blueprint.VARIANTS`).

    Args:
        profile: its `ala`, `abn` and `train` sections are used; try a setting by `model_copy(update=...)`.
        encoder: frozen, on `device`; it is not changed.
        images, val: image caches; `images`, which train, at `train.augment.resize` pixels if that is set, `val` at the
            input size.
        classes: K; labels are 0..K-1.
        seed: of the initial weights, the order of images, augmentation and dropout.
        diagnose: called after each on epoch; its numbers are logged in the curve and decide nothing.
        cache_bytes: bound on the features kept of each split.
        log: called with lines about decisions.
        checkpoint: keeps the state between epochs; a killed training goes on from it.

    Raises:
        UserError: the settings do not fit the encoder or each other, or the loss, a gradient or a map of attention is
            not finite any more, the device does not compute in `train.precision`, or its memory does not hold a step.
    """
    ala, settings, device = profile.ala, profile.train, torch.device(device)
    size, precision = encoder.preprocessing.size, settings.precision
    require_precision(precision, device, "train.precision")
    blueprint = plan(
        variant, ala, profile.abn,
        feature_channels=encoder.feature_channels, grid=encoder.grid, input_size=size, classes=classes,
    )  # fmt: skip
    epochs = phases(settings.epochs, ala.schedule, VARIANTS[variant][0])
    wanted_size = settings.augment.resize or size
    if images.size != wanted_size or val.size != size:
        raise UserError(
            f"image caches have {images.size} (train) and {val.size} (val) pixels, but the settings need {wanted_size}"
            f" and {size}; run the split stage again"
        )
    seed_everything(seed, "weights", "lora")
    lora = LoraEncoder(encoder, blueprint.lora, blueprint.features).to(device) if blueprint.lora is not None else None
    used: FeatureEncoder = encoder if lora is None else lora
    adapter = Adapter(blueprint, seed).to(device)

    def make_sources() -> tuple[Source, Source]:
        fixed, features = lora is None, blueprint.features
        return (
            make_source(used, images, features, settings.augment, device,
                        fixed=fixed, limit=cache_bytes, log=log, precision=precision),
            make_source(used, val, features, None, device, fixed=fixed, limit=cache_bytes, log=log),
        )  # fmt: skip

    lambda_ab = profile.abn.lambda_ab if variant == "abn" else ala.lambda_ab
    work = Work(adapter, settings, lambda_ab, seed, make_sources, diagnose)
    course = train(work.task(f"train {variant} seed {seed}", epochs, images.image_ids, lora), checkpoint)
    curve = [{column: row.get(column) for column in CURVE} for row in course.curve]
    return Trained(ExplainedModel(used, adapter).to(device), curve, course.kept)


class Work:
    """What is special in the training of an adapter: its order of images, its loss, its validation.

    Args:
        adapter: on the device that trains.
        lambda_ab: weight of the attention branch's loss.
        make_sources: makes the batches of training and validation images; called once, if anything is left to train.
        diagnose: see :func:`train_variant`.
    """

    def __init__(
        self, adapter: Adapter, settings: Train, lambda_ab: float, seed: int,
        make_sources: Callable[[], tuple[Source, Source]], diagnose: Diagnose | None = None,
    ) -> None:  # fmt: skip
        self.adapter, self.settings, self.lambda_ab, self.seed = adapter, settings, lambda_ab, seed
        self.make_sources, self.diagnose, self.halving = make_sources, diagnose, Halving()

    def task(self, name: str, epochs: Sequence[Epoch], image_ids: np.ndarray, lora: LoraEncoder | None = None) -> Task:
        """Make the task for :func:`ala.training.loop.train`; with `lora` its low-rank update trains, too."""
        settings = self.settings
        network = nn.ModuleDict({"adapter": self.adapter})
        update: list[nn.Parameter] = []
        if lora is not None:
            network["lora"] = nn.ModuleList(part for part in lora.modules() if isinstance(part, LowRank))
            update = list(lora.update().values())
        parts = adapter_parts(self.adapter, settings, update)
        return Task(
            name, "train", network, parts, parameters(parts), epochs, settings.batch, settings.lr, self.seed, image_ids,
            self.order, self.loss,
            factor=lambda epoch, number, count: (1 - epoch / settings.epochs) ** settings.poly_power,
            prepare=self.prepare, validate=self.validate, score=CRITERIA[settings.criterion],
            patience=settings.patience, clip_norm=settings.clip_norm,
        )  # fmt: skip

    def prepare(self) -> None:
        """Make the batches: encoder features of all images, where they are cached."""
        self.source, self.val = self.make_sources()

    def order(self, epoch: int) -> np.ndarray:
        """Draw the order of the images; begin the epoch's stream of augmentations."""
        self.augmentation = torch_generator(self.seed, "augment", epoch)
        return numpy_generator(self.seed, "order", epoch).permutation(len(self.source.image_source.labels))

    def loss(self, indices: np.ndarray, epoch: Epoch) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of a batch, and the number of images that PB classifies correctly."""
        with torch.set_grad_enabled(epoch.on):  # with LoRA the features carry a gradient, but not in off epochs
            images, features, labels = self.source.batch(indices, self.adapter.features(epoch.on), self.augmentation)
        with autocast(self.settings.precision, images.device):
            output = self.adapter(images, features, epoch.on)
        correct = (output.pb_logits.argmax(1) == labels).sum()
        return objective(output, labels, self.lambda_ab), {"train_accuracy": correct.item()}

    def validate(self, row: Row) -> Row:
        """Validate on all validation images, and diagnose the attention maps."""
        found = validate(self.adapter, self.val, VALIDATED_AT_ONCE, self.halving)
        remedy = f"lower train.lr (now {self.settings.lr:.3g}) or train.clip_norm"
        require_finite(found.alpha, self.val.image_source.image_ids, f"attention after epoch {row['epoch']}", remedy)
        return {
            "val_loss": found.loss,
            "val_accuracy_pb": found.accuracy_pb,
            "val_accuracy_pb_plus_ab": found.accuracy_pb_plus_ab,
            "alpha_mean": float(found.alpha.mean()),
            "alpha_std": float(found.alpha.std()),
            **(self.diagnose(found.alpha, np.arange(len(found.alpha))) if self.diagnose is not None else {}),
        }


@dataclass(frozen=True)
class Validation:
    """`loss` is the cross-entropy of PB + AB logits (the author's criterion); `alpha` float32 `(n, g, g)`."""

    loss: float
    accuracy_pb: float
    accuracy_pb_plus_ab: float
    alpha: np.ndarray


@torch.no_grad()
def validate(
    adapter: Adapter, source: Source, batch: int = VALIDATED_AT_ONCE, halving: Halving | None = None
) -> Validation:
    """Validate the adapter in eval mode and float32, attention on, on all images, `batch` at once if they fit."""
    adapter.eval()
    n, halving = len(source.image_source.labels), halving or Halving()
    alphas: list[Tensor] = []
    loss = pb = both = 0.0

    def look(start: int, stop: int) -> tuple[float, float, float, Tensor]:
        images, features, labels = source.batch(np.arange(start, stop), adapter.features(True), None)
        alpha, ab_logits, pb_logits = adapter(images, features, True)
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
