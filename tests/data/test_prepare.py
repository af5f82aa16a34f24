from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ala.config.schema import Archive, AtMost, Data, Expected
from ala.data import archives
from ala.data import prepare as module
from ala.data.decode import Reading
from ala.data.index import Index, read_index
from ala.data.layouts.cub import LISTS
from ala.data.prepare import prepare
from ala.data.verify import Facts, verify
from ala.utils import disk
from ala.utils.errors import UserError
from ala.utils.files import scratch_folder
from tests.data.conftest import cub_index

COMMON: dict[str, Any] = {
    "layout": "cub",
    "split_seed": 0,
    "train_per_class": 2,
    "at_most": None,
    "exclude": [],
    "mask_threshold": 127,
    "object_levels": None,
    "background_levels": [],
    "orientation": None,
    "input_size": 24,
}
READING = Reading(threshold=127, object_levels=None, background_levels=(), orientation=None)


FOLDER = Data(source="folder", **COMMON)


def checked(index: Index) -> Facts:
    return verify(index, READING, 24, evaluated=range(100))


def files_of(root: Path) -> dict[str, bytes]:
    """What a data set of CUB's becomes, without its index."""
    return {
        name.replace("segmentations/", "masks/"): content for name, content in tree(root).items()
        if name not in (*LISTS, "images/001.Wren/bird_0001_rgb.jpg")
    }  # fmt: skip


def tree(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_copies_what_the_lists_name(cub: Path, tmp_path: Path) -> None:
    (cub / "reflections.txt").write_text("3\n")
    (cub / "README.md").write_text("not part of the layout")
    out = tmp_path / "data" / "dataset"
    facts = prepare(FOLDER, out, cub)
    assert facts == checked(cub_index(cub)) == checked(read_index(out))
    assert (read_index(out).entries, read_index(out).names) == (cub_index(cub).entries, cub_index(cub).names)
    brought = tree(out)
    assert brought.keys() - files_of(cub).keys() == {"index.csv", "classes.csv"}
    assert files_of(cub).items() - brought.items() == {("README.md", b"not part of the layout")}
    assert [file.name for file in out.parent.iterdir()] == ["dataset"]


@pytest.mark.parametrize("point_at", ["top", "nested"])
def test_brings_the_archives_layout_to_one_folder(cub: Path, tmp_path: Path, point_at: str) -> None:
    top = tmp_path / "unpacked"
    top.mkdir()
    shutil.copytree(cub, top / "CUB_200_2011")
    (top / "CUB_200_2011" / "segmentations").rename(top / "segmentations")
    prepare(FOLDER, tmp_path / "out", top if point_at == "top" else top / "CUB_200_2011")
    prepare(FOLDER, tmp_path / "plain", cub)
    assert tree(tmp_path / "out") == tree(tmp_path / "plain")


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:300])


def _swap(first: str, second: str) -> Callable[[Path], object]:
    return lambda root: shutil.copyfile(root / first, root / second)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "half-copied": (lambda root: shutil.rmtree(root / "images/003.Gull"), r"bird_0011\.jpg is missing.*5 such files"),
    "no images": (lambda root: shutil.rmtree(root / "images"), r"bird_0001\.jpg is missing.*15 such files"),
    "no masks": (lambda root: shutil.rmtree(root / "segmentations"), r"bird_0001\.png is missing.*15 such files"),
    "no labels": (lambda root: (root / LISTS[2]).unlink(), "image_class_labels.txt does not exist"),
    "id without image": (lambda root: (root / "images/001.Wren/bird_0002.jpg").unlink(), r"bird_0002\.jpg is missing"),
    "mask of another size": (
        _swap("segmentations/001.Wren/bird_0001.png", "segmentations/001.Wren/bird_0002.png"),
        r"bird_0002\.png has 45 x 36 pixels, its image .* 46 x 37",
    ),
    "class without images": (lambda root: (root / "classes.txt").open("a").write("4 004.Owl\n"), "004.Owl"),
    "truncated image": (lambda root: _cut(root / "images/002.Blue_Jay/bird_0008.jpg"), r"0008\.jpg does not decode"),
}  # fmt: skip


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("case", DAMAGE)
def test_bad_folders_leave_nothing(cub: Path, tmp_path: Path, case: str, before: bool) -> None:
    """Without an earlier data set there is none afterwards; an earlier one stays as it was."""
    out = tmp_path / "data" / "dataset"
    if before:
        prepare(FOLDER, out, cub)
    was = tree(out)
    damage, message = DAMAGE[case]
    damage(cub)
    with pytest.raises(UserError, match=message) as caught:
        prepare(FOLDER, out, cub)
    assert "\n" not in str(caught.value)
    assert tree(out) == was
    assert out.exists() == before
    assert not out.parent.exists() or [file.name for file in out.parent.iterdir()] == ["dataset"] * before


