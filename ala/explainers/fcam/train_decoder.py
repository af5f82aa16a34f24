"""Train stage 2, the decoder over the frozen classifier (METHODS 4.2, 4.3)."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from ala.config.schema import Fcam as Settings
from ala.data.store import Store
from ala.explainers.fcam.batches import Plan, crops
from ala.explainers.fcam.cam import resize_maps
from ala.explainers.fcam.classifier import CamClassifier
from ala.explainers.fcam.crf import crf_loss
from ala.explainers.fcam.decoder import Decoder
from ala.explainers.fcam.frozen import FrozenFeatures
from ala.explainers.fcam.losses import barrier_temperature, partial_cross_entropy, size_loss
from ala.explainers.fcam.optimise import Loss, descend, learning_rate, set_rate, sgd
from ala.explainers.fcam.seeds import IGNORED, draw_seeds
from ala.utils.epochs import Epochs, Generator, Part, Rows
from ala.utils.errors import UserError
from ala.utils.progress import track
from ala.utils.resume import Resumable
from ala.utils.seeds import torch_generator

CURVE = ["epoch", "lr", "t", "loss", "partial_ce", "size", "crf", "foreground_share", "unseeded"]


class Inputs(NamedTuple):
    """A batch: `pixels` uint8 `(B, 3, S, S)`, `levels` `(B, C_i, h_i, w_i)`, `seeds` `(B, S, S)`, the barrier's t."""

    pixels: Tensor
    levels: list[Tensor]
    seeds: Tensor
    t: float


def train_decoder(
    classifier: CamClassifier,
    decoder: Decoder,
    train: Store,
    settings: Settings,
    seed: int,
    work: Resumable | None = None,
) -> pd.DataFrame:
    """Train `decoder` in place; the classifier is frozen: eval mode, no gradient, no optimiser entry.

    The loss is PCE + `size_weight` * ELB + CRF. The last epoch is kept, as the official training does: to choose an
    epoch by the maps' quality would need masks or boxes, which this weakly supervised method must not see. `work` saves
    the state between epochs; training resumes from a saved state, bit-identically.

    Returns:
        The curve, one row per epoch with the columns :data:`CURVE`: means over the epoch's images of the loss and its
        weighted terms, of the foreground's share of the image, and the number of images without any seed.

    Raises:
        UserError: the loss or a gradient becomes NaN or infinite, no image has a seed in a whole epoch, or the device's
            memory does not hold a step.
        Stopped: a signal arrived, and the state is saved.
    """
    stage, size = settings.decoder, settings.input_size
    device = next(decoder.parameters()).device
    trained: list[nn.Parameter] = list(decoder.parameters())
    optimiser = sgd(stage, trained)
    generator, curve = torch_generator(seed, "fcam", "decoder", "seeds"), Rows()
    parts: dict[str, Part] = {
        "network": decoder,
        "optimiser": optimiser,
        "generator": Generator(generator),
        "curve": curve,
    }
    epochs = Epochs(work, "decoder", stage.epochs, parts)
    plan = Plan(len(train), train.size, size, stage.epochs, stage.batch, seed, "decoder", epochs.done)
    decoder.eval()
    if epochs.ended:  # before the features: they cost a pass over all images
        return _frame(curve)

    features = FrozenFeatures(classifier, train, size, stage.batch)
    sums = dict.fromkeys(CURVE[3:], 0.0)
    t = settings.barrier_t
    decoder.train()
    for batch in track(plan, "F-CAM decoder", total=len(plan), unit="batch"):
        if batch.number == 0:
            sums = dict.fromkeys(CURVE[3:], 0.0)
            t = barrier_temperature(batch.epoch, settings.barrier_t, settings.barrier_growth, settings.barrier_max)
            set_rate(optimiser, learning_rate(stage, batch.epoch))
        pixels = crops(train, batch, size)  # (B, 3, S, S) uint8
        levels, cams = features(batch, pixels)  # (B, C_i, h_i, w_i), (B, g, g)
        seeds = draw_seeds(resize_maps(cams, size), settings.seeds, generator)  # (B, S, S)
        count = len(batch.rows)

        def loss_of(now: Inputs = Inputs(pixels, levels, seeds, t)) -> Loss:  # noqa: B008 - of this batch
            logits = decoder(now.levels, size)  # (B, 2, S, S)
            probabilities = logits.softmax(1)
            terms = {  # each a mean: the first over seeds, the others over images
                "partial_ce": partial_cross_entropy(logits, now.seeds),
                "size": settings.size_weight * size_loss(probabilities, now.t),
                "crf": crf_loss(probabilities, now.pixels.to(device), settings.crf),
            }
            numbers = {name: float(term.detach()) for name, term in terms.items()}
            numbers["foreground_share"] = float(probabilities.detach()[:, 1].mean())
            return torch.stack(list(terms.values())).sum(), numbers

        value, numbers = descend(optimiser, loss_of, "decoder", batch, train, stage)
        sums["loss"] += value * count
        for name, number in numbers.items():
            sums[name] += number * count
        sums["unseeded"] += int((seeds == IGNORED).flatten(1).all(1).sum())
        if batch.ends_epoch:
            if sums["unseeded"] == len(train):
                raise UserError(
                    f"F-CAM's decoder: in epoch {batch.epoch} every photo's CAM is constant, so no seed can be drawn"
                    "; the classifier has collapsed, lower fcam.classifier.lr"
                    f" (now {settings.classifier.lr})"
                )
            means = {name: value if name == "unseeded" else value / len(train) for name, value in sums.items()}
            curve.rows.append({"epoch": batch.epoch, "lr": learning_rate(stage, batch.epoch), "t": t, **means})
            epochs.finished()
    decoder.eval()
    return _frame(curve)


def _frame(curve: Rows) -> pd.DataFrame:
    return pd.DataFrame(curve.rows, columns=CURVE).astype({"unseeded": int})
