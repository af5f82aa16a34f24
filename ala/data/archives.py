"""Archives: fetched once, believed only when size and sha256 agree, unpacked without trust."""

from __future__ import annotations

import math
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from ala.config.schema import Archive
from ala.data.disk import need_room
from ala.runtime.errors import UserError
from ala.runtime.files import sha256
from ala.runtime.progress import track

MAX_FILES = 200_000  # CUB has 24,000
MAX_BYTES = 20_000_000_000  # unpacked; CUB has 1.3 billion
_MIB = 1 << 20
_PLAIN = {"Accept-Encoding": "identity"}  # the archive's own bytes, not recompressed in transit
_TIMEOUT = (10, 60)  # seconds to connect, and between two pieces


def fetch(archives: list[Archive], downloads: Path) -> list[Path]:
    """Bring all archives into `downloads`; what is there already is only checked.

    Each address is tried in turn. Nothing appears under its final name before size and hash agree.

    Raises:
        UserError: a file in `downloads` is another one, an address is not https (http is for the own machine only),
            the disk is too small, or an archive could not be had from any address. The last names every missing file
            with its size, its hash and the folder to put it into.
    """
    missing = []
    for archive in archives:
        if Path(archive.name).name != archive.name or archive.name in ("", ".."):
            raise UserError(f"data.archives has the name {archive.name!r}, expected a plain file name; correct it")
        _check_addresses(archive)
        file = downloads / archive.name
        if file.exists():
            _check(file, archive)
        else:
            missing.append(archive)
    if missing:
        # the archives, their content once more, and something for the lists
        need_room(downloads, sum(archive.bytes for archive in missing) * 2 + 64 * _MIB, "the download")
    for archive in missing:
        reasons = [reason for url in archive.urls if (reason := _try(url, archive, downloads))]
        if len(reasons) == len(archive.urls):
            wanted = [item for item in missing if not (downloads / item.name).exists()]
            files = " and ".join(f"{item.name} ({item.bytes:,} bytes, sha256 {item.sha256})" for item in wanted)
            raise UserError(f"{archive.name} could not be downloaded ({reasons[-1]}); put {files} into {downloads}/")
    return [downloads / archive.name for archive in archives]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive (any compression) into the existing `folder`.

    Raises:
        UserError: the archive is damaged, too large unpacked, or holds anything but plain files and folders below
            its root: absolute paths, `..`, links and devices are refused. `folder` is then incomplete.
    """
    size = archive.stat().st_size
    try:
        with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:*") as tar:
            ticks = _extracted(tar, archive, raw, folder)
            for _ in track(ticks, f"unpacking {archive.name}", total=math.ceil(size / _MIB), unit="MiB"):
                pass
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise UserError(f"{archive} does not unpack ({error}); delete it and fetch it again") from None
    except OSError as error:
        raise UserError(f"{archive} does not unpack into {folder} ({error}); check the archive and the disk") from None


def _extracted(tar: tarfile.TarFile, archive: Path, raw: IO[bytes], folder: Path) -> Iterator[int]:
    """Extract member by member; yield once for each MiB of the archive read."""
    total = done = 0
    for count, member in enumerate(tar, start=1):
        path = Path(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isreg() or member.isdir()):
            kind = "a path outside" if path.is_absolute() or ".." in path.parts else "a link or device"
            raise UserError(f"{archive} holds {kind} ({member.name!r}); do not use it, fetch it from its origin")
        total += member.size
        if count > MAX_FILES or total > MAX_BYTES:
            raise UserError(
                f"{archive} unpacks to more than {MAX_FILES:,} files or {MAX_BYTES:,} bytes;"
                " do not use it, fetch it from its origin"
            )
        tar.extract(member, folder, filter="data")
        while done < raw.tell() // _MIB:
            done += 1
            yield done


def _check_addresses(archive: Archive) -> None:
    for url in archive.urls:
        parts = urlsplit(url)
        local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
        if parts.scheme != "https" and not local:
            raise UserError(f"data.archives has the address {url!r} for {archive.name}; use one with https://")


def _check(file: Path, archive: Archive) -> None:
    found: int | str = file.stat().st_size
    wanted: int | str = archive.bytes
    if found == wanted:
        found, wanted = f"sha256 {sha256(file)}", f"sha256 {archive.sha256}"
        if found == wanted:
            return
        raise UserError(f"{file} has {found}, expected {wanted}; delete it and run again to fetch it")
    raise UserError(f"{file} has {found:,} bytes, expected {wanted:,}; delete it and run again to fetch it")


def _try(url: str, archive: Archive, downloads: Path) -> str | None:
    """Download and check; None when the file is there, else why not."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")

    def save(address: str, target: str, _: Any) -> None:
        with requests.get(address, stream=True, timeout=_TIMEOUT, headers=_PLAIN) as answer:
            answer.raise_for_status()
            pieces = answer.iter_content(_MIB)
            received = 0
            with Path(target).open("wb") as file:
                for piece in track(pieces, archive.name, total=math.ceil(archive.bytes / _MIB), unit="MiB"):
                    received += len(piece)
                    if received > archive.bytes:
                        raise ValueError(f"{address} sends more than {archive.bytes:,} bytes")
                    file.write(piece)
        if received != archive.bytes:
            raise ValueError(f"{address} sent {received:,} of {archive.bytes:,} bytes")

    try:
        # pooch downloads beside the target, compares the hash, and renames only when it agrees
        pooch.retrieve(url, f"sha256:{archive.sha256}", fname=archive.name, path=downloads, downloader=save)
    except (requests.RequestException, OSError, ValueError) as error:
        return _reason(url, error)
    return None


def _reason(url: str, error: Exception) -> str:
    import requests

    host = urlsplit(url).hostname
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return f"{host} broke the transfer off"
    if isinstance(error, requests.ConnectionError):  # requests' own text is a stack of wrapped exceptions
        return f"{host} cannot be reached"
    if isinstance(error, requests.Timeout):
        return f"{host} does not answer"
    text = " ".join(str(error).split())
    if "does not match the known hash" in text:
        return f"{host} sent a file with another sha256"
    return text[:200]
