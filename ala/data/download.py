"""Download a file: resume a partial transfer, retry, and accept it only if its sha256 matches.

pooch checks the hash and gives the file its final name. It has neither HTTP Range nor a way to keep half a file, so
the transfer itself is ours: it fills `NAME.part` beside the target, which pooch then takes as what it downloaded.
"""

from __future__ import annotations

import errno
import math
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from ala.config.schema import Archive
from ala.utils.errors import UserError
from ala.utils.progress import track

ATTEMPTS = 4  # in a row that bring nothing new, at one address
PAUSE = 1.0  # seconds before the second attempt, twice as long before each further one
MIB = 1 << 20
_PIECE = 1 << 16  # what a broken connection may lose
_PLAIN = {"Accept-Encoding": "identity"}  # the archive's own bytes, not recompressed in transit
_TIMEOUT = (10, 60)  # seconds to connect, and between two pieces
_AGAIN = {408, 425, 429, 500, 502, 503, 504}  # a server in trouble; other refusals stay
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _Failed(Exception):
    """Why an address did not give the file; `again` where another attempt may."""

    def __init__(self, reason: str, again: bool) -> None:
        super().__init__(reason)
        self.again = again


def part_of(archive: Archive, folder: Path) -> Path:
    """Return the path of an unfinished transfer."""
    return folder / f"{archive.name}.part"


def download(url: str, archive: Archive, folder: Path) -> str | None:
    """Download `archive` from `url` to `folder`; return None on success, else the reason.

    A broken transfer leaves `NAME.part`, from which the next call goes on, from this address or another. A file with
    a wrong hash leaves nothing; if its beginning came from an earlier transfer, all of it is fetched once more.

    Raises:
        UserError: the disk refuses the bytes, or another process downloads the same file.
    """
    host = urlsplit(url).hostname
    folder.mkdir(parents=True, exist_ok=True)
    part = part_of(archive, folder)
    with _held(part):
        begun = part.stat().st_size > 0
        for _ in range(2 if begun else 1):
            reason = _whole(url, archive, part)
            if reason is not None or _accepted(url, archive, part):
                return reason
        return f"{host} sent a file with another sha256"


def _whole(url: str, archive: Archive, part: Path) -> str | None:
    """Fill `part` to its full size in as many attempts as bring something new; None, or why it stays incomplete."""
    failures, furthest = 0, part.stat().st_size
    while part.stat().st_size != archive.bytes:
        try:
            _attempt(url, archive, part)
        except _Failed as failed:
            reached = part.stat().st_size
            failures = 1 if reached > furthest else failures + 1
            furthest = max(furthest, reached)
            if not failed.again or failures >= ATTEMPTS:
                return str(failed)
            pause = PAUSE * 2 ** (failures - 1)
            print(f"{failed}; trying again in {pause:.0f} s", file=sys.stderr)
            time.sleep(pause)
    return None


def _attempt(url: str, archive: Archive, part: Path) -> None:
    """One request for what `part` lacks; a server without Range sends all, and `part` begins again."""
    import requests

    host, have = urlsplit(url).hostname, part.stat().st_size
    if have > archive.bytes:
        _empty(part)
        have = 0
    asked = _PLAIN | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, stream=True, timeout=_TIMEOUT, headers=asked) as answer:
            if answer.status_code == 416:
                _empty(part)
                raise _Failed(f"{host} has no more than {have:,} bytes", again=True)
            if answer.status_code >= 400:
                raise _Failed(f"{host} answers {answer.status_code} {answer.reason}", answer.status_code in _AGAIN)
            given = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if answer.status_code == 206 and (not given or int(given[1]) != have):
                raise _Failed(f"{host} sends another range than asked for", again=False)
            if answer.status_code != 206:
                _empty(part)
            ticks = _written(answer.iter_content(_PIECE), part, archive)
            left = math.ceil((archive.bytes - part.stat().st_size) / MIB)
            for _ in track(ticks, archive.name, total=left, unit="MiB"):
                pass
    except requests.exceptions.ChunkedEncodingError:
        raise _Failed(f"{host} broke the transfer off", again=True) from None
    except requests.Timeout:
        raise _Failed(f"{host} does not answer", again=True) from None
    except requests.ConnectionError:  # requests' own text is a stack of wrapped exceptions
        raise _Failed(f"{host} cannot be reached", again=True) from None
    except requests.RequestException as error:
        raise _Failed(" ".join(str(error).split())[:200], again=False) from None
    received = part.stat().st_size
    if received != archive.bytes:  # and the server thinks that this was all
        _empty(part)
        what = f"more than {archive.bytes:,}" if received > archive.bytes else f"{received:,} of {archive.bytes:,}"
        raise _Failed(f"{host} sent {what} bytes", again=False)


def _written(pieces: Iterator[bytes], part: Path, archive: Archive) -> Iterator[int]:
    """Write pieces behind what is there until they end or are too many; yield once for each MiB."""
    with part.open("ab", buffering=0) as file:
        size, ticks = part.stat().st_size, 0
        start = size
        for piece in pieces:
            try:
                _write(file, piece)
            except OSError as error:
                raise UserError(
                    f"{part} cannot take the {archive.bytes:,} bytes of {archive.name} ({error.strerror}); free space"
                    " on the disk and run again, the download goes on where it stopped"
                ) from None
            size += len(piece)
            while ticks < (size - start) // MIB:
                ticks += 1
                yield ticks
            if size > archive.bytes:
                return


def _write(file: IO[bytes], piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:  # an unbuffered write may take a part only, as on a disk that is nearly full
        rest = rest[file.write(rest) :]


def _accepted(url: str, archive: Archive, part: Path) -> bool:
    """Let pooch check the hash and rename; a file with another hash is emptied."""
    import pooch

    pooch.get_logger().setLevel("WARNING")

    def finished(_: str, target: str, __: Any) -> None:
        part.replace(target)

    try:
        pooch.retrieve(url, f"sha256:{archive.sha256}", fname=archive.name, path=part.parent, downloader=finished)
    except ValueError as error:
        if "does not match the known hash" not in str(error):
            raise
        part.touch()
        return False
    return True


def _empty(part: Path) -> None:
    with part.open("wb"):
        pass


@contextmanager
def _held(part: Path) -> Iterator[None]:
    """Keep other processes off; inside the block `part` exists, afterwards only if it holds something.

    A disk without locks keeps nobody off. Two transfers into one file then give it another sha256, which is noticed.
    """
    import fcntl

    folder = os.open(part.parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
        part.touch()
        yield
        if part.is_file() and part.stat().st_size == 0:
            part.unlink()
    except BlockingIOError:
        raise UserError(f"{part.parent} is being filled by another process; wait for it or stop it") from None
    finally:
        os.close(folder)
