"""Which rows the tables have, which scores stand behind each, and the command that makes them again."""

from __future__ import annotations

from ala.config.schema import EXTENSIONS, ROWS, Settings, variant_name
from ala.pipeline.methods import named

#: Maps made without a model; their scores share one folder per seed.
TRIVIAL = ("full", "center", "noise", "box")
#: Methods that explain a model; the best of them is set bold.
EXPLAINERS = ("ala", "fcam", "rise", "abn")
#: Rows of the main table, in order.
MAIN = (*EXPLAINERS, *TRIVIAL)

#: Rows of the ablation table, in order.
ABLATION = tuple(ROWS)

#: The last row of the main table: the frozen encoder by itself, named by its class texts. It has an accuracy, no map.
ZERO_SHOT = "zero_shot"

#: How methods and rows are called in tables and figures.
LABELS = {
    "ala": "ALA",
    "fcam": "F-CAM",
    "rise": "RISE",
    "abn": "ABN",
    "full": "full image",
    "center": "centred Gaussian",
    "noise": "uniform noise",
    "box": "box (oracle)",
    ZERO_SHOT: "frozen encoder, zero-shot",
    "i": "(i)",
    "ii": "(ii)",
    "iii": "(iii)",
    "iv": "(iv)",
    "lora": "(iii) + LoRA",
    "all-taps": "(iii), all taps",
    "half-epochs": "(ii), half the epochs",
}


def scored_as(row: str, settings: Settings) -> str:
    """The method whose scores row `row` shows: `ala` is the main variant, an ablation row its own variant."""
    if row == "ala":
        return settings.main_variant
    if row in settings.ablations:
        return variant_name(**ROWS[row])
    return row


def evaluated_model(method: str, settings: Settings) -> str:
    """The model on which insertion and deletion of `method` are measured: the one that its maps explain."""
    return settings.main_variant if method in (*TRIVIAL, "rise") else method


def shown(settings: Settings) -> list[str]:
    """Every row of the main table and of the ablation that the settings ask for."""
    return [*MAIN, *settings.ablations, *settings.extensions]


def methods(settings: Settings) -> list[str]:
    """Every method that the settings ask for, each once, in the order of the tables."""
    return list(dict.fromkeys(scored_as(row, settings) for row in shown(settings)))


def place(method: str, seed: int, settings: Settings) -> str:
    """The folder below `maps/` and `scores/` that holds `method` at `seed`: its cell, the seed, its name."""
    return f"{_cell(method, settings)}/seed-{seed}/{method}"


def command(method: str, seeds: list[int], settings: Settings) -> str:
    """The command that makes the scores of `method` again, for all `seeds`; DVC adds the stages that it needs."""
    if method in EXTENSIONS:
        return "dvc repro " + " ".join(f"extend@{seed}-{method}" for seed in seeds)
    return "dvc repro " + " ".join(f"score@{_cell(method, settings)}-{seed}" for seed in seeds)


def _cell(method: str, settings: Settings) -> str:
    return named(settings).get(method, method)