def test_a_missing_data_set_names_the_setting(tmp_path: Path) -> None:
    by_path = r"; name it by its absolute path, -S 'inputs\.data=\"/.../DIR\"'"
    for given, message in (
        (None, "inputs.data is inputs/none, but data.source folder reads a data set" + by_path),
        (tmp_path / "nowhere", "nowhere is no folder" + by_path),
        (tmp_path, r"holds no images\.txt, so it is no data set in CUB-200-2011 layout"),
    ):
        with pytest.raises(UserError, match=message):
            prepare(FOLDER, tmp_path / "out", given)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("inside", ["", "sub"])
def test_root_inside_the_output_is_refused(cub: Path, tmp_path: Path, inside: str) -> None:
    """Otherwise the source would be deleted by its copy."""
    out = tmp_path / "out"
    out.mkdir()
    cub.rename(out / "sub")
    root = out / inside
    with pytest.raises(UserError, match=r"lies in .*, which this stage writes"):
        prepare(FOLDER, out, root)
    assert (out / "sub" / "images.txt").exists()


def test_small_disk(cub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"1,000 bytes free, a copy of .*cub needs"):
        prepare(FOLDER, tmp_path / "out", cub)
    assert not (tmp_path / "out").exists()


def test_disk_full_while_copying(cub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copyfile = shutil.copyfile

    def full(source: Path, target: Path) -> None:
        if source.name == "bird_0009.jpg":
            raise OSError(28, "No space left on device")
        copyfile(source, target)

    monkeypatch.setattr(module.shutil, "copyfile", full)
    with pytest.raises(UserError, match=r"bird_0009\.jpg cannot be copied .*No space left"):
        prepare(FOLDER, tmp_path / "data" / "out", cub)
    assert list((tmp_path / "data").iterdir()) == []


def _archived(path: Path, *members: tuple[Path, str]) -> Archive:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for source, name in members:
            tar.add(source, name)
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    return Archive(name=path.name, urls=["http://127.0.0.1:9/"], bytes=len(content), sha256=sha256)


@pytest.fixture
def packed(cub: Path, tmp_path: Path) -> Data:
    """The tiny data set in two archives of CUB's inner layout, in `downloads/`."""
    masks = cub / "segmentations"
    first = [(cub / name, f"CUB_200_2011/{name}") for name in (*LISTS, "images")]
    downloads = tmp_path / "downloads"
    both = [
        _archived(downloads / "birds.tgz", *first, (cub / "classes.txt", "attributes.txt")),
        _archived(downloads / "masks.tgz", (masks, "segmentations")),
    ]
    return Data(source="download", downloads=both, **COMMON)


def test_archives_give_the_same_data_set_as_the_folder(packed: Data, cub: Path, tmp_path: Path) -> None:
    facts = prepare(packed, tmp_path / "data" / "dataset", downloads=tmp_path / "downloads")
    assert facts == prepare(FOLDER, tmp_path / "copy", cub)
    assert tree(tmp_path / "data" / "dataset") == tree(tmp_path / "copy")
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["dataset"]  # nothing unpacked is left
    assert sorted(file.name for file in (tmp_path / "downloads").iterdir()) == ["birds.tgz", "masks.tgz"]


def test_a_failed_unpack_leaves_nothing(packed: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 12)
    with pytest.raises(UserError, match="unpacks to more than 12 files"):
        prepare(packed, tmp_path / "data" / "dataset", downloads=tmp_path / "downloads")
    assert list((tmp_path / "data").iterdir()) == []


def test_archives_in_another_folder(packed: Data, cub: Path, tmp_path: Path) -> None:
    (tmp_path / "downloads").rename(tmp_path / "mine")
    prepare(packed, tmp_path / "data" / "dataset", tmp_path / "mine", tmp_path / "downloads")
    assert read_index(tmp_path / "data" / "dataset").entries == cub_index(cub).entries
    assert not (tmp_path / "downloads").exists()


def test_a_folder_of_one_archive_tells_of_the_other(packed: Data, tmp_path: Path) -> None:
    (tmp_path / "downloads" / "masks.tgz").unlink()
    with pytest.raises(
        UserError,
        match=r"downloads holds no data set and lacks masks\.tgz .*; put them there, or set inputs",
    ):
        prepare(packed, tmp_path / "out", tmp_path / "downloads", tmp_path / "elsewhere")


def test_a_folder_of_neither_is_no_reason_to_download(packed: Data, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds no data set .* lacks birds\.tgz .* and masks\.tgz"):
        prepare(packed, tmp_path / "out", tmp_path / "empty", tmp_path / "downloads")


def test_an_unpacked_tree_in_place_of_a_download(packed: Data, cub: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "downloads")
    facts = prepare(packed, tmp_path / "out", cub, tmp_path / "downloads")
    assert facts == checked(cub_index(cub))


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (Expected(photos=15, classes=4), "holds 15 images of 3 classes, expected 15 of 4; use the whole data set"),
        (Expected(photos=16, classes=3), "holds 15 images of 3 classes, expected 16 of 3; use the whole data set"),
    ],
)
def test_another_data_set_than_expected(
    packed: Data, cub: Path, tmp_path: Path, expected: Expected, message: str
) -> None:
    """Sound by itself, yet with classes missing: found in the lists, before an image is opened."""
    data = packed.model_copy(update={"expected": expected})
    for given, named in ((cub, str(cub)), (None, "masks.tgz: it ")):
        with pytest.raises(UserError, match=message) as caught:
            prepare(data, tmp_path / "data" / "dataset", given, tmp_path / "downloads")
        assert named in str(caught.value)
    assert not (tmp_path / "data" / "dataset").exists()


