"""The trained F-CAM, a classifier and its maps of foreground probability; save and load it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import ValidationError
from safetensors.torch import save
from torch import Tensor, nn

from ala.config.schema import Fcam as Settings
from ala.contracts.preprocessing import Preprocessing
from ala.encoders.weights import read_weights, require_finite_weights
from ala.explainers.fcam.classifier import CamClassifier
from ala.explainers.fcam.decoder import Decoder
from ala.utils.errors import UserError
from ala.utils.files import atomic_folder, write_json

FORMAT = 1


class Probabilities:
    """F-CAM's classifier as a :class:`ala.contracts.classifier.Classifier`."""

    def __init__(self, network: CamClassifier) -> None:
        self.preprocessing: Preprocessing = network.preprocessing
        self._network = network.eval()

    def __call__(self, images: Tensor) -> Tensor:
        """Normalised images `(B, 3, S, S)` to class probabilities `(B, K)`."""
        return self.logits(images).softmax(1)

    def logits(self, images: Tensor) -> Tensor:
        """Normalised images `(B, 3, S, S)` to class logits `(B, K)`."""
        predictions: Tensor = self._network(images)
        return predictions


class Fcam(nn.Module):
    """A frozen classifier and the decoder over its features (METHODS 4). Stays in eval mode.

    Attributes:
        network: the classifier with its pyramid.
        decoder: the U-Net.
        preprocessing: what a normalised image is.
        classifier: class probabilities, for evaluations of the model.
    """

    def __init__(self, network: CamClassifier, decoder: Decoder) -> None:
        super().__init__()
        self.network = network
        self.decoder = decoder
        self.preprocessing = network.preprocessing
        self.requires_grad_(False).eval()
        self.classifier = Probabilities(network)

    def train(self, mode: bool = True) -> Fcam:
        """Stay in eval mode: this is the finished model."""
        return super().train(False)

    def explain(self, images: Tensor) -> Tensor:
        """Normalised images `(B, 3, S, S)` to foreground probabilities `(B, S, S)` in [0, 1] (METHODS 4.4).

        The value has a meaning of its own (0.5 is the decoder's decision), so it must not be min-max scaled again.
        """
        logits = self.decoder(self.network.pyramid(images).levels, images.shape[-1])  # (B, 2, S, S)
        return logits.softmax(1)[:, 1].float()


@dataclass(frozen=True)
class Trained:
    """The result of training: the model, its curves, and how it was made."""

    model: Fcam
    classifier_curve: pd.DataFrame
    decoder_curve: pd.DataFrame
    about: dict[str, Any]


def save_fcam(folder: Path, trained: Trained, used: Mapping[str, Any] | None = None) -> None:
    """Write weights, `model.json` and curves into `folder`, which is replaced as a whole.

    `used` (:func:`ala.contracts.compute.used` by training, `classifier` and `decoder`) goes into `model.json`.
    """
    with atomic_folder(folder) as temporary:
        for name, module in (("classifier", trained.model.network), ("decoder", trained.model.decoder)):
            state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
            (temporary / f"{name}.safetensors").write_bytes(save(state))
        trained.classifier_curve.to_csv(temporary / "classifier_curve.csv", index=False)
        trained.decoder_curve.to_csv(temporary / "decoder_curve.csv", index=False)
        write_json(temporary / "model.json", {"format": FORMAT, **trained.about, "used": used})


def load_fcam(folder: Path, device: torch.device | str = "cpu") -> Fcam:
    """Read what :func:`save_fcam` wrote.

    Raises:
        UserError: a file is missing, damaged, or belongs to another model.
    """
    folder = Path(folder)
    again = f"delete {folder} and run the fcam stage again"
    try:
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise UserError(f"{folder / 'model.json'} has format {about['format']}, expected {FORMAT}; {again}")
        settings = Settings.model_validate(about["settings"])
        network = CamClassifier(settings, int(about["classes"]), weights=False)
        decoder = Decoder(network.channels, network.strides, settings.decoder_channels)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder / 'model.json'} does not exist; run the fcam stage that writes it") from None
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise UserError(
            f"{folder / 'model.json'} does not describe an F-CAM model ({type(error).__name__}); {again}"
        ) from None
    for name, module in (("classifier", network), ("decoder", decoder)):
        path = folder / f"{name}.safetensors"
        state, own = read_weights(path), module.state_dict()
        odd = sorted(
            {key for key in {*state, *own} if key not in state or key not in own or state[key].shape != own[key].shape}
        )
        if odd:
            raise UserError(f"{path} and model.json belong to different models ({odd[0]} does not fit); {again}")
        require_finite_weights(path, state)
        module.load_state_dict(state)
    return Fcam(network, decoder).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
