"""Rounded Markdown twins of the tables: mean ± spread, the slides' value beside ours, the best explainer bold."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ala.report import captions, rows, slides, statistics, tables
from ala.report.run import Run

HEADS = {"miou": "mean IoU ↑", "insertion": "Insertion ↑", "deletion": "Deletion ↓", "id": "ID ↑"}
ABSENT = "–"


def grid(head: Sequence[str], lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; the first `left` columns are aligned left, the others right."""
    rule = [":--"] * left + ["--:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (list(head), rule, *map(list, lines)))


def number(value: object, digits: int = 3) -> str:
    """A rounded number; `not run` stays, an absent value is a dash."""
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return ABSENT
    return f"{value:.{digits}f}"


def spread(mean: object, deviation: object) -> str:
    """`mean ± deviation`, without the latter where a single seed leaves none."""
    shown = number(mean)
    tail = number(deviation)
    return shown if tail in (ABSENT, tables.NOT_RUN) or shown == ABSENT else f"{shown} ± {tail}"


def _label(line: pd.Series, key: str) -> str:
    return rows.LABELS[str(line[key])]


def _best(table: pd.DataFrame, key: str, column: str, largest: bool) -> set[str]:
    """The rows whose value rounds to the best among explainers (of an ablation table: among all rows)."""
    rivals = table[table[key].isin(rows.EXPLAINERS)] if key == "method" else table
    values = pd.to_numeric(rivals[column], errors="coerce").dropna()
    if values.empty:
        return set()
    best = number(values.max() if largest else values.min())
    names = rivals[key].astype(str)
    return {names[index] for index in values.index if number(values[index]) == best}


def results(table: pd.DataFrame, key: str, which: str, comparable: bool, brief: bool = False) -> str:
    """Our values beside the slides' for table `which` (`main` or `ablation`), whose rows `key` names.

    The slides' values stand in brackets and small where the run is not `comparable` with them
    (:attr:`ala.report.run.Run.comparable`). `brief` leaves out accuracy and the numbers of seeds and photos.
    """
    paper = slides.printed(which)
    best = {name: _best(table, key, f"{name}_mean", name != "deletion") for name in HEADS}
    best["accuracy"] = set()  # it belongs to the probed model, not to the map
    switches = ["aea", "sbn"] if which == "ablation" else []
    head = [key, *(name.upper() for name in switches), *([] if brief else ["seeds", "photos", "accuracy"])]
    beside = "slides" if comparable else "<sub>slides (not comparable)</sub>"
    head += [part for title in HEADS.values() for part in (title, beside)]
    lines = []
    for _, line in table.iterrows():
        name = str(line[key])
        if brief and name == rows.ZERO_SHOT:  # it has an accuracy and nothing else
            continue
        cells = [_label(line, key), *("✓" if line[switch] == "true" else ABSENT for switch in switches)]
        if not brief:
            seeds = ABSENT if line["n_seeds"] is None else str(line["n_seeds"])
            cells += [seeds, str(line["n_images"]), spread(line["accuracy_mean"], line["accuracy_std"])]
        for metric in HEADS:
            ours = spread(line[f"{metric}_mean"], line[f"{metric}_std"])
            cells += [f"**{ours}**" if name in best[metric] else ours]
            printed = str(paper[name][metric]) if name in paper else "not reported"
            cells += [printed if comparable else f"<sub>({printed})</sub>"]
        lines.append(cells)
    return grid(head, lines, left=1 + len(switches))


def threshold_rules(table: pd.DataFrame, key: str) -> str:
    """Mean IoU of every row under the four threshold rules (METHODS 5.4)."""
    columns = {
        "miou_mean": "mean + std (main)",
        "miou_fixed_mean": "fixed 0.5",
        "miou_otsu_mean": "Otsu",
        "miou_val_mean": "best on validation",
    }
    best = {column: _best(table, key, column, True) for column in columns}
    lines = []
    for _, line in table[table[key] != rows.ZERO_SHOT].iterrows():
        cells = [(str(line[key]), column, number(line[column])) for column in columns]
        lines.append(
            [_label(line, key), *(f"**{text}**" if row in best[column] else text for row, column, text in cells)]
        )
    return grid([key, *columns.values()], lines)


def commands(table: pd.DataFrame, key: str) -> str:
    """The command that makes each row again."""
    return grid([key, "command"], [[_label(line, key), f"`{line['command']}`"] for _, line in table.iterrows()], left=2)


def verdicts(table: pd.DataFrame) -> str:
    """The claims with difference, spread, interval and verdict."""
    lines = []
    for _, line in table.iterrows():
        interval = f"[{number(line['ci_low'])}, {number(line['ci_high'])}]" if line["ci_low"] is not None else ABSENT
        reported = number(line["paper_difference"]) if line["paper_difference"] is not None else "not reported"
        lines.append(
            [
                line["claim"],
                line["slide"],
                f"**{line['verdict']}**",
                number(line["difference"]),
                number(line["spread"]),
                interval,
                ABSENT if line["p_holm"] is None else statistics.p_text(line["p_holm"]),
                reported,
                str(line["n_seeds"]),
                str(line["n_images"]),
                line["reason"],
            ]
        )
    head = ["claim", "slide", "verdict", "difference", "spread", "95 % interval", "p (Holm)", "slides", "seeds",
            "photos", "why"]  # fmt: skip
    return grid(head, lines, left=3)


def document(title: str, run: Run, table: pd.DataFrame, key: str) -> str:
    """`main.md` or `ablation.md`: results, the other threshold rules, commands, caption."""
    which = "main" if key == "method" else "ablation"
    parts = [
        f"# {title}",
        results(table, key, which, run.comparable),
        captions.protocol(run),
        "## Mean IoU by threshold rule",
        threshold_rules(table, key),
        "## Make a row again",
        commands(table, key),
        f"Full precision: [{which}.csv]({which}.csv); each seed: [per_seed.csv](per_seed.csv).",
    ]
    return "\n\n".join(parts) + "\n"
