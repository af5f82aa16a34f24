"""Train stage 2, the decoder over the frozen classifier (METHODS 4.2, 4.3)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ala.config.schema import Fcam as Settings
from ala.data.image_cache import ImageCache
from ala.explainers.fcam.batches import Crops, rate_factor, sgd
from ala.explainers.fcam.cam import resize_maps
from ala.explainers.fcam.classifier import CamClassifier
from ala.explainers.fcam.crf import crf_loss
from ala.explainers.fcam.decoder import Decoder
from ala.explainers.fcam.frozen import FrozenFeatures
from ala.explainers.fcam.losses import barrier_temperature, partial_cross_entropy, size_loss
from ala.explainers.fcam.seeds import IGNORED, draw_seeds
from ala.training.loop import Epoch, Part, Row, Task, train
from ala.utils.checkpoint import Checkpoint
from ala.utils.errors import UserError
from ala.utils.seeds import derive, torch_generator

CURVE = ["epoch", "lr", "t", "loss", "partial_ce", "size", "crf", "foreground_share", "unseeded"]


def train_decoder(
    classifier: CamClassifier, decoder: Decoder, images: ImageCache, settings: Settings, seed: int,
    checkpoint: Checkpoint | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Train `decoder` in place; the classifier is frozen: eval mode, no gradient, no optimiser entry.

    The loss is PCE + `size_weight` * ELB + CRF. The last epoch is kept, as the official training does: to choose an
    epoch by the maps' quality would need masks or boxes, which this weakly supervised method must not see.

    Returns:
        The curve, one row per epoch with the columns :data:`CURVE`: means over the epoch's images of the loss and its
        weighted terms, of the foreground's share of the image, and the number of images without any seed.

    Raises:
        UserError: the loss or a gradient becomes NaN or infinite, no image has a seed in a whole epoch, or the device's
            memory does not hold a step.
    """
    stage = settings.decoder
    work = _Work(classifier, decoder, images, settings, seed)
    course = train(
        Task(
            "F-CAM decoder", "fcam.decoder", decoder, [Part(sgd(stage, list(decoder.parameters())), [decoder])],
            list(decoder.parameters()), [Epoch(index) for index in range(stage.epochs)], stage.batch, stage.lr,
            derive(seed, "fcam", "decoder"), np.asarray(images.image_ids), work.crops.order, work.loss,
            rate_factor(stage), prepare=work.prepare, validate=work.check, generator=work.generator,
        ),
        checkpoint,
    )  # fmt: skip
    curve = pd.DataFrame(course.curve).rename(columns={"train_loss": "loss"})
    curve["unseeded"] = (curve["unseeded"] * len(images)).round().astype(int)
    return curve[CURVE]


class _Work:
    """The decoder's batches and loss."""

    def __init__(
        self, classifier: CamClassifier, decoder: Decoder, images: ImageCache, settings: Settings, seed: int
    ) -> None:
        self.classifier, self.decoder, self.images, self.settings = classifier, decoder, images, settings
        self.crops = Crops(images, settings.input_size, seed, "decoder")
        self.generator = torch_generator(seed, "fcam", "decoder", "seeds")

    def prepare(self) -> None:
        """Compute the frozen features: a pass over all images, where they are cached."""
        size, batch = self.settings.input_size, self.settings.decoder.batch
        self.features = FrozenFeatures(self.classifier, self.images, size, batch)

    def loss(self, indices: np.ndarray, epoch: Epoch) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of a batch, and sums of what the curve shows."""
        settings, size, count = self.settings, self.settings.input_size, len(indices)
        pixels = self.crops.pixels(indices)  # (B, 3, S, S) uint8
        levels, cams = self.features(indices, self.crops.flipped[indices], pixels)  # (B, C_i, h_i, w_i), (B, g, g)
        seeds = draw_seeds(resize_maps(cams, size), settings.seeds, self.generator)  # (B, S, S)
        logits = self.decoder(levels, size)  # (B, 2, S, S)
        probabilities = logits.softmax(1)
        terms = {  # each a mean: the first over seeds, the others over images
            "partial_ce": partial_cross_entropy(logits, seeds),
            "size": settings.size_weight * size_loss(probabilities, self._barrier(epoch.index)),
            "crf": crf_loss(probabilities, pixels.to(logits.device), settings.crf),
        }
        sums = {name: term.item() * count for name, term in terms.items()}
        sums["foreground_share"] = probabilities.detach()[:, 1].mean().item() * count
        sums["unseeded"] = (seeds == IGNORED).flatten(1).all(1).sum().item()
        return torch.stack(list(terms.values())).sum(), sums

    def check(self, row: Row) -> Row:
        """Stop where no image of an epoch had a seed; log the barrier's t."""
        if row["unseeded"] == 1:
            raise UserError(
                f"F-CAM decoder: in epoch {row['epoch']} every image's CAM is constant, so no seed can be drawn; the"
                f" classifier has collapsed, lower fcam.classifier.lr (now {self.settings.classifier.lr})"
            )
        return {"t": self._barrier(row["epoch"])}

    def _barrier(self, epoch: int) -> float:
        settings = self.settings
        return barrier_temperature(epoch, settings.barrier_t, settings.barrier_growth, settings.barrier_max)
