"""`make plan`: estimate the cost of a run of the profile on this device beforehand. No stage of DVC."""

from __future__ import annotations

import json as json_format
import time
from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.config.schema import unknown_profile
from ala.utils.errors import UserError, reported

Params = Annotated[Path, typer.Option(help="The settings.")]
Name = Annotated[str, typer.Option("--profile", help="Another profile than the one that the settings name.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Seconds = Annotated[float, typer.Option(min=1, help="How long the calibration may take.")]
Json = Annotated[bool, typer.Option("--json", help="Print numbers for programs: seconds, bytes, FLOPs.")]
Given = Annotated[
    tuple[int, int, int] | None,
    typer.Option("--photos", help="Classes, official training photos, test photos; for a folder that is not there."),
]


def main(
    params: Params = Path("params.yaml"),
    profile: Name = "",
    device: Device = "auto",
    seconds: Seconds = 20,
    json: Json = False,
    photos: Given = None,
) -> None:
    """Tell what a run will cost: forward passes, FLOPs, downloads, disk, memory, and the wall time on this device.

    Nothing is read but the settings (and, where photos come from a folder, its lists); nothing is downloaded or
    written. Forward passes are counted, FLOPs are counted on networks without content, and seconds come from a short
    calibration with random weights.

    Example: python -m stages.plan --profile paper --seconds 20
    """
    with reported():
        settings = load(params)
        if profile:
            wrong = unknown_profile(profile, settings.profiles)
            if wrong:
                raise UserError(f"{params}: {wrong[0]}")
            settings = settings.model_copy(update={"profile": profile})
        imports = import_seconds(settings.active.encoder.kind)

        from ala.plan.plan import make
        from ala.plan.tables import notes, table
        from ala.utils.device import resolve

        estimate = make(settings, resolve(device), seconds, imports, photos)
        if json:
            print(json_format.dumps(estimate.as_json(), indent=2))
            return
        print(f"profile {estimate.profile}, seeds {', '.join(map(str, estimate.seeds))}, on {estimate.device}")
        print(f"{photos_in_words(estimate.photos)}\n")
        print(table(estimate))
        print()
        for note in notes(estimate):
            print(f"* {note}")


def import_seconds(encoder: str) -> dict[str, float]:
    """Seconds that the libraries of :data:`ala.plan.work.IMPORTS` take, which each stage imports anew."""
    found, began = {}, time.perf_counter()

    def lap(name: str) -> None:
        nonlocal began
        now = time.perf_counter()
        found[name], began = now - began, now

    import pandas  # noqa: F401

    lap("pandas")
    import ala.explainers.methods
    import ala.training.variant

    lap("torch")
    found["torch"] += found["pandas"]
    import ala.utils.torchvision_import
    import timm  # noqa: F401  isort: skip

    lap("timm")
    if encoder == "open_clip":
        import ala.encoders.clip_vit
    else:
        import ala.encoders.conv  # noqa: F401
    lap("encoder")
    return found


def photos_in_words(photos: dict[str, int]) -> str:
    """`590 photos of 10 classes (250 train, 50 val, 290 test)`."""
    counts = {split: photos[split] for split in ("train", "val", "test")}
    inside = ", ".join(f"{number:,} {split}" for split, number in counts.items())
    return f"{sum(counts.values()):,} photos of {photos['classes']} classes ({inside})"


if __name__ == "__main__":
    typer.run(main)
