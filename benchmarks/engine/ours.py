"""A job by this library, and by a plain port of the published algorithm."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ala.config.schema import Rise
from ala.explainers.rise import RiseMasks
from ala.metrics.insertion_deletion import blur_kernel, blurred, insertion_deletion
from ala.metrics.order import order, shown_pixels
from benchmarks.engine.jobs import GRID, IMAGE_SIZE, Job
from benchmarks.opened import rise_maps


def ala(job: Job, model: Any) -> np.ndarray:
    """Maps `(n, S, S)`, or one point of a curve after each step, `(n, T + 1)`."""
    indices = np.arange(job.images)
    if job.kind == "rise":
        settings = Rise(n_masks=job.steps, grid=GRID, p1=0.5, seed=0, output="probabilities", batch=job.batch)
        return rise_maps(model, job.image_source, indices, job.targets, settings, job.device)
    curve: Any = job.kind
    found = insertion_deletion(
        model, job.image_source, indices, job.maps, job.full, method=job.kind, step=job.step,
        kernel=blur_kernel(11, 5.0), seed=0, batch=job.batch, device=job.device, curve=curve,
    )  # fmt: skip
    values: np.ndarray = getattr(found, job.kind)
    return values


@torch.inference_mode()
def plain(job: Job, model: Any, images: int) -> np.ndarray:
    """As published, for the first `images` images: one after another, all masks stored, one forward pass per step.

    Points that need the whole image are left out, as `ala` takes them from elsewhere: they are NaN.
    """
    kernel = blur_kernel(11, 5.0).to(job.device)
    masks = torch.empty(0)
    if job.kind == "rise":
        # (N, S, S), stored
        masks = RiseMasks.draw(job.steps, GRID, 0.5, IMAGE_SIZE, 0).render(0, job.steps, job.device)
    found = []
    for row in range(images):
        image = model.preprocessing.normalise(job.image_source.pixels([row]).to(job.device))  # (1, 3, S, S)
        target = int(job.targets[row])
        if job.kind == "rise":
            masked = image * masks[:, None]  # (N, 3, S, S), stored
            predictions = torch.cat([model(part)[:, target] for part in masked.split(job.batch)])  # (N,)
            found.append(
                (predictions @ masks.flatten(1) / (0.5 * len(masks))).view(IMAGE_SIZE, IMAGE_SIZE).cpu().numpy()
            )
            continue
        begin, finish = blurred(image, kernel), image
        if job.kind == "deletion":
            begin, finish = image, torch.zeros_like(image)
        pixels = torch.as_tensor(order(job.maps[row], row, 0), device=job.device)
        changed = shown_pixels(IMAGE_SIZE, job.step)
        points = np.full(len(changed), np.nan)
        for point, count in enumerate(changed):
            if count == (IMAGE_SIZE * IMAGE_SIZE if job.kind == "insertion" else 0):
                continue
            frame = begin.clone().flatten(2)  # (1, 3, S * S)
            frame[:, :, pixels[:count]] = finish.flatten(2)[:, :, pixels[:count]]
            points[point] = float(model(frame.view(1, 3, IMAGE_SIZE, IMAGE_SIZE))[0, target])
        found.append(points)
    return np.stack(found)
