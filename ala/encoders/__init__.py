"""Frozen image encoders: intermediate features (taps) h^(0..L), pooled embedding, class text features (METHODS 2.2).

`build_encoder` makes one from settings, `save_encoder` and `load_encoder` keep it in a folder.
"""

from ala.encoders.build import build_encoder
from ala.encoders.folder import load_encoder, save_encoder, shared_encoder
from ala.encoders.frozen import FrozenEncoder, assert_frozen

__all__ = ["FrozenEncoder", "assert_frozen", "build_encoder", "load_encoder", "save_encoder", "shared_encoder"]
