"""The same job by libraries that users would pick instead, on the first images of the job.

Each is called as its documentation shows, with the batch that ours has where it takes one. What is returned can be
compared with `plain` (:func:`benchmarks.engine.ours.plain`): a map, a curve, or its area; None where it is another
quantity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib import import_module
from typing import Any

import numpy as np
import torch

from ala.explainers.rise import RiseMasks
from ala.metrics.insertion_deletion import blur_kernel, blurred
from benchmarks.engine.jobs import GRID, IMAGE_SIZE, Job

Result = np.ndarray | None
Peer = Callable[[Job, Any, int], Result]


def normalised(job: Job, model: Any, images: int) -> torch.Tensor:
    """`(n, 3, S, S)`."""
    out: torch.Tensor = model.preprocessing.normalise(job.image_source.pixels(np.arange(images)).to(job.device))
    return out


def torchray(job: Job, model: Any, images: int) -> Result:
    """TorchRay's RISE with our masks; it keeps a map of every class.

    It takes a sigmoid of what the model says and does not divide by p1: so it is given the logit of each probability,
    and its maps are divided here.
    """
    rise = import_module("torchray.attribution.rise")
    # (N, 1, S, S)
    masks = RiseMasks.draw(job.steps, GRID, 0.5, IMAGE_SIZE, 0).render(0, job.steps, job.device)[:, None]
    maps = []
    for image, target in zip(normalised(job, model, images), job.targets, strict=False):
        found = rise.rise(
            lambda perturbed: torch.logit(model(perturbed)),
            image[None],
            filter_masks=masks,
            num_masks=job.steps,
            batch_size=job.batch,
        )
        maps.append(found[0, int(target)].clone().cpu().numpy())  # a copy, so that the other classes' maps can go
    return np.stack(maps) / 0.5


def xaitk(job: Job, model: Any, images: int) -> Result:
    """xaitk-saliency's RISE, with masks and a scale of its own, so its maps cannot be compared number by number."""
    stack = import_module("xaitk_saliency.impls.gen_image_classifier_blackbox_sal.rise").RISEStack
    interface = import_module("smqtk_classifier.interfaces.classify_image").ClassifyImage

    class BlackBox(interface):  # type: ignore[misc, valid-type]
        def __init__(self, target: int) -> None:
            self.target = target

        def get_labels(self) -> list[int]:
            return [self.target]

        def classify_images(self, stream: Any) -> Iterator[dict[int, float]]:
            for part in batches(stream, job.batch):
                perturbed = torch.as_tensor(np.stack(part), device=job.device).permute(0, 3, 1, 2)  # (b, 3, S, S)
                with torch.inference_mode():
                    predictions = model(perturbed)[:, self.target].tolist()
                yield from ({self.target: value} for value in predictions)

        def get_config(self) -> dict[str, Any]:
            return {}

    for image, target in zip(normalised(job, model, images), job.targets, strict=False):
        rise = stack(n=job.steps, s=GRID, p1=0.5, seed=0, threads=0, debiased=False)
        rise.generate(image.permute(1, 2, 0).cpu().numpy(), BlackBox(int(target)))
    return None


def batches(stream: Any, size: int) -> Iterator[list[Any]]:
    """Lists of up to `size` items."""
    part = []
    for item in stream:
        part.append(item)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def captum(job: Job, model: Any, images: int) -> Result:
    """captum's FeatureAblation, one grid cell at a time: RISE's closest relative there, and another quantity."""
    ablation = import_module("captum.attr").FeatureAblation(model)
    grid_size = math.ceil(job.steps**0.5)  # about as many forward passes as masks
    cells = torch.arange(grid_size * grid_size).view(1, 1, grid_size, grid_size).float()
    groups = torch.nn.functional.interpolate(cells, size=(IMAGE_SIZE, IMAGE_SIZE), mode="nearest").long().to(job.device)
    with torch.inference_mode():
        for image, target in zip(normalised(job, model, images), job.targets, strict=False):
            ablation.attribute(image[None], target=int(target), feature_mask=groups, perturbations_per_eval=job.batch)
    return None


def torchcam(job: Job, model: Any, images: int) -> Result:
    """torchcam's insertion and deletion, which it makes together from one baseline: the area of the wanted curve."""
    metric_of = import_module("torchcam.metrics").DeletionInsertionMetric
    shown = normalised(job, model, images)
    baseline = blurred(shown, blur_kernel(11, 5.0).to(job.device)) if job.kind == "insertion" else None
    maps = torch.as_tensor(job.maps[:images], device=job.device)

    class Given:
        """An extractor whose maps are given."""

        def __init__(self) -> None:
            self.model = model

        def __call__(self, *_: Any, **__: Any) -> list[torch.Tensor]:
            return [maps]

        def fuse_cams(self, cams: list[torch.Tensor]) -> torch.Tensor:
            return cams[0]

        def _hooks_off(self) -> Any:
            return nullcontext()

    metric = metric_of(Given(), steps=job.steps, baseline=baseline, batch_size=job.batch)
    metric.update(shown, [int(target) for target in job.targets[:images]])
    return np.array(metric.summary()[f"{job.kind}_auc"])


def quantus(job: Job, model: Any, images: int) -> Result:
    """Quantus' pixel flipping: the deletion curve without its first point."""
    flipping = import_module("quantus").PixelFlipping
    pixels = normalised(job, model, images).cpu().numpy()
    # It ranks each channel by itself: the channels of a pixel get neighbouring values, and a step of ours is three of
    # its steps, because it wants them to divide the number of pixels.
    ranked = job.maps[:images, None].astype(np.float64) + np.array([0.2, 0.1, 0.0])[:, None, None]
    metric = flipping(
        features_in_step=job.step, normalise=False, disable_warnings=True, perturb_baseline=0.0
    )  # fmt: skip
    # Its wrapper calls the model as it is: ours ends in a softmax already.
    found = metric(
        model=model, x_batch=pixels, y_batch=job.targets[:images], a_batch=ranked, softmax=False,
        device=str(job.device), batch_size=job.batch,
    )  # fmt: skip
    return np.concatenate([np.full((images, 1), np.nan), np.array(found)[:, 2::3]], axis=1)


PEERS: dict[str, dict[str, Peer]] = {
    "rise": {"torchray": torchray, "xaitk-saliency": xaitk, "captum (feature ablation)": captum},
    "insertion": {"torchcam": torchcam},
    "deletion": {"torchcam": torchcam, "quantus": quantus},
}
PASSES = {"torchcam": 2, "quantus": 3}  # for each forward pass of ours: both curves; each channel by itself
MODULES = {"torchray": "torchray.attribution.rise", "xaitk-saliency": "xaitk_saliency", "torchcam": "torchcam.metrics",
           "captum (feature ablation)": "captum.attr", "quantus": "quantus"}  # fmt: skip


def installed(name: str) -> str | None:
    """None, or why the library cannot be imported."""
    try:
        import_module(MODULES[name])
    except ImportError as error:
        return str(error)
    return None
