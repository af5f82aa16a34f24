"""How far are MaxBoxAcc, MaxBoxAccV2 and PxAP from wsolevaluation's, which measures at 224 x 224 pixels?

    dvc repro protocols && python -m benchmarks.wsol

The test maps of the active profile, on the images of the stage `protocols`, measured twice: as the report has them (at
data.input_size, resized by bilinear interpolation, F-CAM's probabilities as they are), and as wsolevaluation would have
them (at 224, bicubic interpolation, every map scaled to [0, 1], thresholds in steps of 0.001). Masks are enlarged from
data.input_size. `full` and `box` are predictions already and not scaled.

Writes benchmarks/results/wsol-PROFILE.csv, one row per method, seed and way, and means with their standard deviation
over seeds into docs/deviations.md, between two markers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ala.config import load

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

IMAGE_SIZE, STEP = 224, 0.001  # wsolevaluation's
METRICS = {"maxboxacc": "MaxBoxAcc", "maxboxaccv2": "MaxBoxAccV2", "pxap": "PxAP"}


def enlarged(importance: np.ndarray, scaled: bool) -> np.ndarray:
    """Maps `(n, h, w)` at 224 x 224 by bicubic interpolation, each scaled to [0, 1] where `scaled`, else clipped."""
    import numpy as np
    import torch
    import torch.nn.functional as F

    from ala.metrics.iou import min_max

    maps = torch.as_tensor(np.asarray(importance, np.float32))[:, None]  # (n, 1, h, w)
    large = F.interpolate(maps, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bicubic", align_corners=False)[:, 0].numpy()
    return min_max(large) if scaled else np.clip(large, 0, 1)


def measured(maps: np.ndarray, masks: np.ndarray, boxes: np.ndarray, step: float) -> dict[str, float]:
    """The three metrics of maps `(n, S, S)` in [0, 1]."""
    from ala.metrics import localisation

    largest, best = localisation.box_scores(maps, boxes, step)
    return {
        "maxboxacc": localisation.max_box_acc(largest), "maxboxaccv2": localisation.max_box_acc_v2(best),
        "pxap": localisation.pxap(localisation.score_histograms(maps, masks)),
    }  # fmt: skip


def page_of(table: pd.DataFrame) -> str:
    """Both measurements side by side, in Markdown."""
    import pandas as pd

    lines = []
    for method, part in table.groupby("method", sort=False):
        cells = {}
        for metric, name in METRICS.items():
            for way in ("here", "at 224"):
                values = part.loc[part["way"] == way, metric]
                spread = f" ± {values.std():.3f}" if len(values) > 1 else ""
                cells[f"{name}, {way}"] = f"{values.mean():.3f}{spread}"
        lines.append({"maps": method, **cells})
    return pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True)


def main(
    params: Annotated[Path, typer.Option(help="The settings; the profile they name is used.")] = Path("params.yaml"),
    image_cache: Annotated[Path, typer.Option(help="Images and masks by image size.")] = Path("data/image_cache"),
    maps: Annotated[Path, typer.Option(help="What the stage `score` wrote.")] = Path("maps"),
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/deviations.md"),
) -> None:
    """Measure in both ways and write the tables."""
    import numpy as np
    import pandas as pd

    from ala.contracts.maps import Maps
    from ala.data.image_cache import ImageCache, subset_indices
    from ala.metrics import iou
    from ala.pipeline.methods import named
    from ala.report.readme import update

    settings = load(params)
    data, metrics = settings.active.data, settings.active.metrics
    test = ImageCache.open(image_cache / str(data.input_size), "test")
    indices = subset_indices(test, metrics.images_per_class, metrics.subset_seed)
    masks, boxes, ids = test.foreground(indices, data.mask_threshold), test.boxes[indices], test.image_ids[indices]
    nearest = (np.arange(IMAGE_SIZE) + 0.5) * test.size // IMAGE_SIZE  # of an enlarged pixel, the pixel that it lies in
    large_masks = masks[:, nearest.astype(int)][:, :, nearest.astype(int)]
    lines: list[dict[str, Any]] = []
    for method, cell in named(settings).items():
        for seed in settings.seeds:
            content = Maps.load(maps / cell / f"seed-{seed}" / method / "test.npz")
            line = {"method": content.method, "seed": seed, "images": len(indices)}
            here = measured(iou.at_size(content, ids, test.size), masks, boxes, metrics.box_step)
            large = enlarged(content.select(ids), scaled=not content.binary)
            there = measured(large, large_masks, boxes * (IMAGE_SIZE / test.size), STEP)
            lines += [{**line, "way": "here", **here}, {**line, "way": "at 224", **there}]
    table = pd.DataFrame(lines)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / f"wsol-{settings.profile}.csv", index=False, float_format="%.4f")
    text = page_of(table)
    update(page, text, f"wsol, {settings.profile}")
    typer.echo(text)


if __name__ == "__main__":
    typer.run(main)
