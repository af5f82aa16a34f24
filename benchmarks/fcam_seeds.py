"""Which seeds fit the classifier's CAM? F-CAM's decoder under a few seed settings, judged on validation images.

    dvc repro image_cache && python -m benchmarks.fcam_seeds

One classifier (seed 0) and one decoder per setting, all with the active profile's other settings. Test images are never
read. Writes benchmarks/results/fcam-seeds-PROFILE.csv, whose first row is the CAM itself, and the same table into
docs/deviations.md, between two markers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from ala.config import load
from ala.utils.process import keep_freed_memory

#: Side of the erosion of the CAM's foreground, and the share of its lowest pixels that are background.
OFFICIAL = (11, 0.1)


def main(
    setting: Annotated[list[str] | None, typer.Option(help="ERODE:SHARE; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/deviations.md"),
) -> None:
    """Train the decoder under each setting and write the mean IoU of its maps under four threshold rules."""
    import numpy as np
    import torch

    from ala.config.inputs import fcam_file
    from ala.contracts.maps import Maps
    from ala.data.image_cache import ImageCache
    from ala.explainers.fcam.cam import resize_maps
    from ala.explainers.fcam.classifier import CamClassifier
    from ala.explainers.fcam.decoder import Decoder
    from ala.explainers.fcam.model import Fcam
    from ala.explainers.fcam.train_classifier import train_classifier
    from ala.explainers.fcam.train_decoder import train_decoder
    from ala.metrics import iou
    from ala.report.readme import update
    from ala.utils.device import resolve
    from ala.utils.seeds import seed_everything

    settings, device = load(), resolve("cpu")
    fcam, width = settings.active.fcam, settings.active.fcam.input_size
    train = ImageCache.open(Path("data/image_cache") / str(fcam.resize or width), "train")
    val = ImageCache.open(Path("data/image_cache") / str(width), "val")
    truth = val.foreground(slice(None), settings.active.data.mask_threshold)

    def row(name: str, importance: np.ndarray) -> dict[str, object]:
        maps = Maps(val.image_ids, importance, "fcam", "fcam", np.full(len(val), -1), calibrated=True)
        scaled = iou.at_size(maps, val.image_ids, width)
        scores = {rule: iou.iou(iou.predict(scaled, rule), truth).mean() for rule in ("mean_std", "fixed", "otsu")}
        best = iou.iou_by_tau(scaled, truth).mean(axis=0).max()
        return {"map": name, **scores, "best_tau": best, "area": (scaled > 0.5).mean(), "object": truth.mean()}

    def by_batch(explain) -> np.ndarray:  # type: ignore[no-untyped-def]
        parts = []
        for start in range(0, len(val), 32):
            images = network.preprocessing.normalise(val.pixels(slice(start, start + 32)).to(device))
            parts.append(explain(images, torch.from_numpy(val.labels[start : start + 32])).cpu())
        return torch.cat(parts).numpy()

    seed_everything(0, "fcam", "classifier")
    network = CamClassifier(fcam, len(train.names), file=fcam_file(fcam, settings.inputs.path("fcam"))).to(
        memory_format=torch.channels_last
    )  # type: ignore[call-overload]
    train_classifier(network, train, val, fcam, 0)
    with torch.no_grad():
        cams = by_batch(lambda images, labels: resize_maps(network.cam(network.pyramid(images).last, labels), width))
    rows = [row("CAM of the true class", cams)]
    chosen = f"{fcam.seeds.erode}:{fcam.seeds.background_share}"
    for text in setting or list(dict.fromkeys([f"{OFFICIAL[0]}:{OFFICIAL[1]}", chosen])):
        erode, share = text.split(":")
        seeds = fcam.seeds.model_copy(update={"erode": int(erode), "background_share": float(share)})
        changed = fcam.model_copy(update={"seeds": seeds})
        seed_everything(0, "fcam", "decoder")
        decoder = Decoder(network.channels, network.strides, fcam.decoder_channels)
        decoder = decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        train_decoder(network, decoder, train, changed, 0)
        model = Fcam(network, decoder)
        explain = lambda images, _, model=model: model.explain(images)  # noqa: E731
        rows.append(row(f"decoder, erosion {erode}, background share {share}", by_batch(explain)))
        out.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(out / f"fcam-seeds-{settings.profile}.csv", index=False, float_format="%.4f")
    names = {"mean_std": "mean + std", "fixed": "fixed 0.5", "otsu": "Otsu", "best_tau": "best τ",
             "area": "map > 0.5, share of image", "object": "object, share of image"}  # fmt: skip
    text = pd.DataFrame(rows).rename(columns=names).to_markdown(index=False, floatfmt=".3f")
    update(page, text, f"fcam seeds, {settings.profile}")
    typer.echo(text)


if __name__ == "__main__":
    keep_freed_memory()  # as stages do
    typer.run(main)
