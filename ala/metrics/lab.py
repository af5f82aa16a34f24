"""Compute insertion and deletion by the laboratory's protocol, which the authors of ALA used (METHODS 5.2).

For k = 1..K the threshold tau_k is the value at rank min(step k, n - 1) of the map, n = S², step = ceil(n / K), and the
mask is A >= tau_k: equal values enter together. Insertion keeps the mask on a substrate, deletion its complement. The
curve has no point k = 0; its area is the trapezoid over the K points, spread over [0, 1].

The map may be quantised first: in December 2023 the authors' code replaced it by q equally spaced levels, 3 at last,
which makes it nearly binary and its curves steps. Identical perturbed images, as most of those are, are predicted once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ala.contracts.classifier import Classifier
from ala.contracts.maps import resize
from ala.metrics.curves import area
from ala.metrics.insertion_deletion import CLASSES, Sliced, areas, blurred
from ala.metrics.iou import min_max
from ala.perturbation import Images, Prepared, column_scores

if TYPE_CHECKING:
    from ala.metrics.scoring import Arrays, Scoring

Substrate = Literal["zero", "blur"]
SUBSTRATES: tuple[Substrate, ...] = ("zero", "blur")
LEVELS: dict[str, int | None] = {"none": None, "q3": 3}


class LabCurves(NamedTuple):
    """Probabilities `(n, C, K)` of C classes along insertion and deletion, from `forwards` forward passes."""

    insertion: np.ndarray
    deletion: np.ndarray
    forwards: int

    def areas(self, which: int) -> tuple[np.ndarray, np.ndarray]:
        """Compute the areas `(n,)` under insertion and deletion of class number `which` of each image."""
        return area(self.insertion[:, which]), area(self.deletion[:, which])


def quantised(maps: np.ndarray, levels: int) -> np.ndarray:
    """Scale each of the maps `(n, h, w)` to [0, 1] and round it down to one of `levels` equally spaced values, 0 to 1.

    With three levels a pixel keeps 1/2 if it reaches half of the range, and 1 only if it is the maximum.
    """
    steps = levels - 1
    return (np.floor(min_max(maps).astype(np.float64) * steps) / steps).astype(np.float32)


def thresholds(importance: np.ndarray, points: int) -> np.ndarray:
    """Compute tau_1..tau_K of one map `(S, S)`, non-increasing: `(K,)` with K = ceil(n / ceil(n / points))."""
    descending = np.sort(importance.reshape(-1))[::-1]
    n = descending.size
    step = -(-n // points)
    ranks = np.minimum(step * np.arange(1, -(-n // step) + 1), n - 1)
    return descending[ranks]


def seen(maps: Sliced, index: int, image_size: int, levels: int | None) -> np.ndarray:
    """Resize one image's map to `(S, S)`, the model's image size, quantised if wanted.

    It is computed again on each use.
    """
    large = resize(maps[index : index + 1], image_size)  # (1, S, S)
    return (large if levels is None else quantised(large, levels))[0]


class _ImageData(NamedTuple):
    """The data from which the perturbed images of one image are made."""

    values: Tensor  # (S, S), its map
    cuts: Tensor  # (masks, 1, 1, 1), its distinct thresholds
    image: Tensor  # (1, 3, S, S), normalised
    ground: Tensor  # (1, 3, S, S), the substrate, shown where the image is hidden


class _LabImages:
    """Makes each image's perturbed images, one per distinct mask, first for insertion, then for deletion."""

    def __init__(
        self, model: Classifier, images: Images, indices: np.ndarray, maps: Sliced, levels: int | None,
        taus: list[np.ndarray], substrate: Substrate, kernel: Tensor, device: torch.device,
    ) -> None:  # fmt: skip
        self.image_size = model.preprocessing.size
        self._model, self._images, self._indices, self._taus = model, images, indices, taus
        self._maps, self._levels = maps, levels
        self._substrate, self._kernel, self._device = substrate, kernel.to(device), device
        pixels = torch.zeros(1, 3, 1, 1, dtype=torch.uint8, device=device)
        self._black = model.preprocessing.normalise(pixels)  # (1, 3, 1, 1): 0 in pixel space
        self._prepared = Prepared[_ImageData](2 * min(map(len, taus), default=1), self.image_size, device)

    def fill(self, index: int, start: int, stop: int, out: Tensor) -> None:
        values, thresholds, image, substrate = self._prepared(index, self._prepare)
        masks = len(thresholds)
        middle = min(max(start, masks), stop)  # insertion before, deletion from here on
        if start < middle:
            kept = values >= thresholds[start:middle]  # (b, 1, S, S)
            torch.where(kept, image, substrate, out=out[: middle - start])
        if middle < stop:
            kept = values >= thresholds[middle - masks : stop - masks]
            torch.where(kept, substrate, image, out=out[middle - start :])

    def _prepare(self, index: int) -> _ImageData:
        pixels = self._images.pixels(self._indices[index : index + 1]).to(self._device)
        image = self._model.preprocessing.normalise(pixels)
        substrate = blurred(image, self._kernel) if self._substrate == "blur" else self._black.expand_as(image)
        values = torch.as_tensor(seen(self._maps, index, self.image_size, self._levels), device=self._device)
        thresholds = torch.as_tensor(self._taus[index], device=self._device).view(-1, 1, 1, 1)
        return _ImageData(values, thresholds, image, substrate)


