"""Open and decode an image file fully, or say what is wrong with it."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

MAX_PIXELS = 50_000_000  # a small file can claim a picture that fills the memory; CUB's largest image has 0.25 million


class Damaged(Exception):
    """What is wrong with an image or its mask; problems of one kind are counted together."""

    def __init__(self, kind: str, sentence: str, image_id: int = -1) -> None:
        super().__init__(sentence)
        self.kind, self.image_id = kind, image_id


def decode(file: Path, kind: str) -> Image.Image:
    """Open an image file and decode it to its last byte.

    Args:
        file: its path.
        kind: what it is, for messages.

    Raises:
        Damaged: it is no image, damaged, cut off, animated or larger than `MAX_PIXELS`.
    """
    try:
        content = file.read_bytes()
        stream = io.BytesIO(content)
        with Image.open(stream) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Damaged(
                    "huge", f"{kind} {file} claims {size_of(image)} pixels, at most {MAX_PIXELS:,} are read; shrink it"
                )
            if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO: a JPEG with its own preview
                frames = getattr(image, "n_frames", 0)
                raise Damaged("animated", f"{kind} {file} is animated ({frames} frames); save one of them")
            # The decoders are content with zeros in place of the rest, as an interrupted copy may leave them. verify()
            # follows a PNG's chunks to the last; a JPEG's end marker must follow the scan, at which open() stops.
            if image.format == "JPEG" and content.find(b"\xff\xd9", stream.tell()) < 0:
                raise ValueError("its end is missing")
            image.verify()
        image = Image.open(io.BytesIO(content))
        image.load()
    except Image.DecompressionBombError as error:
        raise Damaged("huge", f"{kind} {file} is too large to read ({error}); shrink it") from None
    except Image.UnidentifiedImageError:
        raise Damaged("foreign", f"{kind} {file} ({len(content):,} bytes) is no picture; copy it again") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # Pillow reports damage by any of these
        raise Damaged("damaged", f"{kind} {file} does not decode ({error}); copy it again") from None
    return image


def size_of(image: Image.Image) -> str:
    """Width and height as text."""
    return f"{image.width} x {image.height}"
