"""Make everything in `reports/`: tables, figures, curves for DVC, `metrics.json`, `report.md` and `index.html`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ala.data.image_cache import ImageCache
from ala.report import (
    captions,
    claims,
    edge,
    edge_scores,
    ends,
    error_sheet,
    errors,
    exports,
    figures,
    gallery,
    html,
    layers,
    page,
    paired,
    paper,
    provenance,
    sensitivity,
    style,
    tables,
)
from ala.report.render import grid, markdown, write_csv, write_twin
from ala.report.run import Run
from ala.report.table import Table
from ala.utils.files import put_in_place, scratch_folder, write_json, write_text

#: What is made, and replaced as a whole; anything else in the folder is left alone.
PARTS = ("tables", "curves", "figures", "metrics.json", "provenance.json", "report.md", "index.html")


@dataclass(frozen=True)
class Folders:
    """Where a run lies: the data set with its image caches by size, models, maps, scores."""

    data: Path
    models: Path
    maps: Path
    scores: Path


@dataclass(frozen=True)
class Content:
    """What all pages are rendered from.

    Attributes:
        tables: by name, in the order of the page.
        below: Markdown that is below a table, by its name.
        curves: of insertion, deletion and training, by name.
        figures: captions (Markdown) of the figures that were drawn, by name, in the order of the page.
    """

    tables: dict[str, Table]
    below: dict[str, str]
    curves: dict[str, pd.DataFrame]
    figures: dict[str, str] = field(default_factory=dict)


def build(run: Run, folders: Folders, out: Path) -> None:
    """Write :data:`PARTS` into `out`. They are made aside first and then replaced one by one
    (:func:`ala.utils.files.put_in_place`), so an error leaves what was there.

    Raises:
        UserError: images or maps that the scores tell of are missing or broken.
    """
    with scratch_folder(out, ".new-") as fresh:
        make(run, folders, fresh)
        for part in PARTS:
            put_in_place(fresh / part, out / part)


def make(run: Run, folders: Folders, out: Path) -> Content:
    """Write :data:`PARTS` into the empty folder `out`."""
    at_size = folders.data / "image_cache" / str(run.settings.active.data.input_size)
    cache = ImageCache.open(at_size, "test")
    content = collect(run, folders.scores, cache.names)
    for name, table in content.tables.items():
        write_csv(table.frame, out / "tables" / f"{name}.csv")
        parts = [table.caption, content.below.get(name, markdown(table, run.rows, run.comparable)),
                 captions.protocol_and_ends(run)]  # fmt: skip
        write_twin(table, "\n\n".join(filter(None, parts)), out / "tables" / f"{name}.md")
    for name, frame in content.curves.items():
        write_csv(frame, out / "curves" / f"{name}.csv")
    main, ablation = content.tables["main"].frame, content.tables["ablation"].frame
    write_json(out / "metrics.json", exports.metrics(run, main, ablation))
    draw(run, content, folders, cache, out / "figures")
    found = provenance.record(run, at_size, folders.models, folders.maps, folders.scores)
    write_json(out / "provenance.json", found)
    write_text(out / "report.md", page.report(run, content, provenance.footer(run, found)))
    stamp(out, run.mark)
    text = html.render(run, content, out, folders.maps, folders.scores, cache, found["results"])
    write_text(out / "index.html", text)
    return content


def collect(run: Run, scores: Path, class_names: list[str]) -> Content:
    """All tables; what was not run is added to the run's notes.

    Raises:
        UserError: a file below `scores` is broken.
    """
    main, ablation = tables.main(run), tables.ablation(run)
    of_edge = edge_scores.gather(scores, run.settings)
    run.notes.extend(of_edge.notes)
    by_protocol = sensitivity.table(run)
    made = [
        main, ablation, paper.table(run, main.frame, ablation.frame), claims.table(run), by_protocol,
        sensitivity.common_model(run), ends.table(run), paired.table(run), layers.table(run, scores),
        errors.table(run, of_edge), errors.top(run, of_edge, class_names), edge.table(run, of_edge),
        tables.per_seed(run),
    ]  # fmt: skip
    survived = sensitivity.survival(run)
    below = {
        "sensitivity": "\n\n".join(
            [f"## {survived.heading}", survived.caption, markdown(survived, run.rows, run.comparable),
             sensitivity.twin(run, by_protocol)]
        ),
        "survival": markdown(survived, run.rows, run.comparable),
        "choices": edge.choices(of_edge, run.settings),
    }  # fmt: skip
    for table in (main, ablation):
        key = table.frame.columns[0]
        commands = [[run.rows.label(name), f"`{command}`"] for name, command in zip(
            table.frame[key], table.frame["command"], strict=True)]  # fmt: skip
        below[table.name] = "\n\n".join([
            markdown(table, run.rows, run.comparable),
            "## Mean IoU by threshold rule", markdown(table, run.rows, run.comparable, tables.THRESHOLDS),
            "## Make a row again", grid([key, "command"], commands, left=2),
        ])  # fmt: skip
    curves = {
        **{kind: exports.perturbation(run, kind) for kind in ("insertion", "deletion")},
        "training": exports.training(run), "validation_miou": exports.validation(run),
    }  # fmt: skip
    return Content({table.name: table for table in made}, below, curves)


def draw(run: Run, content: Content, folders: Folders, cache: ImageCache, out: Path) -> None:
    """Draw the figures that there is something to show of into `out`; add their captions to `content`."""
    out.mkdir(parents=True)
    style.use()
    frames = {name: table.frame for name, table in content.tables.items()}
    main = "" if run.main is None else run.main.label
    if figures.curves(run, out / "curves.png"):
        content.figures["curves"] = captions.curves(run, figures.CURVES)
    if figures.ablation(run, frames["ablation"], out / "ablation.png"):
        content.figures["ablation"] = "Each seed as a dot, mean ± spread beside the slides' value as an open marker."
    if figures.training(run, out / "training.png"):
        content.figures["training"] = (
            "Line: mean over seeds, band: ± sample standard deviation. Shaded: AEA's *off* epochs; triangles: the epoch"
            " that each seed kept."
        )
    seed = gallery.gallery_seed(run)
    chosen = []
    if seed is not None:
        chosen = gallery.cases(run, seed, gallery.reflections(folders.data / "dataset" / "reflections.txt"))
    if seed is not None and chosen:
        gallery.draw(run, chosen, seed, cache, folders.maps, out / "gallery.png")
        content.figures["gallery"] = gallery.caption(run, chosen, seed)
    if layers.draw(run, frames["layers"], out / "layers.png"):
        content.figures["layers"] = (
            f"Left: one encoder layer at a time, ± sample standard deviation over seeds, beside {main}, which reads all"
            " of them. Right: how much each layer adds to the SBN's tokens."
        )
    if error_sheet.draw(frames["error_top"], cache, folders.maps, run, out / "errors.png"):
        content.figures["errors"] = error_sheet.CAPTION
    gallery.contact_sheet(cache, run.settings.active.data.mask_threshold, out / "data.png")
    content.figures["data"] = "Test images spread evenly over the classes, the object outlined."


def stamp(folder: Path, mark: str | None) -> None:
    """Put the mark of a run that is no result below the title and at the end of every Markdown file below `folder`;
    without a mark do nothing. The page index.html carries it by itself."""
    if mark is None:
        return
    for path in sorted(folder.rglob("*.md")):
        title, _, rest = path.read_text(encoding="utf-8").partition("\n")
        write_text(path, f"{title}\n\n> **{mark}**\n{rest.rstrip()}\n\n> **{mark}**\n")