def lab_curves(
    model: Classifier, images: Images, indices: np.ndarray, maps: Sliced, classes: np.ndarray, *,
    points: int, levels: int | None, substrate: Substrate, kernel: Tensor, batch: int, device: torch.device,
    what: str,
) -> LabCurves:  # fmt: skip
    """Compute curves of `maps` on the model for several classes of each image, from the same forward passes.

    Args:
        model: the evaluated model.
        images: at the image size of `model.preprocessing`.
        indices: int `(n,)`.
        maps: `(n, h, w)`, of any resolution; resized to the model's input.
        classes: int `(n, C)`, e.g. the predicted and the true one.
        points: K, of the curve.
        levels: of the quantisation, None for none.
        substrate: `zero` is a black image (0 in pixel space), `blur` the blurred image.
        kernel: of the blur, `(k,)` (:func:`ala.metrics.insertion_deletion.blur_kernel`).
        batch: images per forward pass.
        device: where the model lives.
        what: shown with the progress.
    """
    all_taus = [
        thresholds(seen(maps, index, model.preprocessing.size, levels), points) for index in range(len(indices))
    ]
    unique = [np.unique(taus)[::-1].copy() for taus in all_taus]  # distinct thresholds are distinct masks
    counts = np.array([2 * len(taus) for taus in unique])
    perturbed = _LabImages(model, images, indices, maps, levels, unique, substrate, kernel, device)
    scores = column_scores(model, classes, counts, perturbed, batch, device, what)  # (sum of counts, C)
    insertion, deletion = [], []
    for one, taus, found in zip(all_taus, unique, np.split(scores, counts.cumsum()[:-1]), strict=True):
        places = np.searchsorted(-taus, -one)  # of each of the K thresholds among the distinct ones
        insertion.append(found[: len(taus)][places].T)  # (C, K)
        deletion.append(found[len(taus) :][places].T)
    return LabCurves(np.stack(insertion), np.stack(deletion), int(counts.sum()))


class Lab:
    """`lab-SUBSTRATE-QUANTISATION-CLASS`: black or blurred image, map as it is or in three levels, both classes."""

    images = "subset"
    evaluates = True
    reads: tuple[str, ...] = ("images_per_class", "subset_seed", "lab_points", "blur_kernel", "blur_sigma", "batch")

    def measure(self, scoring: Scoring, index: np.ndarray) -> Arrays:
        """`PROTOCOL/insertion`, `/deletion` and `/id` `(n,)` of every protocol."""
        model = scoring.evaluated
        assert model is not None
        chosen = model.images.indices_of(scoring.test.image_ids[index])
        classes = np.stack([model.full[chosen].argmax(axis=1), scoring.test.labels[index]], axis=1)
        found: Arrays = {}
        forwards = 0
        for substrate in SUBSTRATES:
            for name, levels in LEVELS.items():
                curves = lab_curves(
                    model.classifier, model.images, chosen, scoring.view(index), classes,
                    points=scoring.settings.lab_points, levels=levels, substrate=substrate, kernel=scoring.kernel,
                    batch=scoring.settings.batch, device=model.device,
                    what=f"lab protocol, {scoring.maps.method}, {substrate}, {name}",
                )  # fmt: skip
                forwards += curves.forwards
                for which, target in enumerate(CLASSES):
                    protocol = f"lab-{substrate}-{name}-{target}"
                    found |= areas(protocol, curves.insertion[:, which], curves.deletion[:, which])
        return {**found, "_forwards": np.array([forwards])}

    def whole(self, arrays: Arrays) -> dict[str, float]:
        """The number of forward passes."""
        return {"lab/forwards": float(arrays["_forwards"].sum())}
