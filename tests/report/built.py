"""The made-up run's tables, curves and figures, and the page drawn from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ala.config import Settings
from ala.data.store import Store
from ala.report.gather import gather
from ala.report.html import render
from ala.report.page import Folders, build
from ala.report.run import Run
from tests.report.fake_run import SIZE

PROVENANCE = {
    "commit": "abc", "dirty": False, "packages": {"torch": "2.9", "numpy": "2.1"}, "stages": [{"name": "train"}],
}  # fmt: skip
ERRORS = "image_id,kind,iou\n{0},over-attended,0.10\n{1},insufficiently attended,0.20\n"


@dataclass(frozen=True)
class Built:
    run: Run
    folder: Path
    out: Path
    store: Store

    def render(self, **changes: Any) -> str:
        given = {"run": self.run, "store": self.store, "provenance": PROVENANCE, "captions": None} | changes
        folders = {"out_folder": self.out, "maps": self.folder / "maps", "scores": self.folder / "scores"}
        return render(**given, **folders)

    def named(self, name: str) -> Store:
        """The store with its first class called `name`."""
        return replace(self.store, names=[f"001.{name}", *self.store.names[1:]])


def make(folder: Path, settings: Settings, out: Path) -> Built:
    """Build the report of the run in `folder` into `out`, with a list of errors beside its tables."""
    run = gather(settings, folder / "scores", folder / "models", folder / "data")
    build(run, Folders(folder / "data", folder / "models", folder / "maps", folder / "scores"), out)
    store = Store.open(folder / f"data/store/{SIZE}", "test")
    (out / "tables/error_top.csv").write_text(ERRORS.format(*store.image_ids[:2].tolist()))
    return Built(run, folder, out, store)
