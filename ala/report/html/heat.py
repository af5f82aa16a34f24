"""`sensitivity.csv` as heat maps: a row per method, a column per protocol, the rank as number and colour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ala.config.schema import Settings
from ala.report.html import catalogue, names, tables

Line = dict[str, str]


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


def heat_maps(path: Path, settings: Settings, caption: str | None = None) -> HeatMaps:
    """The CSV file `path` with the columns of `sensitivity.csv`; `caption` (Markdown) replaces that of the catalogue.

    The methods are those of the file, in its order. Those with a rank under any protocol come first; each other one is
    shown at the rank that its mean would take among them.

    Raises:
        UserError: the file is no CSV.
    """
    known = catalogue.TABLES[path.stem]
    lines = {(row["protocol"], row["metric"], row["method"]): (number, row)
             for number, row in enumerate(tables.read(path), 2)}  # fmt: skip
    methods = list(dict.fromkeys(method for *_, method in lines))
    rivals = [method for method in methods if any(row["rank"] for _, row in lines.values() if row["method"] == method)]
    groups = []
    for heading, columns in _grouped(list(dict.fromkeys(key[:2] for key in lines))):
        made = {method: [_square(lines, column, method, rivals) for column in columns.values()] for method in methods}
        shown = {method: squares for method, squares in made.items() if any(square.line for square in squares)}
        parts = [[(names.label(method, settings), squares) for method, squares in shown.items()
                  if (method in rivals) == ranked] for ranked in (True, False)]  # fmt: skip
        groups.append(Group(heading, list(columns), *parts))
    scale = [(place, _shade(place, len(rivals))) for place in range(1, len(rivals) + 2)] if rivals else []
    return HeatMaps(path.stem, known.heading, known.caption if caption is None else caption, groups, scale)


def _grouped(keys: list[tuple[str, str]]) -> Iterator[tuple[str, dict[str, tuple[str, str]]]]:
    """Heading and columns of each heat map: a metric under its protocols, or a protocol with the metrics that it alone
    has."""
    protocols: dict[str, list[str]] = {}
    for protocol, metric in keys:
        protocols.setdefault(metric, []).append(protocol)
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for protocol, metric in keys:
        alone = len(protocols[metric]) == 1
        heading = protocol.capitalize() if alone else catalogue.column_label(metric)
        found.setdefault(heading, {})[catalogue.column_label(metric) if alone else protocol] = (protocol, metric)
    yield from found.items()


def _square(
    lines: dict[tuple[str, str, str], tuple[int, Line]], key: tuple[str, str], method: str, rivals: list[str]
) -> Square:
    number, row = lines.get((*key, method), (None, None))
    if row is None:
        return Square(None, 1, "not run", None)
    deviation = f" ± {tables.rounded(row['std'])}" if row["std"] else ""
    title = f"{tables.rounded(row['mean'])}{deviation}; images: {row['n_images']}; seeds: {row['n_seeds']}"
    title += "" if method in rivals else "; not ranked"
    compared = [lines[*key, rival][1] for rival in rivals if (*key, rival) in lines]
    place = int(row["rank"]) if row["rank"] else would_rank(row, compared)
    return Square(place, 1 if place is None else _shade(place, len(rivals)), title, number)


def would_rank(row: Line, rivals: list[Line]) -> int | None:
    """The rank that the mean of `row` would take among `rivals`, 1 for the best; it shares that of an equal one.

    None where the rivals have no rank themselves, or where `row` was scored on another number of images.
    """
    if not rivals or any(not rival["rank"] or rival["n_images"] != row["n_images"] for rival in rivals):
        return None
    sign = -1 if catalogue.column_label(row["metric"]).endswith("↓") else 1
    return 1 + sum(sign * float(rival["mean"]) > sign * float(row["mean"]) for rival in rivals)


def _shade(place: int, n_rivals: int) -> float:
    return round((place - 1) / n_rivals, 3)
