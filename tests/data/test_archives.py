"""Downloads from a server on the own machine; nothing outside it is asked."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from ala.config.schema import Archive
from ala.data import archives as module
from ala.data import download
from ala.data.archives import at_hand, fetch, unpack
from ala.utils import disk
from ala.utils.errors import UserError

CONTENT = bytes(range(256)) * 5000  # 1.28 MB: two pieces
Member = tuple[tarfile.TarInfo, bytes]


class _Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.ranges: list[str | None] = []

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behaviour}"


class _Handler(BaseHTTPRequestHandler):
    """The path says how the server behaves."""

    server: _Server

    def do_GET(self) -> None:
        behaviour, asked = self.path.strip("/"), self.headers["Range"]
        self.server.asked.append(behaviour)
        self.server.ranges.append(asked)
        if behaviour in ("missing", "busy") or (behaviour == "wakes" and self.server.asked.count("wakes") < 3):
            self.send_error(404 if behaviour == "missing" else 503)
            return
        body = {"wrong": CONTENT[::-1], "short": CONTENT[:-1], "long": CONTENT + b"x"}.get(behaviour, CONTENT)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and behaviour != "drops" else 0
        self.send_response(206 if start else 200)
        if start:
            reported = start + 1 if behaviour == "shifted" else start
            self.send_header("Content-Range", f"bytes {reported}-{len(body) - 1}/{len(body)}")
        body = body[start:]
        if behaviour != "endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if behaviour == "drops" or (behaviour in ("drops-once", "shifted") and not start):
            body = body[: len(body) * 6 // 10]
        self.wfile.write(body * (20 if behaviour == "endless" else 1))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = _Server()
    thread = threading.Thread(target=partial(running.serve_forever, poll_interval=0.01), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


def archive(*urls: str, name: str = "birds.tgz", content: bytes = CONTENT) -> Archive:
    return Archive(name=name, urls=list(urls), bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def test_downloads_and_checks(server: _Server, tmp_path: Path) -> None:
    files = fetch([archive(server.url("good"))], tmp_path / "downloads")
    assert files == [tmp_path / "downloads" / "birds.tgz"]
    assert files[0].read_bytes() == CONTENT
    assert [file.name for file in files[0].parent.iterdir()] == ["birds.tgz"]


def test_what_is_there_is_not_fetched_again(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "birds.tgz").write_bytes(CONTENT)
    fetch([archive(server.url("good"))], tmp_path)
    assert server.asked == []


@pytest.mark.parametrize("bad", ["missing", "wrong", "short", "long", "drops", "endless", "busy"])
def test_mirrors_are_tried_in_order(server: _Server, tmp_path: Path, bad: str) -> None:
    files = fetch([archive(server.url(bad), server.url("good"), server.url("unasked"))], tmp_path)
    assert files[0].read_bytes() == CONTENT
    times = download.ATTEMPTS if bad in ("drops", "busy") else 1
    assert server.asked == [bad] * times + ["good"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("missing", "404"),
        ("busy", "503"),
        ("wrong", "sent a file with another sha256"),
        ("short", "sent 1,279,999 of 1,280,000 bytes"),
        ("long", "sent more than 1,280,000 bytes"),
        ("endless", "sent more than 1,280,000 bytes"),
    ],
)
def test_nothing_is_left_of_a_bad_download(server: _Server, tmp_path: Path, bad: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fetch([archive(server.url(bad))], tmp_path / "downloads")
    assert list((tmp_path / "downloads").iterdir()) == []


def test_goes_on_where_the_connection_broke(server: _Server, tmp_path: Path) -> None:
    fetch([archive(server.url("drops-once"))], tmp_path)
    assert (tmp_path / "birds.tgz").read_bytes() == CONTENT
    first, second = server.ranges
    assert first is None
    assert second is not None
    assert len(CONTENT) * 0.5 < int(second.removeprefix("bytes=").removesuffix("-")) <= len(CONTENT) * 0.6
    assert [file.name for file in tmp_path.iterdir()] == ["birds.tgz"]


def test_a_later_run_goes_on_where_the_first_stopped(server: _Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"127\.0\.0\.1 broke the transfer off.*run again to go on"):
        fetch([archive(server.url("drops"))], tmp_path)
    part = tmp_path / "birds.tgz.part"
    assert server.asked == ["drops"] * download.ATTEMPTS  # without Range it never gets further
    assert CONTENT.startswith(part.read_bytes())
    begun = part.stat().st_size
    assert begun > len(CONTENT) // 2
    fetch([archive(server.url("good"))], tmp_path)
    assert server.ranges[-1] == f"bytes={begun}-"
    assert (tmp_path / "birds.tgz").read_bytes() == CONTENT
    assert not part.exists()


def test_a_server_without_range_sends_all_again(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "birds.tgz.part").write_bytes(b"x" * 5000)
    with pytest.raises(UserError, match="broke the transfer off"):
        fetch([archive(server.url("drops"))], tmp_path)
    assert server.ranges[0] == "bytes=5000-"
    assert CONTENT.startswith((tmp_path / "birds.tgz.part").read_bytes())  # nothing of the old beginning


@pytest.mark.parametrize("left", [b"x" * 5000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 1)])
def test_a_foreign_beginning_is_thrown_away(server: _Server, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "birds.tgz.part").write_bytes(left)
    fetch([archive(server.url("good"))], tmp_path)
    assert (tmp_path / "birds.tgz").read_bytes() == CONTENT
    assert [file.name for file in tmp_path.iterdir()] == ["birds.tgz"]


def test_another_range_than_requested_is_refused(server: _Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sends another range than asked for"):
        fetch([archive(server.url("shifted"))], tmp_path)


def test_waits_longer_each_time_for_a_server_in_trouble(
    server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(download, "PAUSE", 1.0)
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    fetch([archive(server.url("wakes"))], tmp_path)
    assert pauses == [1.0, 2.0]
    assert "answers 503 Service Unavailable; trying again in 2 s" in capsys.readouterr().err


def test_a_full_disk_while_downloading(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "birds.tgz.part").symlink_to("/dev/full")  # each write to it fails as on a full disk
    with pytest.raises(UserError, match=r"birds\.tgz\.part cannot take .* \(No space left on device\); free space"):
        fetch([archive(server.url("good"), server.url("unasked"))], tmp_path)
    assert server.asked == ["good"]


def test_one_process_a_folder(server: _Server, tmp_path: Path) -> None:
    with (
        download._held(tmp_path / "birds.tgz.part"),
        pytest.raises(UserError, match="is being filled by another process"),
    ):
        fetch([archive(server.url("good"))], tmp_path)
    fetch([archive(server.url("good"))], tmp_path)


def test_a_disk_without_locks(server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    fetch([archive(server.url("good"))], tmp_path)
    assert (tmp_path / "birds.tgz").read_bytes() == CONTENT


def test_archives_at_hand(tmp_path: Path) -> None:
    both = [archive("https://127.0.0.1/a"), archive("https://127.0.0.1/b", name="masks.tgz", content=b"masks")]
    (tmp_path / "birds.tgz").write_bytes(CONTENT)
    with pytest.raises(UserError, match=r"lacks masks\.tgz \(5 bytes, sha256 [0-9a-f]{64}\); put") as caught:
        at_hand(both, tmp_path)
    assert "birds.tgz" not in str(caught.value)
    (tmp_path / "masks.tgz").write_bytes(b"masks")
    assert at_hand(both, tmp_path) == [tmp_path / "birds.tgz", tmp_path / "masks.tgz"]
    (tmp_path / "masks.tgz").write_bytes(b"other")
    with pytest.raises(UserError, match=r"has sha256 .*, expected sha256"):
        at_hand(both, tmp_path)


def test_offline_names_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    wanted = [archive("http://127.0.0.1:9/a"), archive("http://127.0.0.1:9/b", name="masks.tgz", content=b"masks")]
    with pytest.raises(UserError) as caught:
        fetch(wanted, tmp_path / "downloads")
    message = str(caught.value)
    for item in wanted:
        assert f"{item.name} ({item.bytes:,} bytes, sha256 {item.sha256})" in message
    assert "127.0.0.1 cannot be reached" in message
    assert message.endswith(f"into {tmp_path / 'downloads'}/")
    assert "\n" not in message


def test_offline_names_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "birds.tgz").write_bytes(CONTENT)
    with pytest.raises(UserError, match=r"put masks\.tgz \(5 bytes, .* into") as caught:
        fetch(
            [archive("http://127.0.0.1:9/a"), archive("http://127.0.0.1:9/b", name="masks.tgz", content=b"masks")],
            tmp_path,
        )
    assert "birds.tgz" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"x" * 1_280_000, "has sha256 .*, expected sha256"), (b"x", "has 1 bytes, expected 1,280,000")],
)
def test_another_file_in_the_folder_is_named(server: _Server, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "birds.tgz").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        fetch([archive(server.url("good"))], tmp_path)
    assert str(tmp_path / "birds.tgz") in str(caught.value)
    assert (tmp_path / "birds.tgz").read_bytes() == content  # the user's file: never deleted for them


@pytest.mark.parametrize(
    "url", ["http://example.org/birds.tgz", "ftp://127.0.0.1/birds.tgz", "file:///etc/passwd", "birds"]
)
def test_only_https_leaves_the_machine(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match="use one with https://"):
        fetch([archive(url)], tmp_path)


@pytest.mark.parametrize("name", ["../birds.tgz", "/birds.tgz", "a/birds.tgz", ".."])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="expected a plain file name"):
        fetch([archive("https://127.0.0.1/", name=name)], tmp_path)


def test_a_full_disk_is_told_before_the_first_byte(
    server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(UserError, match="1,000,000 bytes free, the download needs"):
        fetch([archive(server.url("good"))], tmp_path)
    assert server.asked == []


def _file(name: str, content: bytes = b"bird") -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def _other(name: str, kind: bytes, target: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def pack(path: Path, *members: Member, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_unpacks(tmp_path: Path, mode: str) -> None:
    (tmp_path / "out").mkdir()
    big = bytes(3 << 20)
    members = (
        _other("CUB", tarfile.DIRTYPE),
        _file("CUB/images.txt"),
        _file("CUB/a/b.jpg", big),
        _file("attributes.txt"),
    )
    unpack(pack(tmp_path / "a.tgz", *members, mode=mode), tmp_path / "out")
    assert (tmp_path / "out/CUB/images.txt").read_bytes() == b"bird"
    assert (tmp_path / "out/CUB/a/b.jpg").read_bytes() == big
    assert (tmp_path / "out/attributes.txt").exists()


@pytest.mark.parametrize(
    "bad",
    [
        _file("../evil"), _file("CUB/../../evil"), _file("/tmp/evil"),
        _other("evil", tarfile.SYMTYPE, "/etc/passwd"), _other("evil", tarfile.SYMTYPE, "good"),
        _other("evil", tarfile.LNKTYPE, "good"), _other("evil", tarfile.CHRTYPE),
        _other("evil", tarfile.FIFOTYPE), _other("evil", tarfile.BLKTYPE),
    ],
    ids=lambda member: f"{member[0].name}-{member[0].type.decode()}",
)  # fmt: skip
def test_refuses_members_that_reach_out(tmp_path: Path, bad: Member) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"holds a (path outside|link or device)"):
        unpack(pack(tmp_path / "a.tgz", _file("good"), bad), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tgz", "good", "out"]


@pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("a/b", "a"), ("a", "a/b", "a//b")])
def test_refuses_what_comes_twice(tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"twice; do not use it|does not unpack into"):
        unpack(pack(tmp_path / "a.tgz", *(_file(name) for name in names)), tmp_path / "out")


def _truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    "damage", [_truncate, lambda _: b"", lambda _: b"<html>" * 100, lambda old: old[:40] + b"xxxx" + old[44:]]
)
def test_damaged_archives(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    (tmp_path / "out").mkdir()
    file = pack(tmp_path / "a.tgz", _file("a.bin", bytes(range(256)) * 4000))
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError, match=r"a\.tgz does not unpack"):
        unpack(file, tmp_path / "out")


@pytest.mark.parametrize("bound", ["MAX_FILES", "MAX_BYTES"])
def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(module, bound, 2 if bound == "MAX_FILES" else 7)
    with pytest.raises(UserError, match="unpacks to more than"):
        unpack(pack(tmp_path / "a.tgz", _file("a", b"123"), _file("b", b"456"), _file("c", b"789")), tmp_path / "out")
    assert not (tmp_path / "out/c").exists()
