"""Train F-CAM from images and labels: classifier, then decoder (METHODS 4)."""

from __future__ import annotations

from pathlib import Path

import torch

from ala.config.schema import Fcam as Settings
from ala.data.image_cache import ImageCache
from ala.explainers.fcam.classifier import CamClassifier
from ala.explainers.fcam.decoder import Decoder
from ala.explainers.fcam.model import Fcam, Trained
from ala.explainers.fcam.train_classifier import train_classifier
from ala.explainers.fcam.train_decoder import train_decoder
from ala.utils.checkpoint import Checkpoint
from ala.utils.errors import UserError
from ala.utils.seeds import seed_everything


def train_fcam(
    train: ImageCache, val: ImageCache, settings: Settings, seed: int, device: torch.device | str = "cpu",
    checkpoint: Checkpoint | None = None, file: Path | None = None,
) -> Trained:  # fmt: skip
    """Train both stages. No mask is read; the validation images choose the classifier's epoch and nothing else.

    Args:
        train: images at `settings.resize` px (then cropped at random), or at `input_size` where that is null.
        val: images at `settings.input_size` px.
        settings: the `fcam` block.
        seed: of weights, order, augmentation and seeds.
        device: where to train.
        file: the backbone's pre-trained weights, in place of timm's own source.
        checkpoint: keeps the state of each stage between epochs; a killed training goes on from it.

    Raises:
        UserError: an image cache has another image size or other classes, a weight file does not fit, or a loss is NaN
            or infinite.
    """
    for cache, image_size in ((train, settings.resize or settings.input_size), (val, settings.input_size)):
        if cache.size != image_size:
            raise UserError(
                f"F-CAM needs its {cache.split} images at {image_size} px, these are at {cache.size} px; give the"
                f" image cache of {image_size} px or change fcam.input_size and fcam.resize"
            )
    if train.names != val.names:
        raise UserError(
            "F-CAM's training and validation images have different classes; run `dvc repro image_cache` again"
        )
    # channels_last: the same numbers, a third less time for convolutions on CPUs.
    seed_everything(seed, "fcam", "classifier")
    classifier = CamClassifier(settings, len(train.names), file=file)
    classifier = classifier.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    classifier_curve, chosen = train_classifier(
        classifier, train, val, settings, seed, checkpoint and checkpoint.part("classifier")
    )
    seed_everything(seed, "fcam", "decoder")
    decoder = Decoder(classifier.channels, classifier.strides, settings.decoder_channels)
    decoder = decoder.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    decoder_curve = train_decoder(classifier, decoder, train, settings, seed, checkpoint and checkpoint.part("decoder"))
    about = {
        "settings": settings.model_dump(mode="json"),
        "classes": len(train.names),
        "seed": seed,
        "photos": {"train": len(train), "val": len(val)},
        "classifier": {"selected_by": settings.select, **{k: v for k, v in chosen.items() if v == v}},
        "decoder": {"kept": "last epoch", "epoch": settings.decoder.epochs - 1},
    }
    return Trained(Fcam(classifier, decoder), classifier_curve, decoder_curve, about)
