from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ala.config import load
from ala.data import parallel
from ala.data.decode import Reading
from ala.data.index import Index
from ala.data.layouts.cub import read_cub
from ala.data.split import split
from ala.data.store import Store, subset_rows
from ala.data.store_build import build_store, required
from ala.utils import disk
from ala.utils.errors import UserError

SIZE = 24
READING = Reading(threshold=127, object_levels=None, background_levels=(), orientation=None)


@pytest.fixture
def index(cub: Path) -> Index:
    return read_cub(cub)


@pytest.fixture
def folder(index: Index, tmp_path: Path) -> Path:
    build_store(tmp_path / "store" / str(SIZE), index, split(index, 0, 2), SIZE, READING)
    return tmp_path / "store" / str(SIZE)


@pytest.mark.parametrize("workers", [1, 7])
def test_the_number_of_workers_changes_no_byte(
    index: Index, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(parallel, "workers", lambda: workers)
    other = tmp_path / "other" / str(SIZE)
    build_store(other, index, split(index, 0, 2), SIZE, READING)
    files = sorted(path.name for path in folder.iterdir())
    assert files == sorted(path.name for path in other.iterdir())
    assert [name for name in files if (folder / name).read_bytes() != (other / name).read_bytes()] == []


def test_equals_photos_opened_one_by_one(index: Index, folder: Path) -> None:
    total = 0
    for name, frame in split(index, 0, 2).items():
        store = Store.open(folder, name)
        entries = {one.image_id: one for one in index.entries}
        assert store.image_ids.tolist() == frame["image_id"].tolist()
        assert store.labels.tolist() == frame["label"].tolist()
        for row, photo in enumerate(frame.itertuples()):
            image = Image.open(index.images / str(photo.path)).convert("RGB")  # photo 1 is greyscale
            small = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
            mask = Image.open(index.masks / str(entries[photo.image_id].mask))
            assert np.array_equal(store.images[row], small)
            assert np.array_equal(store.masks[row], np.asarray(mask.resize((SIZE, SIZE), Image.Resampling.NEAREST)))
            scale = SIZE / image.width, SIZE / image.height
            box = [12 * scale[0], 10 * scale[1], 16 * scale[0], 8 * scale[1]]
            np.testing.assert_allclose(store.boxes[row], box, rtol=1e-6)
            total += 1
    assert total == 15


def test_shapes_and_types(folder: Path) -> None:
    store = Store.open(folder, "test")
    assert (len(store), store.size, store.split) == (6, SIZE, "test")
    assert store.names == ["001.Wren", "002.Blue_Jay", "003.Gull"]
    assert store.images.shape == (6, SIZE, SIZE, 3)
    assert store.masks.shape == (6, SIZE, SIZE)
    assert (store.images.dtype, store.masks.dtype, store.boxes.dtype) == (np.uint8, np.uint8, np.float32)
    assert (store.image_ids.dtype, store.labels.dtype) == (np.int64, np.int64)
    assert isinstance(store.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.images[0] = 0


@pytest.mark.parametrize("rows", [[4, 0, 4], np.array([4, 0, 4]), torch.tensor([4, 0, 4])])
def test_pixels_in_the_order_asked(folder: Path, rows: list[int]) -> None:
    store = Store.open(folder, "test")
    pixels = store.pixels(rows)
    assert pixels.shape == (3, 3, SIZE, SIZE)
    assert pixels.dtype == torch.uint8
    assert pixels.is_contiguous()
    for at, row in enumerate((4, 0, 4)):
        assert np.array_equal(pixels[at].permute(1, 2, 0).numpy(), store.images[row])
    pixels.zero_()  # a copy: the store stays as it is
    assert store.images[4].any()


def test_slices(folder: Path) -> None:
    store = Store.open(folder, "test")
    assert torch.equal(store.pixels(slice(1, 3)), store.pixels([1, 2]))
    assert np.array_equal(store.foreground(slice(1, 3)), store.foreground([1, 2]))


def test_foreground_is_majority_and_any_vote(folder: Path) -> None:
    store = Store.open(folder, "test")
    majority, anyone = store.foreground([0, 1]), store.foreground([0, 1], threshold=0)
    assert majority.dtype == bool
    assert majority.shape == (2, SIZE, SIZE)
    assert np.array_equal(majority, store.masks[[0, 1]] == 255)
    assert np.array_equal(anyone, store.masks[[0, 1]] >= 102)
    assert anyone.sum() > majority.sum() > 0


def test_the_object_of_an_image_without_a_mask_is_unknown(index: Index, tmp_path: Path) -> None:
    entries = [replace(one, mask=None, boxes=()) if one.image_id == 9 else one for one in index.entries]
    build_store(tmp_path / "24", replace(index, entries=entries), split(index, 0, 2), 24, READING)
    store = Store.open(tmp_path / "24", "test")  # ids 4, 5, 9, 10, 14, 15
    assert store.unmasked == {9}
    assert store.foreground([0, 1, 3]).any(axis=(1, 2)).all()
    assert np.isnan(store.boxes).all(axis=1).tolist() == [False, False, True, False, False, False]
    for rows in ([2], slice(None)):
        with pytest.raises(UserError, match="image 9 of the test split has no mask"):
            store.foreground(rows)


def test_rows_of(folder: Path) -> None:
    store = Store.open(folder, "test")  # ids 4, 5, 9, 10, 14, 15
    assert store.rows_of([15, 4, 9]).tolist() == [5, 0, 2]
    for wrong in (3, 6, 99):
        with pytest.raises(UserError, match=f"photo {wrong} is not in the test split"):
            store.rows_of([4, wrong])


def test_subset_is_balanced_nested_and_seeded(folder: Path) -> None:
    store = Store.open(folder, "test")
    assert subset_rows(store, None, 0).tolist() == list(range(6))
    one, two = subset_rows(store, 1, 0), subset_rows(store, 2, 0)
    assert sorted(store.labels[one]) == [0, 1, 2]
    assert set(one) <= set(two)
    assert one.tolist() == sorted(one) == subset_rows(store, 1, 0).tolist()
    assert len({tuple(subset_rows(store, 1, seed)) for seed in range(10)}) > 1
    with pytest.raises(UserError, match="has 2 photos in the test split, 3 per class"):
        subset_rows(store, 3, 0)


def test_only_the_splits_given(index: Index, tmp_path: Path) -> None:
    build_store(tmp_path / "9", index, {"val": split(index, 0, 2)["val"]}, 9, READING)
    assert len(Store.open(tmp_path / "9", "val")) == 3
    with pytest.raises(UserError, match="holds the splits val, not train"):
        Store.open(tmp_path / "9", "train")


def test_required_sizes() -> None:
    everything = {"train", "val", "test"}
    profiles = load(Path(__file__).parents[2] / "params.yaml").profiles
    assert required(profiles["paper"]) == {
        384: {"val", "test"}, 510: {"train"}, 224: {"val", "test"}, 256: {"train"},
    }  # fmt: skip
    assert required(profiles["photos"]) == {224: everything}
    mini = profiles["mini"]
    assert required(mini) == {mini.data.input_size: everything}
    assert required(mini.model_copy(update={"fcam": mini.fcam.model_copy(update={"resize": 96})})) == {
        mini.data.input_size: everything, 96: {"train"},
    }  # fmt: skip


def test_a_photo_that_no_longer_decodes_leaves_nothing(index: Index, tmp_path: Path) -> None:
    file = index.images / "003.Gull/bird_0015.jpg"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(UserError, match=r"bird_0015\.jpg does not decode"):
        build_store(tmp_path / "store" / "24", index, split(index, 0, 2), 24, READING)
    assert list((tmp_path / "store").iterdir()) == []


def test_a_failed_rebuild_keeps_the_old_store(index: Index, folder: Path) -> None:
    (index.images / "003.Gull/bird_0015.jpg").unlink()
    with pytest.raises(UserError, match=r"bird_0015\.jpg"):
        build_store(folder, index, split(index, 0, 2), SIZE, READING)
    assert len(Store.open(folder, "test")) == 6


def test_a_small_disk(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"1,000 bytes free, a store of 15 photos at 24 x 24 needs 34,905"):
        build_store(tmp_path / "24", index, split(index, 0, 2), SIZE, READING)
    assert not (tmp_path / "24").exists()


def test_a_disk_that_fills_up(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk.os, "posix_fallocate", full, raising=False)
    with pytest.raises(UserError, match="No space left"):
        build_store(tmp_path / "out" / "24", index, split(index, 0, 2), SIZE, READING)
    assert list((tmp_path / "out").iterdir()) == []


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:200])


def _version(file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"version": 99}))


def _count(file: Path) -> None:
    about = json.loads(file.read_text())
    about["splits"]["test"] = 5
    file.write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("store.json", Path.unlink, "does not exist; run `dvc repro store`"),
        ("store.json", lambda file: file.write_text("{"), "is no store"),
        ("store.json", lambda file: file.write_text("[]"), "is no store"),
        ("store.json", _version, "version 99, expected 1"),
        ("store.json", _count, r"shape \(6, 24, 24, 3\), store.json says \(5, 24, 24, 3\)"),
        ("test-images.npy", _cut, "is unreadable"),
        ("test-masks.npy", Path.unlink, "is unreadable"),
        ("test-labels.npy", lambda file: file.write_bytes(b""), "is unreadable"),
        ("test-ids.npy", lambda file: np.save(file, np.arange(5)), "shape"),
    ],
)
def test_damaged_stores_are_not_trusted(folder: Path, file: str, damage: Callable[[Path], None], message: str) -> None:
    damage(folder / file)
    with pytest.raises(UserError, match=message):
        Store.open(folder, "test")
