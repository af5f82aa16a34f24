"""The approximations of ala/approximate beside what they approximate, on the miniature.

    python -m benchmarks.approximations        (after `dvc repro`)

Adaptive RISE: rank correlation of its maps with those of all masks, and the masks it took. Coarse steps: chosen on a
pilot of a third of the scored photos, wanted error .01; the error that the mean area of the *other* photos then has.
Token insertion: beside insertion and deletion of whole patches on the same zero-shot CLIP (blurred or grey instead of
absent), which are exact; the correlation of the two over photos, and whether methods keep their order.

Writes benchmarks/results/ENVIRONMENT-approximations.csv and the tables in docs/approximations.md.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ala.utils.process import keep_freed_memory

BOUNDS = (0.8, 0.9, 0.95)
TOLERANCE = 0.01
METHODS = ("main", "abn", "fcam", "center")  # maps that are ordered by both patch metrics


def adaptive(seed: int, settings: Any, store: Path, models: Path, device: Any) -> list[dict[str, Any]]:
    """Adaptive RISE on the perturbation subset."""
    import numpy as np
    from ala.explainers.methods import load_explained

    from ala.approximate.adaptive_rise import adaptive_rise, rank_correlation
    from ala.data.store import Store, subset_rows
    from ala.explainers.rise import rise_maps
    from ala.perturbation import predict

    metrics, rise = settings.active.metrics, settings.active.rise
    model = load_explained("rise", seed, settings, models, device).classifier
    photos = Store.open(store / str(model.preprocessing.size), "test")
    rows = subset_rows(photos, metrics.images_per_class, metrics.subset_seed)
    targets = predict(model, photos, rows, metrics.batch, device).argmax(axis=1)
    began = time.perf_counter()
    exact = rise_maps(model, photos, rows, targets, rise, device)
    whole = time.perf_counter() - began
    lines = []
    for bound in BOUNDS:
        began = time.perf_counter()
        found = adaptive_rise(model, photos, rows, targets, rise, device, bound=bound, block=50)
        taken = time.perf_counter() - began
        ranks = [rank_correlation(one, other) for one, other in zip(found.importance, exact, strict=True)]
        lines.append({
            "approximation": "adaptive RISE", "seed": seed, "setting": f"bound {bound}", "n_images": len(rows),
            "error": "1 - rank correlation", "error_mean": 1 - np.mean(ranks), "error_worst": 1 - min(ranks),
            "forwards": int(found.masks.sum()), "exact_forwards": len(rows) * rise.n_masks, "speed": whole / taken,
        })  # fmt: skip
    return lines


def coarse(seed: int, settings: Any, scores: Path) -> list[dict[str, Any]]:
    """Coarse steps for each method, from the fine curves that `evaluate` kept."""
    import numpy as np

    from ala.approximate.coarse_steps import choose, coarser
    from ala.metrics.curves import Curves, area

    lines = []
    for method in (settings.main_variant, "abn", "fcam", "rise"):
        curves = Curves.load(scores / method / f"seed-{seed}" / "curves.npz")
        pilot = np.zeros(len(curves.image_ids), bool)
        pilot[np.random.default_rng(seed).permutation(len(pilot))[: len(pilot) // 3]] = True
        chosen = choose(_rows(curves, pilot), TOLERANCE)
        errors = []
        for kind in ("insertion", "deletion"):
            fine = getattr(curves, kind)[~pilot]
            errors.append(area(coarser(fine, chosen.factor)) - area(fine))
        steps = curves.insertion.shape[1] - 1
        few = steps // chosen.factor
        lines.append({
            "approximation": "coarse steps", "seed": seed, "setting": f"{method}, {chosen.factor} x as large, bound"
            f" {chosen.bound:.4f}", "n_images": int((~pilot).sum()), "error": "mean area, larger of two",
            "error_mean": max(abs(e.mean()) for e in errors), "error_worst": max(np.abs(e).max() for e in errors),
            "forwards": int((~pilot).sum()) * (2 * few - 1), "exact_forwards": int((~pilot).sum()) * (2 * steps - 1),
            "speed": (2 * steps - 1) / (2 * few - 1),
        })  # fmt: skip
    return lines


def _rows(curves: Any, chosen: Any) -> Any:
    from dataclasses import fields, replace

    columns = {field.name: getattr(curves, field.name)[chosen] for field in fields(curves) if field.name != "forwards"}
    return replace(curves, **columns)


def tokens(seed: int, settings: Any, store: Path, models: Path, maps: Path, device: Any) -> list[dict[str, Any]]:
    """Token insertion and deletion beside those of whole patches that are blurred or grey."""
    import numpy as np
    from scipy.stats import spearmanr

    from ala.approximate.token_insertion import ZeroShot, patch_ranks, token_curves
    from ala.contracts.maps import Maps
    from ala.data.store import Store, subset_rows
    from ala.encoders import load_encoder
    from ala.metrics.curves import area
    from ala.metrics.insertion_deletion import blur_kernel, insertion_deletion
    from ala.perturbation import predict

    encoder: Any = load_encoder(models / "encoder", device)
    model, metrics = ZeroShot(encoder), settings.active.metrics
    photos = Store.open(store / str(encoder.preprocessing.size), "test")
    rows = subset_rows(photos, metrics.images_per_class, metrics.subset_seed)
    full = predict(model, photos, rows, metrics.batch, device)
    every = np.zeros((len(photos), full.shape[1]), np.float32)
    every[rows] = full
    side, grid = encoder.preprocessing.size, encoder.grid
    kernel = blur_kernel(metrics.blur_kernel, metrics.blur_sigma)
    step, patch = max(1, grid**2 // 25), side // grid
    areas: dict[str, dict[str, list[Any]]] = {kind: {"token": [], "patch": []} for kind in ("insertion", "deletion")}
    seconds, made = {"token": 0.0, "patch": 0.0}, {"token": 0, "patch": 0}
    for method in METHODS:
        name = settings.main_variant if method == "main" else method
        file = maps / "trivial" / f"seed-{seed}" / "center-test.npz" if method == "center" else (
            maps / name / f"seed-{seed}" / "test.npz")  # fmt: skip
        importance = Maps.load(file).select(photos.image_ids[rows])
        ranks = patch_ranks(importance, side, grid, photos.image_ids[rows], 0)  # (n, g²)
        values = np.empty(ranks.shape, np.float32)
        np.put_along_axis(values, ranks, np.arange(grid**2, 0, -1, dtype=np.float32)[None].repeat(len(rows), 0), 1)
        blocks = values.reshape(-1, grid, grid).repeat(patch, axis=1).repeat(patch, axis=2)  # (n, S, S)
        for kind in ("insertion", "deletion"):
            which: Any = kind
            began = time.perf_counter()
            by_token = token_curves(model, photos, rows, importance, full.argmax(axis=1), curve=which, step=step,
                                    seed=0, batch=metrics.batch, device=device)  # fmt: skip
            seconds["token"] += time.perf_counter() - began
            began = time.perf_counter()
            by_patch = insertion_deletion(
                model, photos, rows, blocks, full, method=method, step=step * patch**2, kernel=kernel, seed=0,
                batch=metrics.batch, device=device, curve=which,
            )  # fmt: skip
            seconds["patch"] += time.perf_counter() - began
            made = {"token": made["token"] + by_token.size, "patch": made["patch"] + by_patch.forwards}
            areas[kind]["token"].append(area(by_token))
            areas[kind]["patch"].append(area(getattr(by_patch, kind)))
    lines = []
    for kind, found in areas.items():
        one, other = np.stack(found["token"]), np.stack(found["patch"])  # (methods, n)
        ordered = [[METHODS[i] for i in np.argsort(-values.mean(axis=1))] for values in (one, other)]
        lines.append({
            "approximation": f"token {kind}", "seed": seed, "n_images": len(rows),
            "setting": "order of methods " + ("kept" if ordered[0] == ordered[1] else "changed") + ": "
            + " > ".join(ordered[0]) + ("" if ordered[0] == ordered[1] else "; by patches " + " > ".join(ordered[1])),
            "error": "1 - rank correlation over photos",
            "error_mean": 1 - np.mean([spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)]),
            "error_worst": 1 - min(spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)),
            "forwards": made["token"] // 2, "exact_forwards": made["patch"] // 2,
            "speed": seconds["patch"] / seconds["token"],
        })  # fmt: skip
    return lines


def main(
    params: Annotated[Path, typer.Option(help="The settings.")] = Path("params.yaml"),
    store: Annotated[Path, typer.Option(help="Photos by side length.")] = Path("data/store"),
    models: Annotated[Path, typer.Option(help="Trained models.")] = Path("models"),
    maps: Annotated[Path, typer.Option(help="Finished maps.")] = Path("maps"),
    scores: Annotated[Path, typer.Option(help="Finished scores.")] = Path("scores"),
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/approximations.md"),
) -> None:
    """Measure and write the tables."""
    import pandas as pd

    from ala.config import load
    from ala.report.readme import update
    from ala.utils.device import resolve
    from benchmarks.perturbation import environment

    settings, device = load(params), resolve("auto")
    lines: list[dict[str, Any]] = []
    for seed in settings.seeds:
        lines += adaptive(seed, settings, store, models, device)
        lines += coarse(seed, settings, scores)
        lines += tokens(seed, settings, store, models, maps, device)
    table = pd.DataFrame(lines).sort_values(["approximation", "seed"], kind="stable")
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / f"{environment(device)}-approximations.csv", index=False, float_format="%.4g")
    shown = table.map(lambda value: f"{value:.3g}" if isinstance(value, float) else value)
    text = shown.to_markdown(index=False, disable_numparse=True)
    update(page, text, "approximations")
    typer.echo(text)


if __name__ == "__main__":
    keep_freed_memory()  # as stages do
    typer.run(main)
