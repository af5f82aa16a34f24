"""What the numbers were made from: hashes, versions, device class. No clock, no host, no path."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ala.report import rows
from ala.report.markdown import ABSENT, grid
from ala.report.run import Run
from ala.runtime.device import resolve
from ala.runtime.files import sha256

PACKAGES = (
    "torch", "torchvision", "timm", "open_clip_torch", "numpy", "pandas", "scipy", "scikit-image", "pillow", "dvc",
    "matplotlib", "seaborn",
)  # fmt: skip
_SHOWN = 12  # hexadecimal digits, enough to tell files apart


def footer(run: Run, models: Path, scores: Path) -> str:
    """The closing section of the report.

    A commit cannot name itself, so the run is named by what it read and made: each hash is the sha256 of a file,
    shortened, and of several files the sha256 of their hashes in order of their names.
    """
    splits = [f"{name} {part['sha256'][:_SHOWN]}" for name, part in run.splits.items()]
    encoder = models / "encoder" / "encoder.json"
    made = json.loads(encoder.read_text(encoding="utf-8"))["sha256"][:_SHOWN] if encoder.exists() else ABSENT
    lines = [
        "Each hash is the beginning of a sha256. The commit that holds this report holds the settings and the code;"
        " `dvc.lock` beside it names every file in between.",
        f"- split: {', '.join(splits) or ABSENT}\n- encoder: {made}\n- device: {resolve().type}, float32, Python"
        f" {platform.python_version()}\n- packages: {', '.join(f'{name} {_version(name)}' for name in PACKAGES)}",
        _hashes(run, models, scores),
    ]
    return "\n\n".join(lines)


def _hashes(run: Run, models: Path, scores: Path) -> str:
    seeds = run.settings.seeds
    lines = []
    for name in dict.fromkeys(map(rows.folder, rows.methods(run.settings))):  # one folder for the four trivial maps
        on_main = name in ("trivial", "rise")
        weights = [_digest(sorted((models / name / f"seed-{seed}").glob("*.safetensors"))) for seed in seeds]
        tables = [_digest(sorted((scores / name / f"seed-{seed}").glob("scores.csv"))) for seed in seeds]
        probed = f"those of `{run.settings.main_variant}`" if on_main else " ".join(weights)
        lines.append([f"`{name}`", probed, " ".join(tables)])
    return grid(["scores", f"weights, seeds {seeds}", "scores.csv"], lines, left=3)


def _digest(paths: list[Path]) -> str:
    """A short hash of the files, a dash where there is none."""
    if not paths:
        return ABSENT
    parts = [sha256(path) for path in paths]
    return (parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest())[:_SHOWN]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
