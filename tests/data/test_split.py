from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ala.config.schema import AtMost
from ala.data.layouts.cub import read_cub
from ala.data.split import COLUMNS, read_splits, split, write_splits
from ala.utils.errors import UserError
from ala.utils.files import sha256

Edit = Callable[[Path, str, str], None]


def test_cub_gives_the_slides_numbers(shared_cub: Path) -> None:
    index = read_cub(shared_cub)
    parts = split(index, split_seed=0, train_per_class=25)
    assert {name: len(frame) for name, frame in parts.items()} == {"train": 5000, "val": 994, "test": 5794}
    assert parts["train"]["label"].value_counts().eq(25).all()
    ids = {name: set(frame["image_id"]) for name, frame in parts.items()}
    assert ids["train"] | ids["val"] | ids["test"] == set(range(1, 11_789))
    assert sum(map(len, ids.values())) == 11_788  # disjoint
    assert all(set(frame["label"]) == set(range(200)) for frame in parts.values())
    assert ids["test"] == {one.image_id for one in index.entries if one.split == "test"}


def test_the_rule_spelt_out(cub: Path) -> None:
    """METHODS 1.4 once more, class by class, from the lists themselves."""
    labels = dict(line.split() for line in (cub / "image_class_labels.txt").read_text().splitlines())
    flags = dict(line.split() for line in (cub / "train_test_split.txt").read_text().splitlines())
    train = []
    for class_id in (1, 2, 3):
        ids = sorted(int(key) for key, value in labels.items() if value == str(class_id) and flags[key] == "1")
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([7, class_id])))
        train += generator.permutation(ids)[:2].tolist()
    parts = split(read_cub(cub), split_seed=7, train_per_class=2)
    assert parts["train"]["image_id"].tolist() == sorted(train)
    assert len(parts["val"]) == 3
    assert parts["test"]["image_id"].tolist() == [4, 5, 9, 10, 14, 15]
    assert list(parts["test"].columns) == COLUMNS
    assert parts["test"].iloc[-1].tolist() == [15, "003.Gull/bird_0015.jpg", 2]


def test_seed_changes_train_and_val_only(shared_cub: Path) -> None:
    index = read_cub(shared_cub)
    zero, again, one = split(index, 0, 25), split(index, 0, 25), split(index, 1, 25)
    assert zero["train"].equals(again["train"])
    assert not zero["train"].equals(one["train"])
    assert zero["test"].equals(one["test"])


def test_a_rehearsal_keeps_a_few_images_spread_over_the_classes(shared_cub: Path) -> None:
    index = read_cub(shared_cub)
    whole = split(index, 0, 25)
    parts = split(index, 0, 25, AtMost(train=4, val=1, test=10_000))
    assert [len(parts[name]) for name in ("train", "val", "test")] == [4, 1, 5794]
    assert parts["train"]["label"].tolist() == [0, 66, 133, 199]
    assert parts["train"]["image_id"].isin(whole["train"]["image_id"]).all()
    assert parts["val"].equals(whole["val"].head(1))
    assert parts["test"].equals(whole["test"])


@pytest.mark.parametrize("train_per_class", [3, 25])
def test_a_class_with_too_few_images(cub: Path, train_per_class: int) -> None:
    with pytest.raises(UserError, match=rf"class 001.Wren .* has 3 .*train_per_class \({train_per_class}\)"):
        split(read_cub(cub), 0, train_per_class)


def test_one_class_with_exactly_too_few(cub: Path, edit: Edit) -> None:
    edit(cub / "train_test_split.txt", "6 1", "6 0")
    with pytest.raises(UserError, match=r"class 002.Blue_Jay .* has 2 "):
        split(read_cub(cub), 0, 2)


def test_a_class_without_test_images(cub: Path, edit: Edit) -> None:
    edit(cub / "train_test_split.txt", "14 0\n15 0", "14 1\n15 1")
    with pytest.raises(UserError, match=r"class 003.Gull .* no test image"):
        split(read_cub(cub), 0, 2)


def test_written_and_read_again(cub: Path, tmp_path: Path, edit: Edit) -> None:
    odd = '001.Wren/NA, "a bird" .jpg'
    edit(cub / "images.txt", "001.Wren/bird_0002.jpg", odd)
    parts = split(read_cub(cub), 0, 2)
    summary = write_splits(tmp_path / "splits", parts)
    back = read_splits(tmp_path / "splits")
    assert all(back[name].equals(parts[name]) for name in parts)
    assert odd in {path for frame in back.values() for path in frame["path"]}
    assert json.loads((tmp_path / "splits/summary.json").read_text()) == summary
    assert summary["train"] == {"photos": 6, "classes": 3, "sha256": sha256(tmp_path / "splits/train.csv")}
    first = (tmp_path / "splits/val.csv").read_bytes()
    write_splits(tmp_path / "splits", parts)
    assert (tmp_path / "splits/val.csv").read_bytes() == first


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist; run `dvc repro split`"),
        ("", "is no split"),
        ("image_id,path\n1,a\n", "expected rows of image_id, path, label"),
        (",".join(COLUMNS) + "\n", "0 rows"),
        (",".join(COLUMNS) + "\nx,a,0\n", "is no split"),
        ("\x00\x01\x02", "val.csv"),
    ],
)
def test_damaged_splits(cub: Path, tmp_path: Path, content: str | None, message: str) -> None:
    write_splits(tmp_path / "splits", split(read_cub(cub), 0, 2))
    file = tmp_path / "splits/val.csv"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(UserError, match=message):
        read_splits(tmp_path / "splits")


def test_without_lists_test_images_are_drawn_by_seed_and_class_alone(cub: Path) -> None:
    index = read_cub(cub)
    undecided = replace(index, entries=[replace(one, split=None) for one in index.entries])
    parts = split(undecided, 0, 2, test_per_class=1)
    assert [parts[name]["label"].value_counts().tolist() for name in parts] == [[2] * 3, [2] * 3, [1] * 3]
    assert sorted(key for frame in parts.values() for key in frame["image_id"]) == list(range(1, 16))
    assert split(undecided, 0, 2, test_per_class=1)["test"].equals(parts["test"])
    assert len({tuple(split(undecided, seed, 2, test_per_class=1)["test"]["image_id"]) for seed in range(9)}) > 1


@pytest.mark.parametrize(
    ("listed", "test_per_class", "message"),
    [
        (True, 1, r"images\.txt says which images are for testing, so data\.test_per_class \(1\) .*; set it to null"),
        (False, None, r"images\.txt does not say which images are for testing; set data\.test_per_class"),
    ],
)
def test_test_images_are_either_listed_or_drawn(cub: Path, listed: bool, test_per_class: int, message: str) -> None:
    index = read_cub(cub)
    if not listed:
        index = replace(index, entries=[replace(one, split=None) for one in index.entries])
    with pytest.raises(UserError, match=message):
        split(index, 0, 2, test_per_class=test_per_class)


def test_class_ids_are_any_integers(cub: Path) -> None:
    index = read_cub(cub)
    other = {1: -7, 2: 40, 3: 1000}
    odd = replace(
        index,
        classes={other[key]: name for key, name in index.classes.items()},
        entries=[replace(one, class_id=other[one.class_id]) for one in index.entries],
    )
    assert all(part.equals(split(index, 0, 2)[name]) for name, part in split(odd, 0, 2).items())
