"""Try settings of ALA on the miniature and judge the maps on validation images: which of them makes AEA help?

    dvc repro encoder && python -m benchmarks.trials --seeds 0 --seeds 1 --seeds 2

Every line of the table is one training. Test images are never read. Writes benchmarks/results/trials-mini.csv after
each training; a training that is in the file already is not repeated, so an interrupted run goes on. Then it puts the
means over seeds into docs/deviations.md, between two markers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from ala.config import load
from ala.utils.process import keep_freed_memory

#: What every trial starts from, beside the active profile: PB's BatchNorm, as the paper has it.
BASE: dict[str, Any] = {"ala.perception.norm": "batch", "ala.single_layer": 3}

#: Changes of the base, by the setting that they concern; the first changes nothing.
TRIALS: dict[str, dict[str, Any]] = {
    "base": {},
    "PB reads h(1)": {"ala.perception.feature_layer": 1},
    "PB reads h(3), the last": {"ala.perception.feature_layer": 3},
    "sigmoid map (ABN form)": {"ala.attention.kind": "sigmoid"},
    "map dropout 0.5": {"ala.attention.map_dropout": 0.5},
    "lambda 1": {"ala.lambda_ab": 1.0},
    "PB with GroupNorm": {"ala.perception.norm": "group"},
    "learning rate 3e-4": {"train.lr": 3e-4},
    "20 epochs": {"train.epochs": 20},
    "two on epochs for each off epoch": {"ala.schedule.on_epochs": 2},
    "last on epoch kept": {"train.criterion": "last"},
    "PB given SBN features": {"ala.perception.inputs": "clip+sbn"},
    "SBN 48 wide, 4 heads": {"ala.sbn.width": 48, "ala.sbn.heads": 4},
    "PB with GroupNorm, SBN 48 wide, 4 heads": {
        "ala.perception.norm": "group",
        "ala.sbn.width": 48,
        "ala.sbn.heads": 4,
    },
    "no SBN, AB on h(0)": {"ala.single_layer": 0},
    "no SBN, AB on h(1)": {"ala.single_layer": 1},
    "no SBN, AB on h(2)": {"ala.single_layer": 2},
    "no SBN, AB on h(3)": {"ala.single_layer": 3},
    "ABN on h(0)": {"abn.layer": 0},
    "ABN on h(1)": {"abn.layer": 1},
    "ABN on h(2)": {"abn.layer": 2},
    "ABN on h(3)": {"abn.layer": 3},
    "ABN on h(0), PB with GroupNorm": {"abn.layer": 0, "abn.perception.norm": "group"},
    "ABN on h(0), PB reads h(3)": {"abn.layer": 0, "abn.perception.feature_layer": 3},
}


def variants(changes: dict[str, Any]) -> tuple[str, ...]:
    """What a trial trains: ABN if it changes ABN, else ALA with and without AEA, without SBN if it changes the
    feature."""
    if any(path.startswith("abn.") for path in changes):
        return ("abn",)
    sbn = "false" if "ala.single_layer" in changes else "true"
    return (f"aea-true-sbn-{sbn}", f"aea-false-sbn-{sbn}")


def summary(rows: pd.DataFrame) -> str:
    """Markdown tables of ALA's trials with SBN, without, and of ABN's: mean ± sample standard deviation over seeds."""

    def cell(values: pd.Series) -> str:
        return f"{values.mean():.3f} ± {values.std():.3f}" if len(values) > 1 else f"{values.mean():.3f}"

    columns = {"mean IoU": "val_miou", "best τ": "val_miou_best_tau", "accuracy": "val_accuracy"}
    tables = []
    for on, off in (("iii", "ii"), ("i", "iv"), ("ABN", None)):
        sbn = f"-sbn-{'true' if on == 'iii' else 'false'}"
        with_aea = "abn" if on == "ABN" else f"aea-true{sbn}"
        part = []
        for name in rows.loc[rows["variant"] == with_aea, "trial"].unique():
            mine = rows[rows["trial"] == name].set_index(["variant", "seed"])
            row = {"trial": name, "seeds": len(mine.loc[with_aea])}
            row |= {f"({on}) {title}": cell(mine.loc[with_aea][column]) for title, column in columns.items()}
            if off is not None and f"aea-false{sbn}" in mine.index:
                row |= {
                    f"({off}) {title}": cell(mine.loc[f"aea-false{sbn}"][column]) for title, column in columns.items()
                }
                gain = mine.loc[with_aea]["val_miou"] - mine.loc[f"aea-false{sbn}"]["val_miou"]
                row[f"({on}) − ({off}), mean IoU"] = cell(gain.dropna())
            part.append(row)
        if part:
            tables.append(pd.DataFrame(part).to_markdown(index=False, disable_numparse=True))
    return "\n\n".join(tables).replace("(ABN) ", "")


def changed(settings: Any, path: str, value: Any) -> Any:
    """A copy of frozen settings with the setting at the dotted `path` replaced."""
    name, _, rest = path.partition(".")
    return settings.model_copy(update={name: changed(getattr(settings, name), rest, value) if rest else value})


def main(
    seeds: Annotated[list[int] | None, typer.Option(help="Seeds of the trainings; may be repeated.")] = None,
    only: Annotated[str, typer.Option(help="Only trials with this in their name.")] = "",
    out: Annotated[Path, typer.Option(help="The table.")] = Path("benchmarks/results/trials-mini.csv"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/deviations.md"),
) -> None:
    """Train ALA with and without AEA under each change of :data:`TRIALS` and write validation scores."""
    import numpy as np

    from ala.contracts.maps import Maps
    from ala.data.image_cache import ImageCache
    from ala.encoders import load_encoder
    from ala.explainers.attention import own_maps
    from ala.metrics import iou
    from ala.report.readme import update
    from ala.training.variant import train_variant
    from ala.utils.device import resolve
    from ala.utils.progress import track

    profile, device = load().active, resolve("cpu")
    folder = Path("data/image_cache") / str(profile.data.input_size)
    train, val = ImageCache.open(folder, "train"), ImageCache.open(folder, "val")
    truth = val.foreground(slice(None), profile.data.mask_threshold)
    encoder = load_encoder(Path("models/encoder"), device)
    rows = pd.read_csv(out).to_dict("records") if out.exists() else []
    known = {(row["trial"], row["variant"], row["seed"]) for row in rows}
    cells = [
        (name, changes, variant, seed)
        for seed in seeds or [0]
        for name, changes in TRIALS.items()
        for variant in variants(changes)
        if only in name and (name, variant, seed) not in known
    ]
    for name, changes, variant, seed in track(cells, "trials", unit="training"):
        settings = profile
        for path, value in (BASE | changes).items():
            settings = changed(settings, path, value)
        done = train_variant(variant, settings, encoder, train, val, len(val.names), seed, log=lambda _: None)
        images = done.model.preprocessing.normalise(val.pixels(np.arange(len(val))))
        alpha = own_maps(done.model.explain, images, 64).numpy()
        maps = Maps(val.image_ids, alpha, "ala", variant, np.full(len(val), -1))
        scaled = iou.at_size(maps, val.image_ids, val.size)
        rows.append({
            "trial": name, "variant": variant, "seed": seed, "epoch": done.epoch,
            "val_accuracy": done.chosen["val_accuracy_pb"],
            "val_miou": iou.iou(iou.predict(scaled, "mean_std"), truth).mean(),
            "val_miou_fixed": iou.iou(iou.predict(scaled, "fixed"), truth).mean(),
            "val_miou_best_tau": iou.iou_by_tau(scaled, truth).mean(axis=0).max(),
        })  # fmt: skip
        out.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(out, index=False, float_format="%.4f")
    table = summary(pd.DataFrame(rows))
    update(page, table, "trials")
    typer.echo(table)


if __name__ == "__main__":
    keep_freed_memory()  # as stages do
    typer.run(main)
