"""Read the results of the stage `edge` for all seeds; missing or unexpected ones become notes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ala.config.schema import Settings
from ala.metrics import errors
from ala.metrics.fix_tables import ERROR_COLUMNS, FIX_COLUMNS, load
from ala.report.gather import read_json


@dataclass(frozen=True)
class EdgeScores:
    """The rows of all seeds that were run, of the images that all of them have.

    Attributes:
        fixes: in the columns of `edge.csv`.
        errors: in the columns of `errors.csv`.
        summaries: what the stage chose, by seed.
        seeds: those that were run, in the order of the settings.
        notes: sentences about what is missing or odd.
    """

    fixes: pd.DataFrame
    errors: pd.DataFrame
    summaries: dict[int, dict[str, Any]]
    seeds: list[int]
    notes: list[str]

    def worst(self, rule: str, settings: Settings) -> list[int]:
        """Ids of the images with the lowest IoU by `rule`, averaged over seeds, worst first; empty if nothing ran."""
        wanted = settings.active.errors
        mean = self.errors[self.errors["rule"] == rule].groupby("image_id")["iou"].mean()
        ids = errors.worst(mean.index.to_numpy(), mean.to_numpy(), wanted.worst_share, wanted.at_least)
        return [int(image) for image in ids]


def command(seeds: list[int]) -> str:
    """The command that makes the scores of `seeds` again."""
    return "dvc repro " + " ".join(f"edge@{seed}" for seed in seeds)


def files(seeds: list[int], name: str) -> str:
    """The files `name` of per-image scores of `seeds`, with spaces between."""
    return " ".join(f"scores/edge/seed-{seed}/{name}" for seed in seeds)


def gather(scores: Path, settings: Settings) -> EdgeScores:
    """Read `scores/edge/seed-SEED/` of every seed that the settings name.

    Raises:
        UserError: a file is there but broken.
    """
    fixes, found, summaries, notes = {}, {}, {}, []
    for seed in settings.seeds:
        folder = scores / "edge" / f"seed-{seed}"
        one, other = load(folder / "edge.csv", seed), load(folder / "errors.csv", seed)
        if one is None or other is None:
            continue
        fixes[seed], found[seed], summaries[seed] = one, other, read_json(folder / "summary.json")
        model = summaries[seed].get("model")
        if model not in (None, settings.main_variant):
            notes.append(
                f"`edge`, seed {seed}: it fixes maps of `{model}`, not of the main model; run `{command([seed])}`"
            )
    seeds = list(fixes)
    if missing := [seed for seed in settings.seeds if seed not in fixes]:
        what = f"lacks seed {', '.join(map(str, missing))}" if seeds else "was not run"
        notes.append(f"`edge` {what}; run `{command(missing)}`")
    for frames in (fixes, found):
        notes += _to_common_images(frames)
    return EdgeScores(_joined(fixes, FIX_COLUMNS), _joined(found, ERROR_COLUMNS), summaries, seeds, notes)


def _to_common_images(frames: dict[int, pd.DataFrame]) -> list[str]:
    """Leave in `frames` only the images that all of them have; a note where that drops some."""
    ids = [set(frame["image_id"]) for frame in frames.values()]
    common = set.intersection(*ids) if ids else set()
    if all(one == common for one in ids):
        return []
    for seed, frame in frames.items():
        frames[seed] = frame[frame["image_id"].isin(common)]
    dropped = len(set.union(*ids) - common)
    return [f"`edge`: seeds were scored on different images; the {dropped} that some lack are left out of its tables"]


def _joined(frames: dict[int, pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(frames.values(), ignore_index=True) if frames else pd.DataFrame(columns=columns)
