"""Stage `explain`: the maps of one method and seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.runtime.errors import reported
from ala.runtime.files import atomic_folder

Method = Annotated[
    str, typer.Option(help="aea-{true,false}-sbn-{true,false}, abn, fcam, rise (explains the main model) or trivial.")
]
Seed = Annotated[int, typer.Option(help="The seed of the trained model.")]
Params = Annotated[Path, typer.Option(help="The settings; the profile they name is used.")]
StoreFolder = Annotated[Path, typer.Option(help="Photos by side length, from the stage `store`.")]
ModelsFolder = Annotated[Path, typer.Option(help="encoder/ and one folder per trained model.")]
MapsFolder = Annotated[Path, typer.Option(help="Maps are written to METHOD/seed-SEED in this folder.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]


def main(
    method: Method,
    seed: Seed,
    params: Params = Path("params.yaml"),
    store: StoreFolder = Path("data/store"),
    models: ModelsFolder = Path("models"),
    maps: MapsFolder = Path("maps"),
    device: Device = "auto",
) -> None:
    """Explain photos of the val and test split by one method: a map of importance per photo.

    Reads the photos and the model that the method explains: the trained variant itself, ABN, F-CAM, and for `rise`
    the main model (the switches aea and sbn). `trivial` needs no model: full image, centred Gaussian, noise, box.

    Writes MAPS/METHOD/seed-SEED/val.npz and test.npz, of all photos, of `rise` on the class-balanced subset that
    metrics.images_per_class and val_images_per_class choose. For `trivial`: full-val.npz, full-test.npz and so on.

    Example: python -m stages.explain --method rise --seed 0
    """
    with reported():
        from ala.data.store import Store
        from ala.explain import methods
        from ala.runtime.device import resolve

        methods.check(method)
        settings, where = load(params), resolve(device)
        made = {}
        if method == "trivial":
            for split in ("val", "test"):
                photos = Store.open(store / str(settings.active.data.input_size), split)
                for one in methods.trivial_maps(photos, settings, seed):
                    made[f"{one.method}-{split}"] = one
        else:
            model = methods.load_explained(method, seed, settings, models, where)
            for split in ("val", "test"):
                photos = Store.open(store / str(model.classifier.preprocessing.size), split)
                if method == "rise":
                    made[split] = methods.rise_maps_of(model, photos, settings, where)
                else:
                    made[split] = methods.own_maps(model, photos, settings.active.metrics.batch, where)
        out = maps / method / f"seed-{seed}"
        with atomic_folder(out) as folder:
            for name, one in made.items():
                one.save(folder / f"{name}.npz")
        print(f"{out}: " + ", ".join(f"{name} {len(one.image_ids):,}" for name, one in made.items()) + " maps")


if __name__ == "__main__":
    typer.run(main)
