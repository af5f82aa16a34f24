"""Tar archives of any make: unpacked below the folder and nowhere else, whole, or refused in one sentence."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from ala.data.archives import unpack
from ala.utils.files import scratch_folder
from tests.fuzz.damage import EDITS, Edits, damaged
from tests.fuzz.reported import reported

Member = tuple[tarfile.TarInfo, bytes]
PARTS = st.sampled_from(
    ["a", "b", "A", "..", ".", "", " ", "~", "C:", "\\", "..\\..", "a\n", "\x1b[2J", "\u2028", "é", "e\u0301",
     "x" * 120, "x" * 300, "CON", "-rf", "*", "\udcff"]
)  # fmt: skip
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
KINDS = [
    tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE,
    tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"S", b"?", b"\0",
]  # fmt: skip
MODES = st.sampled_from([0o644, 0o000, 0o111, 0o4755, 0o7777])


@st.composite
def members(draw: st.DrawFn) -> Member:
    info = tarfile.TarInfo(draw(NAMES))
    info.type = draw(st.sampled_from(KINDS[:4]) | st.sampled_from(KINDS))
    info.linkname = draw(NAMES) if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    info.mode, info.mtime = draw(MODES), draw(st.sampled_from([0, -1, 1e9, 2**62]))
    info.uid = info.gid = draw(st.sampled_from([0, 1000, 2**21]))
    content = draw(st.binary(max_size=600)) if info.isreg() else b""
    info.size = len(content)
    return info, content


def packed(entries: list[Member], form: int) -> bytes:
    """An archive in ustar, GNU or pax format; what a format cannot express is left out."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for info, content in entries:
            try:
                tar.addfile(info, io.BytesIO(content))
            except ValueError:  # ustar: the name is too long
                continue
    return buffer.getvalue()


def renamed(content: bytes, name: bytes) -> bytes:
    """The first header with another name and a checksum to match: names that no library would write."""
    header = bytearray(content[:512])
    header[:100] = name.ljust(100, b"\0")[:100]
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content[512:]


def check(content: bytes) -> dict[str, bytes] | None:
    """Unpack `content` as the stage `data` does: all its files appear in the scratch folder, and nothing else anywhere.

    Returns:
        the files, or None where the archive was refused.
    """
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        archive, parent = root / "downloads" / "photos.tgz", root / "project" / "data"
        archive.parent.mkdir()
        parent.mkdir(parents=True)
        archive.write_bytes(content)
        with scratch_folder(parent, ".unpacked-") as target:
            done = reported(lambda: unpack(archive, target) or True, archive)
            beside = {path.relative_to(root).as_posix() for path in root.rglob("*") if target not in path.parents}
            assert beside == {
                "downloads",
                "downloads/photos.tgz",
                "project",
                "project/data",
                str(target.relative_to(root)),
            }
            assert archive.read_bytes() == content
            inside = sorted(target.rglob("*"))
            assert not [path for path in inside if path.is_symlink()]
            assert all(path.is_file() or path.is_dir() for path in inside)
            assert not [path for path in inside if path.stat().st_mode & 0o7022]  # no setuid, none writable by all
            whole = {path.relative_to(target).as_posix(): path.read_bytes() for path in inside if path.is_file()}
        assert list(parent.iterdir()) == []  # nothing half-unpacked stays
        return whole if done else None


@given(st.lists(members(), max_size=5), st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_any_members_stay_inside(entries: list[Member], form: int) -> None:
    content = packed(entries, form)
    found = check(content)
    if found is not None:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            files = [(Path(one.name).as_posix(), one) for one in tar if one.isreg()]
            assert len(files) == len(found)
            for name, one in files:
                stored = tar.extractfile(one)
                assert stored is not None
                assert found[name] == stored.read()


def _sound() -> bytes:
    entries = [
        (tarfile.TarInfo("CUB/images.txt"), b"1 a.jpg\n" * 90),
        (tarfile.TarInfo("CUB/a.jpg"), bytes(range(256)) * 5),
    ]
    for info, content in entries:
        info.size = len(content)
    return packed(entries, tarfile.GNU_FORMAT)


SOUND = _sound()


@given(st.sampled_from([SOUND, gzip.compress(SOUND, mtime=0), bz2.compress(SOUND), lzma.compress(SOUND)]), EDITS)
def test_damaged_bytes(content: bytes, edits: Edits) -> None:
    check(damaged(content, edits))


@given(st.binary(min_size=1, max_size=100).filter(lambda name: name[0]))
@example(b"../evil")
@example(b"/tmp/evil")
@example(b"a/../../evil")
@example(b"..")
@example(b"\xff\xfe")
def test_raw_names(name: bytes) -> None:
    check(renamed(SOUND, name))


@given(st.binary(max_size=2000))
def test_bytes_that_are_no_archive(content: bytes) -> None:
    check(content)
