"""What is put into the page so that it needs nothing from outside: style, scripts, DataTables, figures."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from ala.report.html import catalogue


def template(name: str) -> str:
    """The text of a file in `templates/`."""
    return (resources.files("ala.report.html") / "templates" / name).read_text(encoding="utf-8")


def datatables() -> str:
    """DataTables as one JavaScript module (its default export), bundled for use without a network by itables."""
    return (resources.files("itables") / "html" / "dt_bundle.js").read_text(encoding="utf-8")


def script(value: object) -> str:
    """`value` as JSON that may stand in a `<script>`: no `<` in it can end the block."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def data_uri(content: bytes, kind: str) -> str:
    """`content` as a `data:` address of the media type `kind`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def figures(folder: Path, captions: Mapping[str, str]) -> list[dict[str, str]]:
    """The PNG files of `folder` with `name, heading, caption, alt, source`: known ones first, the others by name.

    `captions` (Markdown, by name) replace those of the catalogue; `alt` is the caption without its marks.
    """
    stems = sorted(path.stem for path in folder.glob("*.png"))
    found = []
    for stem in [name for name in catalogue.FIGURES if name in stems] + [
        name for name in stems if name not in catalogue.FIGURES
    ]:
        heading = stem.replace("_", " ").capitalize()
        shown, alt = catalogue.FIGURES.get(stem, (heading, f"Figure: {heading}."))
        caption = captions.get(stem, alt)
        source = data_uri((folder / f"{stem}.png").read_bytes(), "image/png")
        found.append({"name": stem, "heading": shown, "caption": caption, "alt": caption.replace("*", ""),
                      "source": source})  # fmt: skip
    return found
