"""RISE: importance as the mean score of the masks that leave a pixel visible (METHODS 3; Petsiuk et al. 2018).

    S_c(u) = 1 / (N p1) * sum_i P(c | m_i * x) m_i(u)

The N masks are the same for all images. They are stored as drawn, a grid of s x s bits and one offset each (392 kB for
8,000 masks of 7 x 7, where the masks themselves take 1.6 GB), and are up-sampled when a batch needs them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ala.config.schema import Rise
from ala.contracts.classifier import Classifier
from ala.contracts.maps import disk_backed
from ala.contracts.preprocessing import Preprocessing
from ala.perturbation import Photos, Prepared, Score, target_scores
from ala.utils.errors import UserError
from ala.utils.progress import Advance, progress
from ala.utils.seeds import numpy_generator
from ala.utils.threads import lane, whole_lanes

MASK_MEMORY = 32 * 2**20  # bytes of up-sampled masks held at once; more masks are taken in turns
SUM_MEMORY = 32 * 2**20  # bytes of maps summed up at once; more images are taken in groups
_RENDERED_AT_ONCE = 32  # masks; the up-sampled grids are larger than what is cropped from them


@dataclass(frozen=True)
class RiseMasks:
    """N random masks over images of side `side`, packed.

    Attributes:
        bits: uint8 `(N, ceil(s * s / 8))`, the grids in row order, eight cells to the byte (`numpy.packbits`).
        offsets: int64 `(N, 2)`, row and column at which the up-sampled grid is cropped, each in `[0, ceil(S / s))`.
        grid: s, cells per side.
        side: S.
    """

    bits: np.ndarray
    offsets: np.ndarray
    grid: int
    side: int

    @classmethod
    def draw(cls, n_masks: int, grid: int, p1: float, side: int, seed: int) -> RiseMasks:
        """Draw masks whose cells are 1 with probability `p1` (uniform, METHODS 3.2); `seed` decides everything."""
        random = numpy_generator(seed, "rise", "masks")
        cells = random.random((n_masks, grid * grid)) < p1
        offsets = random.integers(0, -(-side // grid), (n_masks, 2))
        return cls(np.packbits(cells, axis=1), offsets, grid, side)

    def __len__(self) -> int:
        return len(self.bits)

    def render(self, start: int, stop: int, device: torch.device | str = "cpu") -> Tensor:
        """Masks `start..stop` as float32 `(stop - start, S, S)` in [0, 1].

        Each grid is resized bilinearly (`align_corners=False`) to s + 1 cells' worth of pixels per side, so that
        every offset within one cell leaves an S x S crop.
        """
        shown = torch.empty(stop - start, self.side, self.side, device=device)
        for first in range(start, stop, _RENDERED_AT_ONCE):
            last = min(stop, first + _RENDERED_AT_ONCE)
            torch.stack(self._render(first, last, device), out=shown[first - start : last - start])
        return shown

    def _render(self, start: int, stop: int, device: torch.device | str) -> list[Tensor]:
        """`(S, S)` each, not contiguous."""
        cell = -(-self.side // self.grid)
        cells = np.unpackbits(self.bits[start:stop], axis=1, count=self.grid * self.grid)
        grids = torch.as_tensor(cells, device=device).float().view(-1, 1, self.grid, self.grid)  # (b, 1, s, s)
        up = F.interpolate(grids, size=((self.grid + 1) * cell,) * 2, mode="bilinear", align_corners=False)[:, 0]
        crops = zip(up, self.offsets[start:stop].tolist(), strict=True)
        return [one[row : row + self.side, column : column + self.side] for one, (row, column) in crops]


class _Masked:
    """Perturbed image f of an image is the normalised image times mask f; a 0 shows the mean colour."""

    def __init__(
        self, photos: Photos, rows: np.ndarray, masks: Tensor, preprocessing: Preprocessing, device: torch.device
    ) -> None:
        self.count, self.side = len(masks), masks.shape[-1]
        self._photos, self._rows, self._masks = photos, rows, masks
        self._preprocessing, self._device = preprocessing, device
        self._image = Prepared[Tensor](self.count, self.side, device)

    def _normalised(self, photo: int) -> Tensor:
        """`(1, 3, S, S)`."""
        return self._preprocessing.normalise(self._photos.pixels(self._rows[photo : photo + 1]).to(self._device))

    def fill(self, photo: int, start: int, stop: int, out: Tensor) -> None:
        torch.mul(self._image(photo, self._normalised), self._masks[start:stop, None], out=out)


@torch.inference_mode()
def rise_maps(
    model: Classifier,
    photos: Photos,
    rows: np.ndarray,
    targets: np.ndarray,
    settings: Rise,
    device: torch.device,
    memory: int = MASK_MEMORY,
    sums: int = SUM_MEMORY,
) -> np.ndarray:
    """Compute RISE maps of the images at indices `rows` for one class each (METHODS 3.3).

    The result depends on `settings.seed`. On a CPU `settings.batch` changes no byte of it; on a GPU it, and everywhere
    `memory`, changes nothing beyond rounding (1e-6).

    Args:
        model: any Classifier; with `settings.output` "logits" it has a method `logits`, too.
        photos: at the side of `model.preprocessing`.
        rows: int `(n,)`.
        targets: int `(n,)`, usually the predicted classes.
        settings: the `rise` block.
        device: where the model lives.
        memory: bytes of up-sampled masks to hold at once (at least one mask).
        sums: bytes of maps on the device at once (at least one map).

    Returns:
        float32 `(n, S, S)`, on disk where it is large (:func:`ala.contracts.maps.disk_backed`).

    Raises:
        UserError: logits are asked of a model without them, or the model breaks the contract of a Classifier
            (:func:`ala.perturbation.column_scores`; of logits the shape alone is checked).
    """
    score: Score = model
    if settings.output == "logits":
        if not hasattr(model, "logits"):
            raise UserError("rise.output logits needs a model with logits; set rise.output to probabilities")
        score = model.logits
    side = model.preprocessing.size
    masks = RiseMasks.draw(settings.n_masks, settings.grid, settings.p1, side, settings.seed)
    batch = whole_lanes(settings.batch, side, device)
    per_turn, per_group = (max(1, limit // (4 * side * side)) for limit in (memory, sums))
    if per_turn > lane(side):
        per_turn -= per_turn % lane(side)  # a CPU's turns begin with a lane; the batch decides nothing about the sums
    found = disk_backed((len(rows), side, side))
    with progress(len(rows) * len(masks), "rise", unit="image") as advance:
        for first in range(0, len(rows), per_group):
            group = slice(first, first + per_group)
            total = _sum_over_masks(score, model.preprocessing, photos, rows[group], targets[group], masks, per_turn,
                                    batch, device, advance, settings.output == "probabilities")  # fmt: skip
            found[group] = total / np.float32(settings.n_masks * settings.p1)
    return found


def _sum_over_masks(
    score: Score,
    preprocessing: Preprocessing,
    photos: Photos,
    rows: np.ndarray,
    targets: np.ndarray,
    masks: RiseMasks,
    per_turn: int,
    batch: int,
    device: torch.device,
    advance: Advance,
    probabilities: bool,
) -> np.ndarray:
    """Masks weighted by the scores they leave, summed: float32 `(n, S, S)`; `per_turn` masks are held at once."""
    importance = torch.zeros(len(rows), masks.side**2, device=device)
    for start in range(0, len(masks), per_turn):
        shown = masks.render(start, min(len(masks), start + per_turn), device)  # (m, S, S)
        frames = _Masked(photos, rows, shown, preprocessing, device)
        scores = target_scores(
            score, targets, frames, batch, device, "rise", advance, probabilities=probabilities
        )  # (n, m)
        importance.addmm_(torch.as_tensor(scores, device=device), shown.flatten(1))  # (n, m) @ (m, S * S)
        del shown, frames  # before the next turn's masks are made
    return importance.view(len(rows), masks.side, masks.side).cpu().numpy()
