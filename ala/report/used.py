"""Precision, device, threads and batch with which each model was trained, explained and evaluated."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ala.report.run import Run

NOT_RECORDED = "not recorded"
KINDS = ("trained", "explained", "evaluated")
#: Stages whose scores are of several methods, or of other measurements of one.
STAGES = ("layers", "edge")

#: Texts by what was computed and seed.
Found = dict[tuple[str, int], str]


def collect(run: Run, models: Path, maps: Path, scores: Path) -> dict[str, dict[str, str]]:
    """By :data:`KINDS`, then by method: one line of text, by seed where seeds differ.

    Maps that no network made are absent.
    """
    found: dict[str, Found] = {kind: {} for kind in KINDS}
    for seed in run.settings.seeds:
        for row in run.rows.methods:
            model = models / row.method / f"seed-{seed}"
            if model.exists():
                for part, one in _parts(_read(model / "model.json").get("used")):
                    found["trained"]["/".join(filter(None, [row.method, part])), seed] = text(one)
            if (maps / row.folder(seed)).exists():
                made_with = _read(maps / row.folder(seed) / "used.json").get("used", NOT_RECORDED)
                if made_with is not None:
                    found["explained"][row.method, seed] = text(made_with)
            if (row.method, seed) in run.summaries:
                _add(found, row.method, seed, run.summaries[row.method, seed])
        for stage in STAGES:
            summary = _read(scores / stage / f"seed-{seed}" / "summary.json")
            for part, one in [("", summary)] if "used" in summary else summary.items():
                _add(found, "/".join(filter(None, [stage, part])), seed, one)
    if (models / "encoder").exists():
        _add(found, "encoder", 0, _read(models / "encoder" / "metrics.json"))
    return {kind: _joined(texts) for kind, texts in found.items()}


def _add(found: dict[str, Found], name: str, seed: int, summary: object) -> None:
    """Add what a summary says of the model that it is about."""
    entry = summary if isinstance(summary, Mapping) else {}
    found["evaluated"][name, seed] = text(entry.get("used"))
    if "used_in_training" in entry:
        found["trained"][name, seed] = text(entry["used_in_training"])


def text(used: object) -> str:
    """What :func:`ala.contracts.compute.used` gave, in words."""
    if not isinstance(used, Mapping) or not {"precision", "device", "threads", "batch"} <= used.keys():
        return NOT_RECORDED
    device = f"{used['device']} ({used['gpu']})" if used.get("gpu") else used["device"]
    return f"{used['precision']} on {device}, {used['threads']} threads, batch {used['batch']}"


def lines(used: Mapping[str, Mapping[str, str]]) -> list[str]:
    """One line of Markdown by kind, from :func:`collect`; where methods differ it says so and names them."""
    shown = []
    for kind, by_method in used.items():
        methods: dict[str, list[str]] = {}
        for method, one in by_method.items():
            methods.setdefault(one, []).append(f"`{method}`")
        if len(methods) > 1:
            differ = "; ".join(f"{one}: {', '.join(names)}" for one, names in methods.items())
            shown.append(f"- {kind}, methods differ: {differ}")
        else:
            shown.append(f"- {kind}, all methods: {next(iter(methods), NOT_RECORDED)}")
    return shown


def _joined(found: Found) -> dict[str, str]:
    """By name where all seeds agree, else by name and seed."""
    joined: dict[str, str] = {}
    for name, seed in found:
        of_name = {one for (other, _), one in found.items() if other == name}
        joined[name if len(of_name) == 1 else f"{name}/seed-{seed}"] = found[name, seed]
    return joined


def _parts(used: object) -> Iterator[tuple[str, object]]:
    """A model may have several trainings, each with a name."""
    if isinstance(used, Mapping) and used and all(isinstance(one, Mapping) for one in used.values()):
        yield from used.items()
    else:
        yield "", used


def _read(path: Path) -> Mapping[str, Any]:
    """A JSON object; empty where the file is missing or damaged, which whoever reads its numbers reports."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, FileNotFoundError):
        return {}
    return content if isinstance(content, Mapping) else {}
