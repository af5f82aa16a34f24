"""How often the nearest class text names the image's class."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from ala.data.image_cache import ImageCache
from ala.encoders.encoder import Encoder
from ala.utils.fitting import Halving
from ala.utils.progress import track

BATCH = 128  # images per forward pass


@torch.inference_mode()
def zero_shot_accuracy(encoder: Encoder, cache: ImageCache, batch: int = BATCH) -> float | None:
    """Share of the image cache's images whose embedding is nearest (by angle) to their own class's text feature.

    Returns:
        A number in [0, 1], or None for an encoder without text.
    """
    if encoder.text_features is None:
        return None
    device = encoder.text_features.device
    texts = F.normalize(encoder.text_features, dim=-1)  # (K, D)
    labels = torch.from_numpy(np.asarray(cache.labels)).to(device)  # (n,)
    hits, halving = 0, Halving()

    def right(start: int, stop: int) -> int:
        images = encoder.preprocessing.normalise(cache.pixels(np.arange(start, stop)).to(device))  # (B, 3, S, S)
        nearest = (F.normalize(encoder.pooled(images), dim=-1) @ texts.T).argmax(dim=1)  # (B,)
        return int((nearest == labels[start:stop]).sum())

    for first in track(range(0, len(labels), batch), "zero-shot", unit="batch"):
        hits += sum(halving(first, min(first + batch, len(labels)), right))
    return hits / len(labels)
