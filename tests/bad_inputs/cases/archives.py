"""Archives of a data set that somebody else packed."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable

from ala.data import archives
from tests.bad_inputs.case import Case
from tests.bad_inputs.world import World

NAME = "birds.tar"
ORIGIN = "fetch it from its origin"


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, size
    return member


def _tar(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return buffer.getvalue()


def _claims(size: int) -> bytes:
    """A tar of one header that claims so many bytes."""
    return _member("CUB_200_2011/images.txt", size=size).tobuf() + bytes(1024)


def _offer(content: Callable[[World], bytes], known: bytes | None = None, **other: object) -> Callable[[World], None]:
    """Put an archive into the folder that the settings name; its hash is right unless `known` says otherwise."""

    def damage(world: World) -> None:
        (world / "archives").mkdir()
        packed = content(world)
        (world / "archives" / NAME).write_bytes(packed)
        right = known if known is not None else packed
        world.set("data.source", "download")
        world.give(data="archives")
        world.set("data.downloads", [{"name": NAME, "urls": ["https://example.org/birds.tar"], "bytes": len(right),
                                      "sha256": hashlib.sha256(right).hexdigest()} | other])  # fmt: skip

    return damage


def _made(*members: tarfile.TarInfo) -> Callable[[World], None]:
    return _offer(lambda world: _tar(*members))


def _sound(world: World, kind: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=kind) as tar:
        tar.add(world / "photos", "CUB_200_2011", filter=_plain_member)
    return buffer.getvalue()


def _plain_member(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without time and owner, so that the archive's hash is always the same."""
    member.mtime, member.uid, member.gid, member.uname, member.gname = 0, 0, 0, "", ""
    return member


def _many(world: World) -> None:
    world.patch.setattr(archives, "MAX_FILES", 20)
    _offer(_sound)(world)


def _gone(world: World) -> None:
    _offer(_sound)(world)
    (world / "archives" / NAME).unlink()


def _image_cut(world: World) -> None:
    content = (world / "photos/images/002.Blue_Jay/bird_0006.jpg").read_bytes()
    (world / "photos/images/002.Blue_Jay/bird_0006.jpg").write_bytes(content[:100])
    _offer(_sound)(world)


def _plain(world: World) -> None:
    _offer(_sound, urls=["http://example.org/birds.tar"])(world)
    world.give(data=None)


FILE = f"archives/{NAME}"
CASES = [
    Case("a member outside the folder", "data", _made(_member("../../evil.txt", size=5)), FILE, "'../../evil.txt'",
         ORIGIN),
    Case("a member with an absolute path", "data", _made(_member("/tmp/evil.txt", size=5)), FILE, "'/tmp/evil.txt'",
         ORIGIN),
    Case("a symbolic link", "data", _made(_member("images", tarfile.SYMTYPE, "/etc")), FILE,
         "link or device ('images')", ORIGIN),
    Case("a hard link", "data", _made(_member("images.txt", tarfile.LNKTYPE, "/etc/passwd")), FILE,
         "link or device ('images.txt')", ORIGIN),
    Case("a device", "data", _made(_member("images", tarfile.CHRTYPE)), FILE, "link or device ('images')", ORIGIN),
    Case("a named pipe", "data", _made(_member("images", tarfile.FIFOTYPE)), FILE, "link or device ('images')", ORIGIN),
    Case("a member twice", "data", _made(_member("a.txt", size=1), _member("a.txt", size=2)), FILE, "'a.txt' twice",
         ORIGIN),
    Case("a member of a terabyte", "data", _offer(lambda w: _claims(10**12)), FILE, "20,000,000,000 bytes", ORIGIN),
    Case("more files than any such data set has", "data", _many, FILE, "more than 20 files", ORIGIN),
    Case("an archive cut off", "data", _offer(lambda w: _sound(w, "w:gz")[:9_000]), FILE, "does not unpack",
         "delete it and fetch it again"),
    Case("a web page in place of an archive", "data", _offer(lambda w: b"<html>404</html>" * 9), FILE,
         "does not unpack (file could not be opened successfully)", "delete it and fetch it again"),
    Case("an archive of another size", "data", _offer(_sound, known=b"other"), FILE, "bytes, expected 5",
         "put the right file there"),
    Case("an archive with one bit changed", "data", _offer(lambda w: b"othes", known=b"other"), FILE,
         "has sha256 17ef365a", "put the right file there"),
    Case("an archive that is not there", "data", _gone, "inputs.data", NAME,
         "put them there, or set inputs.data to inputs/none"),
    Case("an archive with a broken image", "data", _image_cut, "CUB_200_2011/images/002.Blue_Jay/bird_0006.jpg",
         FILE, "copy it again"),
    Case("a name with folders in it", "data", _offer(_sound, name="../birds.tar"), "data.downloads", "'../birds.tar'",
         "correct it"),
    Case("an address without https", "data", _plain, "data.downloads", "'http://example.org/birds.tar'",
         "use one with https://"),
    Case("no address", "data", _offer(_sound, urls=[]), "params.yaml", "data.downloads.0.urls", "at least 1 item"),
    Case("a hash that is none", "data", _offer(_sound, sha256="0xdeadbeef"), "params.yaml", "'0xdeadbeef'",
         "should match pattern"),
]  # fmt: skip
