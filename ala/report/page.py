"""Make everything in `reports/`: tables, figures, curves for DVC, `metrics.json` and `report.md`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ala.data.store import Store
from ala.report import (
    captions,
    claims,
    error_sheet,
    exports,
    extras,
    figures,
    gallery,
    html,
    layers,
    mark,
    markdown,
    provenance,
    rows,
    style,
    tables,
)
from ala.report.run import Run
from ala.utils.files import put_in_place, scratch_folder, write_json, write_text
from ala.utils.progress import track

#: What is made, and replaced as a whole; anything else in the folder is left alone.
PARTS = ("tables", "curves", "figures", "metrics.json", "provenance.json", "report.md", "index.html")


@dataclass(frozen=True)
class Folders:
    """Where a run lies: the data set, its store by side length, models, maps, scores."""

    data: Path
    models: Path
    maps: Path
    scores: Path


def build(run: Run, folders: Folders, out: Path) -> None:
    """Write :data:`PARTS` into `out`. They are made aside first and then replaced one by one
    (:func:`ala.utils.files.put_in_place`), so an error leaves what was there.

    Raises:
        UserError: images or maps that the scores tell of are missing or broken.
    """
    with scratch_folder(out, ".new-") as fresh:
        _make(run, folders, fresh)
        for part in PARTS:
            put_in_place(fresh / part, out / part)


def _make(run: Run, folders: Folders, out: Path) -> None:
    main, ablation, tested = tables.main(run), tables.ablation(run), claims.table(run)
    at_size = folders.data / "store" / str(run.settings.active.data.input_size)
    store = Store.open(at_size, "test")
    more = extras.extras(run, folders.scores, store.names, main, ablation)
    drawn: dict[str, str] = {}
    chosen: list[gallery.Case] = []

    def write_tables() -> None:
        for frame, name in (
            (main, "main"),
            (ablation, "ablation"),
            (tested, "claims"),
            (tables.per_seed(run), "per_seed"),
        ):
            _csv(frame, out / "tables" / f"{name}.csv")
        write_text(out / "tables" / "main.md", document("Main table", run, main, "method"))
        write_text(out / "tables" / "ablation.md", document("Ablation", run, ablation, "row"))
        text = f"# Claims\n\n{markdown.verdicts(tested)}\n\n{captions.CLAIMS}\n\n{captions.protocol_and_ends(run)}\n"
        write_text(out / "tables" / "claims.md", text)
        extras.write(more, run, out / "tables")
        for kind in ("insertion", "deletion"):
            _csv(exports.perturbation(run, kind), out / "curves" / f"{kind}.csv")
        _csv(exports.training(run), out / "curves" / "training.csv")
        _csv(exports.validation_miou(run), out / "curves" / "validation_miou.csv")
        write_json(out / "metrics.json", exports.metrics(run, main, ablation))

    def write_figures() -> None:
        folder = out / "figures"
        folder.mkdir()
        style.use()
        for name, made in (
            ("curves", figures.curves(run, folder / "curves.png")),
            ("ablation", figures.ablation(run, ablation, folder / "ablation.png")),
            ("training", figures.training(run, folder / "training.png")),
            ("layers", layers.draw(more["layers"].frame, folder / "layers.png")),
        ):
            if made:
                drawn[name] = f"figures/{name}.png"

    def write_pictures() -> None:
        data = run.settings.active.data
        gallery.contact_sheet(store, data.mask_threshold, out / "figures" / "data.png")
        drawn["data"] = "figures/data.png"
        if error_sheet.draw(more["error_top"].frame, store, folders.maps, run.settings, out / "figures" / "errors.png"):
            drawn["errors"] = "figures/errors.png"
        seed = gallery.gallery_seed(run)
        if seed is None:
            return
        chosen.extend(gallery.cases(run, seed, gallery.reflections(folders.data / "dataset" / "reflections.txt")))
        if chosen:
            gallery.draw(run, chosen, seed, store, folders.maps, out / "figures" / "gallery.png")
            drawn["gallery"] = "figures/gallery.png"

    steps: list[Callable[[], None]] = [write_tables, write_figures, write_pictures]
    for step in track(steps, "report", unit="part"):
        step()
    found = provenance.record(run, at_size, folders.models, folders.maps, folders.scores)
    write_json(out / "provenance.json", found)
    footer = provenance.footer(run, found)
    write_text(out / "report.md", page(run, main, ablation, tested, more, drawn, chosen, footer))
    page_captions = {name: extra.caption for name, extra in more.items() if extra.caption}
    for name, frame in (("main", main), ("ablation", ablation)):
        page_captions[name] = "\n\n".join([html.catalogue.TABLES[name].caption, *captions.below(run, frame, name)])
    mark.stamp(out, run.mark)
    write_text(
        out / "index.html", html.render(run, out, folders.maps, folders.scores, store, found["results"], page_captions)
    )


def document(title: str, run: Run, table: pd.DataFrame, key: str) -> str:
    """`main.md` or `ablation.md`: results, the other threshold rules, commands, captions."""
    which = "main" if key == "method" else "ablation"
    parts = [
        f"# {title}",
        markdown.results(table, key, which, run.comparable),
        *captions.below(run, table, which),
        captions.protocol(run),
        "## Mean IoU by threshold rule",
        markdown.threshold_rules(table, key),
        captions.same_images(table),
        "## Make a row again",
        markdown.commands(table, key),
        f"Full precision: [{which}.csv]({which}.csv); each seed: [per_seed.csv](per_seed.csv).",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _csv(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False, lineterminator="\n")


def page(
    run: Run,
    main: pd.DataFrame,
    ablation: pd.DataFrame,
    tested: pd.DataFrame,
    more: dict[str, extras.Extra],
    drawn: dict[str, str],
    chosen: list[gallery.Case],
    footer: str,
) -> str:
    """`report.md`: what was run, then results, claims, pictures, what is missing, and where it all came from.

    `drawn` names the figures that exist, by what they show; `chosen` are the cases of the gallery.
    """
    sections = [
        "# Report",
        captions.what_was_run(run),
        "## Main table",
        markdown.results(main, "method", "main", run.comparable),
        *captions.below(run, main, "main"),
        captions.protocol(run),
        "### Mean IoU by threshold rule",
        markdown.threshold_rules(main, "method"),
        captions.same_images(main),
        "The rule decides some comparisons: mean + std selects about the same share of any smooth map, and nothing of a"
        " two-valued map that covers half the image or more. Images without any predicted pixel are counted in"
        " [per_seed.csv](tables/per_seed.csv).",
        _links("main"),
        "## Claims",
        markdown.verdicts(tested),
        captions.CLAIMS + " What was tried where a claim does not hold is in `docs/deviations.md`.",
        "CSV: [claims.csv](tables/claims.csv).",
        "## Ablation",
        markdown.results(ablation, "row", "ablation", run.comparable),
        *captions.below(run, ablation, "ablation"),
        '(i) to (iii) as on slide 31; (iv) is added. The slides print (iii) again as "Ours", with other spreads.',
        _picture("ablation", drawn, "Each seed as a dot, mean ± spread beside the slides' value as an open marker."),
        _links("ablation"),
        "## Sensitivity to the protocol",
        _body(more["sensitivity"]).partition("\n\n## ")[2].partition("\n\n## ")[0].partition("\n\n")[2],
        "How often an order of the slides is seen, over all protocols. Every score under every protocol:"
        " [sensitivity.md](tables/sensitivity.md); all maps on one model: [common_model.md](tables/common_model.md).",
        "## Statistics",
        "Every two rows on the same photos, with 95 % interval, effect size, corrected test, and the seeds that would"
        " tell them apart: [paired.md](tables/paired.md). Every printed value beside ours, with the slides' own"
        " inconsistencies: [paper.md](tables/paper.md).",
        "## Which layer?",
        _picture(
            "layers",
            drawn,
            "Left: ABN on one encoder layer at a time, ± sample standard deviation over seeds, beside"
            " ALA, which reads them all. Right: how much each layer adds to the SBN's tokens.",
        ),
        "Mean IoU without each tap, and the numbers: [layers.md](tables/layers.md).",
        "## Errors",
        _body(more["errors"]),
        _picture("errors", drawn, error_sheet.CAPTION),
        "Definitions: `docs/errors-analysis.md`. CSV: [errors.csv](tables/errors.csv), every photo:"
        " [error_top.csv](tables/error_top.csv).",
        "### The edge fix",
        _body(more["edge"]),
        "CSV: [edge.csv](tables/edge.csv).",
        "## Gallery",
        _gallery(run, drawn, chosen),
        "## Insertion and deletion",
        _picture("curves", drawn, captions.curves(run, figures.CURVES)),
        "CSV: [insertion.csv](curves/insertion.csv), [deletion.csv](curves/deletion.csv); both ends by"
        " evaluated model: [curve_ends.md](tables/curve_ends.md).",
        "## Training",
        _picture(
            "training",
            drawn,
            "Line: mean over seeds, band: ± sample standard deviation. Shaded: AEA's *off* epochs;"
            " triangles: the epoch that each seed kept.",
        ),
        "Validation mean IoU is a diagnosis; no checkpoint is chosen by it. CSV: [training.csv](curves/training.csv),"
        " [validation_miou.csv](curves/validation_miou.csv).",
        "## Data and encoder",
        captions.data_and_encoder(run),
        _picture("data", drawn, "Test photos spread evenly over the classes, the object outlined."),
        "## What was not run, or is odd",
        "\n".join(f"- {note}" for note in run.notes) or "Nothing is missing: every method was run with every seed.",
        "## Where it comes from",
        "Per-image scores and curves are in `scores/METHOD/seed-SEED/` after `dvc repro`; they are too large to be"
        " committed. Rows are made again by the commands in [main.md](tables/main.md) and"
        " [ablation.md](tables/ablation.md).",
        footer,
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _body(extra: extras.Extra) -> str:
    """The page of a table without its title."""
    return extra.text.partition("\n\n")[2].strip()


def _gallery(run: Run, drawn: dict[str, str], chosen: list[gallery.Case]) -> str:
    reflected = any(case.name == "reflection" for case in chosen)
    tail = (
        " The last row is the median one among photos with a reflection, the failure that slide 25 shows."
        if reflected
        else ""
    )
    missing = [rows.LABELS[row] for row in gallery.SHOWN if not run.of(row)]
    tail += f" Not run: {', '.join(missing)}." if missing else ""
    return _picture(
        "gallery",
        drawn,
        f"ALA's best, median and worst test photo by IoU, seed {gallery.gallery_seed(run)}, among the photos that RISE"
        f" explains, too.{tail} White: outline of the ground truth; cyan: of the map above its mean + standard"
        " deviation.",
    )


def _picture(name: str, drawn: dict[str, str], caption: str) -> str:
    return f"![{caption}]({drawn[name]})\n\n{caption}" if name in drawn else "Not drawn: nothing of it was run."


def _links(name: str) -> str:
    return (
        f"CSV, full precision: [{name}.csv](tables/{name}.csv); every seed: [per_seed.csv](tables/per_seed.csv);"
        f" commands: [{name}.md](tables/{name}.md)."
    )
