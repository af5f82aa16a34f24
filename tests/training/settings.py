"""Schedules and augmentations for tests; the defaults switch everything off."""

from __future__ import annotations

from typing import Any

from ala.config import schema


def Schedule(**changes: Any) -> schema.Schedule:
    """One off epoch, one on epoch, off first."""
    return schema.Schedule(**{"off_epochs": 1, "on_epochs": 1, "first": "off"} | changes)


def Augment(**changes: Any) -> schema.Augment:
    """No crop, blur or sharpening."""
    return schema.Augment(**{"resize": None, "blur": 0.0, "sharpen": 0.0} | changes)
