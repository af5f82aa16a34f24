"""What training in bfloat16 does to the final metrics of the main variant, and to the time it takes.

    python -m benchmarks.training_precision

For each seed the main variant is trained in float32 and in bfloat16 from the same images, encoder and draws, and scored
in float32 as the stage `score` does: accuracy on validation images, mean IoU (mean + std rule) on all
test images, insertion, deletion and ID on the perturbation subset, each model on its own maps. `seconds` are those of
the training alone. On a CPU without bfloat16 in hardware it is emulated, which is slow; the metrics are the same kind.

Writes benchmarks/results/ENVIRONMENT-training-precision.csv and the table in docs/performance.md.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from ala.utils.process import keep_freed_memory

#: Columns that are compared between the two precisions.
METRICS = ["val_accuracy", "miou_mean_std", "insertion", "deletion", "id"]


def with_means(rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` (seed, precision, `METRICS`, seconds) with mean ± sample std over seeds, and that of bf16 - fp32.

    A spread of one seed is left out.
    """
    measured = [*METRICS, "seconds"]
    by = {one: part.set_index("seed")[measured] for one, part in rows.groupby("precision")}
    by["bf16 - fp32"] = by["bf16"] - by["fp32"]
    lines = [{name: f"{row[name]:.4g}" for name in measured} | {"seed": f"{row['seed']}", "precision": row["precision"]}
             for row in rows.to_dict("records")]  # fmt: skip
    for precision in ("fp32", "bf16", "bf16 - fp32"):
        part = by[precision]
        spread = {name: f" ± {part[name].std():.2g}" if len(part) > 1 else "" for name in measured}
        lines.append({"seed": "mean", "precision": precision}
                     | {name: f"{part[name].mean():.4g}{spread[name]}" for name in measured})  # fmt: skip
    return pd.DataFrame(lines, columns=["seed", "precision", *measured])


def trained_and_scored(settings: Any, precision: str, seed: int, folders: tuple[Path, Path], device: Any) -> dict:
    """One line: the main variant of `settings` trained in `precision` on (image cache, models) and scored in
    float32."""
    import numpy as np

    from ala import registry
    from ala.contracts.maps import Maps
    from ala.contracts.scores import wide
    from ala.data.image_cache import ImageCache
    from ala.encoders import load_encoder
    from ala.explainers.attention import own_maps
    from ala.metrics.scoring import Evaluated, Scoring, score, val_tau
    from ala.perturbation import predict
    from ala.training.variant import train_variant

    image_cache, models = folders
    profile, variant = settings.active, settings.main_variant
    profile = profile.model_copy(update={"train": profile.train.model_copy(update={"precision": precision})})
    size, batch = profile.data.input_size, profile.metrics.batch
    train = ImageCache.open(image_cache / str(profile.train.augment.resize or size), "train")
    at_size = image_cache / str(size)
    val, test = ImageCache.open(at_size, "val"), ImageCache.open(at_size, "test")
    encoder = load_encoder(models / "encoder", device)
    began = time.perf_counter()
    done = train_variant(variant, profile, encoder, train, val, len(train.names), seed, device=device)
    seconds = time.perf_counter() - began

    def maps_of(images: ImageCache) -> Maps:
        pixels = done.model.preprocessing.normalise(images.pixels(np.arange(len(images))).to(device))
        found = own_maps(done.model.explain, pixels, batch).numpy()
        return Maps(images.image_ids, found, variant, variant, np.full(len(images), -1))

    full = predict(done.model, test, np.arange(len(test)), batch, device)
    threshold = profile.data.mask_threshold
    scoring = Scoring(maps_of(test), test, threshold, profile.metrics, val_tau(maps_of(val), val, threshold),
                      Evaluated(variant, done.model, test, full, device))  # fmt: skip
    metrics = [registry.find("metrics", name)() for name in ("prediction", "iou", "insertion-deletion")]
    means = wide(score(scoring, metrics, seed).rows).rename(columns={"iou_mean_std": "miou_mean_std"})
    found = {"val_accuracy": done.chosen["val_accuracy_pb"], **{name: means[name].mean() for name in METRICS[1:]}}
    return {"seed": seed, "precision": precision, "epoch": done.epoch, **found, "seconds": seconds}


def main(
    params: Annotated[Path, typer.Option(help="The settings; the profile they name is trained.")] = Path("params.yaml"),
    image_cache: Annotated[Path, typer.Option(help="Images and masks by image size.")] = Path("data/image_cache"),
    models: Annotated[Path, typer.Option(help="Its folder encoder is used, nothing is written.")] = Path("models"),
    seed: Annotated[list[int] | None, typer.Option(help="May be repeated. Default: all of the settings.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/performance.md"),
) -> None:
    """Train, score and write the table."""
    from ala.config import load
    from ala.report.readme import update
    from ala.utils.device import resolve
    from benchmarks.perturbation import environment

    settings, where = load(params), resolve(device)
    lines = []
    for one in seed or settings.seeds:
        for precision in ("fp32", "bf16"):
            lines.append(trained_and_scored(settings, precision, one, (image_cache, models), where))
            table = pd.DataFrame(lines)
            out.mkdir(parents=True, exist_ok=True)
            table.to_csv(out / f"{environment(where)}-training-precision.csv", index=False, float_format="%.6g")
    text = with_means(table).to_markdown(index=False, disable_numparse=True)
    update(page, text, "training precision")
    typer.echo(text)


if __name__ == "__main__":
    keep_freed_memory()  # as stages do
    typer.run(main)
