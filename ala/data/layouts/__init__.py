"""Layouts: how a data set lies in a folder. One file each; `data.layout` of params.yaml names the one that is read.

A layout of your own is a class with a method `read`, named `package.module:Class`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ala.config.schema import Data
from ala.data.index import Index, checked
from ala.registry import find
from ala.utils.errors import UserError, reason


class Layout(Protocol):
    """What a layout does."""

    def read(self, root: Path, settings: Data) -> Index:
        """Say which images lie below `root`, without opening one.

        Whatever :func:`ala.data.index.checked` checks, and all files, are checked afterwards.

        Args:
            root: the folder that `inputs.data` names, or that was downloaded or drawn.
            settings: the profile's `data` block.

        Raises:
            UserError: the folder is no data set in this layout: the file, the value and the remedy in one sentence.
        """


def read_layout(root: Path, settings: Data) -> Index:
    """Read `root` by the layout that `settings.layout` names, without the images of `settings.exclude`.

    Raises:
        UserError: there is no such layout or folder, or the folder is no data set in it.
    """
    layout = find("layouts", settings.layout)
    if not root.is_dir():
        raise UserError(f"data folder {root} does not exist; name the folder of a data set")
    try:
        index = layout().read(root, settings)
    except UserError:
        raise
    except Exception as error:  # of the user's own code
        raise UserError(f"data.layout {settings.layout} fails on {root} ({reason(error)}); correct it") from error
    if not isinstance(index, Index):
        raise UserError(f"data.layout {settings.layout} returns {type(index).__name__}, expected ala.data.index.Index")
    return checked(index, settings.exclude)
