"""What the stages hand on: splits, stores, maps and scores."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import namedtuple
from collections.abc import Callable

import numpy as np
import pandas as pd
from ala.contracts.seal import seal

from tests.bad_inputs.case import Accepted, Case
from tests.bad_inputs.world import World

STORE, SPLITS, MAPS, SCORES = "data/store/32", "data/splits", "maps/abn/seed-0", "scores/abn/seed-0"
EVALUATE = "evaluate --method abn --seed 0"


def _cut(name: str, share: float = 0.5) -> Callable[[World], None]:
    def damage(world: World) -> None:
        content = (world / name).read_bytes()
        (world / name).write_bytes(content[: int(len(content) * share)])

    return damage


def _gone(name: str) -> Callable[[World], None]:
    return lambda world: (world / name).unlink()


def _text(name: str, text: str) -> Callable[[World], None]:
    return lambda world: (world / name).write_text(text) and None


def _maps(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[World], None]:
    """Change the arrays in ABN's maps of the test photos."""

    def damage(world: World) -> None:
        with np.load(world / f"{MAPS}/test.npz") as archive:
            arrays = {name: archive[name] for name in archive.files}
        change(arrays)
        np.savez(world / f"{MAPS}/test.npz", **arrays)

    return damage


def _unpackable(world: World) -> None:
    """Maps that are compressed and too many for the memory, and 10 bytes for temporary files."""
    with np.load(world / f"{MAPS}/test.npz") as archive:
        np.savez_compressed(world / f"{MAPS}/test.npz", **archive)
    usage = namedtuple("usage", "total used free")
    world.patch.setattr("ala.contracts.maps.IN_MEMORY", 0)
    world.patch.setattr(tempfile, "tempdir", str(world / "tmp"))
    world.patch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 10, 10))


def _put(value: float) -> Callable[[dict[str, np.ndarray]], None]:
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays["importance"][1, 0, 0] = value

    return change


def _objects(arrays: dict[str, np.ndarray]) -> None:
    """An array of Python objects is a pickle, which could run code."""
    arrays["targets"] = np.array([{}] * len(arrays["targets"]), dtype=object)


def _shorter(arrays: dict[str, np.ndarray]) -> None:
    for name in ("image_ids", "importance", "targets"):
        arrays[name] = arrays[name][:2]


def _flat(arrays: dict[str, np.ndarray]) -> None:
    arrays["importance"][1] = 0.5


def _edited(world: World) -> None:
    text = (world / f"{SCORES}/scores.csv").read_text().splitlines()
    text[1] = text[1].replace("0.", "0.9", 1)
    (world / f"{SCORES}/scores.csv").write_text("\n".join(text) + "\n")


def _columns(world: World) -> None:
    text = (world / f"{SCORES}/scores.csv").read_text()
    (world / f"{SCORES}/scores.csv").write_text(text.replace("iou_otsu", "iou_best", 1))
    seal(world / SCORES)


def _infinite(world: World) -> None:
    rows = pd.read_csv(world / f"{SCORES}/scores.csv")
    rows["iou_fixed"] = float("inf")
    rows.to_csv(world / f"{SCORES}/scores.csv", index=False)
    seal(world / SCORES)


def _version(world: World) -> None:
    about = json.loads((world / f"{STORE}/store.json").read_text())
    (world / f"{STORE}/store.json").write_text(json.dumps(about | {"version": 99}))


