"""Define and check the model interface that RISE, insertion and deletion use."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from ala.contracts.preprocessing import Preprocessing
from ala.utils.errors import UserError

#: Tolerance, for bfloat16, by which probabilities may exceed [0, 1] and their sum may differ from 1.
ROUNDING = 0.01


@runtime_checkable
class Classifier(Protocol):
    """Normalised images `(B, 3, S, S)` to class probabilities `(B, K)`, each row summing to 1.

    `preprocessing` says what "normalised" and S mean for this model. Implementations are in eval mode, give each image
    a prediction that does not depend on the rest of the batch, and can be differentiated: whether a gradient is kept is
    the caller's choice.

    The loops that call models check this once each: :func:`require_eval` before the first forward pass,
    :func:`require_predictions` after it.
    """

    preprocessing: Preprocessing

    def __call__(self, images: Tensor) -> Tensor: ...


def require_eval(model: Any, what: str) -> None:
    """Check that a model, or the model of a bound method or of an object with an attribute `model`, is in eval mode.

    Args:
        model: what maps images to predictions.
        what: the name of the work, for the message.

    Raises:
        UserError: a part of the network is in training mode.
    """
    owner = getattr(model, "__self__", model)
    while not isinstance(owner, nn.Module) and hasattr(owner, "model"):
        owner = owner.model
    if isinstance(owner, nn.Module) and any(part.training for part in owner.modules()):
        raise UserError(
            f"{what}: {type(owner).__name__} is in training mode, where predictions depend on dropout and on the rest"
            " of the batch; call its eval() first"
        )


def require_predictions(predictions: Tensor, images: int, what: str, *, probabilities: bool = True) -> None:
    """Check a model's first predictions: shape `(images, K)`, rows in [0, 1] that sum to 1 within :data:`ROUNDING`.

    Args:
        predictions: finite.
        images: B, the number of images.
        what: the name of the work, for the message.
        probabilities: whether rows are probabilities; logits are checked for their shape alone.

    Raises:
        UserError: the predictions violate this.
    """
    if predictions.ndim != 2 or len(predictions) != images:
        raise UserError(
            f"{what}: the model predicts {tuple(predictions.shape)} for {images} images, where ({images}, classes) is"
            " needed; reduce its output to one row per image"
        )
    if not probabilities:
        return
    sums, low, high = predictions.float().sum(1), float(predictions.min()), float(predictions.max())
    if low < -ROUNDING or high > 1 + ROUNDING or bool((sums - 1).abs().max() > ROUNDING):
        raise UserError(
            f"{what}: the model's predictions are no probabilities: values from {low:.4g} to {high:.4g}, rows that sum"
            f" to between {float(sums.min()):.4g} and {float(sums.max()):.4g}; if they are logits, apply softmax"
        )
