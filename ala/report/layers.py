"""`layers.csv`: ABN layer by layer beside ALA, and each encoder feature's contribution to ALA's map (slide 6)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ala.contracts import scores as contract
from ala.report import rows, style
from ala.report.markdown import grid, number, spread
from ala.report.run import Run
from ala.utils.errors import UserError

COLUMNS = [
    "model", "layer", "n_seeds", "n_images", "n_perturbed", "accuracy_mean", "accuracy_std", "miou_mean", "miou_std",
    "miou_val_mean", "insertion_mean", "deletion_mean", "id_mean", "id_std", "share_mean", "share_std",
    "miou_without_mean", "miou_without_std", "command", "scores",
]  # fmt: skip
_SCORES = {"accuracy": "correct", "miou": "iou_mean_std", "miou_val": "iou_val", "insertion": "insertion",
           "deletion": "deletion", "id": "id"}  # fmt: skip

CAPTION = (
    "`abn` on one encoder layer at a time, all else as in the main table (mean + std rule, official insertion and"
    " deletion, its own model probed); `ala` reads all of the layers below. `share`: the layer's part of what the"
    " taps add to the SBN's image tokens, shares of a photo sum to 1. `without`: ALA's mean IoU on test photos with"
    " that tap silenced and no new training. Nothing was chosen by this table: ABN's layer in the main table comes from"
    " validation photos."
)


def table(run: Run, scores: Path) -> pd.DataFrame:
    """One line per ABN layer, one for ALA as a whole, one per tap of ALA; empty cells where a number has no meaning.

    Raises:
        UserError: a file of the stage `layers` is broken or was changed.
    """
    seeds = [seed for seed in run.settings.seeds if (scores / "layers" / f"seed-{seed}").is_dir()]
    command = "dvc repro " + " ".join(f"layers@{seed}" for seed in run.settings.seeds)
    frames, taps = [], []
    for seed in seeds:
        folder = scores / "layers" / f"seed-{seed}"
        found = contract.load(folder / "scores.csv")
        frames += [contract.wide(part) for _, part in found.groupby("method", sort=False)]
        taps.append(_taps(folder / "taps.csv"))
    lines = []
    if not seeds:
        run.notes.append(f"`layers` was not run; run `{command}`")
        return pd.DataFrame(columns=COLUMNS)
    if len(seeds) < len(run.settings.seeds):
        lacking = ", ".join(str(seed) for seed in run.settings.seeds if seed not in seeds)
        run.notes.append(f"`layers` lacks seed {lacking}; run `{command}`")
    behind = {name: " ".join(f"scores/layers/seed-{seed}/{name}.csv" for seed in seeds) for name in ("scores", "taps")}
    together = pd.concat(frames, ignore_index=True)
    for layer in run.settings.active.layers.abn:
        mine = together[together["method"] == f"abn-layer-{layer}"]
        if mine.empty:
            run.notes.append(f"layer {layer} of `layers.abn` was not scored; run `{command}`")
            continue
        lines.append({"model": "abn", "layer": layer, "command": command, "scores": behind["scores"], **_means(mine)})
    whole = [cell.scores for cell in run.of("ala")]
    if whole:
        command_ala = rows.command(run.settings.main_variant, run.settings.seeds, run.settings)
        lines.append({"model": "ala", "layer": "all", "command": command_ala, **_means(pd.concat(whole))})
    for tap, mine in pd.concat(taps, ignore_index=True).groupby("tap"):
        line: dict[str, object] = {"model": "ala", "layer": tap, "command": command, "n_seeds": len(mine),
                                   "n_images": int(mine["n_images"].min()), "scores": behind["taps"]}  # fmt: skip
        for name in ("share", "miou_without"):
            line |= {f"{name}_mean": mine[name].mean(), f"{name}_std": mine[name].std(ddof=1)}
        lines.append(line)
    return pd.DataFrame(lines, columns=COLUMNS)


def _taps(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, float_precision="round_trip")
    except (FileNotFoundError, ValueError) as error:
        raise UserError(f"{path} is no table of taps ({error}); run the stage `layers` again") from None


def _means(frame: pd.DataFrame) -> dict[str, object]:
    """Mean over images, then mean and sample standard deviation over seeds."""
    seeds = frame.groupby("seed")
    means = pd.DataFrame({name: seeds[source].apply(lambda column: column.astype(float).mean())
                          for name, source in _SCORES.items()})  # fmt: skip
    found: dict[str, object] = {"n_seeds": len(means), "n_images": int(seeds["iou_mean_std"].count().min()),
                                "n_perturbed": int(seeds["insertion"].count().min())}  # fmt: skip
    for name in means:
        found |= {f"{name}_mean": means[name].mean(), f"{name}_std": means[name].std(ddof=1)}
    return found


def markdown(frame: pd.DataFrame, caption: str = CAPTION) -> str:
    """The table, rounded, with its caption."""
    head = ["model", "layer", "seeds", "images (IoU)", "images (ID)", "accuracy", "mean IoU", "ID", "share",
            "mean IoU without"]  # fmt: skip
    lines = []
    for line in frame.to_dict("records"):
        cells = [rows.LABELS[line["model"]], *(str(line[name]) for name in ("layer", "n_seeds", "n_images"))]
        cells += [number(line["n_perturbed"], 0)]
        cells += [spread(line[f"{name}_mean"], line[f"{name}_std"]) for name in ("accuracy", "miou", "id")]
        cells += [spread(line[f"{name}_mean"], line[f"{name}_std"]) for name in ("share", "miou_without")]
        lines.append(cells)
    body = grid(head, lines, left=2) if lines else "not run"
    return "\n\n".join(["# Which layer?", caption, body, "Full precision: [layers.csv](layers.csv)."]) + "\n"


def draw(frame: pd.DataFrame, path: Path) -> bool:
    """ABN's mean IoU by layer beside ALA's, and ALA's shares; False, and no file, where nothing was run."""
    import matplotlib.pyplot as plt

    abn = frame[frame["model"] == "abn"]
    if abn.empty:
        return False
    ala = frame[frame["model"] == "ala"]
    whole, taps = ala[ala["layer"] == "all"], ala[ala["layer"] != "all"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.2), layout="constrained")
    layers = abn["layer"].astype(int)
    bars = abn["miou_std"].fillna(0)
    left.errorbar(
        layers, abn["miou_mean"], bars, marker="o", capsize=3, color=style.COLOURS["abn"], label="ABN, one layer"
    )
    for _, line in whole.iterrows():
        deviation = 0 if pd.isna(line["miou_std"]) else line["miou_std"]
        level, blue = line["miou_mean"], style.COLOURS["ala"]
        left.axhline(level, color=blue, label="ALA, all layers")
        left.axhspan(level - deviation, level + deviation, color=blue, alpha=0.15, linewidth=0)
    left.set(xlabel="encoder layer", ylabel="mean IoU", xticks=layers, ylim=(0, None))
    left.set_title("What an arbitrary layer costs")
    left.legend()
    places = np.arange(len(taps))
    right.bar(places, taps["share_mean"], yerr=taps["share_std"].fillna(0), color=style.COLOURS["ala"], capsize=3)
    right.set(xlabel="encoder layer", ylabel="share of the SBN's input", ylim=(0, None))
    right.set_xticks(places, [str(layer) for layer in taps["layer"]])
    right.set_title("ALA's own weight on each tap")
    style.save(figure, path)
    return True
