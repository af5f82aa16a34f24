"""Define the traits of each birdlet species and describe them in captions."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

from ala.config.schema import Birdlets
from ala.utils.seeds import numpy_generator

# RGB, 0..255. Few and far apart, so that a small network can name them under changing light.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (205, 38, 34),
    "yellow": (243, 203, 38),
    "green": (46, 152, 62),
    "blue": (42, 88, 205),
    "white": (240, 238, 230),
    "black": (34, 32, 38),
}
# Where an image is taken, and the words for it. A setting never depends on the species.
SETTINGS: dict[str, str] = {
    "forest": "on a branch",
    "water": "by the water",
    "sky": "in the sky",
    "reeds": "among reeds",
    "gravel": "on the ground",
}


@dataclass(frozen=True)
class Attributes:
    """The visible traits of a bird; `head`, `body` and `wing` are three different keys of `COLOURS`."""

    head: str
    body: str
    wing: str
    crest: bool


@dataclass(frozen=True)
class Species:
    """One class of the miniature: its number from 1, as CUB counts, and its traits."""

    number: int
    attributes: Attributes

    @property
    def name(self) -> str:
        """The class's name as CUB writes names, e.g. `Crested_Red_headed_Yellow_winged_Blue_Birdlet`."""
        traits = self.attributes
        crest = "Crested_" if traits.crest else ""
        words = f"{traits.head.title()}_headed_{traits.wing.title()}_winged_{traits.body.title()}_Birdlet"
        return crest + words

    @property
    def folder(self) -> str:
        """Number and name, the class's folder in the data set, e.g. `001.Red_headed_...`."""
        return f"{self.number:03d}.{self.name}"

    def caption(self) -> str:
        """The sentence that describes this class in zero-shot classification."""
        return caption(self.attributes)


def attribute_space() -> list[Attributes]:
    """Every possible bird (240): each ordered choice of three different colours, with and without a crest."""
    triples = itertools.permutations(COLOURS, 3)
    return [Attributes(head, body, wing, crest) for head, body, wing in triples for crest in (False, True)]


def species(settings: Birdlets) -> list[Species]:
    """The `settings.species` classes of the miniature, the same for the same settings.

    As long as that is possible (it is for the first twenty), any two species differ in at least two of the colours of
    head, body and wing, so that no single part decides between two of them and none is lost when a part is hidden.
    Colours are used evenly: which colours an image contains says little about the species. The crest is on every other
    species and never needed up to 120 species, the number of colourings; further species repeat the colourings in the
    same order with the crest swapped, up to all 240 birds of :func:`attribute_space`.
    """
    return list(_species(settings.species, settings.seed))


@lru_cache
def _species(count: int, seed: int) -> tuple[Species, ...]:
    rng = numpy_generator(seed, "birdlets", "species")
    triples = list(itertools.permutations(COLOURS, 3))
    waiting = [triples[i] for i in rng.permutation(len(triples))]
    chosen: list[tuple[str, ...]] = []
    while len(chosen) < min(count, len(triples)):

        def cost(triple: tuple[str, ...]) -> tuple[int, int]:
            """Count the species that are too close, then the uses of its colours in the same places."""
            close = sum(_differing(triple, other) < 2 for other in chosen)
            worn = sum(3 - _differing(triple, other) for other in chosen)
            return close, worn

        best = min(waiting, key=cost)  # the first of equals, hence by the shuffled order
        waiting.remove(best)
        chosen.append(best)
    kinds = []
    for place in range(count):
        again, nth = divmod(place, len(triples))
        head, body, wing = chosen[nth]
        kinds.append(Species(place + 1, Attributes(head, body, wing, crest=(nth % 2 == 1) != (again == 1))))
    return tuple(kinds)


def _differing(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def phrases(attributes: Attributes) -> list[str]:
    """The traits in words: head, body, wings, crest."""
    return [
        f"{'an' if attributes.head[0] in 'aeiou' else 'a'} {attributes.head} head",
        f"{'an' if attributes.body[0] in 'aeiou' else 'a'} {attributes.body} body",
        f"{attributes.wing} wings",
        "a crest" if attributes.crest else "no crest",
    ]


def sentence(traits: list[str], setting: str | None = None) -> str:
    """ "a photo of a bird with A, B and C, PLACE"; without traits or setting those parts are left out.

    Args:
        traits: words as :func:`phrases` gives them, in any order and number.
        setting: a key of `SETTINGS`, or None.
    """
    words = "a photo of a bird"
    if traits:
        listed = " and ".join([", ".join(traits[:-1]), traits[-1]]) if len(traits) > 1 else traits[0]
        words += f" with {listed}"
    return words + (f", {SETTINGS[setting]}" if setting else "")


def caption(attributes: Attributes, setting: str | None = None) -> str:
    """All traits of a bird in one sentence.

    >>> caption(Attributes("red", "blue", "yellow", True), "forest")
    'a photo of a bird with a red head, a blue body, yellow wings and a crest, on a branch'
    """
    return sentence(phrases(attributes), setting)
