from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ala.data.index import Entry
from ala.data.layouts.cub import read_cub, read_list
from ala.utils.errors import UserError
from tests.data.conftest import cub_index

Edit = Callable[[Path, str, str], None]


def test_reads_what_the_lists_say(cub: Path) -> None:
    index = read_cub(cub)
    assert index.classes == {1: "001.Wren", 2: "002.Blue_Jay", 3: "003.Gull"}
    assert [one.image_id for one in index.entries] == list(range(1, 16))  # the stray image beside them is not listed
    one = index.entries[5]
    name = "002.Blue_Jay/bird_0006"
    assert one == Entry(6, f"{name}.jpg", 2, "train", f"{name}.png", ((12.0, 10.0, 16.0, 8.0),))
    assert index.image_file(one) == cub / f"images/{name}.jpg"
    assert index.mask_file(one) == cub / f"segmentations/{name}.png"


@pytest.mark.parametrize("point_at", ["top", "nested"])
def test_reads_the_layout_of_the_unpacked_archives(cub: Path, tmp_path: Path, point_at: str) -> None:
    top = tmp_path / "unpacked"
    top.mkdir()
    cub.rename(top / "CUB_200_2011")
    (top / "CUB_200_2011" / "segmentations").rename(top / "segmentations")
    index = read_cub(top if point_at == "top" else top / "CUB_200_2011")
    assert index.image_file(index.entries[0]).is_file()
    assert (index.masks / str(index.entries[0].mask)).is_file()


def test_order_of_lines_does_not_matter(cub: Path) -> None:
    expected = read_cub(cub)
    for file in ("images.txt", "image_class_labels.txt", "bounding_boxes.txt"):
        lines = (cub / file).read_text().splitlines()
        (cub / file).write_text("\n".join(reversed(lines)))
    assert read_cub(cub).entries == expected.entries


def test_reads_without_images(shared_cub: Path) -> None:
    index = cub_index(shared_cub)
    assert len(index.entries) == 11_788
    assert len(index.classes) == 200
    assert sum(one.split == "train" for one in index.entries) == 5_994
    assert index.entries[0].boxes == ((60, 27, 325, 304),)  # METHODS 1.2
    assert all(int(one.path[:3]) == one.class_id for one in index.entries)


