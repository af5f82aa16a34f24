"""The frozen encoder with its class texts as a classifier: CLIP itself as a model to explain (METHODS 12, `@clip`)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ala.encoders.encoder import Encoder
from ala.utils.errors import UserError


class ZeroShotModel(nn.Module):
    """Normalised images `(B, 3, S, S)` to probabilities `(B, K)` of the classes that the encoder's texts name.

    Nothing of it is trained here, so it knows no seed. Like :class:`ala.model.explained.ExplainedModel` it is always in
    eval mode and its parameters require no gradient.

    Args:
        encoder: with `text_features` `(K, D)`.
        scale: of the cosine similarities, CLIP's learned `exp(logit_scale)`; at least 0.

    Raises:
        UserError: the encoder has no text features.
    """

    def __init__(self, encoder: Encoder, scale: float = 100.0) -> None:
        super().__init__()
        if encoder.text_features is None:
            raise UserError(f"{encoder.description['name']} has no class texts; choose an encoder of open_clip")
        self.encoder, self.scale = encoder, scale
        self.preprocessing = encoder.preprocessing
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> ZeroShotModel:
        """Stay in eval mode."""
        return super().train(False)

    def logits(self, images: Tensor) -> Tensor:
        """Compute scaled cosine similarities `(B, K)` of images and class texts."""
        assert self.encoder.text_features is not None
        embedding = F.normalize(self.encoder.pooled(images), dim=-1)  # (B, D)
        return self.scale * embedding @ F.normalize(self.encoder.text_features, dim=-1).T

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images).softmax(-1)
