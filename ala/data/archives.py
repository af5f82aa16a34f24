"""Download archives, verify size and sha256, and unpack them safely."""

from __future__ import annotations

import lzma
import math
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from ala.config.schema import NOTHING, Archive
from ala.data.download import MIB, download, part_of
from ala.utils.disk import need_room
from ala.utils.errors import UserError
from ala.utils.files import sha256
from ala.utils.progress import track

MAX_FILES = 200_000  # CUB has 24,000
MAX_BYTES = 20_000_000_000  # unpacked; CUB has 1.3 billion


_REPLACE = "delete it and run again to fetch it, or put the right file there"


def fetch(archives: list[Archive], downloads: Path) -> list[Path]:
    """Download all archives into `downloads`; existing ones are only checked.

    Each address is tried in turn, with pauses and from where the last one stopped. Nothing appears under its final
    name before size and hash agree.

    Raises:
        UserError: a file in `downloads` is another one, an address is not https (http is for the own machine only),
            the disk is too small, or an archive could not be had from any address. The last names every missing file
            with its size, its hash and the folder to put it into.
    """
    missing = []
    for archive in archives:
        file = _place(archive, downloads)
        _check_addresses(archive)
        if file.exists():
            _check(file, archive)
        else:
            missing.append(archive)
    if missing:
        begun = sum(part.stat().st_size for item in missing if (part := part_of(item, downloads)).is_file())
        # the archives, their content once more, and something for the lists
        need_room(downloads, sum(archive.bytes for archive in missing) * 2 + 64 * MIB - begun, "the download")
    for archive in missing:
        reasons = []
        for url in archive.urls:
            reason = download(url, archive, downloads)
            if reason is None:
                break
            reasons.append(reason)
        else:
            wanted = " and ".join(_described(item) for item in missing if not (downloads / item.name).exists())
            raise UserError(
                f"{archive.name} could not be downloaded ({'; '.join(dict.fromkeys(reasons))});"
                f" run again to go on, or put {wanted} into {downloads}/"
            )
    return [downloads / archive.name for archive in archives]


def present(archives: list[Archive], folder: Path) -> list[Path]:
    """The archives in `folder`, which are not opened.

    Raises:
        UserError: some are not there, with size and hash of each.
    """
    files = [_place(archive, folder) for archive in archives]
    lost = " and ".join(_described(item) for item, file in zip(archives, files, strict=True) if not file.is_file())
    if lost:
        raise UserError(
            f"inputs.data {folder} holds no data set and lacks {lost}; put them there, or set inputs.data to {NOTHING}"
        )
    return files


def at_hand(archives: list[Archive], folder: Path) -> list[Path]:
    """The archives in `folder`, checked; nothing is downloaded.

    Raises:
        UserError: some are not there, with size and hash of each, or one is another file.
    """
    files = present(archives, folder)
    for archive, file in zip(archives, files, strict=True):
        _check(file, archive)
    return files


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive (any compression) into the existing `folder`.

    Raises:
        UserError: the archive is damaged, too large unpacked, or holds anything but plain files and folders below
            its root: absolute paths, `..`, links, devices and a path that comes twice are refused. `folder` is then
            incomplete.
    """
    size = archive.stat().st_size
    try:
        with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:*") as tar:
            ticks = _extracted(tar, archive, raw, folder)
            for _ in track(ticks, f"unpacking {archive.name}", total=math.ceil(size / MIB), unit="MiB"):
                pass
    except (tarfile.TarError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        reason = str(error).splitlines()[0].rstrip(":") if str(error) else type(error).__name__
        raise UserError(f"{archive} does not unpack ({reason}); delete it and fetch it again") from None
    except OSError as error:
        raise UserError(f"{archive} does not unpack into {folder} ({error}); check the archive and the disk") from None


def _extracted(tar: tarfile.TarFile, archive: Path, raw: IO[bytes], folder: Path) -> Iterator[int]:
    """Extract member by member; yield once for each MiB of the archive read."""
    total = done = 0
    seen: set[Path] = set()
    for count, member in enumerate(tar, start=1):
        path = Path(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isreg() or member.isdir()):
            kind = "a path outside" if path.is_absolute() or ".." in path.parts else "a link or device"
            raise UserError(f"{archive} holds {kind} ({member.name!r}); do not use it, fetch it from its origin")
        if path in seen and not member.isdir():  # which of the two would count depends on who unpacks
            raise UserError(f"{archive} holds {member.name!r} twice; do not use it, fetch it from its origin")
        seen.add(path)
        total += member.size
        if count > MAX_FILES or total > MAX_BYTES:
            raise UserError(
                f"{archive} unpacks to more than {MAX_FILES:,} files or {MAX_BYTES:,} bytes;"
                " do not use it, fetch it from its origin"
            )
        tar.extract(member, folder, filter="data")
        while done < raw.tell() // MIB:
            done += 1
            yield done


def _place(archive: Archive, folder: Path) -> Path:
    if Path(archive.name).name != archive.name or archive.name in ("", ".."):
        raise UserError(f"data.downloads has the name {archive.name!r}, expected a plain file name; correct it")
    return folder / archive.name


def _described(archive: Archive) -> str:
    return f"{archive.name} ({archive.bytes:,} bytes, sha256 {archive.sha256})"


def _check_addresses(archive: Archive) -> None:
    for url in archive.urls:
        parts = urlsplit(url)
        local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
        if parts.scheme != "https" and not local:
            raise UserError(f"data.downloads has the address {url!r} for {archive.name}; use one with https://")


def _check(file: Path, archive: Archive) -> None:
    found: int | str = file.stat().st_size
    wanted: int | str = archive.bytes
    if found == wanted:
        found, wanted = f"sha256 {sha256(file)}", f"sha256 {archive.sha256}"
        if found == wanted:
            return
        raise UserError(f"{file} has {found}, expected {wanted}; {_REPLACE}")
    raise UserError(f"{file} has {found:,} bytes, expected {wanted:,}; {_REPLACE}")
