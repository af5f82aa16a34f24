"""Find out in a second what a run would find out late, or DVC would say in words of its own."""

from __future__ import annotations

from pathlib import Path

from ala.config import inputs
from ala.config.schema import Settings
from ala.data.archives import present
from ala.pipeline.code import digest
from ala.pipeline.methods import of_cell
from ala.registry import find
from ala.utils import repository


def check(settings: Settings, project: Path = Path()) -> str:
    """Look for every method and metric, the files that `inputs` names (as far as they are read), and Git's repository.

    Returns:
        What the stage `data` depends on beside its own files: the digest of a layout of the user's own, else nothing.

    Raises:
        UserError: one of them is missing or cannot be used.
    """
    for name in settings.metrics:
        find("metrics", name)
    for cell in settings.methods:
        of_cell(cell, settings)
    layout = find("layouts", settings.active.data.layout)
    if inputs.check(settings) == "archives":
        present(settings.active.data.downloads or [], settings.inputs.path("data") or Path())
    repository.check(project)
    return f"layout {digest(layout.__module__)}\n" if ":" in settings.active.data.layout else ""
