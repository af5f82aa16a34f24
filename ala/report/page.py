"""`report.md`: what was run, then results, claims, pictures, what is missing, and where it all came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ala.report import captions, slides, tables
from ala.report.render import markdown
from ala.report.run import Run

if TYPE_CHECKING:
    from ala.report.build import Content


def report(run: Run, content: Content, footer: str) -> str:
    """The page, from tables and captions; `footer` tells its provenance."""
    sections = [
        "# Report",
        captions.what_was_run(run),
        "## Main table",
        _table(run, content, "main"),
        captions.protocol(run),
        "### Mean IoU by threshold rule",
        markdown(content.tables["main"], run.rows, run.comparable, tables.THRESHOLDS),
        "The rule decides some comparisons: mean + std selects about the same share of any smooth map, and nothing of a"
        " two-valued map that covers half the image or more. Images without any predicted pixel are counted in"
        " [per_seed.csv](tables/per_seed.csv).",
        "## Claims",
        _table(run, content, "claims"),
        "What was tried where a claim does not hold is in `docs/deviations.md`.",
        "## Ablation",
        _table(run, content, "ablation"),
        slides.content()["said_of_ablation"],
        _figure(content, "ablation"),
        "## Sensitivity to the protocol",
        "How often an order of the slides is seen, over all protocols.",
        content.below["survival"],
        "Every score under every protocol: [sensitivity.md](tables/sensitivity.md); all maps on one model:"
        " [common_model.md](tables/common_model.md).",
        "## Statistics",
        "Every two rows on the same images, with 95 % interval, effect size, corrected test, and the seeds that would"
        " tell them apart: [paired.md](tables/paired.md). Every printed value beside ours, with the slides' own"
        " inconsistencies: [paper.md](tables/paper.md).",
        "## Which layer?",
        _figure(content, "layers"),
        "Mean IoU without each intermediate feature, and the numbers: [layers.md](tables/layers.md).",
        "## Errors",
        _table(run, content, "errors"),
        _figure(content, "errors"),
        "Definitions: `docs/errors-analysis.md`. Every image: [error_top.csv](tables/error_top.csv).",
        "### The edge fix",
        _table(run, content, "edge"),
        content.below["choices"],
        "## Gallery",
        _figure(content, "gallery"),
        "## Insertion and deletion",
        _figure(content, "curves"),
        "CSV: [insertion.csv](curves/insertion.csv), [deletion.csv](curves/deletion.csv); both ends by"
        " evaluated model: [curve_ends.md](tables/curve_ends.md).",
        "## Training",
        _figure(content, "training"),
        "Validation mean IoU is a diagnosis; no checkpoint is chosen by it. CSV: [training.csv](curves/training.csv),"
        " [validation_miou.csv](curves/validation_miou.csv).",
        "## Data and encoder",
        captions.data_and_encoder(run),
        _figure(content, "data"),
        "## What was not run, or is odd",
        "\n".join(f"- {note}" for note in run.notes) or "Nothing is missing: every method was run with every seed.",
        "## Where it comes from",
        "Per-image scores and curves are in `scores/` after `dvc repro`; they are too large to be committed. Rows are"
        " made again by the commands in [main.md](tables/main.md) and [ablation.md](tables/ablation.md).",
        footer,
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _table(run: Run, content: Content, name: str) -> str:
    """A table with its caption and its files."""
    table = content.tables[name]
    files = f"CSV, full precision: [{name}.csv](tables/{name}.csv); as a page: [{name}.md](tables/{name}.md)."
    return "\n\n".join(filter(None, [markdown(table, run.rows, run.comparable), table.caption, files]))


def _figure(content: Content, name: str) -> str:
    if name not in content.figures:
        return "Not drawn: nothing of it was run."
    caption = content.figures[name]
    return f"![{caption}](figures/{name}.png)\n\n{caption}"
