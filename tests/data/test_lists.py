from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ala.data.lists import integers, leave_out, read_list
from ala.utils.errors import UserError

# Any text that stands on one line: file names may hold spaces, U+2028 and other things that splitlines() cuts at.
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1)
RECORDS = st.dictionaries(st.integers(0, 10**18 - 1), VALUES, min_size=1, max_size=8)


@given(records=RECORDS, end=st.sampled_from(["\n", "\r\n"]), mark=st.booleans(), last=st.booleans())
def test_round_trip(records: dict[int, str], end: str, mark: bool, last: bool) -> None:
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
def test_refuses(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_list(file, "name")
    assert str(file) in str(caught.value)


def test_a_folder_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_list(tmp_path, "name")


def test_integers() -> None:
    assert integers(Path("f"), {3: "4", 5: " 6 "}) == {3: 4, 5: 6}
    with pytest.raises(UserError, match=r"id 3 the value '4\.0'"):
        integers(Path("f"), {3: "4.0"})


def test_lines_are_left_out_and_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(b"\xef\xbb\xbf1 a b\r\n02 c\n\n3 d\n22 e")
    leave_out(file, [7])
    assert file.read_bytes() == b"\xef\xbb\xbf1 a b\r\n02 c\n\n3 d\n22 e"
    leave_out(file, [2, 3])
    assert file.read_bytes() == b"1 a b\r\n\n22 e"
    leave_out(file, [1])
    assert file.read_bytes() == b"\n22 e"
