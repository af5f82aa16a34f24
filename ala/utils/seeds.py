"""Derive random generators from names, never from the order of calls."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed for `names` under `seed`: the same names give the same stream wherever they are requested.

    >>> derive(0, "train", "weights") == derive(0, "train", "weights")
    True
    """
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """A NumPy generator for `names` under `seed`."""
    return np.random.Generator(np.random.PCG64(derive(seed, *names)))


def torch_generator(seed: int, *names: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator on `device` for `names` under `seed`."""
    return torch.Generator(device=device).manual_seed(derive(seed, *names))


def seed_everything(seed: int, *names: str | int) -> None:
    """Seed torch's global generator, which layers use for initial weights and dropout draws from."""
    torch.manual_seed(derive(seed, *names))