EXPLAINED, EVALUATED = "run its explain stage again", "`dvc repro evaluate@0`"
CASES = [
    Case("a split is missing", "store", _gone(f"{SPLITS}/val.csv"), f"{SPLITS}/val.csv", "does not exist",
         "run `dvc repro split` first"),
    Case("a split is cut off", "store", _cut(f"{SPLITS}/val.csv", 0.1), f"{SPLITS}/val.csv", "0 rows",
         "run `dvc repro split`"),
    Case("a split is no table of numbers", "store", _text(f"{SPLITS}/val.csv", "image_id,label\none,two\n"),
         f"{SPLITS}/val.csv", "is no split", "run `dvc repro split`"),
    Case("no store", "encoder", lambda w: shutil.rmtree(w / STORE), f"{STORE}/store.json", "does not exist",
         "run `dvc repro store` first"),
    Case("a store's photos are cut off", "encoder", _cut(f"{STORE}/test-images.npy"), f"{STORE}/test-images.npy",
         "is unreadable", "run `dvc repro store`"),
    Case("a store's photos of another number", "encoder",
         lambda w: np.save(w / f"{STORE}/test-ids.npy", np.arange(3)), f"{STORE}/test-ids.npy", "shape (3,)",
         "run `dvc repro store`"),
    Case("a store of another version", "encoder", _version, f"{STORE}/store.json", "version 99",
         "run `dvc repro store`"),
    Case("a store's description is no JSON", "encoder", _text(f"{STORE}/store.json", "{"), f"{STORE}/store.json",
         "is no store", "run `dvc repro store`"),
    Case("no maps", EVALUATE, _gone(f"{MAPS}/test.npz"), f"{MAPS}/test.npz", "does not exist",
         "run the explain stage that writes it"),
    Case("maps cut off", EVALUATE, _cut(f"{MAPS}/test.npz"), f"{MAPS}/test.npz", "is no Maps file", EXPLAINED),
    Case("maps that are text", EVALUATE, _text(f"{MAPS}/test.npz", "maps"), f"{MAPS}/test.npz", "is no Maps file",
         EXPLAINED),
    Case("maps with pickled objects", EVALUATE, _maps(_objects), f"{MAPS}/test.npz", "is no Maps file", EXPLAINED),
    Case("NaN in a map", EVALUATE, _maps(_put(float("nan"))), f"{MAPS}/test.npz", "the map of image 5 (1 in all)",
         "make those maps again"),
    Case("infinity in a map", EVALUATE, _maps(_put(float("inf"))), f"{MAPS}/test.npz", "the map of image 5 (1 in all)",
         "make those maps again"),
    Case("maps of photos of another split", EVALUATE, _maps(lambda a: a.update(image_ids=a["image_ids"] + 100)),
         "photo 104", "not in the test split", "make them again"),
    Case("maps of one photo twice", EVALUATE, _maps(lambda a: a["image_ids"].__setitem__(1, a["image_ids"][0])),
         f"{MAPS}/test.npz", "an image id stands twice", "each image has one map"),
    Case("maps of some photos only", EVALUATE, _maps(_shorter), "maps of abn", "lack image", "explain it too"),
    Case("fewer ids than maps", EVALUATE, _maps(lambda a: a.update(image_ids=a["image_ids"][:3])), f"{MAPS}/test.npz",
         "importance must be (3, h, w)", "got (6, "),
    Case("maps whose ids are no whole numbers", EVALUATE,
         _maps(lambda a: a.update(image_ids=a["image_ids"] / 2)), f"{MAPS}/test.npz",
         "image_ids are no list of whole numbers", EXPLAINED),
    Case("compressed maps, and no room to unpack them", EVALUATE, _unpackable, f"{MAPS}/test.npz", "10 bytes free",
         "set TMPDIR to a folder on a larger disk"),
    Case("a score changed by hand", "report", _edited, f"{SCORES}/scores.csv", "was changed after it was written",
         "to make it again"),
    Case("a file added to the scores", "report", _text(f"{SCORES}/more.csv", "a\n1\n"), f"{SCORES}/more.csv",
         "was added by hand", EVALUATED),
    Case("a file of the scores is gone", "report", _gone(f"{SCORES}/curves.npz"), f"{SCORES}/curves.npz", "is gone",
         EVALUATED),
    Case("scores without checksums", "report", _gone(f"{SCORES}/SHA256SUMS"), f"{SCORES}/SHA256SUMS", "does not exist",
         EVALUATED),
    Case("scores with other columns", "report", _columns, f"{SCORES}/scores.csv", "iou_best",
         "run its evaluate stage again"),
    Case("infinity in the scores", "report", _infinite, f"{SCORES}/scores.csv", "not only finite numbers",
         "run its evaluate stage again"),
    Case("checksums that are no text", "report", lambda w: (w / f"{SCORES}/SHA256SUMS").write_bytes(b"\x80") and None,
         f"{SCORES}/SHA256SUMS", "is no list of checksums", EVALUATED),
    Case("no scores at all", "report", lambda w: shutil.rmtree(w / "scores"), "scores holds no scores", "params.yaml",
         "run `dvc repro` first"),
]  # fmt: skip


def _counted(world: World, _: str) -> None:
    summary = json.loads((world / f"{SCORES}/summary.json").read_text())["abn"]
    assert summary["collapsed_constant"] == 1
    assert summary["collapsed_one_pixel"] == 0


def _other(form: Callable[[np.ndarray], np.ndarray]) -> Callable[[World], None]:
    """The same maps as another array; the scores that they had are put aside."""

    def damage(world: World) -> None:
        shutil.copy(world / f"{SCORES}/scores.csv", world / "before.csv")
        _maps(lambda arrays: arrays.update(importance=form(arrays["importance"])))(world)

    return damage


def _same_scores(world: World, _: str) -> None:
    assert (world / f"{SCORES}/scores.csv").read_bytes() == (world / "before.csv").read_bytes()


ACCEPTED = [
    Accepted("maps in Fortran order", EVALUATE, _other(np.asfortranarray), "read; the same scores", _same_scores),
    Accepted("maps of 64 bits a value", EVALUATE, _other(lambda a: a.astype(np.float64)), "read; the same scores",
             _same_scores),
    Accepted("a map that is constant", EVALUATE, _maps(_flat), "scored as any other, counted, and told in the report",
             _counted),
]  # fmt: skip
