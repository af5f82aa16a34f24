"""Every registered layout keeps its contract, and each check fails for a class that breaks it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ala import registry
from ala.data.index import Index
from ala.testing import check_layout
from ala.utils.errors import UserError
from tests.conformance import folders
from tests.extending.recipes import recipe


@pytest.mark.parametrize("name", registry.names("layouts"))
def test_registered_layouts_keep_the_contract(name, tmp_path):
    write = getattr(folders, f"write_{name}", None)
    assert write is not None, f"add write_{name}, a small data set in that layout, to tests/conformance/folders.py"
    check_layout(registry.find("layouts", name), write(tmp_path / "data"))


def flat_of_the_document():
    cell = {"__name__": "flat"}
    exec(recipe("4. A data layout").files["plugins/flat.py"], cell)  # noqa: S102
    return cell["Flat"]


Flat = flat_of_the_document()


class NoIndex(Flat):
    def read(self, root, settings):
        return super().read(root, settings).entries


class SameId(Flat):
    def read(self, root, settings):
        index = super().read(root, settings)
        return replace(index, entries=[replace(entry, image_id=1) for entry in index.entries])


class NoFile(Flat):
    def read(self, root, settings):
        index = super().read(root, settings)
        return replace(index, entries=[replace(entry, path=f"x{entry.path}") for entry in index.entries])


class ImagesOfOtherSize(Flat):
    def read(self, root, settings):
        index = super().read(root, settings)
        first, second, *_ = index.entries
        swapped = [replace(first, mask=second.mask), replace(second, mask=first.mask)]
        return replace(index, entries=swapped + index.entries[2:])


class BoxOutside(Flat):
    def read(self, root, settings):
        index = super().read(root, settings)
        return replace(index, entries=[replace(entry, boxes=((100.0, 0.0, 5.0, 5.0),)) for entry in index.entries])


class AnyOrder(Flat):
    def read(self, root, settings):
        index = super().read(root, settings)
        ids = np.random.default_rng().permutation(1000)[: len(index.entries)].tolist()
        kept = zip(index.entries, ids, strict=True)
        return replace(index, entries=[replace(entry, image_id=image_id) for entry, image_id in kept])


class FloatIds(Flat):
    def read(self, root, settings):
        index = super().read(root, settings)
        return replace(index, entries=[replace(entry, image_id=float(entry.image_id)) for entry in index.entries])


class Writes(Flat):
    def read(self, root, settings):
        (root / "cache.txt").write_text("")
        return super().read(root, settings)


class Stumbles(Flat):
    def read(self, root, settings):
        if not list(root.glob("*.png")):
            raise ValueError("nothing")
        return super().read(root, settings)


class Permissive(Flat):
    def read(self, root, settings):
        if not list(root.glob("*.png")):
            return Index(root, root, {}, [], root)
        return super().read(root, settings)


class Silent(Flat):
    def read(self, root, settings):
        if not list(root.glob("*.png")):
            raise UserError("no images")
        return super().read(root, settings)


@pytest.fixture
def flat(tmp_path):
    return folders.write_flat(tmp_path / "flat")


def test_a_good_class_passes(flat):
    check_layout(Flat, flat)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (NoIndex, "index of NoIndex: read returns a list"),
        (SameId, "image id 1 comes twice"),
        (NoFile, "is no image that can be opened"),
        (ImagesOfOtherSize, r"the mask of image 1 is \(28, 22\), the image \(30, 20\)"),
        (BoxOutside, "the box 100 0 5 5 of image 1 lies outside of"),
        (AnyOrder, "reading again gives another index; sort what the folder lists"),
        (FloatIds, "ids are of the type int"),
        (Writes, "it changed files below"),
        (Stumbles, "an empty folder raises ValueError; raise UserError with a remedy"),
        (Silent, "of an empty folder it says 'no images'; name the file in one sentence"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_broken_contract_is_one_sentence(kind, message, flat):
    with pytest.raises(AssertionError, match=message) as caught:
        check_layout(kind, flat)
    assert "\n" not in str(caught.value)


def test_an_index_of_nothing_is_refused_by_whoever_reads_it(flat):
    check_layout(Permissive, flat)