def test_archives_of_another_data_set(packed: Data, tmp_path: Path) -> None:
    """With the hashes that the settings name, but nothing of CUB inside."""
    other = tmp_path / "flowers.txt"
    other.write_text("rose")
    downloads = [_archived(tmp_path / "downloads" / f"{name}.tgz", (other, "flowers.txt")) for name in "ab"]
    with pytest.raises(UserError, match=r"a\.tgz and .*b\.tgz: it holds no images\.txt"):
        prepare(packed.model_copy(update={"downloads": downloads}), tmp_path / "out", downloads=tmp_path / "downloads")
    assert not (tmp_path / "out").exists()


def test_a_damaged_image_in_an_archive_is_named_by_its_place_there(packed: Data, cub: Path, tmp_path: Path) -> None:
    image = cub / "images/001.Wren/bird_0002.jpg"
    image.write_bytes(image.read_bytes()[:300])
    first = [(cub / name, f"CUB_200_2011/{name}") for name in (*LISTS, "images")]
    downloads = [_archived(tmp_path / "downloads" / "birds.tgz", *first), *(packed.downloads or [])[1:]]
    with pytest.raises(
        UserError, match=r"masks\.tgz: image CUB_200_2011/images/001\.Wren/bird_0002\.jpg does not decode"
    ):
        prepare(packed.model_copy(update={"downloads": downloads}), tmp_path / "out", downloads=tmp_path / "downloads")


_KILLED = """
import json, os, signal, sys
from pathlib import Path
from ala.config.schema import Data
from ala.data import prepare
unpack = prepare.unpack
def killed(archive, folder):
    unpack(archive, folder)
    os.kill(os.getpid(), signal.SIGKILL)
prepare.unpack = killed
prepare.prepare(Data.model_validate_json(sys.argv[1]), Path(sys.argv[2]), downloads=Path(sys.argv[3]))
"""


