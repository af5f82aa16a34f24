"""The generated parts of pages: the text between two markers is replaced, as by the main table in the README."""

from __future__ import annotations

from pathlib import Path

from ala.report import captions, tables
from ala.report.render import markdown
from ala.report.run import Run
from ala.utils.errors import UserError
from ala.utils.files import write_text

END = "<!-- end generated -->"


def update(page: Path, text: str, part: str = "main table") -> bool:
    """Put `text` between the line `<!-- generated: PART -->` of `page` and the next end; returns whether it changed.

    Raises:
        UserError: the file is missing, or the two markers are not there, the first of them once, in this order.
    """
    begin = f"<!-- generated: {part} -->"
    try:
        content = page.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{page} does not exist; name the file that holds the line {begin}") from None
    before, _, rest = content.partition(begin)
    if content.count(begin) != 1 or END not in rest:
        raise UserError(f"{page} needs the lines {begin} and {END}, once each and in this order; add them")
    after = rest.partition(END)[2]
    updated = f"{before}{begin}\n{text.strip()}\n{END}{after}"
    if updated == content:
        return False
    write_text(page, updated)
    return True


def main_table(run: Run) -> str:
    """The main table beside the slides', with what was run and what its numbers mean."""
    table = tables.main(run)
    return "\n\n".join(
        [
            markdown(table, run.rows, run.comparable, tables.BRIEF),
            captions.what_was_run(run),
            *captions.below(run, table.frame, run.rows.main),
            captions.chosen_on_masks(run),
            "Mean ± sample standard deviation over seeds; bold: best of the methods that explain a model; an oracle"
            " knows the ground truth.",
        ]
    )
