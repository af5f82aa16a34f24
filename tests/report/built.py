"""The report of the made-up run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ala.config import Settings
from ala.data.image_cache import ImageCache
from ala.report.build import Content, Folders
from ala.report.build import make as make_report
from ala.report.gather import gather
from ala.report.html import render
from ala.report.run import Run
from tests.report.fake_run import SIZE

PROVENANCE = {
    "commit": "abc", "dirty": False, "packages": {"torch": "2.9", "numpy": "2.1"}, "cost": {"train": {"seconds": 2.5}},
}  # fmt: skip


@dataclass(frozen=True)
class Built:
    run: Run
    folder: Path
    out: Path
    image_cache: ImageCache
    content: Content

    def render(self, **changes: Any) -> str:
        given = {
            "run": self.run,
            "content": self.content,
            "cache": self.image_cache,
            "provenance": PROVENANCE,
        } | changes
        return render(**given, out=self.out, maps=self.folder / "maps", scores=self.folder / "scores")

    def named(self, name: str) -> ImageCache:
        """The image cache with its first class called `name`."""
        return replace(self.image_cache, names=[f"001.{name}", *self.image_cache.names[1:]])


def make(folder: Path, settings: Settings, out: Path) -> Built:
    """Build the report of the run in `folder` into `out`."""
    run = gather(settings, folder / "scores", folder / "models", folder / "data", folder / "maps")
    content = make_report(run, Folders(folder / "data", folder / "models", folder / "maps", folder / "scores"), out)
    return Built(run, folder, out, ImageCache.open(folder / f"data/image_cache/{SIZE}", "test"), content)
