"""Get the images and masks of the active profile, checked, into one folder."""

from __future__ import annotations

from pathlib import Path

from ala.config.schema import Settings
from ala.data.prepare import prepare
from ala.data.verify import Facts
from ala.utils.files import write_json


def data(settings: Settings, out: Path, metrics: Path, downloads: Path) -> Facts:
    """Draw, copy or download the images of the active profile, open every one, and write one checked folder `out`.

    Args:
        settings: `data` of the active profile and `inputs.data` are read.
        out: replaced as a whole.
        metrics: JSON file of what was found: numbers of images and classes, box areas, grey levels of the masks.
        downloads: where archives are looked for, and kept.

    Raises:
        UserError: see :func:`ala.data.prepare.prepare`.
    """
    facts = prepare(settings.active.data, out, settings.inputs.path("data"), downloads)
    write_json(metrics, facts.metrics())
    return facts
