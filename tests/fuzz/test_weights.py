"""Weight files, checkpoints and shards: nothing in them runs, damage is reported or counts as absent."""

from __future__ import annotations

import io
import json
import pickle
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import save

from ala.encoders.weights import read_weights
from ala.pipeline import shards
from ala.utils.checkpoint import Checkpoint
from tests.fuzz.damage import EDITS, Edits, damaged
from tests.fuzz.reported import bounded, reported

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.int64)}


def saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


SAFE = save(TENSORS)
ZIP = saved({"state_dict": TENSORS, "epoch": 3})
OLD = saved(TENSORS, _use_new_zipfile_serialization=False)
STORED = {"w.safetensors": SAFE, "w.pt": ZIP, "w.pth": OLD}


@contextmanager
def file_of(name: str, content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of odd pickles before it refuses them
        path = Path(folder) / name
        path.write_bytes(content)
        yield path
        assert [file.name for file in Path(folder).iterdir()] == [name]  # reading makes no files


def read(name: str, content: bytes) -> None:
    with file_of(name, content) as path:
        weights = reported(lambda: read_weights(path), path)
        if weights is not None:
            assert all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in weights.items())


@pytest.mark.parametrize("name", STORED)
def test_what_is_damaged_below_is_sound(name: str) -> None:
    with file_of(name, STORED[name]) as path:
        weights = read_weights(path)
    assert {key: value.tolist() for key, value in weights.items()} == {k: v.tolist() for k, v in TENSORS.items()}


@given(st.sampled_from(sorted(STORED)), EDITS)
@example("w.pth", [("change", 0.875, b"\0")])
@example("w.pth", [("insert", 0.75, bytes(5)), ("remove", 0.5, bytes(4))])
def test_damaged_weights(name: str, edits: Edits) -> None:
    read(name, damaged(STORED[name], edits))


@given(st.sampled_from(sorted(STORED)), st.sampled_from([SAFE, ZIP, OLD]) | st.binary(max_size=200))
def test_other_contents(name: str, content: bytes) -> None:
    read(name, content)


def pickled(content: bytes) -> bytes:
    """The torch archive with another pickle in it; zip's checksums agree."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(ZIP)) as old, zipfile.ZipFile(buffer, "w") as new:
        for item in old.infolist():
            new.writestr(item.filename, content if item.filename.endswith("data.pkl") else old.read(item))
    return buffer.getvalue()


with zipfile.ZipFile(io.BytesIO(ZIP)) as _archive:
    PICKLE = next(_archive.read(name) for name in _archive.namelist() if name.endswith("data.pkl"))


@given(EDITS)
def test_damaged_pickles_in_sound_archives(edits: Edits) -> None:
    read("w.pt", pickled(damaged(PICKLE, edits)))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5) | st.just(torch.zeros(1)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
@example({1: torch.zeros(1)})
@example({"state_dict": {}})
def test_other_things_that_torch_saves(value: Any) -> None:
    read("w.pt", saved(value))
    read("w.pkl", pickle.dumps(value))


FIELDS = st.sampled_from(["a", "dtype", "shape", "data_offsets", "__metadata__"])
HEADERS = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner),
    max_leaves=9,
)


@given(HEADERS)
@example({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 8]}})
@example({"a": {"dtype": "F8_E8M0", "shape": [8], "data_offsets": [0, 8]}})
@example({"a": {"dtype": "F4", "shape": [16], "data_offsets": [0, 8]}})
def test_safetensors_headers_that_lie(header: Any) -> None:
    text = json.dumps(header).encode()
    read("w.safetensors", len(text).to_bytes(8, "little") + text + bytes(8))


@given(EDITS)
def test_a_checkpoint_counts_as_absent_once_damaged(edits: Edits) -> None:
    with tempfile.TemporaryDirectory() as name, redirect_stderr(io.StringIO()) as said:
        checkpoint = Checkpoint("train", Path(name) / "train-0.pt")
        checkpoint.save({"x": torch.arange(9), "epoch": 3}, 3)
        (file,) = Path(name).iterdir()
        before = file.read_bytes()
        file.write_bytes(damaged(before, edits))
        with bounded():
            found = checkpoint.load()
        if file.read_bytes() == before:
            assert found["x"].tolist() == list(range(9))
        else:
            assert found is None
            assert "is damaged" in said.getvalue()


def nine() -> dict[str, np.ndarray]:
    return {"x": np.arange(9)}


@given(EDITS)
def test_a_damaged_shard_is_made_again(edits: Edits) -> None:
    with tempfile.TemporaryDirectory() as name, redirect_stderr(io.StringIO()) as said:
        shard = shards.Shard(Path(name) / "work" / "0.npz", 1, nine, ())
        shards.make(shard)
        before = shard.path.read_bytes()
        shard.path.write_bytes(after := damaged(before, edits))
        with bounded():
            assert shards.read(shard)["x"].tolist() == list(range(9))
        assert shard.path.read_bytes() == before
        assert ("is damaged" in said.getvalue()) == (after != before)
