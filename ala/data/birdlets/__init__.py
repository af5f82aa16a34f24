"""Birdlets: the drawn miniature of CUB-200-2011 that the pipeline runs on where nothing else is at hand."""

from ala.data.birdlets.dataset import draw_dataset
from ala.data.birdlets.pairs import draw_pair, draw_pairs
from ala.data.birdlets.species import Attributes, Species, caption, species

__all__ = ["Attributes", "Species", "caption", "draw_dataset", "draw_pair", "draw_pairs", "species"]
