"""Maps and curves: any arrays come back as they were; any damage is reported in one sentence or did not matter."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ala.contracts.maps import Maps
from ala.metrics.curves import Curves
from ala.utils.errors import UserError
from tests.fuzz.damage import EDITS, Edits, damaged
from tests.fuzz.reported import complaint, reported

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
WORDS = st.text(max_size=8)


@contextmanager
def file_of(content: bytes = b"") -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "maps.npz"
        path.write_bytes(content)
        yield path


@st.composite
def sound_maps(draw: st.DrawFn) -> Maps:
    n, h, w = draw(st.integers(0, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    ids = draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=n, max_size=n, unique=True))
    calibrated, binary = draw(st.booleans()), draw(st.booleans())
    elements = st.sampled_from([0.0, 1.0]) if binary else st.floats(0, 1, width=32) if calibrated else FLOATS
    shape = (draw(st.sampled_from([1, n])) if n else 0, h, w)
    return Maps(
        np.array(ids, np.int64), draw(arrays(np.float32, shape, elements=elements)), draw(WORDS), draw(WORDS),
        draw(arrays(np.int64, n)), calibrated, binary,
    )  # fmt: skip


@given(sound_maps())
def test_maps_come_back_as_they_were(maps: Maps) -> None:
    with file_of() as path:
        maps.save(path)
        back, first = Maps.load(path), path.read_bytes()
        back.save(path)
        assert path.read_bytes() == first
    for name in ("image_ids", "importance", "targets"):
        found, wanted = getattr(back, name), getattr(maps, name)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    for name in ("method", "model", "calibrated", "binary"):
        assert getattr(back, name) == getattr(maps, name)


def is_sound(maps: Maps) -> None:
    """What the class promises, whoever wrote the file."""
    n = len(maps.image_ids)
    assert maps.importance.ndim == 3
    assert (len(maps.importance), maps.targets.shape) == (n, (n,))
    assert maps.image_ids.dtype.kind == "i"
    assert maps.targets.dtype.kind == "i"
    assert maps.importance.dtype == np.float32
    assert len(set(maps.image_ids.tolist())) == n
    assert np.isfinite(maps.importance).all()
    assert isinstance(maps.method, str)
    assert isinstance(maps.model, str)
    assert isinstance(maps.calibrated, bool)
    assert isinstance(maps.binary, bool)
    assert not maps.binary or set(np.unique(maps.importance)) <= {0.0, 1.0}


PARTS: dict[str, Any] = {
    "image_ids": np.array([3, 1, 2]), "targets": np.array([0, -1, 5]),
    "importance": np.arange(48, dtype=np.float32).reshape(3, 4, 4) / 48,
    "about": np.array(json.dumps({"method": "m", "model": "x", "calibrated": True, "binary": False})),
}  # fmt: skip


def npz(parts: dict[str, Any], compressed: bool = False) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **parts)
    return buffer.getvalue()


SOUND, SMALL = npz(PARTS), npz(PARTS, compressed=True)


@given(st.sampled_from([SOUND, SMALL]), EDITS)
def test_damaged_bytes(content: bytes, edits: Edits) -> None:
    with file_of(damaged(content, edits)) as path:
        maps = reported(lambda: Maps.load(path), path)
        if maps is not None:
            is_sound(maps)


def whole(members: dict[str, bytes]) -> bytes:
    """A sound zip archive; the checks of zip do not notice what is wrong within."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


with zipfile.ZipFile(io.BytesIO(SOUND)) as _archive:
    MEMBERS = {name: _archive.read(name) for name in _archive.namelist()}


@given(st.sampled_from(sorted(MEMBERS)), EDITS)
def test_damage_within_a_sound_archive(member: str, edits: Edits) -> None:
    with file_of(whole(MEMBERS | {member: damaged(MEMBERS[member], edits)})) as path:
        maps = reported(lambda: Maps.load(path), path)
        if maps is not None:
            is_sound(maps)


