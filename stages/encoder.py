"""Stage `encoder`: the frozen image encoder that every model reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.runtime.errors import reported
from ala.runtime.files import atomic_folder, write_json

Params = Annotated[Path, typer.Option(help="The settings; the profile they name is used.")]
Stores = Annotated[Path, typer.Option(help="The folder that the stage `store` wrote; SIZE/test is read.")]
Out = Annotated[Path, typer.Option(help="Where the encoder goes; replaced as a whole.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]


def main(
    params: Params = Path("params.yaml"),
    store: Stores = Path("data/store"),
    out: Out = Path("models/encoder"),
    device: Device = "auto",
) -> None:
    """Load an image encoder, or pre-train the miniature's small CLIP on captioned drawings; then freeze it.

    Reads profiles.NAME.encoder (which model, which weights), profiles.NAME.data (input size, species), the grid
    side from profiles.NAME.ala.sbn.patch, and the photos of the test split with their class names.

    Writes OUT/encoder.safetensors (the image tower), OUT/encoder.json (what it is and what it was made from),
    OUT/text_features.safetensors (one unit vector for each class, where the encoder has text) and OUT/metrics.json
    (zero-shot accuracy on the test split, null without text).

    Example: python -m stages.encoder --out models/encoder
    """
    with reported(out):
        from ala.data.store import Store
        from ala.encoder import build_encoder, save_encoder
        from ala.encoder.drawn import captions_and_trainer
        from ala.encoder.zero_shot import zero_shot_accuracy
        from ala.runtime.device import resolve

        profile = load(params).active
        size = profile.data.input_size
        target = resolve(device)
        photos = Store.open(store / str(size), "test")
        captions, trainer = captions_and_trainer(profile.data, profile.encoder, target)
        grid = size // profile.ala.sbn.patch
        encoder = build_encoder(profile.encoder, size, grid, photos.names, captions, trainer).to(target)
        accuracy = zero_shot_accuracy(encoder, photos)
        scored = len(photos) if accuracy is not None else 0
        with atomic_folder(out) as temporary:
            save_encoder(encoder, temporary)
            write_json(temporary / "metrics.json", {"zero_shot_accuracy": accuracy, "n_images": scored})
        result = f"zero-shot accuracy {accuracy:.3f} on {scored} photos" if accuracy is not None else "no text features"
        print(f"{out}: taps {', '.join(map(str, encoder.tap_channels))} at {encoder.grid} x {encoder.grid}, {result}")


if __name__ == "__main__":
    typer.run(main)
