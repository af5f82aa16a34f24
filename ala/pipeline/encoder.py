"""Load an image encoder, or pre-train the miniature's small CLIP; freeze and keep it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import torch

from ala.config.inputs import encoder_file
from ala.config.schema import Profile, Settings
from ala.contracts.compute import used
from ala.data.image_cache import ImageCache
from ala.encoders import build_encoder, save_encoder
from ala.encoders.clip_source import read_config
from ala.encoders.drawn import captions_and_trainer
from ala.encoders.encoder import Encoder
from ala.encoders.packaged import load_packaged, trained_by, trained_with
from ala.encoders.zero_shot import BATCH, zero_shot_accuracy
from ala.utils.checkpoint import Checkpoint
from ala.utils.files import atomic_folder, write_json

#: A change of any of these restarts an unfinished pre-training.
CODE = ["ala.encoders", "ala.training.loop", "ala.data.birdlets", "ala.contracts", "ala.utils.seeds"]


def encoder(
    settings: Settings, images: Path, out: Path, device: torch.device, train: bool = False
) -> tuple[Encoder, float | None]:
    """Build the frozen encoder of the active profile and write it into `out`, which is replaced as a whole.

    Args:
        images: the image cache; its test split names the classes and is what zero-shot accuracy is measured on.
        train: train weights that are packaged again, as `encoder.weights: train` does.

    Returns:
        The encoder, and its zero-shot accuracy in [0, 1] on the test split; None without text features.

    Raises:
        UserError: the weights do not fit, or the settings do not fit the encoder.
    """
    profile = settings.active
    if train:
        chosen = profile.encoder.model_copy(update={"weights": "train"})
        profile = profile.model_copy(update={"encoder": chosen})
    weights, pretrain = profile.encoder.weights, profile.encoder.pretrain
    given = encoder_file(profile.encoder, settings.inputs.path("encoder"))
    size = profile.data.input_size
    test = ImageCache.open(images / str(size), "test")
    checkpoint = pretraining(profile, device) if weights == "train" else None
    made_with, about = {"used": used(device, "fp32", BATCH)}, {}
    if weights == "packaged":
        built, metrics = load_packaged(profile.encoder, profile.data)
        built.to(device)
        made_with["used_in_training"] = metrics["used_in_training"]
    else:
        captions, trainer = captions_and_trainer(profile.data, profile.encoder, device, checkpoint)
        grid = size // profile.ala.sbn.patch
        built = build_encoder(profile.encoder, size, grid, test.names, captions, trainer, given).to(device)
        if pretrain is not None:
            made_with["used_in_training"] = used(device, "fp32", pretrain.batch)
            about = {"trained_by": trained_by(profile.encoder, profile.data), "trained_with": trained_with()}
    accuracy = zero_shot_accuracy(built, test)
    scored = len(test) if accuracy is not None else 0
    with atomic_folder(out) as temporary:
        save_encoder(built, temporary, about)
        write_json(temporary / "metrics.json", {"zero_shot_accuracy": accuracy, "n_images": scored, **made_with})
    return built, accuracy


def pretraining(profile: Profile, device: torch.device) -> Checkpoint:
    """The checkpoint of the pre-training that `profile` requests."""
    decides = profile.model_dump(mode="json", include={"encoder": True, "data": {"birdlets", "input_size"}})
    where = {"device": str(device), "threads": torch.get_num_threads()}
    library = {"open_clip": version("open-clip-torch"), "config": read_config(profile.encoder.model)}
    return Checkpoint.of("encoder", {**decides, **where, **library}, code=CODE)
