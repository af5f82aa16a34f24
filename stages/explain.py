"""Stages `explain` and `rise`: the maps of one or more methods, one seed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.utils.errors import reported
from ala.utils.files import atomic_folder, write_json

Methods = Annotated[
    list[str],
    typer.Option(
        "--method",
        help="aea-{true,false}-sbn-{true,false}, abn, fcam, rise (of the main model) or trivial; may be repeated.",
    ),
]
Seed = Annotated[int, typer.Option(help="The seed of the trained model.")]
Params = Annotated[Path, typer.Option(help="The settings; the profile they name is used.")]
StoreFolder = Annotated[Path, typer.Option(help="Photos by side length, from the stage `store`.")]
ModelsFolder = Annotated[Path, typer.Option(help="encoder/ and one folder per trained model.")]
MapsFolder = Annotated[Path, typer.Option(help="Maps are written to METHOD/seed-SEED in this folder.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]


def main(
    method: Methods,
    seed: Seed,
    params: Params = Path("params.yaml"),
    store: StoreFolder = Path("data/store"),
    models: ModelsFolder = Path("models"),
    maps: MapsFolder = Path("maps"),
    device: Device = "auto",
) -> None:
    """Explain photos of the val and test split: a map of importance per photo, by one or more methods.

    Reads the photos and the model that each method explains: the trained variant itself, ABN, F-CAM, and for `rise`
    the main model (the switches aea and sbn). `trivial` needs no model: full image, centred Gaussian, noise, box.

    Writes MAPS/METHOD/seed-SEED/val.npz and test.npz, of all photos, of `rise` on the class-balanced subset that
    metrics.images_per_class and val_images_per_class choose. For `trivial`: full-val.npz, full-test.npz and so on.
    used.json beside them names precision, device, threads and batch (null for `trivial`).

    Example: python -m stages.explain --method rise --seed 0
    """
    with reported():
        from ala.contracts.collapsed import warning
        from ala.explainers import methods
        from ala.utils.device import resolve
        from ala.utils.kept import keeping, stage_work

        for one in method:
            methods.check(one)
        settings, where = load(params), resolve(device)
        work = stage_work(
            f"explain/{'+'.join(method)}/seed-{seed}", {**settings.deciding(), "method": method, "seed": seed},
            [models / "encoder", *sorted(models.glob(f"*/seed-{seed}"))], store, where,
        )  # fmt: skip
        with keeping(work):
            for one in method:
                made = methods.maps_by_file(one, seed, settings, store, models, where)
                for split, contents in made.items():
                    said = warning(contents, f"{one}, seed {seed}, {split} photos")
                    if said is not None:
                        print(f"warning: {said}", file=sys.stderr)
                out = maps / one / f"seed-{seed}"
                with atomic_folder(out) as folder:
                    for name, contents in made.items():
                        contents.save(folder / f"{name}.npz")
                    write_json(folder / "used.json", {"used": methods.used_for(one, settings, where)})
                print(f"{out}: " + ", ".join(f"{name} {len(its.image_ids):,}" for name, its in made.items()) + " maps")


if __name__ == "__main__":
    typer.run(main)
