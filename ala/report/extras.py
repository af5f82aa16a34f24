"""The tables beside `main` and `ablation`: statistics, the paper, layers, errors; each as CSV and as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ala.report import (
    captions,
    edge_fix,
    edge_scores,
    ends,
    errors,
    layers,
    paired,
    paper,
    sensitivity,
    sensitivity_page,
)
from ala.report.run import Run
from ala.utils.files import write_text


class Extra(NamedTuple):
    """A table in full precision, as a Markdown page without its protocol, and its caption alone."""

    frame: pd.DataFrame
    text: str
    caption: str = ""


def extras(
    run: Run, scores: Path, class_names: list[str], main: pd.DataFrame, ablation: pd.DataFrame
) -> dict[str, Extra]:
    """All of them by name, in the order of the report; what was not run is added to the run's notes.

    Raises:
        UserError: a file below `scores` is broken, or was changed after it was written.
    """
    settings = run.settings
    pairs, printed, by_layer = paired.table(run), paper.table(run, main, ablation), layers.table(run, scores)
    counts, fixes = errors.errors_table(scores, settings), edge_fix.edge_table(scores, settings)
    top = errors.error_top_table(scores, settings, class_names)
    run.notes.extend(edge_scores.gather(scores, settings).notes)
    counted = f"# Errors of the worst photos\n\n{errors.errors_markdown(counts, scores, settings)}\n"
    fixed = f"# The edge fix and its rivals\n\n{edge_fix.edge_markdown(fixes, scores, settings)}\n"
    on_main = ends.sentence(run, ["ala"])
    of_errors, how = errors.caption(counts, settings), sensitivity_page.caption(run)
    listed = f"# The worst photos\n\nOne line per photo, worst first: [error_top.csv](error_top.csv). {of_errors}\n"
    found = sensitivity.gather(run)
    run.notes.extend(found.notes)
    images = sensitivity.per_image(run, found)
    by_protocol = sensitivity.table(run, sensitivity.per_seed(run, found, images))
    survived = sensitivity.survival(run, images)
    common, curve_ends = sensitivity.common_model(run, found), ends.table(run)
    by_layer_how = f"{layers.CAPTION} {ends.sentence(run, ['ala', 'abn'])} Curves of ABN on other layers are not kept."
    return {
        "sensitivity": Extra(by_protocol, sensitivity_page.sensitivity(run, by_protocol, survived), how),
        "common_model": Extra(common, sensitivity_page.common_model(run, common), sensitivity_page.on_one_model(run)),
        "curve_ends": Extra(curve_ends, ends.markdown(curve_ends), ends.CAPTION),
        "paired": Extra(pairs, paired.markdown(pairs), paired.CAPTION),
        "paper": Extra(printed, paper.markdown(printed), paper.CAPTION),
        "layers": Extra(by_layer, layers.markdown(by_layer, by_layer_how), by_layer_how),
        "errors": Extra(counts, counted, of_errors),
        "error_top": Extra(top, listed),
        "edge": Extra(fixes, f"{fixed}\n{on_main}\n", f"{edge_fix.caption(settings)} {on_main}"),
    }


def write(made: dict[str, Extra], run: Run, folder: Path) -> None:
    """Every table as `NAME.csv` and `NAME.md` in `folder`; each page ends with how its numbers were made."""
    for name, extra in made.items():
        extra.frame.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
        write_text(folder / f"{name}.md", f"{extra.text}\n{captions.protocol_and_ends(run)}\n")