DAMAGE = {
    "image twice": ("images.txt", "2 001.Wren/bird_0002.jpg", "2 001.Wren/bird_0001.jpg", "images 1 and 2 the same"),
    "path above": ("images.txt", "001.Wren/bird_0002.jpg", "../bird_0002.jpg", "'../bird_0002.jpg'"),
    "absolute path": ("images.txt", "001.Wren/bird_0002.jpg", "/etc/passwd", "'/etc/passwd'"),
    "no value": ("images.txt", "2 001.Wren/bird_0002.jpg", "2", "line 2 is '2'"),
    "id twice": ("images.txt", "3 001.Wren", "2 001.Wren", "line 3 names id 2 a second time"),
    "negative id": ("images.txt", "3 001.Wren", "-3 001.Wren", "line 3 is '-3 001.Wren"),
    "id absent elsewhere": ("images.txt", "3 001.Wren", "33 001.Wren", "images.txt has image 33, .*labels.txt has not"),
    "label without image": ("image_class_labels.txt", "1 1\n", "1 1\n77 1\n", "labels.txt has image 77, .*images.txt"),
    "image without flag": ("train_test_split.txt", "4 0\n", "", "images.txt has image 4, .*split.txt has not"),
    "image without box": ("bounding_boxes.txt", "4 12.0 10.0 16.0 8.0\n", "", "image 4, .*bounding_boxes.txt has not"),
    "label above": ("image_class_labels.txt", "15 3", "15 4", "image 15 the class 4, which .*txt does not name"),
    "label 0": ("image_class_labels.txt", "15 3", "15 0", "image 15 the class 0"),
    "label no number": ("image_class_labels.txt", "15 3", "15 gull", "id 15 the value 'gull'"),
    "flag 2": ("train_test_split.txt", "15 0", "15 2", "image 15 the flag '2'"),
    "box of three": ("bounding_boxes.txt", "7 12.0 10.0 16.0 8.0", "7 12.0 10.0 16.0", "the box '12.0 10.0 16.0'"),
    "flat box": ("bounding_boxes.txt", "7 12.0 10.0 16.0 8.0", "7 12.0 10.0 16.0 0", "image 7 the box"),
    "box nan": ("bounding_boxes.txt", "7 12.0 10.0 16.0 8.0", "7 nan 10.0 16.0 8.0", "image 7 the box 'nan"),
    "class without images": ("classes.txt", "3 003.Gull\n", "3 003.Gull\n4 004.Owl\n", r"4 \(004.Owl\), but no image"),
    "class name twice": ("classes.txt", "3 003.Gull", "3 001.Wren", "class 3 '001.Wren' like class 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_lists_are_refused_in_one_sentence(cub: Path, edit: Edit, case: str) -> None:
    file, old, new, message = DAMAGE[case]
    edit(cub / file, old, new)
    with pytest.raises(UserError, match=message) as caught:
        cub_index(cub)
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
    missing = r"holds no images\.txt" if file == "images.txt" else f"{file} does not exist"
    with pytest.raises(UserError, match=missing):
        read_cub(cub)


def test_a_folder_without_lists(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no images\.txt, so it is no data set in CUB-200-2011 layout; name the"):
        read_cub(tmp_path)


def test_class_ids_are_any_integers(cub: Path, edit: Edit) -> None:
    edit(cub / "classes.txt", "3 003.Gull", "77 003.Gull")
    labels = cub / "image_class_labels.txt"
    labels.write_text("".join(f"{line}7\n".replace(" 37", " 77") if line.endswith(" 3") else f"{line}\n"
                              for line in labels.read_text().splitlines()))  # fmt: skip
    index = cub_index(cub)
    assert index.labels == {1: 0, 2: 1, 77: 2}
    assert index.names == ["001.Wren", "002.Blue_Jay", "003.Gull"]


def test_images_are_left_out_whatever_is_wrong_with_them(cub: Path, edit: Callable[[Path, str, str], None]) -> None:
    whole = cub_index(cub)
    edit(cub / "bounding_boxes.txt", "\n6 12.0 10.0 16.0 8.0", "\n6 12.0 10.0 0 8.0")
    edit(cub / "image_class_labels.txt", "\n9 2", "\n9 77")
    with pytest.raises(UserError, match="image 9 the class 77"):
        cub_index(cub)
    index = cub_index(cub, [9, 6, 9])
    assert index.excluded == (6, 9)
    assert index.entries == [one for one in whole.entries if one.image_id not in (6, 9)]


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        ([16], r"data\.exclude names image 16, which .*images\.txt does not hold \(1 such id\); take it out"),
        (range(1, 6), r"class 1 \(001\.Wren\), but no image carries it"),
        (range(1, 16), r"data\.exclude names all images of .*images\.txt; leave some in"),
    ],
)
def test_what_cannot_be_left_out(cub: Path, exclude: list[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cub_index(cub, exclude)


def test_two_images_cannot_share_a_mask(cub: Path, edit: Callable[[Path, str, str], None]) -> None:
    edit(cub / "images.txt", "bird_0003.jpg", "bird_0002.png")
    with pytest.raises(UserError, match=r"images 2 \(.*0002\.jpg\) and 3 \(.*0002\.png\) the same mask, .*0002\.png;"):
        cub_index(cub)


# Any text that fits on one line: file names may hold spaces, U+2028 and other things that splitlines() cuts at.
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1)
RECORDS = st.dictionaries(st.integers(0, 10**18 - 1), VALUES, min_size=1, max_size=8)


@given(records=RECORDS, end=st.sampled_from(["\n", "\r\n"]), mark=st.booleans(), last=st.booleans())
def test_a_list_is_read_as_it_was_written(records: dict[int, str], end: str, mark: bool, last: bool) -> None:
    text = end.join(f"{key} {value}" for key, value in records.items()) + (end if last else "")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "list.txt"
        file.write_bytes(text.encode("utf-8-sig" if mark else "utf-8"))
        read = read_list(file, "value")
    assert read == records
    assert list(read) == list(records)  # in the order of the file


def test_splits_at_the_first_space_only(tmp_path: Path) -> None:
    file = tmp_path / "images.txt"
    file.write_text("1 001.Wren/a bird  at sea.jpg\n\n")
    assert read_list(file, "path") == {1: "001.Wren/a bird  at sea.jpg"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no records"),
        (b"\n \r\n", "holds no records"),
        (b"1 a\nx b\n", "line 2 is 'x b', expected `id name`"),
        (b"1 a\n2\n", "line 2 is '2'"),
        (b"1 a\n2 \n", "line 2 is '2 '"),
        (b" 1 a\n", "line 1 is ' 1 a'"),
        (b"1\ta\n", "line 1"),
        (b"1 a\n01 b\n", "line 2 names id 1 a second time"),
        (b"1 a\n\xd9\xa2 b\n", "line 2"),  # an Arabic digit is no id
        (b"1 \xff\xfe\n", "not UTF-8 text .byte 2."),
        (b"9999999999999999999 a\n", "line 1"),  # beyond int64
    ],
)
def test_damaged_lines_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_list(file, "name")
    assert str(file) in str(caught.value)


def test_a_folder_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_list(tmp_path, "name")
