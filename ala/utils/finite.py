"""Stop a run when it computes NaN or infinity, and name the images concerned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ala.utils.errors import UserError

_SHOWN = 64  # a batch


def named(ids: Iterable[Any]) -> str:
    """Format image ids as text: at most 64, then the number of the others."""
    every = [str(one) for one in ids]
    return ", ".join(every[:_SHOWN]) + f" and {len(every) - _SHOWN} more" * (len(every) > _SHOWN)


def require_finite(values: np.ndarray, image_ids: Iterable[Any], what: str, remedy: str) -> None:
    """Raise an error if an image's values hold NaN or infinity.

    Args:
        values: floats `(n, ...)`, one entry for each image.
        image_ids: of the n images.
        what: the values' name and where they arose, such as `probabilities of abn, seed 0`.
        remedy: what to try.

    Raises:
        UserError: some value is not finite; it names the images.
    """
    values = np.asarray(values)
    bad = ~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))  # (n,)
    if bad.any():
        images = named(image for image, is_bad in zip(image_ids, bad, strict=True) if is_bad)
        raise UserError(
            f"{what}: NaN or infinite for {int(bad.sum())} of {len(bad)} images (images {images}); {remedy}"
        )
