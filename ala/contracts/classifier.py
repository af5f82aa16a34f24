"""What RISE, insertion and deletion know of a model, and nothing else."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from ala.contracts.preprocessing import Preprocessing


@runtime_checkable
class Classifier(Protocol):
    """Normalised images `(B, 3, S, S)` to class probabilities `(B, K)`, each row summing to 1.

    `preprocessing` says what "normalised" and S mean for this model. Implementations are in eval mode, have a
    result that does not depend on what else is in the batch, and keep no gradient.
    """

    preprocessing: Preprocessing

    def __call__(self, images: Tensor) -> Tensor: ...
