"""What bfloat16 and torch.compile do to the miniature's maps and areas, and to the time they take.

    python -m benchmarks.precision

For each seed the main model and F-CAM's classifier explain and predict the images of the perturbation subset, in
float32 and in the other way, in turns: RISE maps (rank correlation of each image's two maps), insertion and deletion of
one and the same map (difference of the areas). `moved` is the difference of the mean over images, what a table would
show; `largest` that of the worst image. `speed` is float32's time over the other's.

Writes benchmarks/results/ENVIRONMENT-precision.csv and the table in docs/performance.md.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ala.utils.process import keep_freed_memory


def compared(
    model: Any, other: Any, images: Any, indices: Any, settings: Any, device: Any, seed: int
) -> dict[str, Any]:
    """One line: `other` beside `model`."""
    import numpy as np
    from scipy.stats import spearmanr

    from ala.metrics.curves import area
    from ala.metrics.insertion_deletion import blur_kernel, insertion_deletion
    from ala.perturbation import predict
    from benchmarks.opened import rise_maps

    metrics, rise = settings.active.metrics, settings.active.rise
    targets = predict(model, images, indices, metrics.batch, device).argmax(axis=1)
    kernel = blur_kernel(metrics.blur_kernel, metrics.blur_sigma)

    def run(one: Any, indices: Any, ranked: Any) -> tuple[Any, Any]:
        """RISE maps of `one`, and its curves on the maps `ranked`, by default on those."""
        found = rise_maps(one, images, indices, targets[: len(indices)], rise, device)
        full = predict(one, images, indices, metrics.batch, device)
        return found, insertion_deletion(
            one, images, indices, found if ranked is None else ranked, full, method="rise", step=metrics.step,
            kernel=kernel, seed=0, batch=metrics.batch, device=device,
        )  # fmt: skip

    maps, curves, seconds = {}, {}, {}
    for name, one in (("fp32", model), ("other", other)):
        run(one, indices[:1], None)  # what is compiled, for each size of batch, is compiled before the clock starts
        began = time.perf_counter()
        maps[name], curves[name] = run(one, indices, maps.get("fp32"))
        seconds[name] = time.perf_counter() - began
    ranks = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(maps["fp32"], maps["other"], strict=True)]
    line = {"seed": seed, "n_images": len(indices), "rank_min": min(ranks), "rank_mean": float(np.mean(ranks))}
    for kind in ("insertion", "deletion"):
        change = area(getattr(curves["other"], kind)) - area(getattr(curves["fp32"], kind))
        line |= {f"{kind}_moved": abs(change.mean()), f"{kind}_largest": np.abs(change).max()}
    return line | {"speed": seconds["fp32"] / seconds["other"]}


def main(
    params: Annotated[Path, typer.Option(help="The settings.")] = Path("params.yaml"),
    image_cache: Annotated[Path, typer.Option(help="Images by image size.")] = Path("data/image_cache"),
    models: Annotated[Path, typer.Option(help="Trained models.")] = Path("models"),
    seed: Annotated[list[int] | None, typer.Option(help="May be repeated. Default: all of the settings.")] = None,
    compiled: Annotated[bool, typer.Option(help="torch.compile, too (first seed only).")] = True,
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/performance.md"),
) -> None:
    """Measure and write the table."""
    import pandas as pd

    from ala.config import load
    from ala.data.image_cache import ImageCache, subset_indices
    from ala.perturbation import Running
    from ala.report.readme import update
    from ala.utils.device import resolve
    from benchmarks.opened import context_of
    from benchmarks.perturbation import environment

    settings, device = load(params), resolve("auto")
    metrics, lines = settings.active.metrics, []
    for one in seed or settings.seeds:
        for name in (settings.main_variant, "fcam"):
            model = context_of(settings, one, device, image_cache, models).model(name).classifier
            images = ImageCache.open(image_cache / str(model.preprocessing.size), "test")
            indices = subset_indices(images, metrics.images_per_class, metrics.subset_seed)
            ways: dict[str, Any] = {"bf16": Running(model, "bf16")}
            if compiled and one == (seed or settings.seeds)[0]:
                ways["fp32, compiled"] = Running(model, "fp32", compiled=True)
            for way, other in ways.items():
                line = compared(model, other, images, indices, settings, device, one)
                lines.append({"model": name, "way": way, "device": device.type, **line})
                table = pd.DataFrame(lines)
                out.mkdir(parents=True, exist_ok=True)
                table.to_csv(out / f"{environment(device)}-precision.csv", index=False, float_format="%.4g")
    shown = table.drop(columns=["device"]).map(lambda value: f"{value:.4g}" if isinstance(value, float) else value)
    text = shown.to_markdown(index=False, disable_numparse=True)
    update(page, text, "precision")
    typer.echo(text)


if __name__ == "__main__":
    keep_freed_memory()  # as stages do
    typer.run(main)
