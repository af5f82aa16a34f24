"""Words for classes, and the unit vectors that a CLIP text tower makes of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ala.utils.progress import track

#: Prompts for classes that have only a name (CLIP's wording for data sets of birds, Radford et al. 2021).
TEMPLATES = ("a photo of a {}, a type of bird.",)

_AT_ONCE = 32  # texts


def class_words(name: str) -> str:
    """The words in a CUB folder name.

    >>> class_words("001.Black_footed_Albatross")
    'Black footed Albatross'
    """
    return re.sub(r"^\d+\.", "", name).replace("_", " ").strip()


def prompts(class_names: Sequence[str]) -> list[list[str]]:
    """For each class, every template filled with its words."""
    return [[template.format(class_words(name)) for template in TEMPLATES] for name in class_names]


@torch.no_grad()
def class_features(model: nn.Module, tokenise: Callable[[list[str]], Tensor], texts: Sequence[Sequence[str]]) -> Tensor:
    """Text features of K classes: the mean of the unit vectors of a class's texts, made a unit vector again.

    Args:
        model: an open_clip model (`encode_text`).
        tokenise: texts to token ids `(n, context)`.
        texts: one or more texts for each class.

    Returns:
        float32 `(K, D)`, rows of length 1.
    """
    device = next(model.parameters()).device
    flat = [wording for wordings in texts for wording in wordings]
    parts = []
    for start in track(range(0, len(flat), _AT_ONCE), "class texts", unit="batch"):
        tokens = tokenise(flat[start : start + _AT_ONCE]).to(device)
        parts.append(model.encode_text(tokens, normalize=True).float())  # type: ignore[operator]
    by_class = torch.cat(parts).split([len(wordings) for wordings in texts])
    return F.normalize(torch.stack([vectors.mean(dim=0) for vectors in by_class]), dim=-1)
