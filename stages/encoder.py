"""Stage `encoder`: the frozen image encoder that every model reads."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ala.config import load
from ala.utils.errors import reported
from ala.utils.files import atomic_folder, write_json

if TYPE_CHECKING:
    import torch

    from ala.config.schema import Profile
    from ala.utils.checkpoint import Checkpoint

Params = Annotated[Path, typer.Option(help="The settings; the profile they name is used.")]
ImageCaches = Annotated[Path, typer.Option(help="The folder that the stage `image_cache` wrote; SIZE/test is read.")]
Out = Annotated[Path, typer.Option(help="Where the encoder goes; replaced as a whole.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Train = Annotated[bool, typer.Option(help="Train weights that are packaged again, as encoder.weights train does.")]

#: A change of any of these restarts an unfinished pre-training.
CODE = ["ala.encoders", "ala.training.loop", "ala.data.birdlets", "ala.contracts", "ala.utils.seeds"]


def main(
    params: Params = Path("params.yaml"),
    image_cache: ImageCaches = Path("data/image_cache"),
    out: Out = Path("models/encoder"),
    device: Device = "auto",
    train: Train = False,
) -> None:
    """Load an image encoder, or pre-train the miniature's small CLIP on captioned drawings; then freeze it.

    Reads profiles.NAME.encoder (which model, which weights), the weight file inputs.encoder, profiles.NAME.data (input
    size, species), the grid size from profiles.NAME.ala.sbn.patch, and the images of the test split with their class
    names.

    Writes OUT/encoder.safetensors (the image tower), OUT/encoder.json (what it is and what it was made from),
    OUT/text_features.safetensors (one unit vector for each class, where the encoder has text) and OUT/metrics.json
    (zero-shot accuracy on the test split, null without text; precision, device, threads and batch).

    Examples:
        python -m stages.encoder
        python -m stages.encoder --train --out ala/encoders/trained/birdlet-clip  # train the shipped weights again
    """
    with reported():
        from ala.config.inputs import encoder_file
        from ala.contracts.compute import used
        from ala.data.image_cache import ImageCache
        from ala.encoders import build_encoder, save_encoder
        from ala.encoders.drawn import captions_and_trainer
        from ala.encoders.packaged import load_packaged, trained_by, trained_with
        from ala.encoders.zero_shot import BATCH, zero_shot_accuracy
        from ala.utils.device import resolve

        settings = load(params)
        profile = settings.active
        if train:
            chosen = profile.encoder.model_copy(update={"weights": "train"})
            profile = profile.model_copy(update={"encoder": chosen})
        weights, pretrain = profile.encoder.weights, profile.encoder.pretrain
        given = encoder_file(profile.encoder, settings.inputs.path("encoder"))
        size = profile.data.input_size
        target = resolve(device)
        images = ImageCache.open(image_cache / str(size), "test")
        checkpoint = pretraining(profile, target) if weights == "train" else None
        made_with = {"used": used(target, "fp32", BATCH)}
        about = {}
        if weights == "packaged":
            encoder, metrics = load_packaged(profile.encoder, profile.data)
            encoder.to(target)
            made_with["used_in_training"] = metrics["used_in_training"]
        else:
            captions, trainer = captions_and_trainer(profile.data, profile.encoder, target, checkpoint)
            grid = size // profile.ala.sbn.patch
            encoder = build_encoder(profile.encoder, size, grid, images.names, captions, trainer, given).to(target)
            if pretrain is not None:
                made_with["used_in_training"] = used(target, "fp32", pretrain.batch)
                about = {"trained_by": trained_by(profile.encoder, profile.data), "trained_with": trained_with()}
        accuracy = zero_shot_accuracy(encoder, images)
        scored = len(images) if accuracy is not None else 0
        with atomic_folder(out) as temporary:
            save_encoder(encoder, temporary, about)
            write_json(temporary / "metrics.json", {"zero_shot_accuracy": accuracy, "n_images": scored, **made_with})
        result = f"zero-shot accuracy {accuracy:.3f} on {scored} images" if accuracy is not None else "no text features"
        print(
            f"{out}: features {', '.join(map(str, encoder.feature_channels))} at {encoder.grid} x {encoder.grid},"
            f" {result}"
        )


def pretraining(profile: Profile, device: torch.device) -> Checkpoint:
    """The checkpoint of the pre-training that `profile` requests."""
    import torch

    from ala.encoders.clip_source import read_config
    from ala.utils.checkpoint import Checkpoint

    decides = profile.model_dump(mode="json", include={"encoder": True, "data": {"birdlets", "input_size"}})
    where = {"device": str(device), "threads": torch.get_num_threads()}
    library = {"open_clip": version("open-clip-torch"), "config": read_config(profile.encoder.model)}
    return Checkpoint.of("encoder", {**decides, **where, **library}, code=CODE)


if __name__ == "__main__":
    typer.run(main)
