"""Is F-CAM ahead because its map is finer? Its maps, and ALA's, averaged over ALA's grid, on validation images.

    dvc repro && python -m benchmarks.resolution

Reads the maps of the active profile and its seeds. Writes benchmarks/results/resolution-PROFILE.csv, and the means over
seeds into docs/deviations.md, between two markers.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ala.config import load


def main(
    maps: Annotated[Path, typer.Option(help="What the stage `score` wrote.")] = Path("maps"),
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/deviations.md"),
) -> None:
    """Score the validation maps of ALA and F-CAM as they are and as coarse as ALA's grid."""
    import pandas as pd
    import torch
    import torch.nn.functional as F

    from ala.contracts.maps import Maps
    from ala.data.image_cache import ImageCache
    from ala.metrics import iou
    from ala.pipeline.methods import named
    from ala.report.readme import update

    settings = load()
    profile = settings.active
    image_size = profile.data.input_size
    grid = image_size // profile.ala.sbn.patch
    val = ImageCache.open(Path("data/image_cache") / str(image_size), "val")
    truth = val.foreground(slice(None), profile.data.mask_threshold)
    masks = torch.from_numpy(truth).float()[:, None]  # (n, 1, S, S)
    coarse_truth = (F.adaptive_avg_pool2d(masks, grid) > 0.5).float()  # (n, 1, g, g)
    ceiling = F.interpolate(coarse_truth, size=(image_size, image_size), mode="nearest")[:, 0].numpy() > 0.5
    rows = [
        {"map": f"the mask itself on a {grid} x {grid} grid", "seed": "", "mean_std": iou.iou(ceiling, truth).mean()}
    ]
    for method in (settings.main_variant, "fcam"):
        for seed in settings.seeds:
            made = Maps.load(maps / named(settings)[method] / f"seed-{seed}" / method / "val.npz")
            fine = torch.from_numpy(made.importance)[:, None]  # (n, 1, h, w)
            sizes = {made.importance.shape[-1], grid}
            for size in sorted(sizes, reverse=True):
                averaged = F.adaptive_avg_pool2d(fine, size)[:, 0].numpy()  # (n, size, size)
                scaled = iou.at_size(replace(made, importance=averaged), val.image_ids, image_size)
                scores = {
                    rule: iou.iou(iou.predict(scaled, rule), truth).mean() for rule in ("mean_std", "fixed", "otsu")
                }
                best = iou.iou_by_tau(scaled, truth).mean(axis=0).max()
                rows.append({"map": f"{method}, {size} x {size}", "seed": seed, **scores, "best_tau": best})
    table = pd.DataFrame(rows)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / f"resolution-{settings.profile}.csv", index=False, float_format="%.4f")
    means = table.drop(columns="seed").groupby("map", sort=False).mean().reset_index()
    names = {"mean_std": "mean + std", "fixed": "fixed 0.5", "otsu": "Otsu", "best_tau": "best τ"}
    text = means.rename(columns=names).to_markdown(index=False, floatfmt=".3f").replace(" nan ", "   – ")
    update(page, text, "resolution")
    typer.echo(text)


if __name__ == "__main__":
    typer.run(main)
