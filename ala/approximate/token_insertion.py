"""Token insertion and deletion: hidden patches are left out as tokens, instead of being blurred or grey.

A Vision Transformer takes any number of tokens. Leaving out those of hidden patches needs no substitute for their
colours, and costs the less the more is hidden: about half over a whole curve. The evaluated model is CLIP itself as a
zero-shot classifier (the image's embedding against the classes' texts): ALA and other models that read the taps as maps
need every token. So this is a metric of its own, whose values cannot be compared with those of insertion and deletion.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ala.contracts.maps import resize
from ala.encoders import Encoder
from ala.metrics.order import order
from ala.perturbation import Photos
from ala.utils.errors import UserError
from ala.utils.ledger import count_forwards
from ala.utils.progress import progress

SCALE = 100.0  # of the cosines before softmax: what CLIP's temperature is clipped to


class ZeroShot:
    """CLIP as a Classifier: softmax over the classes of `scale` times the cosine of image and text.

    Raises:
        UserError: the encoder has no text features.
    """

    def __init__(self, encoder: Encoder, scale: float = SCALE) -> None:
        if encoder.text_features is None:
            raise UserError("the encoder has no text features, so it is no zero-shot classifier; use an open_clip one")
        self.encoder, self.preprocessing, self.scale = encoder, encoder.preprocessing, scale
        self.texts = F.normalize(encoder.text_features, dim=-1)  # (K, D)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Normalised images `(B, 3, S, S)` to probabilities `(B, K)`."""
        return self.answer(self.encoder.pooled(images))

    def answer(self, embeddings: Tensor) -> Tensor:
        """Convert embeddings `(B, D)` to probabilities `(B, K)`."""
        return (self.scale * F.normalize(embeddings.float(), dim=-1) @ self.texts.T).softmax(-1)


def patch_ranks(importance: np.ndarray, side: int, grid: int, image_ids: np.ndarray, seed: int) -> np.ndarray:
    """Patches of each image from the most to the least important by the mean of the map: int64 `(n, g * g)`.

    Args:
        importance: maps `(n, h, w)`, resized to `side`.
        side: S, of the model's input.
        grid: g, patches per side; equal patches stand in an order drawn from `seed` and the image's id.
    """
    found = np.empty((len(importance), grid * grid), np.int64)
    for photo, image in enumerate(image_ids):
        large = torch.as_tensor(resize(importance[photo : photo + 1], side))[:, None]  # (1, 1, S, S)
        means = F.avg_pool2d(large, side // grid)[0, 0].numpy()  # (g, g)
        found[photo] = order(means, int(image), seed)
    return found


@torch.inference_mode()
def token_curves(
    model: ZeroShot, photos: Photos, rows: np.ndarray, maps: np.ndarray, targets: np.ndarray, *,
    curve: Literal["insertion", "deletion"], step: int, seed: int, batch: int, device: torch.device,
) -> np.ndarray:  # fmt: skip
    """Probability of each image's target class while tokens of patches are added (insertion) or taken away.

    Images that show the same number of patches share a forward pass, so every pass is dense.

    Args:
        model: the evaluated CLIP.
        photos: at the side of its input.
        rows: int `(n,)`.
        maps: `(n, h, w)`, of any resolution.
        targets: int `(n,)`.
        curve: which.
        step: patches per step.
        seed: of the order of equal patches.
        batch: images per forward pass.
        device: where the model lives.

    Returns:
        float32 `(n, T + 1)`, T = ceil(g^2 / step). The class token is always there; an encoder that answers by the mean
        of its patches has nothing to answer by where none is shown, so 1 / K stands there.
    """
    encoder = model.encoder
    averages = encoder.network.global_pool != "token"
    patches = encoder.grid**2
    shown = np.minimum(np.arange(-(-patches // step) + 1) * step, patches)  # (T + 1,)
    ranks = patch_ranks(maps, encoder.preprocessing.size, encoder.grid, np.asarray(photos.image_ids)[rows], seed)
    found = np.empty((len(rows), len(shown)), np.float32)
    with progress(len(rows) * len(shown), f"token {curve}", unit="image") as advance:
        for start in range(0, len(rows), batch):
            group = slice(start, start + batch)
            images = encoder.preprocessing.normalise(photos.pixels(rows[group]).to(device))
            tokens = _entering(encoder, images)  # (b, 1 + g², C), positions added already
            ranked = torch.as_tensor(ranks[group], device=device)  # (b, g²)
            wanted = torch.as_tensor(targets[group], device=device)[:, None]  # (b, 1)
            for point, count in enumerate(shown):
                kept = ranked[:, :count] if curve == "insertion" else ranked[:, count:]  # (b, k)
                if averages and not kept.shape[1]:
                    found[group, point] = 1 / len(model.texts)
                    advance(len(images))
                    continue
                x = torch.cat([tokens[:, :1], _taken(tokens[:, 1:], kept)], dim=1)  # (b, 1 + k, C)
                for block in encoder.blocks or []:
                    x = block(x)
                answers = model.answer(encoder.embedding(encoder.network.norm(x)))  # (b, K)
                found[group, point] = answers.gather(1, wanted)[:, 0].cpu().numpy()
                count_forwards(len(x))
                advance(len(x))
    return found


def _entering(encoder: Encoder, images: Tensor) -> Tensor:
    """Tokens `(B, 1 + g², C)` that enter the first block, the class token first."""
    network = encoder.network
    found: list[Tensor] = []
    hook = network.blocks[0].register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
    with hook:
        network.forward_intermediates(images, indices=[0], stop_early=True, intermediates_only=True)
    return found[0]


def _taken(tokens: Tensor, kept: Tensor) -> Tensor:
    """Tokens `(b, g², C)` at positions `(b, k)`: `(b, k, C)`."""
    return tokens.gather(1, kept[:, :, None].expand(-1, -1, tokens.shape[-1]))
