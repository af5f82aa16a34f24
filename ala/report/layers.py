"""`layers.csv`: a model that reads one encoder layer at a time beside the main one, and how much each intermediate
feature adds to the main model's map (slide 6)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ala.contracts import scores as contract
from ala.report import ends, style
from ala.report.gather import series
from ala.report.run import Run
from ala.report.summary import METRICS, Scores, spread, summarise
from ala.report.table import Table
from ala.utils.errors import UserError

COLUMNS = [
    "model", "layer", "n_seeds", "n_images", "n_perturbed", "accuracy_mean", "accuracy_std", "miou_mean", "miou_std",
    "miou_val_mean", "insertion_mean", "deletion_mean", "id_mean", "id_std", "share_mean", "share_std",
    "miou_without_mean", "miou_without_std", "command", "scores",
]  # fmt: skip
_SCORES = ("accuracy", "miou", "miou_val", "insertion", "deletion", "id")


def caption(run: Run, models: list[str]) -> str:
    """What is compared."""
    single = " and ".join(f"`{model}`" for model in models)
    main = "the main model" if run.main is None else f"`{run.main.name}`"
    rows = [row for row in run.rows if row.name in models or row is run.main]
    return (
        f"{single or 'The single model'} on one encoder layer at a time, all else as in the main table (mean + std"
        f" rule, official insertion and deletion, evaluated on its own model); {main} reads all of the layers below."
        " `share`: the layer's part of what the intermediate features add to the SBN's image tokens, shares of an image"
        " sum to 1. `without`: mean IoU of the main model on test images with that feature silenced and no new"
        " training. Nothing was chosen by this table: the layer in the main table comes from validation images."
        f" {ends.sentence(run, rows)} Curves on other layers are not kept."
    )


def table(run: Run, scores: Path) -> Table:
    """One line per single layer, one for the main model as a whole, one per feature of it; a number that has no meaning
    is empty.

    Raises:
        UserError: a file of the stage `layers` is broken.
    """
    seeds = [seed for seed in run.settings.seeds if (scores / "layers" / f"seed-{seed}").is_dir()]
    command = "dvc repro " + " ".join(f"layers@{seed}" for seed in run.settings.seeds)
    missing = [str(seed) for seed in run.settings.seeds if seed not in seeds]
    if missing:
        what = f"lacks seed {', '.join(missing)}" if seeds else "was not run"
        run.notes.append(f"`layers` {what}; run `{command}`")
    if not seeds:
        return Table("layers", pd.DataFrame(columns=COLUMNS), "Which layer?", caption(run, []))
    folders = [scores / "layers" / f"seed-{seed}" for seed in seeds]
    found = series(pd.concat([contract.load(folder / "scores.csv") for folder in folders], ignore_index=True))
    behind = {
        name: " ".join(f"scores/layers/seed-{seed}/{name}.csv" for seed in seeds) for name in ("scores", "features")
    }
    lines: list[dict[str, object]] = []
    models: list[str] = []
    for method in dict.fromkeys(key.method for key in found):
        model, _, layer = method.rpartition("-layer-")
        by_metric = {name: {key.seed: values for key, values in found.items()
                            if key[0] == method and key[2:] == METRICS[name][:2]} for name in _SCORES}  # fmt: skip
        models.append(model)
        lines.append({"model": model, "layer": int(layer), "command": command, "scores": behind["scores"],
                      **_means(by_metric)})  # fmt: skip
    if run.main is not None and run.seeds(run.main):
        own = {name: run.of(run.main, name) for name in _SCORES}
        lines.append({"model": run.main.name, "layer": "all", "command": run.main.command(run.settings.seeds),
                      **_means(own)})  # fmt: skip
    features = pd.concat([_features(folder / "features.csv") for folder in folders], ignore_index=True)
    for feature, mine in features.groupby("feature"):
        line: dict[str, object] = {"model": "" if run.main is None else run.main.name, "layer": feature,
                                   "command": command, "n_seeds": len(mine), "n_images": int(mine["n_images"].min()),
                                   "scores": behind["features"]}  # fmt: skip
        for name in ("share", "miou_without"):
            line[f"{name}_mean"], line[f"{name}_std"] = spread(mine[name])
        lines.append(line)
    text = ("layer", "n_seeds", "n_images", "n_perturbed", "accuracy", "miou", "id", "share", "miou_without")
    lead = ("layer", "miou", "id", "share", "miou_without")
    return Table("layers", pd.DataFrame(lines, columns=COLUMNS), "Which layer?",
                 caption(run, list(dict.fromkeys(models))), text, lead)  # fmt: skip


def _features(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, float_precision="round_trip")
    except (FileNotFoundError, ValueError) as error:
        raise UserError(f"{path} is no table of features ({error}); run the stage `layers` again") from None


def _means(scores: Mapping[str, Scores]) -> dict[str, object]:
    """The cells of one line from scores by metric."""
    found = {name: summarise(one) for name, one in scores.items()}
    line: dict[str, object] = {"n_seeds": found["miou"].n_seeds, "n_images": found["miou"].n_images,
                               "n_perturbed": found["insertion"].n_images}  # fmt: skip
    for name, one in found.items():
        line |= {f"{name}_mean": one.mean, f"{name}_std": one.std}
    return line


def draw(run: Run, frame: pd.DataFrame, path: Path) -> bool:
    """Mean IoU by single layer beside the main model's, and the shares of its features; False, and no file, where
    nothing was run."""
    import matplotlib.pyplot as plt

    one_layer = frame[frame["miou_mean"].notna() & (frame["layer"] != "all")]
    if one_layer.empty or run.main is None:
        return False
    whole, features = frame[frame["layer"] == "all"], frame[frame["share_mean"].notna()]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.2), layout="constrained")
    colour, label = run.main.look.figure, run.main.label
    for name, part in one_layer.groupby("model", sort=False):
        layers = part["layer"].astype(int)
        own = run.rows[str(name)].look.figure if name in run.rows else style.INK
        left.errorbar(layers, part["miou_mean"], part["miou_std"].fillna(0), marker="o", capsize=3, color=own,
                      label=f"{run.rows.label(str(name))}, one layer")  # fmt: skip
    for _, line in whole.iterrows():
        deviation = 0 if pd.isna(line["miou_std"]) else line["miou_std"]
        level = line["miou_mean"]
        left.axhline(level, color=colour, label=f"{label}, all layers")
        left.axhspan(level - deviation, level + deviation, color=colour, alpha=0.15, linewidth=0)
    left.set(xlabel="encoder layer", ylabel="mean IoU", xticks=one_layer["layer"].astype(int).unique(), ylim=(0, None))
    left.set_title("What an arbitrary layer costs")
    left.legend()
    places = np.arange(len(features))
    right.bar(places, features["share_mean"], yerr=features["share_std"].fillna(0), color=colour, capsize=3)
    right.set(xlabel="encoder layer", ylabel="share of the SBN's input", ylim=(0, None))
    right.set_xticks(places, [str(layer) for layer in features["layer"]])
    right.set_title(f"{label}'s own weight on each feature")
    style.save(figure, path)
    return True
