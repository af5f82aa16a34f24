"""Maps: what is written is read again, and what breaks the contract is refused in one sentence."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ala.contracts import maps as module
from ala.contracts.maps import Maps, disk_backed, resize
from ala.utils.errors import UserError


def maps(**changes: Any) -> Maps:
    importance = np.random.default_rng(0).random((3, 4, 5), np.float32)
    parts: dict[str, Any] = {
        "image_ids": np.array([5, 2, 9]), "importance": importance, "method": "rise", "model": "aea-true-sbn-true",
        "targets": np.array([0, 3, -1]), **changes,
    }  # fmt: skip
    return Maps(**parts)


def test_save_and_load(tmp_path: Path) -> None:
    one = maps(calibrated=True)
    one.save(tmp_path / "a" / "maps.npz")
    two = Maps.load(tmp_path / "a" / "maps.npz")
    np.testing.assert_array_equal(two.importance, one.importance)
    np.testing.assert_array_equal(two.image_ids, one.image_ids)
    np.testing.assert_array_equal(two.targets, one.targets)
    assert (two.method, two.model, two.calibrated, two.binary) == ("rise", "aea-true-sbn-true", True, False)
    assert two.importance.dtype == np.float32
    assert two.image_ids.dtype == np.int64
    one.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "a" / "maps.npz").read_bytes()
    assert sorted(file.name for file in tmp_path.rglob("*.npz")) == ["again.npz", "maps.npz"]  # no temporary left


def test_one_map_for_all_is_stored_once(tmp_path: Path) -> None:
    one = maps(importance=np.ones((1, 64, 64), np.float32), binary=True)
    assert one.importance.shape == (3, 64, 64)
    one.save(tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as archive:
        assert archive["importance"].shape == (1, 64, 64)
    two = Maps.load(tmp_path / "maps.npz")
    assert two.binary
    np.testing.assert_array_equal(two.select(np.array([9, 5])), np.ones((2, 64, 64)))


def test_select_follows_the_ids() -> None:
    one = maps()
    np.testing.assert_array_equal(one.select(np.array([9, 5])), one.importance[[2, 0]])
    with pytest.raises(UserError, match=r"maps of rise lack image 7 \(2 in all\)"):
        one.select(np.array([5, 7, 8]))


def spoiled(value: float) -> np.ndarray:
    importance = np.zeros((3, 4, 5), np.float32)
    importance[1, 0, 0] = value
    return importance


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"importance": np.zeros((2, 4, 5))}, r"importance must be \(3, h, w\), got \(2, 4, 5\)"),
        ({"importance": np.zeros((3, 20))}, r"importance must be \(3, h, w\), got \(3, 20\)"),
        ({"targets": np.zeros(2, int)}, r"targets must be \(3,\), got \(2,\)"),
        ({"image_ids": np.array([5, 2, 5])}, "an image id occurs twice"),
        ({"importance": spoiled(np.nan)}, r"the map of image 2 \(1 in all\) holds NaN"),
        ({"importance": spoiled(np.inf)}, r"the map of image 2 \(1 in all\) holds NaN"),
        ({"importance": np.full((1, 4, 5), np.nan)}, "the map of image 5"),
        ({"importance": spoiled(1.5), "calibrated": True}, "called calibrated but reach from 0.0 to 1.5"),
        ({"importance": spoiled(0.5), "binary": True}, "called binary but hold values other than 0 and 1"),
    ],
)
def test_what_breaks_the_contract_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        maps(**changes)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; run the score stage"):
        Maps.load(tmp_path / "none.npz")
    maps(importance=np.random.default_rng(0).random((3, 40, 50), np.float32)).save(tmp_path / "good.npz")
    whole = (tmp_path / "good.npz").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    for name, content in {
        "empty": b"", "text": b"no archive at all", "cut": whole[: len(whole) // 2], "flipped": bytes(flipped),
    }.items():  # fmt: skip
        (tmp_path / f"{name}.npz").write_bytes(content)
        with pytest.raises(UserError, match=f"{name}.npz is no Maps file"):
            Maps.load(tmp_path / f"{name}.npz")
    with (tmp_path / "other.npz").open("wb") as file:
        np.savez(file, image_ids=np.arange(3))
    with pytest.raises(UserError, match=r"other\.npz is no Maps file"):
        Maps.load(tmp_path / "other.npz")
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(UserError, match=r"array\.npz is no Maps file"):
        Maps.load(tmp_path / "array.npz")
    with pytest.raises(UserError, match="is no Maps file"):
        Maps.load(tmp_path)


def test_a_file_that_breaks_the_contract_is_named(tmp_path: Path) -> None:
    about = {"method": "mine", "model": "", "calibrated": False, "binary": False}
    with (tmp_path / "mine.npz").open("wb") as file:
        np.savez(file, image_ids=np.arange(3), importance=np.zeros((2, 4, 4)), targets=np.zeros(3, int),
                 about=np.array(json.dumps(about)))  # fmt: skip
    with pytest.raises(UserError, match=r"mine.npz: maps of mine: importance must be \(3, h, w\)"):
        Maps.load(tmp_path / "mine.npz")


def test_resize_is_bilinear_without_aligned_corners() -> None:
    found = resize(np.array([[[0.0, 4.0], [8.0, 12.0]]]), 4)[0]
    # Output pixel centres lie at -0.25, 0.25, 0.75 and 1.25 of the input's; beyond the border the edge goes on.
    along = np.array([0, 1, 3, 4])
    np.testing.assert_allclose(found, 2 * along[:, None] + along[None, :], atol=1e-6)
    same = np.random.default_rng(0).random((2, 5, 5), np.float32)
    np.testing.assert_array_equal(resize(same, 5), same)


@pytest.mark.parametrize("image_size", [12, 80, 100])
def test_resize_keeps_equal_values_equal(image_size: int) -> None:
    assert (resize(np.full((1, 3, 3), 0.1, np.float32), image_size) == np.float32(0.1)).all()


def test_maps_larger_than_the_bound_stay_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = maps()
    one.save(tmp_path / "maps.npz")
    monkeypatch.setattr(module, "IN_MEMORY", 100)
    monkeypatch.setattr(module, "_PIECE", 90)  # one map at a time
    two = Maps.load(tmp_path / "maps.npz")
    assert isinstance(two.importance, np.memmap)
    np.testing.assert_array_equal(two.importance, one.importance)
    two.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "maps.npz").read_bytes()


@pytest.mark.parametrize("bound", [100, 2**20])
def test_compressed_maps_of_other_tools_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: int) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", bound)
    importance = np.random.default_rng(1).random((3, 4, 5))  # float64
    about = np.array(json.dumps({"method": "m", "model": "", "calibrated": False, "binary": False}))
    ids = np.array([1, 2, 3])
    np.savez_compressed(tmp_path / "maps.npz", image_ids=ids, importance=importance, targets=-ids, about=about)
    np.testing.assert_allclose(Maps.load(tmp_path / "maps.npz").importance, importance, rtol=1e-6)


FORMS = {
    "as ours": lambda a: a,
    "Fortran order": np.asfortranarray,
    "every other row of a larger array": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "turned twice": lambda a: np.ascontiguousarray(a[:, ::-1])[:, ::-1],
    "float64": lambda a: a.astype(np.float64),
    "float64 in Fortran order": lambda a: np.asfortranarray(a.astype(np.float64)),
    "float16": lambda a: a.astype(np.float16),
    "big-endian": lambda a: a.astype(">f4"),
}


@pytest.mark.parametrize("bound", [100, 2**20])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_maps_as_other_tools_write_them_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, compressed: bool, bound: int
) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", bound)
    monkeypatch.setattr(module, "_PIECE", 90)
    exact = np.random.default_rng(1).integers(0, 256, (3, 4, 5)).astype(np.float32) / 256  # exact in float16, too
    about = np.array(json.dumps({"method": "m", "model": "", "calibrated": False, "binary": False}))
    ids = np.array([4, 1, 3])
    save = np.savez_compressed if compressed else np.savez
    save(tmp_path / "maps.npz", image_ids=ids, importance=FORMS[form](exact), targets=-ids, about=about)
    read = Maps.load(tmp_path / "maps.npz")
    np.testing.assert_array_equal(read.importance, exact)
    for some in (read.select(ids[[2, 0]]), read.view(ids[[2, 0]])[:]):
        np.testing.assert_array_equal(some, exact[[2, 0]])
        assert some.dtype == np.float32
        assert some.flags.c_contiguous  # what is summed up in another order is rounded in another way
    read.save(tmp_path / "again.npz")
    np.testing.assert_array_equal(Maps.load(tmp_path / "again.npz").importance, exact)


@pytest.mark.parametrize("form", FORMS)
def test_maps_may_be_made_of_any_array(form: str) -> None:
    exact = np.random.default_rng(1).integers(0, 256, (3, 4, 5)).astype(np.float32) / 256
    made = maps(importance=FORMS[form](exact)).importance
    np.testing.assert_array_equal(made, exact)
    assert made.dtype == np.float32
    assert made.flags.c_contiguous


def test_one_map_for_all_of_another_type_is_kept_once() -> None:
    made = maps(importance=np.broadcast_to(np.ones((4, 5)), (3, 4, 5))).importance
    assert made.dtype == np.float32
    assert made.strides[0] == 0


@pytest.mark.parametrize("free", [1_000, 10**9])
def test_too_small_a_temporary_disk_is_reported_before_anything_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))

    def full(*_: int) -> None:  # what was free is taken by another process
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    one = maps(importance=np.random.default_rng(0).random((3, 40, 50), np.float32))
    parts = {"image_ids": one.image_ids, "targets": one.targets, "importance": one.importance}
    about = np.array(json.dumps({"method": "m", "model": "", "calibrated": False, "binary": False}))
    np.savez_compressed(tmp_path / "maps.npz", about=about, **parts)
    value = "1,000 bytes free" if free == 1_000 else r"refuses the 24,000 bytes .*No space left on device"
    with pytest.raises(UserError, match=rf"maps\.npz: .*{value}.*; set TMPDIR to a folder on a larger disk"):
        Maps.load(tmp_path / "maps.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["maps.npz"]


def test_no_folder_for_temporary_files_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none)
    with pytest.raises(UserError, match=r"none can be written to; set TMPDIR"):
        disk_backed((3, 4, 5), limit=100)


def test_view_reads_what_is_requested() -> None:
    one = maps()
    view = one.view(np.array([9, 5]))
    assert len(view) == 2
    np.testing.assert_array_equal(view[0:1], one.importance[[2]])
    np.testing.assert_array_equal(view[:], one.select(np.array([9, 5])))
    with pytest.raises(UserError, match="lack image 7"):
        one.view(np.array([7]))


def test_disk_backed_arrays_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    large = disk_backed((3, 4, 5), limit=100)
    assert isinstance(large, np.memmap)
    large[:] = 1
    assert large.sum() == 60
    assert list(tmp_path.iterdir()) == []
    assert not isinstance(disk_backed((3, 4, 5)), np.memmap)


def test_maps_cut_short_are_refused(tmp_path: Path) -> None:
    maps().save(tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as archive:
        parts = dict(archive)
    parts["importance"] = np.array(["a"], dtype=object)
    np.savez(tmp_path / "objects.npz", **parts)
    with pytest.raises(UserError, match=r"objects\.npz is no Maps file"):
        Maps.load(tmp_path / "objects.npz")
