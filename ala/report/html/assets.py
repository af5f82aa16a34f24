"""What is put into the page so that it needs nothing from outside: style, scripts, DataTables, figures, prose."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

from ala.report.rows import Rows

#: Headings of figures whose name does not say it.
HEADINGS = {"curves": "Insertion and deletion", "gallery": "Best, median and worst", "layers": "Which layer?",
            "errors": "The worst images"}  # fmt: skip
_MARKDOWN = MarkdownIt("commonmark", {"html": False})


def template(name: str) -> str:
    """The text of a file in `templates/`."""
    return (resources.files("ala.report.html") / "templates" / name).read_text(encoding="utf-8")


def style(rows: Rows) -> str:
    """The style sheet, with the colours of all rows."""
    return "\n".join([template("style.css"), *sorted({row.look.css for row in rows})])


def datatables() -> str:
    """DataTables as one JavaScript module (its default export), bundled for use without a network by itables."""
    return (resources.files("itables") / "html" / "dt_bundle.js").read_text(encoding="utf-8")


def script(value: object) -> str:
    """`value` as JSON that may be in a `<script>`: no `<` in it can end the block."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def figures(folder: Path, captions: Mapping[str, str]) -> list[dict[str, str]]:
    """The PNG files NAME.png of `folder`, by the names of their `captions` (Markdown): `heading, caption, alt, source`.

    `alt` is the caption without its marks.
    """
    return [
        {"heading": HEADINGS.get(name, name.capitalize()), "caption": caption, "alt": caption.replace("*", ""),
         "source": f"data:image/png;base64,{base64.b64encode((folder / f'{name}.png').read_bytes()).decode()}"}
        for name, caption in captions.items()
    ]  # fmt: skip


def blocks(text: str) -> Markup:
    """Paragraphs and lists of Markdown as HTML; raw HTML in it is shown as text, never obeyed."""
    return Markup(_MARKDOWN.render(text))


def inline(text: str) -> Markup:
    """A line of Markdown without a paragraph around it."""
    return Markup(_MARKDOWN.renderInline(text))
