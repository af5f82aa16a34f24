"""RISE: importance as the mean score of the masks that leave a pixel visible (METHODS 3; Petsiuk et al. 2018).

    S_c(u) = 1 / (N p1) * sum_i P(c | m_i * x) m_i(u)

The N masks are the same for all images. They are stored as drawn, a grid of s x s bits and one offset each (392 kB for
8,000 masks of 7 x 7, where the masks themselves take 1.6 GB), and are up-sampled when a batch needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ala.contracts.classifier import Classifier
from ala.perturbation import Score, target_scores
from ala.utils.errors import UserError
from ala.utils.progress import Advance, progress
from ala.utils.seeds import numpy_generator
from ala.utils.threads import lane, whole_lanes

MASK_MEMORY = 32 * 2**20  # bytes of up-sampled masks held at once; more masks are taken in turns
SUM_MEMORY = 32 * 2**20  # bytes of maps summed up at once; more images are taken in groups
_RENDERED_AT_ONCE = 32  # masks; the up-sampled grids are larger than what is cropped from them


@dataclass(frozen=True)
class RiseMasks:
    """N random masks over images of size `image_size`, packed.

    Attributes:
        bits: uint8 `(N, ceil(s * s / 8))`, the grids in row order, eight cells to the byte (`numpy.packbits`).
        offsets: int64 `(N, 2)`, row and column at which the up-sampled grid is cropped, each in `[0, ceil(S / s))`.
        grid: s, cells per axis.
        image_size: S.
    """

    bits: np.ndarray
    offsets: np.ndarray
    grid: int
    image_size: int

    @classmethod
    def draw(cls, n_masks: int, grid: int, p1: float, image_size: int, seed: int) -> RiseMasks:
        """Draw masks whose cells are 1 with probability `p1` (uniform, METHODS 3.2); `seed` decides everything."""
        random = numpy_generator(seed, "rise", "masks")
        cells = random.random((n_masks, grid * grid)) < p1
        offsets = random.integers(0, -(-image_size // grid), (n_masks, 2))
        return cls(np.packbits(cells, axis=1), offsets, grid, image_size)

    def __len__(self) -> int:
        return len(self.bits)

    def render(self, start: int, stop: int, device: torch.device | str = "cpu") -> Tensor:
        """Masks `start..stop` as float32 `(stop - start, S, S)` in [0, 1].

        Each grid is resized bilinearly (`align_corners=False`) to s + 1 cells' worth of pixels per axis, so that
        every offset within one cell leaves an S x S crop.
        """
        shown = torch.empty(stop - start, self.image_size, self.image_size, device=device)
        for first in range(start, stop, _RENDERED_AT_ONCE):
            last = min(stop, first + _RENDERED_AT_ONCE)
            torch.stack(self._render(first, last, device), out=shown[first - start : last - start])
        return shown

    def _render(self, start: int, stop: int, device: torch.device | str) -> list[Tensor]:
        """`(S, S)` each, not contiguous."""
        cell = -(-self.image_size // self.grid)
        cells = np.unpackbits(self.bits[start:stop], axis=1, count=self.grid * self.grid)
        grids = torch.as_tensor(cells, device=device).float().view(-1, 1, self.grid, self.grid)  # (b, 1, s, s)
        up = F.interpolate(grids, size=((self.grid + 1) * cell,) * 2, mode="bilinear", align_corners=False)[:, 0]
        crops = zip(up, self.offsets[start:stop].tolist(), strict=True)
        return [one[row : row + self.image_size, column : column + self.image_size] for one, (row, column) in crops]


class Masked:
    """Perturbed image f of an image is the normalised image times mask f; a 0 shows the mean colour."""

    def __init__(self, images: Tensor, masks: Tensor) -> None:
        self.count, self.image_size = len(masks), masks.shape[-1]
        self._images, self._masks = images, masks

    def fill(self, index: int, start: int, stop: int, out: Tensor) -> None:
        torch.mul(self._images[index : index + 1], self._masks[start:stop, None], out=out)


class Rise:
    """RISE on any classifier, for the class that it predicts (METHODS 8: on a subset, the cost decides).

    Args:
        classifier: normalised images to probabilities.
        n_masks, grid, p1, output, batch: as in :func:`rise`.
        seed: of the masks, which are the same for every image and every seed of a run.
    """

    label = "RISE"
    images = "subset"

    def __init__(
        self, classifier: Classifier, n_masks: int, grid: int, p1: float, seed: int, output: str, batch: int
    ) -> None:
        self.classifier = classifier
        self.settings: dict[str, Any] = {
            "n_masks": n_masks, "grid": grid, "p1": p1, "seed": seed, "output": output, "batch": batch,
        }  # fmt: skip

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """Maps `(B, S, S)`, the mean score over the masks that leave a pixel visible."""
        return rise(self.classifier, images, targets, **self.settings)


@torch.inference_mode()
def rise(
    classifier: Classifier,
    images: Tensor,
    targets: Tensor | np.ndarray,
    *,
    n_masks: int = 4000,
    grid: int = 7,
    p1: float = 0.5,
    seed: int = 0,
    output: str = "probabilities",
    batch: int = 64,
    memory: int = MASK_MEMORY,
    sums: int = SUM_MEMORY,
) -> Tensor:
    """Compute RISE maps of images for one class each (METHODS 3.3; Petsiuk et al. 2018).

    The result depends on `seed`. On a CPU `batch` changes no byte of it; on a GPU it, and everywhere `memory`, changes
    nothing beyond rounding (1e-6).

    Args:
        classifier: any Classifier; with `output` "logits" it has a method `logits`, too.
        images: normalised, `(B, 3, S, S)`, on the device of the classifier.
        targets: int `(B,)`, usually the predicted classes.
        n_masks: N.
        grid: cells per axis of a mask before it is up-sampled.
        p1: probability that a cell is visible.
        seed: of the masks.
        output: `probabilities`, or `logits` as the authors of ALA used.
        batch: perturbed images per forward pass.
        memory: bytes of up-sampled masks to hold at once (at least one mask).
        sums: bytes of maps on the device at once (at least one map).

    Returns:
        float32 `(B, S, S)` on the CPU.

    Raises:
        UserError: logits are requested of a model without them, or the model breaks the contract of a Classifier
            (:func:`ala.perturbation.column_scores`; of logits the shape alone is checked).
    """
    score: Score = classifier
    if output == "logits":
        if not hasattr(classifier, "logits"):
            raise UserError("rise.output logits needs a model with logits; set rise.output to probabilities")
        score = classifier.logits
    image_size, device, classes = images.shape[-1], images.device, torch.as_tensor(targets).cpu().numpy()
    masks = RiseMasks.draw(n_masks, grid, p1, image_size, seed)
    batch = whole_lanes(batch, image_size, device)
    per_turn, per_group = (max(1, limit // (4 * image_size * image_size)) for limit in (memory, sums))
    if per_turn > lane(image_size):
        # a CPU's turns begin with a lane; the batch decides nothing about the sums
        per_turn -= per_turn % lane(image_size)
    found = torch.empty(len(images), image_size, image_size)
    with progress(len(images) * len(masks), "rise", unit="image") as advance:
        for first in range(0, len(images), per_group):
            group = slice(first, first + per_group)
            total = _sum_over_masks(score, images[group], classes[group], masks, per_turn, batch, advance,
                                    output == "probabilities")  # fmt: skip
            found[group] = total.cpu() / float(np.float32(n_masks * p1))
    return found


def _sum_over_masks(
    score: Score, images: Tensor, targets: np.ndarray, masks: RiseMasks, per_turn: int, batch: int, advance: Advance,
    probabilities: bool,
) -> Tensor:  # fmt: skip
    """Masks weighted by the scores they leave, summed: float32 `(n, S, S)`; `per_turn` masks are held at once."""
    device = images.device
    importance = torch.zeros(len(images), masks.image_size**2, device=device)
    for start in range(0, len(masks), per_turn):
        shown = masks.render(start, min(len(masks), start + per_turn), device)  # (m, S, S)
        perturbed = Masked(images, shown)
        scores = target_scores(
            score, targets, perturbed, batch, device, "rise", advance, probabilities=probabilities
        )  # (n, m)
        weights, flat = torch.as_tensor(scores, device=device), shown.flatten(1).T  # (n, m), (S * S, m)
        for one, weight in zip(importance, weights, strict=True):  # one by one: a map does not depend on its neighbours
            one.addmv_(flat, weight)
        del shown, perturbed  # before the next turn's masks are made
    return importance.view(len(images), masks.image_size, masks.image_size)
