"""How time and memory grow with images and masks: python -m benchmarks.growth

The model is as cheap as can be (a convolution of 32 x 32 patches), so that the engine's own work is what is timed and
what fills memory, at 224 x 224 pixels. Sizes are measured in turns, medians of five. `per_image_ms` is the time per
forward pass; growth is linear where it stays the same. `peak_memory_mb` is above model and images.

Writes benchmarks/results/ENVIRONMENT-growth.csv and the table in docs/performance.md.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ala.utils.process import keep_freed_memory

TURNS = 5
BATCH = 64


def main(
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/performance.md"),
) -> None:
    """Measure and write the table."""
    import pandas as pd
    import torch
    from torch import nn

    from ala.contracts.preprocessing import Preprocessing
    from ala.report.readme import update
    from ala.utils.device import resolve
    from ala.utils.progress import track
    from benchmarks.engine import ours
    from benchmarks.engine.jobs import CLASSES, IMAGE_SIZE, Job
    from benchmarks.engine.paired import peak, settle
    from benchmarks.perturbation import environment

    device = resolve("auto")

    class Cheap(nn.Module):
        preprocessing = Preprocessing.named(IMAGE_SIZE, "imagenet")

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.patches, self.head = nn.Conv2d(3, 16, 32, stride=32), nn.Linear(16, CLASSES)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(self.patches(images).mean(dim=(2, 3))).softmax(1)

    model = Cheap().eval().requires_grad_(False).to(device)
    base = Job("rise", 1, 8, BATCH, device)
    jobs = [replace(base, steps=n) for n in (500, 1000, 2000, 4000, 8000)]  # masks
    # Images. Ten of them with 8 masks or steps would take 30 ms, a quarter of which is what a call costs by itself.
    jobs += [replace(base, images=n, steps=64) for n in (10, 32, 100, 320, 1000)]
    for kind in ("insertion", "deletion"):
        jobs += [replace(base, kind=kind, images=n, steps=32) for n in (10, 32, 64, 100, 320, 1000)]
    for job in jobs:
        _ = job.image_source, job.targets, job.maps, job.full  # made before the clock starts
    seconds: dict[Job, list[float]] = {job: [] for job in jobs}
    memory: dict[Job, float] = {}
    for turn in track(range(TURNS), "growth", unit="turn"):
        for job in jobs:
            before = settle(device) if turn == 0 else 0.0
            began = time.perf_counter()
            ours.ala(job, model)
            seconds[job].append(time.perf_counter() - began)
            if turn == 0:
                memory[job] = peak(device) - before
    rows = []
    for job in jobs:
        each = [1000 * taken / (job.images * job.frames) for taken in seconds[job]]
        rows.append({
            "job": job.kind, "images": job.images, "frames": job.frames, "device": device.type,
            "per_image_ms": statistics.median(each), "per_image_ms_min": min(each), "per_image_ms_max": max(each),
            "peak_memory_mb": memory[job],
        })  # fmt: skip
    table = pd.DataFrame(rows)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / f"{environment(device)}-growth.csv", index=False, float_format="%.4g")
    text = table.drop(columns=["device"]).round(3).to_markdown(index=False)
    update(page, text, "growth")
    typer.echo(text)


if __name__ == "__main__":
    keep_freed_memory()  # as stages do
    typer.run(main)
