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
from ala.data.image_cache import ImageCache, subset_indices
from ala.data.image_cache_build import build_image_cache, required
from ala.data.index import Index
from ala.data.layouts.cub import read_cub
from ala.data.split import split
from ala.utils import disk
from ala.utils.errors import UserError

SIZE = 24
READING = Reading(threshold=127, object_levels=None, background_levels=(), orientation=None)


@pytest.fixture
def index(cub: Path) -> Index:
    return read_cub(cub)


@pytest.fixture
def folder(index: Index, tmp_path: Path) -> Path:
    build_image_cache(tmp_path / "image_cache" / str(SIZE), index, split(index, 0, 2), SIZE, READING)
    return tmp_path / "image_cache" / str(SIZE)


@pytest.mark.parametrize("workers", [1, 7])
def test_the_number_of_workers_changes_no_byte(
    index: Index, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(parallel, "workers", lambda: workers)
    other = tmp_path / "other" / str(SIZE)
    build_image_cache(other, index, split(index, 0, 2), SIZE, READING)
    files = sorted(path.name for path in folder.iterdir())
    assert files == sorted(path.name for path in other.iterdir())
    assert [name for name in files if (folder / name).read_bytes() != (other / name).read_bytes()] == []


def test_equals_images_opened_one_by_one(index: Index, folder: Path) -> None:
    total = 0
    for name, frame in split(index, 0, 2).items():
        image_cache = ImageCache.open(folder, name)
        entries = {one.image_id: one for one in index.entries}
        assert image_cache.image_ids.tolist() == frame["image_id"].tolist()
        assert image_cache.labels.tolist() == frame["label"].tolist()
        for row, listed in enumerate(frame.itertuples()):
            image = Image.open(index.images / str(listed.path)).convert("RGB")  # image 1 is greyscale
            small = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
            mask = Image.open(index.masks / str(entries[listed.image_id].mask))
            assert np.array_equal(image_cache.images[row], small)
            assert np.array_equal(
                image_cache.masks[row], np.asarray(mask.resize((SIZE, SIZE), Image.Resampling.NEAREST))
            )
            scale = SIZE / image.width, SIZE / image.height
            box = [12 * scale[0], 10 * scale[1], 16 * scale[0], 8 * scale[1]]
            np.testing.assert_allclose(image_cache.boxes[row], box, rtol=1e-6)
            total += 1
    assert total == 15


def test_shapes_and_types(folder: Path) -> None:
    image_cache = ImageCache.open(folder, "test")
    assert (len(image_cache), image_cache.size, image_cache.split) == (6, SIZE, "test")
    assert image_cache.names == ["001.Wren", "002.Blue_Jay", "003.Gull"]
    assert image_cache.images.shape == (6, SIZE, SIZE, 3)
    assert image_cache.masks.shape == (6, SIZE, SIZE)
    assert (image_cache.images.dtype, image_cache.masks.dtype, image_cache.boxes.dtype) == (
        np.uint8,
        np.uint8,
        np.float32,
    )
    assert (image_cache.image_ids.dtype, image_cache.labels.dtype) == (np.int64, np.int64)
    assert isinstance(image_cache.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        image_cache.images[0] = 0


@pytest.mark.parametrize("indices", [[4, 0, 4], np.array([4, 0, 4]), torch.tensor([4, 0, 4])])
def test_pixels_in_the_order_given(folder: Path, indices: list[int]) -> None:
    image_cache = ImageCache.open(folder, "test")
    pixels = image_cache.pixels(indices)
    assert pixels.shape == (3, 3, SIZE, SIZE)
    assert pixels.dtype == torch.uint8
    assert pixels.is_contiguous()
    for at, row in enumerate((4, 0, 4)):
        assert np.array_equal(pixels[at].permute(1, 2, 0).numpy(), image_cache.images[row])
    pixels.zero_()  # a copy: the image cache stays as it is
    assert image_cache.images[4].any()


def test_slices(folder: Path) -> None:
    image_cache = ImageCache.open(folder, "test")
    assert torch.equal(image_cache.pixels(slice(1, 3)), image_cache.pixels([1, 2]))
    assert np.array_equal(image_cache.foreground(slice(1, 3)), image_cache.foreground([1, 2]))


def test_foreground_is_majority_and_any_vote(folder: Path) -> None:
    image_cache = ImageCache.open(folder, "test")
    majority, anyone = image_cache.foreground([0, 1]), image_cache.foreground([0, 1], threshold=0)
    assert majority.dtype == bool
    assert majority.shape == (2, SIZE, SIZE)
    assert np.array_equal(majority, image_cache.masks[[0, 1]] == 255)
    assert np.array_equal(anyone, image_cache.masks[[0, 1]] >= 102)
    assert anyone.sum() > majority.sum() > 0


def test_the_object_of_an_image_without_a_mask_is_unknown(index: Index, tmp_path: Path) -> None:
    entries = [replace(one, mask=None, boxes=()) if one.image_id == 9 else one for one in index.entries]
    build_image_cache(tmp_path / "24", replace(index, entries=entries), split(index, 0, 2), 24, READING)
    image_cache = ImageCache.open(tmp_path / "24", "test")  # ids 4, 5, 9, 10, 14, 15
    assert image_cache.unmasked == {9}
    assert image_cache.foreground([0, 1, 3]).any(axis=(1, 2)).all()
    assert np.isnan(image_cache.boxes).all(axis=1).tolist() == [False, False, True, False, False, False]
    for rows in ([2], slice(None)):
        with pytest.raises(UserError, match="image 9 of the test split has no mask"):
            image_cache.foreground(rows)


def test_rows_of(folder: Path) -> None:
    image_cache = ImageCache.open(folder, "test")  # ids 4, 5, 9, 10, 14, 15
    assert image_cache.indices_of([15, 4, 9]).tolist() == [5, 0, 2]
    for wrong in (3, 6, 99):
        with pytest.raises(UserError, match=f"image {wrong} is not in the test split"):
            image_cache.indices_of([4, wrong])


def test_subset_is_balanced_nested_and_seeded(folder: Path) -> None:
    image_cache = ImageCache.open(folder, "test")
    assert subset_indices(image_cache, None, 0).tolist() == list(range(6))
    one, two = subset_indices(image_cache, 1, 0), subset_indices(image_cache, 2, 0)
    assert sorted(image_cache.labels[one]) == [0, 1, 2]
    assert set(one) <= set(two)
    assert one.tolist() == sorted(one) == subset_indices(image_cache, 1, 0).tolist()
    assert len({tuple(subset_indices(image_cache, 1, seed)) for seed in range(10)}) > 1
    with pytest.raises(UserError, match="has 2 images in the test split, 3 per class"):
        subset_indices(image_cache, 3, 0)


def test_only_the_splits_given(index: Index, tmp_path: Path) -> None:
    build_image_cache(tmp_path / "9", index, {"val": split(index, 0, 2)["val"]}, 9, READING)
    assert len(ImageCache.open(tmp_path / "9", "val")) == 3
    with pytest.raises(UserError, match="holds the splits val, not train"):
        ImageCache.open(tmp_path / "9", "train")


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


def test_an_image_that_no_longer_decodes_leaves_nothing(index: Index, tmp_path: Path) -> None:
    file = index.images / "003.Gull/bird_0015.jpg"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(UserError, match=r"bird_0015\.jpg does not decode"):
        build_image_cache(tmp_path / "image_cache" / "24", index, split(index, 0, 2), 24, READING)
    assert list((tmp_path / "image_cache").iterdir()) == []


def test_a_failed_rebuild_keeps_the_old_image_cache(index: Index, folder: Path) -> None:
    (index.images / "003.Gull/bird_0015.jpg").unlink()
    with pytest.raises(UserError, match=r"bird_0015\.jpg"):
        build_image_cache(folder, index, split(index, 0, 2), SIZE, READING)
    assert len(ImageCache.open(folder, "test")) == 6


def test_a_small_disk(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"1,000 bytes free, an image cache of 15 images at 24 x 24 needs 34,905"):
        build_image_cache(tmp_path / "24", index, split(index, 0, 2), SIZE, READING)
    assert not (tmp_path / "24").exists()


def test_a_disk_that_fills_up(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk.os, "posix_fallocate", full, raising=False)
    with pytest.raises(UserError, match="No space left"):
        build_image_cache(tmp_path / "out" / "24", index, split(index, 0, 2), SIZE, READING)
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
        ("image_cache.json", Path.unlink, "does not exist; run `dvc repro image_cache`"),
        ("image_cache.json", lambda file: file.write_text("{"), "is no image cache"),
        ("image_cache.json", lambda file: file.write_text("[]"), "is no image cache"),
        ("image_cache.json", _version, "version 99, expected 1"),
        ("image_cache.json", _count, r"shape \(6, 24, 24, 3\), image_cache.json says \(5, 24, 24, 3\)"),
        ("test-images.npy", _cut, "is unreadable"),
        ("test-masks.npy", Path.unlink, "is unreadable"),
        ("test-labels.npy", lambda file: file.write_bytes(b""), "is unreadable"),
        ("test-ids.npy", lambda file: np.save(file, np.arange(5)), "shape"),
    ],
)
def test_damaged_image_caches_are_not_trusted(
    folder: Path, file: str, damage: Callable[[Path], None], message: str
) -> None:
    damage(folder / file)
    with pytest.raises(UserError, match=message):
        ImageCache.open(folder, "test")
