"""The page: its parts put into the template, the gallery last, in the room that the others leave."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined

from ala.data.store import Store
from ala.report import captions as standing
from ala.report import figures
from ala.report.html import assets, catalogue, charts, heat, photos, prose, summary, tables
from ala.report.html.facts import facts
from ala.report.run import Run

#: Bytes that the page may have; the gallery takes fewer images before it would grow beyond.
LIMIT = 8_000_000
_FRAME = 20_000  # what the gallery's data has around its images


def render(
    run: Run,
    out_folder: Path,
    maps: Path,
    scores: Path,
    store: Store,
    provenance: Mapping[str, Any] | None,
    captions: Mapping[str, str] | None = None,
) -> str:
    """`index.html` of a run: one file that needs no other, the same bytes for the same inputs.

    Args:
        run: the gathered run.
        out_folder: where `tables/`, `curves/` and `figures/` of this report lie.
        maps, scores: folders of the run, for the gallery's maps and curves.
        store: the test images at the side of the evaluation.
        provenance: what `provenance.json` holds; None where it was not written.
        captions: Markdown by name of a table, in place of the catalogue's caption.

    Raises:
        UserError: a table, curve or map is broken.
    """
    captions = captions or {}
    folder = out_folder / "tables"
    shown: list[tables.Table | heat.HeatMaps] = []
    for name in catalogue.in_order([path.stem for path in folder.glob("*.csv")]):
        path, caption = folder / f"{name}.csv", captions.get(name)
        ranks = name in catalogue.TABLES and catalogue.TABLES[name].ranks
        shown.append(heat.heat_maps(path, run.settings, caption) if ranks else tables.table(run, path, caption))
    drawn = charts.charts(out_folder / "curves", run.settings)
    content: dict[str, Any] = {
        "run": run,
        "what": standing.what_was_run(run),
        "protocol": standing.protocol_and_ends(run),
        "data_and_encoder": standing.data_and_encoder(run),
        "claims_caption": captions.get("claims", standing.CLAIMS),
        "claims": summary.claims(folder / "claims.csv"),
        "headline": summary.headline(folder / "main.csv"),
        "tables": shown,
        "twins": {path.stem for path in folder.glob("*.md")},
        "charts": drawn,
        "curve_files": sorted(f"curves/{path.name}" for path in (out_folder / "curves").glob("*.csv")),
        "figures": assets.figures(out_folder / "figures", {"curves": standing.curves(run, figures.CURVES)}),
        "curves_caption": standing.curves(run, "mean over seeds"),
        "facts": facts(provenance) if provenance is not None else None,
        "most_rows": tables.MOST_ROWS,
        "datatables": assets.script(assets.datatables()),
    }
    without = _fill(content, drawn, None)
    room = LIMIT - len(without.encode()) - _FRAME
    gallery = photos.data(
        run, maps, scores, store, photos.kinds(folder / "error_top.csv", run.settings.active.errors.main_rho), room
    )
    return without if gallery is None else _fill(content, drawn, gallery)


def _fill(content: dict[str, Any], drawn: list[dict[str, Any]], gallery: dict[str, Any] | None) -> str:
    files = {name: assets.template(name) for name in ("page.html.j2", "parts.html.j2")}
    environment = Environment(
        loader=DictLoader(files), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"markdown": prose.blocks, "inline": prose.inline}
    scripts = [assets.template(f"{name}.js") for name in ("chart", "tables", "heat", "gallery", "main")]
    return environment.get_template("page.html.j2").render(
        **content,
        gallery=gallery,
        style=assets.template("style.css"),
        theme=assets.template("theme.js"),
        script="\n".join(scripts),
        data=assets.script({"charts": drawn, "gallery": gallery}),
    )
