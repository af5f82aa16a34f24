"""Detect collapsed maps: constant, or with nearly all importance in one pixel. Metrics still give them a number.

They arise when an attention branch saturates; IoU and insertion of such a map measure the threshold rule and the order
of ties, so a run that has them says so in its log and in its report.
"""

from __future__ import annotations

import numpy as np

from ala.contracts.maps import Maps
from ala.utils.finite import named

KINDS = ("constant", "one_pixel")
_FLAT = 1e-6  # a range this small, relative to the largest value, is rounding
_PEAK = 0.9  # share of what lies above a map's minimum that one pixel holds


def collapsed(importance: np.ndarray) -> dict[str, np.ndarray]:
    """Find the maps that have collapsed.

    Args:
        importance: `(n, h, w)`, finite.

    Returns:
        boolean `(n,)` by :data:`KINDS`: the map's values are equal up to rounding; or one pixel holds at least nine
        tenths of the sum over pixels of what they exceed the map's minimum by.
    """
    flat = np.asarray(importance, dtype=np.float64).reshape(len(importance), -1)  # (n, h w)
    low, high = flat.min(axis=1), flat.max(axis=1)  # (n,) each
    constant = high - low <= _FLAT * np.maximum(np.abs(high), np.abs(low))
    above = flat.sum(axis=1) - low * flat.shape[1]
    return {"constant": constant, "one_pixel": ~constant & (high - low >= _PEAK * above)}


def collapsed_of(maps: Maps) -> dict[str, np.ndarray]:
    """Apply :func:`collapsed` to finished maps, a few at a time; binary maps never count."""
    n = len(maps.image_ids)
    found = {kind: np.zeros(n, dtype=bool) for kind in KINDS}
    if maps.binary:
        return found
    at_once = max(1, 2**22 // int(np.prod(maps.importance.shape[1:])))
    for start in range(0, n, at_once):
        for kind, values in collapsed(maps.importance[start : start + at_once]).items():
            found[kind][start : start + at_once] = values
    return found


def warning(maps: Maps, what: str) -> str | None:
    """Describe the collapsed maps in one sentence; None if there are none.

    Args:
        maps: as the method made them.
        what: whose they are, such as `abn, seed 0, test images`.
    """
    found = collapsed_of(maps)
    counts = [f"{int(found[kind].sum())} {kind.replace('_', ' ')}" for kind in KINDS if found[kind].any()]
    if not counts:
        return None
    ids = named(maps.image_ids[np.logical_or(*found.values())])
    return (
        f"{what}: {' and '.join(counts)} of {len(maps.image_ids)} maps have collapsed (images {ids}), their scores"
        " measure the rule and not the map; look at the training curve, or try a lower learning rate"
    )
