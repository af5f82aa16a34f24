from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ala.config import load
from ala.data.index import Index
from ala.data.layouts import read_layout
from ala.utils.errors import UserError

DATA = load(Path(__file__).parents[3] / "params.yaml").profiles["photos"].data.model_copy(update={"layout": "folder"})
NAMES = [f"{kind}/{name}.jpg" for kind in ("cat", "dog") for name in ("a", "b", "c", "d")]


def draw(file: Path, level: int = 100) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 30), level, dtype=np.uint8)).save(file)


def read(root: Path) -> Index:
    return read_layout(root, DATA)


def beside(root: Path, name: str) -> Path:
    return root / name.replace(".jpg", "_mask.png")


def tree(root: Path, name: str) -> Path:
    return root.parent / "masks" / name.replace(".jpg", ".png")


#: Where images lie below the data set, the split of an image there, and where its mask is.
FORMS: dict[str, tuple[str, Callable[[str], str], Callable[[Path, str], Path]]] = {
    "masks beside the images": ("", lambda name: name, beside),
    "masks in a tree": ("images", lambda name: name, tree),
    "folders train and test": ("", lambda name: f"{'train' if name[4] < 'c' else 'test'}/{name}", beside),
    "both": ("images", lambda name: f"{'train' if name[4] < 'c' else 'test'}/{name}", tree),
}


@pytest.mark.parametrize("form", FORMS)
def test_reads(tmp_path: Path, form: str) -> None:
    top, place, mask = FORMS[form]
    for name in NAMES:
        draw(tmp_path / top / place(name))
        if "d" not in Path(name).stem:
            draw(mask(tmp_path / top, place(name)))
    (tmp_path / "README.md").write_text("what this is")
    index = read(tmp_path)
    assert index.classes == {1: "cat", 2: "dog"}
    assert [one.image_id for one in index.entries] == list(range(1, 9))
    assert sorted(one.path for one in index.entries) == sorted(map(place, NAMES))
    for one in index.entries:
        assert index.image_file(one).is_file()
        assert Path(one.path).parent.name == index.classes[one.class_id]
        assert one.split == (one.path.split("/")[0] if "train" in place(NAMES[0]) else None)
        assert one.boxes == ()
        if Path(one.path).stem == "d":
            assert one.mask is None
        else:
            assert index.mask_file(one) == mask(tmp_path / top, one.path)
            assert (index.masks / str(one.mask)).is_file()


def test_cub_needs_no_lists_to_be_read_as_a_folder(cub: Path) -> None:
    for file in cub.glob("*.txt"):
        file.unlink()
    index = read(cub)
    assert index.names == ["001.Wren", "002.Blue_Jay", "003.Gull"]
    assert [one.mask is None for one in index.entries].count(True) == 1  # the stray image has no mask


def _move(root: Path) -> None:
    shutil.move(root / "cat", root / "train" / "cat")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no class folders": (lambda root: [shutil.rmtree(root / kind) for kind in ("cat", "dog")], "holds no folders, exp"),
    "an empty class": (lambda root: (root / "owl").mkdir(), r"class folder .*owl holds no images; add some or remove"),
    "an image in no class": (lambda root: draw(root / "x.png"), r"image .*x\.png lies in no class folder; put each"),
    "train without test": (_move, r"has a folder train but no folder test; add it, or put all class folders into"),
    "two images with one mask": (lambda root: draw(root / "cat/a.png"), r"images 1 \(cat/a.*the same mask"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, case: str) -> None:
    for name in NAMES:
        draw(tmp_path / name)
        draw(beside(tmp_path, name))
    damage, message = DAMAGE[case]
    damage(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist; name the folder of a data set"):
        read(tmp_path / "nowhere")


def test_images_are_left_out(tmp_path: Path) -> None:
    for name in NAMES:
        draw(tmp_path / name)
    assert len(read_layout(tmp_path, DATA.model_copy(update={"exclude": [8]})).entries) == 7
    with pytest.raises(UserError, match=r"data\.exclude names image 9, which .* does not hold"):
        read_layout(tmp_path, DATA.model_copy(update={"exclude": [9]}))
