"""Stage `encoder`: the frozen image encoder that every model reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.utils.errors import reported
from stages import options

Out = Annotated[Path, typer.Option(help="Where the encoder goes; replaced as a whole.")]
Train = Annotated[bool, typer.Option(help="Train weights that are packaged again, as encoder.weights train does.")]


def main(
    params: options.Params = options.PARAMS,
    images: options.Images = options.IMAGES,
    out: Out = Path("models/encoder"),
    device: options.Device = options.DEVICE,
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
        from ala.pipeline.encoder import encoder
        from ala.utils.device import resolve

        built, accuracy = encoder(load(params), images, out, resolve(device), train)
        result = f"zero-shot accuracy {accuracy:.3f} on test images" if accuracy is not None else "no text features"
        print(f"{out}: features {', '.join(map(str, built.feature_channels))} at {built.grid} x {built.grid}, {result}")


if __name__ == "__main__":
    typer.run(main)
