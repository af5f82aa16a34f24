"""Build the networks of a profile with random weights, without download or training: only their shapes matter."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from ala.config.schema import Profile
from ala.encoders import Encoder
from ala.explainers.fcam.classifier import CamClassifier
from ala.explainers.fcam.decoder import Decoder
from ala.explainers.fcam.model import Fcam
from ala.model.adapter import Adapter
from ala.model.blueprint import plan
from ala.model.explained import ExplainedModel
from ala.model.lora import LoraEncoder

#: For each name of :func:`ala.plan.work.model_of`, a variant with that network.
VARIANT = {"side": "aea-true-sbn-true", "single": "aea-true-sbn-false"}


class Models:
    """Networks of `profile` for `classes` classes on `device`, each built on first use.

    On the device `meta` they have shapes but no values, which is enough to count FLOPs and bytes.

    Raises:
        UserError: from the properties and methods, where the settings name a network that does not exist or does not
            fit.
    """

    def __init__(self, profile: Profile, classes: int, device: torch.device) -> None:
        self.profile, self.classes, self.device = profile, classes, device
        self._adapters: dict[str, ExplainedModel] = {}

    @cached_property
    def encoder(self) -> Encoder:
        """The frozen encoder, with random weights."""
        from ala.encoders.build import random_encoder

        size = self.profile.data.input_size
        with self.device:
            return random_encoder(self.profile.encoder, size, size // self.profile.ala.sbn.patch)

    def explained(self, name: str) -> ExplainedModel:
        """Encoder and adapter `side`, `single` or `abn-LAYER`."""
        if name not in self._adapters:
            profile = self.profile
            abn = profile.abn
            if name.startswith("abn-"):
                abn = abn.model_copy(update={"layer": int(name.removeprefix("abn-"))})
            encoder = self.encoder
            blueprint = plan(
                VARIANT.get(name, "abn"), profile.ala, abn, tap_channels=encoder.tap_channels, grid=encoder.grid,
                input_size=profile.data.input_size, classes=self.classes,
            )  # fmt: skip
            with self.device:
                running: Any = encoder
                if blueprint.lora is not None:
                    running = LoraEncoder(encoder, blueprint.lora, blueprint.taps).to(self.device)
                self._adapters[name] = ExplainedModel(running, Adapter(blueprint, None))
                self._adapters[name].adapter.requires_grad_(True)  # training is timed on it, too
        return self._adapters[name]

    def classifier(self) -> CamClassifier:
        """Build an untrained classifier of F-CAM."""
        with self.device:
            network = CamClassifier(self.profile.fcam, self.classes, weights=False)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def decoder(self, network: CamClassifier) -> Decoder:
        """Build an untrained decoder over `network`."""
        with self.device:
            decoder = Decoder(network.channels, network.strides, self.profile.fcam.decoder_channels)
        return decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @cached_property
    def fcam(self) -> Fcam:
        """The finished F-CAM."""
        network = self.classifier()
        return Fcam(network, self.decoder(network))

    def clip(self) -> Any:
        """The whole CLIP of an open_clip encoder, text tower included: what is downloaded, or pre-trained."""
        import ala.utils.torchvision_import  # noqa: F401  (before open_clip)

        import open_clip  # isort: skip
        from ala.encoders.clip_source import read_config

        with self.device:
            return open_clip.CLIP(**read_config(self.profile.encoder.model))


def parameters(module: torch.nn.Module) -> int:
    """Count the values in a module's weights and buffers."""
    return sum(tensor.numel() for tensor in module.state_dict().values())