def header(shape: str, kind: str = "'<f4'", order: str = "False") -> bytes:
    text = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@given(
    st.sampled_from(sorted(MEMBERS)),
    st.tuples(*[st.sampled_from([0, 1, 3, 4, -1, 2**31, 2**62, 2**64, 10**30])] * 3).map(str)
    | st.sampled_from(["()", "(3,)", "3", "None", "(3, 4, 4.0)", "('a',)", "(True, 4, 4)", "[3, 4, 4]"]),
    st.sampled_from(["'<f4'", "'>f4'", "'<f8'", "'|O'", "'<U1'", "'|V0'", "'<U0'", "'|S0'", "'<M8[s]'", "'<c8'",
                     "'<i8'", "'|b1'", "[('a', '<f4')]", "'x'", "None", "[]"]),
    st.sampled_from(["False", "True", "0", "None"]), st.binary(max_size=8) | st.just(bytes(192)) | st.just(bytes(24)),
)  # fmt: skip
@example("importance.npy", "(3, 0, 4)", "'<f4'", "False", b"")
@example("importance.npy", "(3, 4, 4)", "'|V0'", "False", b"")
@example("importance.npy", "(0, 4611686018427387904, 4)", "'<f4'", "False", b"")
def test_headers_that_lie(member: str, shape: str, kind: str, order: str, content: bytes) -> None:
    with file_of(whole(MEMBERS | {member: header(shape, kind, order) + content})) as path:
        maps = reported(lambda: Maps.load(path), path)
        if maps is not None:
            is_sound(maps)


ANYTHING = arrays(
    st.sampled_from(
        [np.dtype(name) for name in ("<f4", ">f4", "<f8", "<f2", "<i8", "<u8", "|b1", "<U3", "|S2", "<c8", "<M8[s]")]
    ),
    array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)
ABOUT = st.sampled_from(["{}", "[]", "null", "x", '"' * 9, "NaN", "[" * 9_000]) | st.fixed_dictionaries(
    {}, optional={name: st.none() | st.booleans() | st.integers() | WORDS | st.lists(WORDS, max_size=2)
                  for name in ("method", "model", "calibrated", "binary", "more")},
).map(json.dumps)  # fmt: skip


@given(st.fixed_dictionaries(
    {}, optional={"image_ids": ANYTHING, "targets": ANYTHING, "importance": ANYTHING, "about": ABOUT.map(np.array)},
))  # fmt: skip
def test_parts_of_other_kinds(parts: dict[str, Any]) -> None:
    with file_of(npz(PARTS | parts)) as path:
        maps = reported(lambda: Maps.load(path), path)
        if maps is not None:
            is_sound(maps)


@given(sound_maps(), st.lists(st.integers(-2, 5), max_size=5))
def test_views_and_copies_agree(maps: Maps, wanted: list[int]) -> None:
    ids = np.array([maps.image_ids[at] if 0 <= at < len(maps.image_ids) else at for at in wanted], np.int64)
    found = complaint(lambda: maps.select(ids))
    if isinstance(found, UserError):
        assert set(ids.tolist()) - set(maps.image_ids.tolist())
    else:
        np.testing.assert_array_equal(found, maps.view(ids)[:])
        for image, values in zip(ids, found, strict=True):
            np.testing.assert_array_equal(values, maps.importance[maps.image_ids == image][0])


CURVES = Curves(
    np.array(["a", "b"]), np.array([1, 2]), np.array([0, 1]), np.zeros((2, 4), np.float32), np.ones((2, 4), np.float32),
    np.zeros(2), 9,
)  # fmt: skip


def saved_curves() -> bytes:
    with file_of() as path:
        CURVES.save(path)
        return path.read_bytes()


STORED_CURVES = saved_curves()


@given(EDITS)
def test_damaged_curves(edits: Edits) -> None:
    with file_of(damaged(STORED_CURVES, edits)) as path:
        reported(lambda: Curves.load(path), path)


def test_a_header_that_python_cannot_tokenize() -> None:
    """NumPy reads headers by Python's tokenizer, whose error is of no other kind."""
    maps = Maps(np.arange(2), np.zeros((2, 1, 1), np.float32), "m", "v", np.zeros(2, np.int64))
    with file_of() as path:
        maps.save(path)
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        header = parts["importance.npy"]
        parts["importance.npy"] = header.replace(b")", b" ", 1)  # of the shape; a bracket stays open
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        assert isinstance(complaint(lambda: Maps.load(path)), UserError)
