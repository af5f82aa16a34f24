"""Random streams depend on names, not on the order of calls."""

from __future__ import annotations

import hashlib
import itertools

import torch

from ala.utils.seeds import derive, numpy_generator, seed_everything, torch_generator


def test_every_seed_and_name_has_a_stream_of_its_own():
    names = [("train",), ("train", "weights"), ("train", 0), ("train", 1), ("trainweights",), ("train", "0", "1")]
    seeds = [derive(seed, *name) for seed, name in itertools.product(range(4), names)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_streams_stay_the_same_from_release_to_release():
    """Committed results depend on these values."""
    digest = hashlib.sha256(b"0\x1fa\x1fb").digest()
    assert derive(0, "a", "b") == int.from_bytes(digest[:8], "little") // 2


def test_streams_do_not_disturb_one_another():
    alone = numpy_generator(1, "ties", 7).random(5)
    torch_generator(1, "other").initial_seed()
    numpy_generator(1, "other").random(100)
    assert (numpy_generator(1, "ties", 7).random(5) == alone).all()
    first = torch.rand(3, generator=torch_generator(1, "x"))
    torch.rand(50)
    assert torch.equal(torch.rand(3, generator=torch_generator(1, "x")), first)


def test_global_draws_follow_the_names():
    draws = []
    for name in ("weights", "dropout", "weights"):
        seed_everything(3, name)
        draws.append(torch.rand(4))
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[1])
