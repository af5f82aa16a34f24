"""`sensitivity.csv` as heat maps: a row per method, a column per protocol, the rank as number and colour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from ala.report.rows import Rows
from ala.report.table import Table, label
from ala.report.text import spread_text


@dataclass(frozen=True)
class Square:
    """One method under one protocol.

    Attributes:
        place: its rank, or the rank that it would take; None where methods were scored on different images, or not.
        shade: the place between 0 (first) and 1 (behind every ranked method).
        title: mean ± sample standard deviation over seeds, numbers of images and seeds.
        line: its line of the CSV (the header is line 1); None where it was not run.
    """

    place: int | None
    shade: float
    title: str
    line: int | None


@dataclass(frozen=True)
class Group:
    """One heat map. `ranked` and `others`: label of a method and its squares, in the order of `columns`."""

    heading: str
    columns: list[str]
    ranked: list[tuple[str, list[Square]]]
    others: list[tuple[str, list[Square]]]


@dataclass(frozen=True)
class HeatMaps:
    """Heat maps ready for the template; `scale` has the places that occur with their shades, for the legend."""

    name: str
    heading: str
    caption: str
    groups: list[Group]
    scale: list[tuple[int, float]]


def heat_maps(table: Table, rows: Rows) -> HeatMaps:
    """The table with the columns of `sensitivity.csv`.

    The methods are those of the table, in its order. Those with a rank under any protocol come first; each other one is
    shown at the rank that its mean would take among them.
    """
    frame = table.frame
    lines = {(line["protocol"], line["metric"], line["method"]): (number, line)
             for number, (_, line) in enumerate(frame.iterrows(), 2)}  # fmt: skip
    methods = list(dict.fromkeys(frame["method"]))
    rivals = [method for method in methods if frame.loc[frame["method"] == method, "rank"].notna().any()]
    groups = []
    for heading, columns in _grouped(list(dict.fromkeys(key[:2] for key in lines))):
        made = {method: [_square(lines, column, method, rivals) for column in columns.values()] for method in methods}
        shown = {method: squares for method, squares in made.items() if any(square.line for square in squares)}
        parts = [[(rows.label(method), squares) for method, squares in shown.items() if (method in rivals) == ranked]
                 for ranked in (True, False)]  # fmt: skip
        groups.append(Group(heading, list(columns), *parts))
    scale = [(place, _shade(place, len(rivals))) for place in range(1, len(rivals) + 2)] if rivals else []
    return HeatMaps(table.name, table.heading, table.caption, groups, scale)


def _grouped(keys: list[tuple[str, str]]) -> Iterator[tuple[str, dict[str, tuple[str, str]]]]:
    """Heading and columns of each heat map: a metric under its protocols, or a protocol with the metrics that it alone
    has."""
    protocols: dict[str, list[str]] = {}
    for protocol, metric in keys:
        protocols.setdefault(metric, []).append(protocol)
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for protocol, metric in keys:
        alone = len(protocols[metric]) == 1
        heading = protocol.capitalize() if alone else label(metric)
        found.setdefault(heading, {})[label(metric) if alone else protocol] = (protocol, metric)
    yield from found.items()


def _square(
    lines: dict[tuple[str, str, str], tuple[int, pd.Series]], key: tuple[str, str], method: str, rivals: list[str]
) -> Square:
    number, line = lines.get((*key, method), (None, None))
    if line is None:
        return Square(None, 1, "not run", None)
    title = f"{spread_text(line['mean'], line['std'])}; images: {line['n_images']}; seeds: {line['n_seeds']}"
    title += "" if method in rivals else "; not ranked"
    compared = [lines[*key, rival][1] for rival in rivals if (*key, rival) in lines]
    place = int(line["rank"]) if not pd.isna(line["rank"]) else would_rank(line, compared)
    return Square(place, 1 if place is None else _shade(place, len(rivals)), title, number)


def would_rank(line: pd.Series, rivals: list[pd.Series]) -> int | None:
    """The rank that the mean of `line` would take among `rivals`, 1 for the best; it shares that of an equal one.

    None where the rivals have no rank themselves, or where `line` was scored on another number of images.
    """
    if not rivals or any(pd.isna(rival["rank"]) or rival["n_images"] != line["n_images"] for rival in rivals):
        return None
    sign = -1 if label(line["metric"]).endswith("↓") else 1
    return 1 + sum(sign * rival["mean"] > sign * line["mean"] for rival in rivals)


def _shade(place: int, n_rivals: int) -> float:
    return round((place - 1) / n_rivals, 3)
