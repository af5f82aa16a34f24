"""The mark of a run that is no result, put on every page that is text; the page index.html carries it by itself."""

from __future__ import annotations

from pathlib import Path

from ala.utils.files import write_text


def stamp(folder: Path, mark: str | None) -> None:
    """Put `mark` below the title and at the end of every Markdown file below `folder`; without a mark do nothing."""
    if mark is None:
        return
    for page in sorted(folder.rglob("*.md")):
        title, _, rest = page.read_text(encoding="utf-8").partition("\n")
        write_text(page, f"{title}\n\n> **{mark}**\n{rest.rstrip()}\n\n> **{mark}**\n")
