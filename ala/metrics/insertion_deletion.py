"""Compute insertion and deletion by the official protocol of RISE (METHODS 5.1; Petsiuk et al. 2018).

Pixels are ranked by decreasing importance. Insertion starts from the blurred image and restores original pixels;
deletion starts from the image and sets pixels to 0 in normalised space, the mean colour. After each step the model
predicts the probability of the class that it predicted on the whole image. The score is the area under that curve.

Equal values are common (a 10 x 10 map at 80 x 80 pixels, a constant one), and `argsort` would order them by position,
top left first. Here they are ordered at random, by a permutation that depends only on the image and a seed: all methods
share it (METHODS 7, pitfall 10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ala.contracts.classifier import Classifier
from ala.contracts.maps import Computed, Selected, resize
from ala.metrics.curves import Curves, area
from ala.metrics.order import order, shown_pixels, tie_share
from ala.perturbation import Images, Prepared, column_scores
from ala.utils.threads import in_lanes

if TYPE_CHECKING:
    from ala.metrics.scoring import Arrays, Evaluated, Scoring

#: The classes that are followed.
CLASSES = ("predicted", "true")

Curve = Literal["both", "insertion", "deletion"]
Sliced = np.ndarray | Selected | Computed  # maps (n, h, w); slices are in memory, the whole need not be


def blur_kernel(size: int, sigma: float) -> Tensor:
    """Compute one axis of the official blur: float32 `(size,)`, sum 1; its outer product is the `size` x `size` kernel.

    The official code filters a Dirac in a `size` x `size` frame with a Gaussian whose tails are mirrored at the frame.
    With size 11 and sigma 5, or any sigma near half of the size, that makes the kernel nearly flat (largest over
    smallest value 1.14), a box filter rather than a bell; with `size` above 6 sigma it is a true Gaussian.
    """
    radius = int(4 * sigma + 0.5)
    bell = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    dirac = np.zeros(size)
    dirac[size // 2] = 1
    axis = np.convolve(np.pad(dirac, radius, mode="symmetric"), bell / bell.sum(), mode="valid")  # (size,)
    return torch.as_tensor(axis, dtype=torch.float32)


def blurred(images: Tensor, kernel: Tensor) -> Tensor:
    """Convolve channels of images `(B, 3, S, S)` with the outer product of `kernel` `(k,)`, zeros beyond the border.

    The official code pads so. Zero is the mean colour in normalised space: within k / 2 of the border the image fades
    towards it, at a corner to a quarter, and a kernel larger than 2 S fades all of it alike, to (S / k)².
    """
    size = kernel.shape[-1]
    if images.device.type == "cpu":  # the same sums in less than half the time
        images = images.contiguous(memory_format=torch.channels_last)
    rows = F.conv2d(images, kernel.expand(3, 1, 1, size), padding=(0, size // 2), groups=3)  # (B, 3, S, S)
    return F.conv2d(rows, kernel.view(size, 1).expand(3, 1, size, 1), padding=(size // 2, 0), groups=3).contiguous()


class _ImageData(NamedTuple):
    """The data from which the perturbed images of one image are made."""

    rank: Tensor  # int32 (S, S), a pixel's place in the order
    image: Tensor  # (1, 3, S, S), normalised
    blurred: Tensor  # (1, 3, S, S)


class _Steps:
    """Makes the perturbed images of one image: insertion after 0..T-1 steps, then deletion after 1..T-1 steps.

    The remaining two are computed elsewhere: the whole image (insertion's end, deletion's start) and the empty one
    (deletion's end, the same for all images).
    """

    def __init__(
        self, model: Classifier, images: Images, indices: np.ndarray, maps: Sliced, changed: np.ndarray,
        kernel: Tensor, seed: int, device: torch.device, curve: Curve,
    ) -> None:  # fmt: skip
        self.image_size, self.steps = model.preprocessing.size, len(changed) - 1
        self.count = {"both": 2 * self.steps - 1, "insertion": self.steps, "deletion": self.steps - 1}[curve]
        self._skipped = self.steps if curve == "deletion" else 0  # perturbed images before the first one that is wanted
        self.ties = np.full(len(indices), np.nan)
        self._model, self._images, self._indices, self._maps = model, images, indices, maps
        self._kernel, self._seed, self._device = kernel.to(device), seed, device
        self._changed = torch.as_tensor(changed, dtype=torch.int32, device=device).view(-1, 1, 1, 1)
        self._prepared = Prepared[_ImageData](self.count, self.image_size, device)
        self._empty = torch.zeros((), device=device)

    def order(self, index: int) -> np.ndarray:
        """Rank the pixels of the image's map, the only sort of it, and record its share of ties."""
        importance = resize(self._maps[index : index + 1], self.image_size)[0]  # (S, S)
        ordered = order(importance, int(self._images.image_ids[self._indices[index]]), self._seed)
        self.ties[index] = tie_share(importance.reshape(-1)[ordered])
        return ordered

    def _prepare(self, index: int) -> _ImageData:
        place, ordered = self._indices[index : index + 1], self.order(index)
        rank = np.empty(len(ordered), np.int32)
        rank[ordered] = np.arange(rank.size, dtype=np.int32)
        image = self._model.preprocessing.normalise(self._images.pixels(place).to(self._device))
        soft = image if self._skipped else blurred(image, self._kernel)  # deletion alone needs no blurred image
        return _ImageData(
            torch.as_tensor(rank, device=self._device).view(self.image_size, self.image_size), image, soft
        )

    def fill(self, index: int, start: int, stop: int, out: Tensor) -> None:
        rank, image, soft = self._prepared(index, self._prepare)
        start, stop = start + self._skipped, stop + self._skipped
        middle = min(max(start, self.steps), stop)  # insertion before, deletion from here on
        if start < middle:
            reached = rank < self._changed[start:middle]  # (b, 1, S, S)
            torch.where(reached, image, soft, out=out[: middle - start])
        if middle < stop:
            first = middle - self.steps + 1
            reached = rank < self._changed[first : first + stop - middle]
            torch.where(reached, self._empty, image, out=out[middle - start :])


@torch.inference_mode()
def insertion_deletion(
    model: Classifier,
    images: Images,
    indices: np.ndarray,
    maps: Sliced,
    full: np.ndarray,
    *,
    method: str,
    step: int,
    kernel: Tensor,
    seed: int,
    batch: int,
    device: torch.device,
    reference_size: int | None = None,
    curve: Curve = "both",
) -> Curves:
    """Compute insertion and deletion curves of `maps` on the model.

    Perturbed images of several images share a forward pass; the curves do not depend on `batch` beyond rounding (1e-6).

    Args:
        model: the evaluated model.
        images: at the image size of `model.preprocessing`.
        indices: int `(n,)`.
        maps: `(n, h, w)`, of any resolution.
        full: `(n, K)`, the model's probabilities on the whole images (:func:`ala.perturbation.predict`); the target
            class of each image is their argmax.
        method: the maps' method, stored in the result.
        step: pixels per step, of an image of size `reference_size` (:func:`shown_pixels`).
        kernel: of the blur, `(k,)` (:func:`blur_kernel`).
        seed: of the order of equal values.
        batch: images per forward pass.
        device: where the model lives.
        reference_size: default: the size of the model's input.
        curve: `insertion` or `deletion` alone costs half; the other curve is NaN.
    """
    targets = full.argmax(axis=1)
    return insertion_deletion_of(
        model, images, indices, maps, full, targets[:, None], method=method, step=step, kernel=kernel, seed=seed,
        batch=batch, device=device, reference_size=reference_size, curve=curve,
    )[0]  # fmt: skip


@torch.inference_mode()
def insertion_deletion_of(
    model: Classifier,
    images: Images,
    indices: np.ndarray,
    maps: Sliced,
    full: np.ndarray,
    classes: np.ndarray,
    *,
    method: str,
    step: int,
    kernel: Tensor,
    seed: int,
    batch: int,
    device: torch.device,
    reference_size: int | None = None,
    curve: Curve = "both",
) -> list[Curves]:
    """Compute curves of several classes of each image from the same forward passes.

    As :func:`insertion_deletion`, with `classes` int `(n, C)`, e.g. the predicted and the true one.

    Returns:
        C curves; each holds `forwards`, which they share.
    """
    changed = shown_pixels(model.preprocessing.size, step, reference_size)
    perturbed = _Steps(model, images, indices, maps, changed, kernel, seed, device, curve)
    counts, what = np.full(len(indices), perturbed.count), f"insertion and deletion, {method}"
    found = column_scores(model, classes, counts, perturbed, batch, device, what)  # (n * F, C), F = 2T - 1 for both
    for index in np.flatnonzero(np.isnan(perturbed.ties)):  # predicted by an interrupted run
        perturbed.order(int(index))
    empty = np.zeros(0, np.float32)
    if curve != "insertion":  # deletion ends there
        black = torch.zeros(1, 3, perturbed.image_size, perturbed.image_size, device=device)
        empty = in_lanes(model, black)[0].float().cpu().numpy()  # (K,)
    curves = []
    for column, targets in enumerate(classes.T):
        inner = found[:, column].reshape(len(indices), perturbed.count)  # (n, F)
        whole = np.take_along_axis(full, targets[:, None], axis=1)  # (n, 1)
        insertion = deletion = np.full((len(indices), perturbed.steps + 1), np.nan)
        if curve != "deletion":
            insertion = np.concatenate([inner[:, : perturbed.steps], whole], axis=1)  # (n, T + 1)
        if curve != "insertion":
            later = inner if curve == "deletion" else inner[:, perturbed.steps :]  # (n, T - 1)
            deletion = np.concatenate([whole, later, empty[targets, None]], axis=1)  # (n, T + 1)
        curves.append(
            Curves(
                methods=np.full(len(indices), method),
                image_ids=np.asarray(images.image_ids)[indices],
                targets=targets,
                insertion=insertion.astype(np.float32),
                deletion=deletion.astype(np.float32),
                tie_shares=perturbed.ties,
                forwards=inner.size + (curve != "insertion"),
            )
        )
    return curves


class InsertionDeletion:
    """Areas under both curves and their difference, for the predicted and for the true class."""

    images = "subset"
    evaluates = True
    reads: tuple[str, ...] = ("images_per_class", "subset_seed", "step", "blur_kernel", "blur_sigma", "batch")

    def measure(self, scoring: Scoring, index: np.ndarray) -> Arrays:
        """`official-CLASS/insertion`, `/deletion` and `/id` `(n,)`; the curves beside them."""
        assert scoring.evaluated is not None
        classes = np.stack([scoring.evaluated.full[index].argmax(axis=1), scoring.test.labels[index]], axis=1)
        curves = followed(scoring, scoring.evaluated, index, classes)
        found: Arrays = {"_forwards": np.array([curves[0].forwards - 1]), "_tie_shares": curves[0].tie_shares}
        for name, one in zip(CLASSES, curves, strict=True):
            found |= areas(f"official-{name}", one.insertion, one.deletion)
            found |= {f"_{name}_insertion": one.insertion, f"_{name}_deletion": one.deletion,
                      f"_{name}_targets": one.targets}  # fmt: skip
        return found

    def whole(self, arrays: Arrays) -> dict[str, float]:
        """The number of forward passes, and the mean share of tied pixels."""
        return {
            "official/forwards": float(arrays["_forwards"].sum()) + 1,  # deletion ends with the empty image
            "official/tie_share": float(arrays["_tie_shares"].mean()),
        }

    def curves(self, method: str, ids: np.ndarray, arrays: Arrays) -> dict[str, Curves]:
        """The curves of each class, of the images `ids` of all shards."""
        forwards = int(arrays["_forwards"].sum()) + 1
        return {
            name: Curves(
                np.full(len(ids), method), ids, arrays[f"_{name}_targets"], arrays[f"_{name}_insertion"],
                arrays[f"_{name}_deletion"], arrays["_tie_shares"], forwards,
            )
            for name in CLASSES
        }  # fmt: skip


def followed(scoring: Scoring, model: Evaluated, index: np.ndarray, classes: np.ndarray) -> list[Curves]:
    """Curves on `model` of the maps of test images `index`, one for each column of `classes` int `(n, C)`."""
    ids, settings = scoring.test.image_ids[index], scoring.settings
    return insertion_deletion_of(
        model.classifier, model.images, model.images.indices_of(ids), scoring.view(index),
        model.full[model.images.indices_of(ids)], classes, method=scoring.maps.method, step=settings.step,
        kernel=scoring.kernel, seed=settings.subset_seed, batch=settings.batch, device=model.device,
        reference_size=scoring.test.size,
    )  # fmt: skip


def areas(protocol: str, insertion: np.ndarray, deletion: np.ndarray) -> Arrays:
    """Areas under curves `(n, T + 1)` and ID = insertion - deletion (slide 42), named by `protocol`."""
    inserted, deleted = area(insertion), area(deletion)
    return {f"{protocol}/insertion": inserted, f"{protocol}/deletion": deleted, f"{protocol}/id": inserted - deleted}
