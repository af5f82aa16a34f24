"""Faults between a server and a checked data set, met by the stage as a process: one sentence, nothing half done."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.twin.conftest import Bench, Drawn
from tests.twin.draw import draw_twin, pack_twin


@pytest.fixture
def here(small: Drawn, bench: Callable[[Drawn], Bench]) -> Bench:
    return bench(small)


def _repacked(here: Bench, drawn: Drawn, change: Callable[[Path], object], tmp_path: Path) -> None:
    """Serve archives of a changed tree, under their own sizes and hashes."""
    tree = tmp_path / "changed"
    shutil.copytree(drawn.tree, tree)
    change(tree)
    here.archives = pack_twin(tree, tmp_path / "repacked")
    here.server.folder = tmp_path / "repacked"


def test_small_twin_without_lists(here: Bench, small: Drawn) -> None:
    here.settings()
    assert here.run("data").returncode == 0
    result = here.run("split")
    assert result.stdout.strip() == "train 75 / val 6 / test 39"


def test_the_same_bytes_whatever_the_number_of_processes(small: Drawn, tmp_path: Path) -> None:
    draw_twin(tmp_path / "tree", images_per_class=40, classes=3, workers=1)
    again = pack_twin(tmp_path / "tree", tmp_path / "archives")
    for one, two in zip(small.archives, again, strict=True):
        with tarfile.open(one) as first, tarfile.open(two) as second:
            for a, b in zip(first, second, strict=True):
                assert a.name == b.name
                if a.isfile():
                    assert first.extractfile(a).read() == second.extractfile(b).read()  # type: ignore[union-attr]


def test_truncated_transfer(here: Bench) -> None:
    here.settings(birds=("truncated",))
    size = here.archives[0].stat().st_size
    here.refused(f"127.0.0.1 sent {size * 6 // 10:,} of {size:,} bytes")
    assert list((here.folder / "downloads").iterdir()) == []


def test_wrong_hash_is_never_unpacked(here: Bench) -> None:
    here.settings(birds=("wrong",))
    sentence = here.refused("127.0.0.1 sent a file with another sha256")
    for archive in here.archives:
        assert f"{archive.name} ({archive.stat().st_size:,} bytes, sha256 " in sentence
    assert list((here.folder / "downloads").iterdir()) == []


def test_connection_drops_at_60_percent(here: Bench) -> None:
    here.settings(birds=("drops",))
    assert here.run("data").returncode == 0
    first, second, _ = here.server.asked
    assert first == ("/drops/CUB_200_2011.tgz", None)
    assert second[0] == first[0]
    assert second[1] is not None  # the rest


def test_mirrors_that_answer_404_and_503(here: Bench) -> None:
    here.settings(birds=("missing", "good"), masks=("busy", "norange"))
    result = here.run("data")
    assert result.returncode == 0
    assert "answers 503 Service Unavailable; trying again in 1 s" in result.stderr
    behaviours = [path.split("/")[1] for path, _ in here.server.asked]
    assert behaviours[:2] == ["missing", "good"]
    assert behaviours[2:] == ["busy"] * 4 + ["norange"]


def test_full_disk_while_downloading(here: Bench) -> None:
    here.settings()
    limit = here.archives[0].stat().st_size // 2
    sentence = here.refused("CUB_200_2011.tgz.part cannot take the", largest_file=limit)
    assert "run again, the download goes on where it stopped" in sentence
    part = here.folder / "downloads" / "CUB_200_2011.tgz.part"
    assert part.stat().st_size == limit
    assert here.run("data").returncode == 0
    assert here.server.asked[1] == ("/good/CUB_200_2011.tgz", f"bytes={limit}-")


def test_full_disk_while_unpacking(here: Bench) -> None:
    here.settings(given=here.archives[0].parent)
    here.refused("does not unpack into", largest_file=1000)
    assert here.server.asked == []
    assert here.run("data").returncode == 0  # the archives are still good


def test_member_that_reaches_out(here: Bench, small: Drawn, tmp_path: Path) -> None:
    _repacked(here, small, lambda _: None, tmp_path)
    with tarfile.open(here.archives[1], "w:gz") as tar:
        tar.add(small.tree / "segmentations", "segmentations")
        evil = tarfile.TarInfo("segmentations/../../evil.png")
        evil.size = 4
        tar.addfile(evil, io.BytesIO(b"evil"))
    here.settings()
    here.refused("holds a path outside ('segmentations/../../evil.png'); do not use it")
    assert not list(tmp_path.rglob("evil*"))


def _without_a_class(tree: Path) -> None:
    """A sound tree of two of the three classes."""
    base = tree / "CUB_200_2011"
    for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes"):
        lines = (base / f"{name}.txt").read_text().splitlines()
        (base / f"{name}.txt").write_text("\n".join(lines[:80]) + "\n")
    lines = (base / "classes.txt").read_text().splitlines()
    (base / "classes.txt").write_text("\n".join(lines[:2]) + "\n")


def _with_a_torn_image(tree: Path) -> None:
    image = sorted((tree / "CUB_200_2011" / "images").rglob("*_0002.jpg"))[0]
    image.write_bytes(image.read_bytes()[:400])


def _of_other_images(tree: Path) -> None:
    shutil.rmtree(tree / "CUB_200_2011")
    (tree / "CUB_200_2011").mkdir()
    Image.new("RGB", (8, 8)).save(tree / "CUB_200_2011" / "flower.jpg")


BAD = {
    "missing class": (_without_a_class, "holds 80 images of 2 classes, expected 120 of 3"),
    "torn image": (_with_a_torn_image, "_0002.jpg does not decode"),
    "another data set": (_of_other_images, "holds no images.txt"),
    "lost images": (lambda tree: shutil.rmtree(next((tree / "CUB_200_2011/images").iterdir())), "is missing"),
}


@pytest.mark.parametrize("by", ["download", "root"])
@pytest.mark.parametrize("case", BAD)
def test_another_data_set(here: Bench, small: Drawn, tmp_path: Path, case: str, by: str) -> None:
    change, message = BAD[case]
    _repacked(here, small, change, tmp_path)
    here.settings(given=tmp_path / "changed" if by == "root" else None)
    sentence = here.refused(message)
    assert ".unpacked-" not in sentence
    assert (here.server.asked == []) == (by == "root")


def test_killed_while_unpacking(here: Bench, small: Drawn) -> None:
    """SIGKILL at the first sign of an unpacked file; the next run begins again and clears the rest away."""
    here.settings(given=here.archives[0].parent)
    command, environment = here.command("data")
    data = here.folder / "data"
    process = subprocess.Popen(command, env=environment, cwd=here.folder, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not list(data.glob(".unpacked-*/*")):
        assert process.poll() is None
        assert time.monotonic() < until
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (left,) = data.glob(".unpacked-*")
    assert not (data / "dataset").exists()
    assert here.run("data").returncode == 0
    assert not left.exists()
    assert len(list((data / "dataset" / "images").rglob("*.jpg"))) == small.images


def test_offline_names_both_archives(here: Bench) -> None:
    here.settings()
    here.server.shutdown()
    here.server.server_close()
    sentence = here.refused("127.0.0.1 cannot be reached")
    for archive in here.archives:
        assert f"{archive.name} ({archive.stat().st_size:,} bytes, sha256 " in sentence
    assert sentence.endswith("into downloads/")
