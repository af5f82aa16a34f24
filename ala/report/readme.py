"""The generated part of a README: the text between two markers becomes the main table."""

from __future__ import annotations

from pathlib import Path

from ala.report import captions, markdown, tables
from ala.report.run import Run
from ala.runtime.errors import UserError
from ala.runtime.files import write_text

BEGIN, END = "<!-- generated: main table -->", "<!-- end generated -->"


def update(readme: Path, text: str) -> bool:
    """Put `text` between the markers of `readme`; returns whether that changed the file.

    Raises:
        UserError: the file is missing, or the two markers do not stand there once each, in this order.
    """
    try:
        content = readme.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{readme} does not exist; name the README that holds the line {BEGIN}") from None
    if content.count(BEGIN) != 1 or content.count(END) != 1 or content.index(BEGIN) > content.index(END):
        raise UserError(f"{readme} needs the lines {BEGIN} and {END}, once each and in this order; add them")
    before, rest = content.split(BEGIN)
    after = rest.split(END)[1]
    updated = f"{before}{BEGIN}\n{text.strip()}\n{END}{after}"
    if updated == content:
        return False
    write_text(readme, updated)
    return True


def main_table(run: Run) -> str:
    """The main table beside the slides', with what it stands for and a link to the rest."""
    return "\n\n".join(
        [
            markdown.results(tables.main(run), "method", "main", brief=True),
            captions.what_was_run(run),
            "Mean ± sample standard deviation over seeds; bold: best of the methods that explain a model; `box` is the"
            " ground-truth box, an oracle.",
        ]
    )
