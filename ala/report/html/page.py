"""The page: its parts put into the template, the gallery last, in the room that the others leave."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import DictLoader, Environment, StrictUndefined

from ala.data.image_cache import ImageCache
from ala.report import captions
from ala.report.html import assets, charts, heat, images, summary, tables
from ala.report.html.facts import facts
from ala.report.run import Run

if TYPE_CHECKING:
    from ala.report.build import Content

#: Bytes that the page may have; the gallery takes fewer images before it would grow beyond.
LIMIT = 8_000_000
_FRAME = 20_000  # what the gallery's data has around its images


def render(
    run: Run, content: Content, out: Path, maps: Path, scores: Path, cache: ImageCache, provenance: Mapping[str, Any]
) -> str:
    """`index.html` of a run: one file that needs no other, the same bytes for the same inputs.

    Args:
        run: the gathered run.
        content: its tables, curves and captions.
        out: where `tables/`, `curves/` and `figures/` of this report lie.
        maps, scores: folders of the run, for the gallery's maps and curves.
        cache: the test images at the size of the evaluation.
        provenance: what `provenance.json` holds.

    Raises:
        UserError: a file of maps or curves is broken.
    """
    drawn = charts.charts(run, content.curves)
    shown = [heat.heat_maps(table, run.rows) if "rank" in table.frame else tables.shown(run, table)
             for table in content.tables.values()]  # fmt: skip
    given: dict[str, Any] = {
        "run": run,
        "what": captions.what_was_run(run),
        "protocol": captions.protocol_and_ends(run),
        "data_and_encoder": captions.data_and_encoder(run),
        "claims_caption": content.tables["claims"].caption,
        "claims": summary.claims(content.tables["claims"].frame),
        "headline": summary.headline(run, content.tables["main"].frame),
        "tables": shown,
        "charts": drawn,
        "curve_files": [f"curves/{name}.csv" for name in content.curves],
        "figures": assets.figures(out / "figures", content.figures),
        "curves_caption": captions.curves(run, "mean over seeds"),
        "facts": facts(provenance),
        "most_rows": tables.MOST_ROWS,
        "datatables": assets.script(assets.datatables()),
        "style": assets.style(run.rows),
    }
    without = _fill(given, drawn, None)
    room = LIMIT - len(without.encode()) - _FRAME
    kinds = images.kinds(content.tables["error_top"].frame, run.settings.active.errors.main_rho)
    gallery = images.data(run, maps, scores, cache, kinds, room)
    return without if gallery is None else _fill(given, drawn, gallery)


def _fill(given: dict[str, Any], drawn: list[dict[str, Any]], gallery: dict[str, Any] | None) -> str:
    files = {name: assets.template(name) for name in ("page.html.j2", "parts.html.j2")}
    environment = Environment(
        loader=DictLoader(files), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"markdown": assets.blocks, "inline": assets.inline}
    scripts = [assets.template(f"{name}.js") for name in ("chart", "tables", "heat", "gallery", "main")]
    return environment.get_template("page.html.j2").render(
        **given,
        gallery=gallery,
        theme=assets.template("theme.js"),
        script="\n".join(scripts),
        data=assets.script({"charts": drawn, "gallery": gallery}),
    )
