"""Names become classes, and a wrong one is reported with what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ala import registry
from ala.config import load
from ala.pipeline.methods import cells, named, of_cell, resolve
from ala.utils.errors import UserError


def test_files_are_names() -> None:
    assert {"rise", "full", "center", "noise", "box", "fcam"} <= set(registry.names("explainers"))
    assert registry.find("explainers", "rise").__name__ == "Rise"
    assert {"iou", "insertion-deletion", "common-model", "lab", "localisation"} <= set(registry.names("metrics"))
    for kind in registry.KINDS:
        for name in registry.names(kind):
            assert hasattr(registry.find(kind, name), registry.KINDS[kind][1])


def test_a_class_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("class A:\n    def explain(self, images, targets):\n        return images\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.find("explainers", "mine:A").__module__ == "mine"
    for name, message in (
        ("mine:B", "names no class with a method `explain`"),
        ("mine:B", "methods: 'mine:B' .*; write mine:A"),
        ("nothing.here:A", "cannot be imported"),
        ("mine/sub.py:A", "names a file; write 'mine.sub:A'"),
        ("mine.A", "did you mean 'mine:A'?"),
        ("ries", "did you mean 'rise'?"),
    ):
        with pytest.raises(UserError, match=message):
            registry.find("explainers", name)
    (tmp_path / "broken.py").write_text("import no_such_library\n")
    with pytest.raises(UserError, match=r"broken cannot be imported \(No module named 'no_such_library'\)"):
        registry.find("explainers", "broken:A")


def test_an_unknown_name_is_reported_with_what_there_is() -> None:
    for name in ("smoothgrad", "../rise", "", "rise.py"):
        with pytest.raises(UserError, match=r"does not exist.* choose one of .*rise"):
            registry.find("explainers", name)


def test_methods_name_their_models() -> None:
    settings = load("params.yaml")
    assert resolve("ala", settings).model == settings.main_variant
    assert resolve("ii", settings).model == "aea-false-sbn-true"
    assert resolve("rise", settings).model == settings.main_variant
    assert resolve("rise", settings).settings["n_masks"] == settings.active.rise.n_masks
    assert resolve("rise-on-fcam", settings).model == "fcam"
    assert resolve("fcam", settings).model == "fcam"
    assert (resolve("box", settings).model, resolve("box", settings).evaluated) == (None, settings.main_variant)
    with pytest.raises(UserError, match="box does not explain a model that can be chosen"):
        resolve("box-on-fcam", settings)


def test_a_method_stands_in_one_cell() -> None:
    settings = load("params.yaml").model_copy(update={"methods": ["ala+iii+i", "rise", "i"]})
    assert cells(settings) == ["ala+iii+i", "rise", "i"]
    assert [method.name for method in of_cell("ala+iii+i", settings)] == ["aea-true-sbn-true", "aea-true-sbn-false"]
    assert named(settings) == {
        "aea-true-sbn-true": "ala+iii+i", "aea-true-sbn-false": "ala+iii+i", "rise": "rise",
    }  # fmt: skip
