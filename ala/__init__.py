"""Attention Lattice Adapter (JSAI 2024): a reproducible, testable implementation with RISE and F-CAM beside it."""

__version__ = "0.1.0"
