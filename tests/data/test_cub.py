from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ala.data.cub import read_cub
from ala.utils.errors import UserError

Edit = Callable[[Path, str, str], None]


def test_reads_what_the_lists_say(cub: Path) -> None:
    index = read_cub(cub)
    assert index.classes == ["001.Wren", "002.Blue_Jay", "003.Gull"]
    assert index.frame["image_id"].tolist() == list(range(1, 16))  # the stray photo beside them is not listed
    row = index.frame.iloc[5].to_dict()
    assert row == {
        "image_id": 6, "path": "002.Blue_Jay/bird_0006.jpg", "class_id0": 1, "class_name": "002.Blue_Jay",
        "is_train": True, "x": 12.0, "y": 10.0, "width": 16.0, "height": 8.0,
        "mask_path": "002.Blue_Jay/bird_0006.png",
    }  # fmt: skip
    assert index.image_file(row["path"]) == cub / "images/002.Blue_Jay/bird_0006.jpg"
    assert index.mask_file(row["mask_path"]) == cub / "segmentations/002.Blue_Jay/bird_0006.png"


@pytest.mark.parametrize("point_at", ["top", "nested"])
def test_reads_the_layout_of_the_unpacked_archives(cub: Path, tmp_path: Path, point_at: str) -> None:
    top = tmp_path / "unpacked"
    top.mkdir()
    cub.rename(top / "CUB_200_2011")
    (top / "CUB_200_2011" / "segmentations").rename(top / "segmentations")
    index = read_cub(top if point_at == "top" else top / "CUB_200_2011")
    assert index.image_file(index.frame["path"][0]).is_file()
    assert index.mask_file(index.frame["mask_path"][0]).is_file()


def test_order_of_lines_does_not_matter(cub: Path) -> None:
    expected = read_cub(cub).frame
    for file in ("images.txt", "image_class_labels.txt", "bounding_boxes.txt"):
        lines = (cub / file).read_text().splitlines()
        (cub / file).write_text("\n".join(reversed(lines)))
    assert read_cub(cub).frame.equals(expected)


def test_reads_without_photos(shared_cub: Path) -> None:
    index = read_cub(shared_cub)
    assert len(index.frame) == 11_788
    assert len(index.classes) == 200
    assert index.frame["is_train"].sum() == 5_994
    assert list(index.frame[["x", "y", "width", "height"]].to_numpy()[0]) == [60, 27, 325, 304]  # METHODS 1.2
    folders = [int(path[:3]) for path in index.frame["path"]]
    assert folders == (index.frame["class_id0"] + 1).tolist()


DAMAGE = {
    "photo twice": ("images.txt", "2 001.Wren/bird_0002.jpg", "2 001.Wren/bird_0001.jpg", "photos 1 and 2 the same"),
    "path above": ("images.txt", "001.Wren/bird_0002.jpg", "../bird_0002.jpg", "'../bird_0002.jpg'"),
    "absolute path": ("images.txt", "001.Wren/bird_0002.jpg", "/etc/passwd", "'/etc/passwd'"),
    "no value": ("images.txt", "2 001.Wren/bird_0002.jpg", "2", "line 2 is '2'"),
    "id twice": ("images.txt", "3 001.Wren", "2 001.Wren", "line 3 names id 2 a second time"),
    "negative id": ("images.txt", "3 001.Wren", "-3 001.Wren", "line 3 is '-3 001.Wren"),
    "id absent elsewhere": ("images.txt", "3 001.Wren", "33 001.Wren", "images.txt has photo 33, .*labels.txt has not"),
    "label without photo": ("image_class_labels.txt", "1 1\n", "1 1\n77 1\n", "labels.txt has photo 77, .*images.txt"),
    "photo without flag": ("train_test_split.txt", "4 0\n", "", "images.txt has photo 4, .*split.txt has not"),
    "photo without box": ("bounding_boxes.txt", "4 12.0 10.0 16.0 8.0\n", "", "photo 4, .*bounding_boxes.txt has not"),
    "label above": ("image_class_labels.txt", "15 3", "15 4", r"photo 15 the class 4, .* 1\.\.3"),
    "label 0": ("image_class_labels.txt", "15 3", "15 0", "photo 15 the class 0"),
    "label no number": ("image_class_labels.txt", "15 3", "15 gull", "id 15 the value 'gull'"),
    "flag 2": ("train_test_split.txt", "15 0", "15 2", "photo 15 the flag 2"),
    "box of three": ("bounding_boxes.txt", "7 12.0 10.0 16.0 8.0", "7 12.0 10.0 16.0", "the box '12.0 10.0 16.0'"),
    "flat box": ("bounding_boxes.txt", "7 12.0 10.0 16.0 8.0", "7 12.0 10.0 16.0 0", "photo 7 the box"),
    "box nan": ("bounding_boxes.txt", "7 12.0 10.0 16.0 8.0", "7 nan 10.0 16.0 8.0", "photo 7 the box 'nan"),
    "class without images": ("classes.txt", "3 003.Gull\n", "3 003.Gull\n4 004.Owl\n", r"4 \(004.Owl\), but no photo"),
    "class id gap": ("classes.txt", "3 003.Gull", "4 003.Gull", "no class 3"),
    "class name twice": ("classes.txt", "3 003.Gull", "3 001.Wren", "class 3 '001.Wren' like class 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_lists_are_refused_in_one_sentence(cub: Path, edit: Edit, case: str) -> None:
    file, old, new, message = DAMAGE[case]
    edit(cub / file, old, new)
    with pytest.raises(UserError, match=message) as caught:
        read_cub(cub)
    assert str(cub / file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_counts_missing_ids(cub: Path, edit: Edit) -> None:
    edit(cub / "train_test_split.txt", "4 0\n5 0\n", "")
    with pytest.raises(UserError, match=re.escape("(2 such ids)")):
        read_cub(cub)


@pytest.mark.parametrize(
    "file",
    ["images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt"],
)
def test_missing_list(cub: Path, file: str) -> None:
    (cub / file).unlink()
    with pytest.raises(UserError, match=f"{file} does not exist"):
        read_cub(cub)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        read_cub(tmp_path / "nowhere")


def test_images_are_left_out_whatever_is_wrong_with_them(cub: Path, edit: Callable[[Path, str, str], None]) -> None:
    whole = read_cub(cub)
    edit(cub / "bounding_boxes.txt", "\n6 12.0 10.0 16.0 8.0", "\n6 12.0 10.0 0 8.0")
    edit(cub / "image_class_labels.txt", "\n9 2", "\n9 77")
    with pytest.raises(UserError, match="photo 9 the class 77"):
        read_cub(cub)
    index = read_cub(cub, [9, 6, 9])
    assert index.excluded == (6, 9)
    assert index.frame.equals(whole.frame[~whole.frame["image_id"].isin([6, 9])].reset_index(drop=True))


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        ([16], r"data\.exclude names image 16, which .*images\.txt does not hold \(1 such id\); take it out"),
        (range(1, 6), r"class 1 \(001\.Wren\), but no photo carries it"),
        (range(1, 16), r"data\.exclude names all images of .*images\.txt; leave some in"),
    ],
)
def test_what_cannot_be_left_out(cub: Path, exclude: list[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_cub(cub, exclude)


def test_two_images_cannot_share_a_mask(cub: Path, edit: Callable[[Path, str, str], None]) -> None:
    edit(cub / "images.txt", "bird_0003.jpg", "bird_0002.png")
    with pytest.raises(UserError, match=r"images 2 \(.*0002\.jpg\) and 3 \(.*0002\.png\) the same mask, .*0002\.png;"):
        read_cub(cub)
