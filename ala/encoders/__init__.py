"""Frozen image encoders: intermediate features h^(0..L), an embedding, class text features (METHODS 2.2).

`build_encoder` makes one from settings, `save_encoder` and `load_encoder` keep it in a folder.
"""

from ala.encoders.build import build_encoder
from ala.encoders.encoder import Encoder, assert_frozen
from ala.encoders.folder import load_encoder, save_encoder, shared_encoder

__all__ = ["Encoder", "assert_frozen", "build_encoder", "load_encoder", "save_encoder", "shared_encoder"]
