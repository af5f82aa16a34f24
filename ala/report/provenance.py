"""Record what the results were made from: commit, hashes, versions, device, cost by stage. No host, user or path."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ala.report import used
from ala.report.render import grid
from ala.report.run import Run
from ala.report.text import ABSENT
from ala.utils import ledger
from ala.utils.files import sha256

PACKAGES = (
    "torch", "torchvision", "timm", "open_clip_torch", "numpy", "pandas", "scipy", "scikit-image",
    "pillow", "dvc", "matplotlib", "seaborn",
)  # fmt: skip
#: Whatever can change a number. The commit is the last one that touched these: a commit that adds only the report
#: made from them cannot name itself, and need not.
SOURCES = ("ala", "plugins", "stages", "*.yaml", "requirements")
LOCK = Path("requirements/lock.txt")
_SHOWN = 12  # hexadecimal digits, enough to tell files apart


def record(run: Run, cache: Path, models: Path, maps: Path, scores: Path, root: Path = Path()) -> dict[str, Any]:
    """Everything for `reports/provenance.json`.

    `results` is a function of what was run: the same run gives the same content. `used` in it is what the stages wrote
    beside models, maps and scores; the device of the report itself is nowhere. `cost` holds, by stage, the record
    of the last run on this machine (:mod:`ala.utils.ledger`); stages that DVC took from its cache are absent.
    `image_cache` is the folder of images and masks at the size of the evaluation, whose files identify the data.
    """
    seeds, settings = run.settings.seeds, run.settings.active.model_dump(mode="json")
    weights: dict[str, dict[str, str]] = {}
    made: dict[str, dict[str, str]] = {}
    for row in run.rows.methods:
        for seed in seeds:
            name = f"{row.method}/seed-{seed}"
            for target, kind, folder, pattern in (
                (weights, "weights", models / name, "*.safetensors"), (made, "maps", maps / row.folder(seed), "*.npz"),
                (made, "scores", scores / row.folder(seed), "scores.csv"),
            ):  # fmt: skip
                found = {f"{kind}/{path.name}": sha256(path) for path in sorted(folder.glob(pattern))}
                if found:
                    target.setdefault(name, {}).update(found)
    encoder = models / "encoder" / "encoder.json"
    return {
        "results": {
            "profile": run.settings.profile,
            "seeds": seeds,
            "main_variant": run.settings.main_variant,
            **({"mark": run.mark} if run.mark is not None else {}),
            **_commit(root),
            "lock_file_sha256": sha256(root / LOCK) if (root / LOCK).is_file() else None,
            "settings_sha256": hashlib.sha256(run.settings.model_dump_json(exclude={"inputs"}).encode()).hexdigest(),
            "data": {key: run.data[key] for key in ("photos", "classes", "excluded_ids") if key in run.data},
            "data_sha256": {path.name: sha256(path) for path in sorted(cache.glob("*.npy"))},
            "split_sha256": {name: part["sha256"] for name, part in run.splits.items() if "sha256" in part},
            "encoder_sha256": json.loads(encoder.read_text(encoding="utf-8"))["sha256"] if encoder.exists() else None,
            "models": weights,
            "maps_and_scores": made,
            "packages": {name: _version(name) for name in PACKAGES},
            "python": platform.python_version(),
            "used": used.collect(run, models, maps, scores),
        },
        "settings": settings,
        "cost": _cost(root, run.settings.profile, settings),
    }  # fmt: skip


def _cost(root: Path, profile: str, settings: dict[str, Any]) -> dict[str, Any]:
    """By stage its record, that of the running one included; without settings that are those of the run."""
    entries = ledger.entries(root, profile)
    now = ledger.running()
    found = {entry["stage"]: entry for entry in (*entries, now) if entry["stage"] is not None}
    shared = {"stage": None, "profile": profile, "settings": settings}
    return {
        stage: {key: value for key, value in entry.items() if key != "stage" and shared.get(key, ...) != value}
        for stage, entry in sorted(found.items())
    }


def _commit(root: Path) -> dict[str, Any]:
    """The last commit that touched :data:`SOURCES`, whether they differ from it, and which; None without Git."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *words, "--", *SOURCES], cwd=root, capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            return None
        return done.stdout.rstrip() if done.returncode == 0 else None

    commit, changes = git("log", "-1", "--format=%H"), git("status", "--porcelain")
    if changes is None:
        return {"commit": commit or None, "dirty": None, "changed": []}
    return {"commit": commit or None, "dirty": bool(changes), "changed": [line[3:] for line in changes.splitlines()]}


def footer(run: Run, found: dict[str, Any]) -> str:
    """The closing section of the report, from :func:`record`."""
    results = found["results"]
    splits = [f"{name} {digest[:_SHOWN]}" for name, digest in results["split_sha256"].items()]
    state = f", with changes that are not committed: {', '.join(results['changed'])}" if results["dirty"] else ""
    lines = [
        "Each hash is the beginning of a sha256; whole ones, and wall time, peak memory and forward passes by"
        " stage, are in [provenance.json](provenance.json). The commit is the last one that touched code, settings or"
        " the lock; `dvc.lock` names every file in between.",
        f"- commit: {(results['commit'] or ABSENT)[:_SHOWN]}{state}\n- split: {', '.join(splits) or ABSENT}\n"
        f"- encoder: {(results['encoder_sha256'] or ABSENT)[:_SHOWN]}\n- lock file:"
        f" {(results['lock_file_sha256'] or ABSENT)[:_SHOWN]}\n" + "\n".join(used.lines(results["used"])) + "\n"
        f"- Python {results['python']}; packages: {', '.join(f'{k} {v}' for k, v in results['packages'].items())}",
        _hashes(run, results),
    ]
    return "\n\n".join(lines)


def _hashes(run: Run, results: dict[str, Any]) -> str:
    seeds = run.settings.seeds
    lines = []
    for row in run.rows.methods:
        own = row.evaluated == row.method
        evaluated = _short(results["models"], row.method, seeds, "weights") if own else f"those of `{row.evaluated}`"
        lines.append([f"`{row.method}`", evaluated, _short(results["maps_and_scores"], row.method, seeds, "scores")])
    return grid(["scores", f"weights, seeds {seeds}", "scores.csv"], lines, left=3)


def _short(hashes: dict[str, dict[str, str]], name: str, seeds: list[int], kind: str) -> str:
    """One short hash per seed, of several files the hash of their hashes; a dash where there is none."""
    shown = []
    for seed in seeds:
        parts = [
            digest for file, digest in sorted(hashes.get(f"{name}/seed-{seed}", {}).items()) if file.startswith(kind)
        ]
        whole = parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()
        shown.append(whole[:_SHOWN] if parts else ABSENT)
    return " ".join(shown)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