def test_a_killed_unpack_is_done_again(packed: Data, cub: Path, tmp_path: Path) -> None:
    """What it left is cleared away, not continued; a folder that another process is filling stays."""
    out, downloads = tmp_path / "data" / "dataset", tmp_path / "downloads"
    command = [sys.executable, "-c", _KILLED, packed.model_dump_json(), str(out), str(downloads)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -signal.SIGKILL
    (left,) = out.parent.iterdir()
    (left / "CUB_200_2011" / "images.txt").write_text("1 damaged.jpg\n")
    with scratch_folder(out.parent, module.SCRATCH) as foreign:
        assert not left.exists()
        prepare(packed, out, downloads=downloads)
        assert sorted(file.name for file in out.parent.iterdir()) == sorted([foreign.name, "dataset"])
    assert read_index(out).entries == cub_index(cub).entries


def test_no_room_to_unpack(packed: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match="1,000 bytes free, unpacking needs"):
        prepare(packed, tmp_path / "data" / "dataset", downloads=tmp_path / "downloads")
    assert list((tmp_path / "data").iterdir()) == []


def test_images_are_left_out_of_index_and_folders(cub: Path, tmp_path: Path, packed: Data) -> None:
    whole = packed.model_copy(update={"expected": Expected(photos=15, classes=3)})
    for key, (source, given) in enumerate(((FOLDER, cub), (whole, None))):
        out = tmp_path / f"out-{key}"
        settings = source.model_copy(update={"exclude": [2], "train_per_class": 1})
        facts = prepare(settings, out, given, tmp_path / "downloads")
        assert (facts.images, facts.excluded) == (14, (2,))
        assert (facts.metrics()["excluded"], facts.metrics()["excluded_ids"]) == (1, [2])
        assert read_index(out).entries == cub_index(cub, [2]).entries
        assert not list(out.rglob("bird_0002.*"))


def test_birdlets_are_left_out(tmp_path: Path) -> None:
    birdlets = {"species": 2, "train_per_species": 3, "test_per_species": 2, "clutter": 0.4, "seed": 0}
    data = Data.model_validate({"source": "birdlets", "birdlets": birdlets, **COMMON})
    prepare(data, tmp_path / "all")
    gone = next(one for one in read_index(tmp_path / "all").entries if one.split == "test")
    facts = prepare(data.model_copy(update={"exclude": [gone.image_id]}), tmp_path / "some")
    assert (facts.images, facts.excluded) == (9, (gone.image_id,))
    whole, some = tree(tmp_path / "all"), tree(tmp_path / "some")
    assert whole.keys() - some.keys() == {f"images/{gone.path}", f"masks/{gone.mask}"}
    assert {name for name in some if some[name] != whole[name]} == {"index.csv"}


class Truths:
    """A layout with what no metric can use yet."""

    ignored: str | None = None
    boxes = 1

    def read(self, root: Path, settings: Data) -> Index:
        index = cub_index(root)
        entries = [replace(one, ignored=self.ignored, boxes=one.boxes * self.boxes) for one in index.entries]
        return replace(index, entries=entries)


@pytest.mark.parametrize(
    ("parts", "message"),
    [({"ignored": "a.png"}, "image 1 ignored pixels, which no"), ({"boxes": 3}, "image 1 3 boxes, which no metric")],
)
def test_what_no_metric_can_use_is_refused(
    cub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: dict[str, Any], message: str
) -> None:
    for name, value in parts.items():
        monkeypatch.setattr(Truths, name, value)
    monkeypatch.setattr("ala.data.layouts.find", lambda *_: Truths)
    with pytest.raises(UserError, match=message):
        prepare(FOLDER, tmp_path / "out", cub)


def test_what_only_evaluation_needs_is_reported_by_the_first_stage(cub: Path, tmp_path: Path) -> None:
    """An object that vanishes matters for the validation and test images that `at_most` keeps, and for no other."""
    for key in (2, 5):  # of the splits val (2, 6, 11) and test (4, 5, 9, 10, 14, 15)
        mask = np.zeros((36 + key - 1, 44 + key), dtype=np.uint8)
        taken = {int((step + 0.5) * len(mask) / 24) for step in range(24)}  # rows that are left at 24 x 24
        mask[next(row for row in range(10, 18) if row not in taken), 12] = 255
        Image.fromarray(mask).save(cub / f"segmentations/001.Wren/bird_{key:04d}.png")
    data = FOLDER
    with pytest.raises(UserError, match=r"bird_0002\.png .* raise data\.input_size \(2 such files\)"):
        prepare(data, tmp_path / "out", cub)
    # val then keeps image 2, test 4 and 15
    few = data.model_copy(update={"at_most": AtMost(train=2, val=1, test=2)})
    with pytest.raises(UserError, match=r"bird_0002\.png .* or leave out: data\.exclude: \[2\]$"):
        prepare(few, tmp_path / "out", cub)
    assert prepare(data.model_copy(update={"input_size": 300}), tmp_path / "out", cub).images == 15
