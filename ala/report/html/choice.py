"""Which images the gallery shows, and in what order they are taken while there is room for them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest

#: So many of the worst images come first; where all images fit, the order makes no difference.
WORST = 50
#: More images than these are of no use to a reader and would only be encoded to find that they do not fit.
MOST = 600


def order(labels: Mapping[int, int], score: Mapping[int, float], perturbed: set[int]) -> list[int]:
    """At most :data:`MOST` image ids by priority: the :data:`WORST` by `score`, then one of each class in turn.

    Within a class those with curves come first, then by id; ties in the score go to the smaller id.

    Args:
        labels: class of each image that may be shown.
        score: IoU of ALA, of the images that have one.
        perturbed: images that have curves.
    """
    worst = sorted((image for image in labels if image in score), key=lambda image: (score[image], image))[:WORST]
    taken = set(worst)
    by_class: dict[int, list[int]] = {}
    for image in sorted(labels, key=lambda image: (image not in perturbed, image)):
        if image not in taken:
            by_class.setdefault(labels[image], []).append(image)
    turns = zip_longest(*(by_class[label] for label in sorted(by_class)))
    return (worst + [image for turn in turns for image in turn if image is not None])[:MOST]
