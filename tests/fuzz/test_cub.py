"""CUB's lists with anything in them: read as they are, or refused in one sentence; never half understood."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from ala.data.index import Index, read_index, write_index
from ala.data.layouts.cub import LISTS, read_list
from tests.data.conftest import cub_index
from tests.fuzz.reported import reported

# Text made of what the format means something by, and of what is known to confuse readers of text.
PIECES = st.sampled_from(
    ["1", "2", "01", "-1", "9" * 19, "0", " ", "  ", "\t", "\n", "\r\n", "\r", "\u2028", "\x0b", "\x00", "\x1b[2J",
     "\ufeff", "a.jpg", "../", "/", ".", "..", "1.5", "nan", "inf", "1e999", "1_0", "٣", "²", "é"]
)  # fmt: skip
TEXT = st.lists(PIECES, max_size=30).map("".join).map(str.encode)
LINES = {
    "images.txt": ["1 001.Wren/a.jpg", "2 001.Wren/b.jpg", "3 002.Gull/a.jpg", "4 002.Gull/b.jpg"],
    "classes.txt": ["1 001.Wren", "2 002.Gull"],
    "image_class_labels.txt": ["1 1", "2 1", "3 2", "4 2"],
    "train_test_split.txt": ["1 1", "2 0", "3 1", "4 0"],
    "bounding_boxes.txt": ["1 1.0 2.0 3.0 4.0", "2 0 0 9 9", "3 1 1 5.5 6", "4 60.0 27.0 325.0 304.0"],
}


@contextmanager
def file_of(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.txt"
        path.write_bytes(content)
        yield path


@given(st.binary(max_size=200) | TEXT)
@example(b"1 a\n2")
@example(b"\xef\xbb\xbf")
def test_a_list_is_read_or_refused(content: bytes) -> None:
    with file_of(content) as path:
        found = reported(lambda: read_list(path, "name"), path)
        if found is None:
            return
        assert found
        lines = [line for line in content.decode("utf-8-sig").split("\n") if line.strip()]
        assert len(found) == len(lines)  # no record was dropped, none was made up
        for (key, value), line in zip(found.items(), lines, strict=True):
            number, _, rest = line.partition(" ")
            assert (int(number), rest.removesuffix("\r")) == (key, value)


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, bytes]:
    """Good lists of four images with up to four lines replaced, removed, doubled, moved or edited."""
    lists = {name: list(lines) for name, lines in LINES.items()}
    for _ in range(draw(st.integers(0, 4))):
        lines = lists[draw(st.sampled_from(LISTS))]
        at = draw(st.integers(0, len(lines) - 1)) if lines else 0
        record = f"{draw(st.integers(0, 5))} {''.join(draw(st.lists(PIECES, max_size=3)))}"
        what = draw(st.sampled_from(["replace", "remove", "double", "move", "edit"]))
        if what == "double" or not lines:
            lines.insert(at, lines[at] if lines else record)
        elif what == "replace":
            lines[at] = record
        elif what == "remove":
            del lines[at]
        elif what == "move":
            lines.append(lines.pop(at))
        else:
            cut = draw(st.integers(0, len(lines[at])))
            lines[at] = lines[at][:cut] + draw(PIECES) + lines[at][cut + draw(st.integers(0, 2)) :]
    return {name: "\n".join(lines).encode() for name, lines in lists.items()}


def without_images_of(name: str) -> dict[str, bytes]:
    """All images are of class 1; class 2 is called `name`."""
    lists = {file: "\n".join(lines).encode() for file, lines in LINES.items()}
    return lists | {"classes.txt": f"1 001.Wren\n2 {name}".encode(), LISTS[2]: b"1 1\n2 1\n3 1\n4 1"}


@given(damaged())
@example(without_images_of("002.\x1b[2J\u2028Gull"))  # the message held the name as it was
def test_a_data_set_is_indexed_or_refused(lists: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in lists.items():
            (folder / file).write_bytes(content)
        index = reported(lambda: cub_index(folder), folder)
        if index is not None:
            _is_sound(index)


def _is_sound(index: Index) -> None:
    ids = [one.image_id for one in index.entries]
    assert ids == sorted(set(ids))
    assert len({one.path for one in index.entries}) == len(ids)
    assert {one.class_id for one in index.entries} == set(index.classes)
    assert len(set(index.names)) == len(index.classes)
    for one in index.entries:
        assert all(width > 0 and height > 0 for _, _, width, height in one.boxes)
        image = index.image_file(one)
        assert index.images.resolve() in image.resolve().parents, one.path  # no list leads out of its folder
    with tempfile.TemporaryDirectory() as name:
        write_index(Path(name), index)
        back = read_index(Path(name))
    assert (back.entries, back.classes) == (index.entries, index.classes)
