"""Precision, device, threads and batch with which each model was trained, explained and evaluated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ala.config.schema import Settings
from ala.report import rows

NOT_RECORDED = "not recorded"
KINDS = ("trained", "explained", "evaluated")
#: Folders of scores that hold several methods, or other measurements of one.
STAGES = ("layers", "edge")

#: Texts by folder (a method, or a stage that scores several), part of it (a method, or empty) and seed.
Found = dict[tuple[str, str, int], str]


def collect(models: Path, maps: Path, scores: Path, settings: Settings) -> dict[str, dict[str, str]]:
    """By :data:`KINDS`, then by method: one line of text, by seed where seeds differ.

    Maps that no network made are absent.

    Args:
        models, maps, scores: the folders of the run.
        settings: of the run; they name methods and seeds.
    """
    found: dict[str, Found] = {kind: {} for kind in KINDS}
    for folder in (*rows.methods(settings), *STAGES):
        for seed in settings.seeds:
            model, place = models / folder / f"seed-{seed}", Path(folder) / f"seed-{seed}"
            if folder not in STAGES:
                place = Path(rows.place(folder, seed, settings))
            if model.exists():
                for part, one in _parts(_read(model / "model.json").get("used")):
                    found["trained"][folder, part, seed] = text(one)
            if (maps / place).exists():
                made_with = _read(maps / place / "used.json").get("used", NOT_RECORDED)
                if made_with is not None:
                    found["explained"][folder, "", seed] = text(made_with)
            if (scores / place).exists():
                _add_scores(found, folder, seed, _read(scores / place / "summary.json"))
    if (models / "encoder").exists():
        _add_scores(found, "encoder", 0, _read(models / "encoder" / "metrics.json"))
    return {kind: _joined(parts) for kind, parts in found.items()}


def _add_scores(found: dict[str, Found], folder: str, seed: int, summary: Mapping[str, Any]) -> None:
    """Add what a summary says of its model, or of the model of each method."""
    flat = folder != "layers"
    for method, one in [(folder, summary)] if flat else summary.items():
        part, entry = "" if method == folder else method, one if isinstance(one, Mapping) else {}
        found["evaluated"][folder, part, seed] = text(entry.get("used"))
        if "used_in_training" in entry:
            found["trained"][folder, part, seed] = text(entry["used_in_training"])


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
    """As few names as tell all: the folder where all of it agrees, else folder/part, else folder/part/seed-N."""
    joined: dict[str, str] = {}
    for folder, part, seed in found:
        of_folder = {one for (name, _, _), one in found.items() if name == folder}
        of_part = {one for (name, other, _), one in found.items() if (name, other) == (folder, part)}
        name = "/".join(filter(None, [folder, part]))
        key = folder if len(of_folder) == 1 else name if len(of_part) == 1 else f"{name}/seed-{seed}"
        joined[key] = found[folder, part, seed]
    return joined


def _parts(used: object) -> list[tuple[str, object]]:
    """F-CAM has two trainings, the others one."""
    if isinstance(used, Mapping) and used and all(isinstance(one, Mapping) for one in used.values()):
        return list(used.items())
    return [("", used)]


def _read(path: Path) -> Mapping[str, Any]:
    """A JSON object; empty where the file is missing or damaged, which whoever reads its numbers reports."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, FileNotFoundError):
        return {}
    return content if isinstance(content, Mapping) else {}
