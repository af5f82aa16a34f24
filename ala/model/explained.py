"""A trained model that predicts and explains: encoder and adapter together, as a Classifier."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from torch import Tensor, nn

from ala.contracts.preprocessing import Preprocessing
from ala.model.adapter import Adapter, AdapterOutput
from ala.model.attention_branch import minmax
from ala.model.lora import LoraEncoder


class FeatureEncoder(Protocol):
    """The encoder interface that the adapter needs; :class:`ala.encoders.Encoder` and ``LoraEncoder`` have it."""

    @property
    def preprocessing(self) -> Preprocessing: ...
    @property
    def grid(self) -> int: ...
    @property
    def feature_channels(self) -> dict[int, int]: ...

    def features(self, images: Tensor, wanted: Collection[int]) -> dict[int, Tensor]: ...


class ExplainedModel(nn.Module):
    """Normalised images `(B, 3, S, S)` to probabilities `(B, K)`; :meth:`explain` gives the attention map.

    It is always in eval mode, and its parameters require no gradient: autograd keeps nothing unless the images require
    one. alpha is computed from the given image, so a perturbed image has
    its own attention map (METHODS 5.6). The map is class-agnostic.

    Args:
        encoder: a frozen encoder, or one with a trained low-rank update if the blueprint has one.
        adapter: the trained adapter; its blueprint says which logits are the prediction.
    """

    def __init__(self, encoder: FeatureEncoder, adapter: Adapter) -> None:
        super().__init__()
        if (adapter.blueprint.lora is not None) != isinstance(encoder, LoraEncoder):
            raise ValueError("an adapter trained with LoRA belongs to its LoraEncoder, and no other")
        self.encoder = encoder
        self.adapter = adapter
        self.preprocessing = encoder.preprocessing
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> ExplainedModel:
        """Stay in eval mode: a prediction must not depend on the rest of the batch."""
        return super().train(False)

    def outputs(self, images: Tensor) -> AdapterOutput:
        """Compute the map and both logits in one forward pass."""
        return self.adapter(images, self.encoder.features(images, self.adapter.features(True)))

    def logits(self, images: Tensor) -> Tensor:
        """Compute logits `(B, K)` of the perception branch, or their sum with the attention branch's (`predict`)."""
        return self.prediction(self.outputs(images))

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(images).softmax(-1)

    def explain(self, images: Tensor) -> Tensor:
        """Compute alpha `(B, g, g)`, min-max scaled to [0, 1] per image; a constant map becomes 0 (METHODS 2.5)."""
        alpha = self.outputs(images).alpha
        assert alpha is not None  # attention is on
        return minmax(alpha[:, 0])

    def prediction(self, output: AdapterOutput) -> Tensor:
        """Select from :meth:`outputs` the logits that `predict` names."""
        if self.adapter.blueprint.predict == "pb" or output.ab_logits is None:
            return output.pb_logits
        return output.pb_logits + output.ab_logits
