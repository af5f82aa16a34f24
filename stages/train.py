"""Stages `train` and `train_abn`: variants of ALA, or ABN, with one seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ala.config import load
from ala.config.schema import EXTENSIONS
from ala.utils.errors import reported

Variants = Annotated[
    list[str],
    typer.Option(
        "--variant", help=f"aea-{{true,false}}-sbn-{{true,false}}, abn, {', '.join(EXTENSIONS)}; may be repeated."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of initial weights, order of photos, augmentation and dropout.")]
Params = Annotated[Path, typer.Option(help="The settings; the profile they name is used.")]
StoreFolder = Annotated[Path, typer.Option(help="Photos by side length, from the stage `store`.")]
Encoder = Annotated[Path, typer.Option(help="The frozen encoder, from the stage `encoder`.")]
Out = Annotated[Path, typer.Option(help="The model is written to VARIANT/seed-SEED in this folder.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]

#: A change of any of these restarts an unfinished training.
CODE = ["ala.training", "ala.model", "ala.encoders", "ala.metrics.iou", "ala.data.store", "ala.contracts",
        "ala.utils.seeds"]  # fmt: skip


def main(
    variant: Variants,
    seed: Seed,
    params: Params = Path("params.yaml"),
    store: StoreFolder = Path("data/store"),
    encoder: Encoder = Path("models/encoder"),
    out: Out = Path("models"),
    device: Device = "auto",
) -> None:
    """Train adapters beside the frozen encoder, each by itself, and keep the best state after an *on* epoch.

    Reads the ala, abn and train blocks of the active profile, the train and val photos and the encoder. The masks of
    val photos are read for the column val_miou alone, which decides nothing.

    Writes OUT/VARIANT/seed-SEED/{weights.safetensors,model.json,curve.csv}; model.json names settings, precision,
    device, threads and batch. Or, if anything is wrong, one sentence and nothing else (exit code 2).

    Example: python -m stages.train --variant aea-true-sbn-true --seed 0
    """
    with reported():
        from ala.contracts.compute import used
        from ala.data.store import Store
        from ala.encoders import shared_encoder
        from ala.metrics.iou import mean_std_ious
        from ala.model.blueprint import check
        from ala.model.checkpoint import save_model, sha256_of
        from ala.training.variant import CURVE, train_variant
        from ala.utils.checkpoint import Checkpoint
        from ala.utils.device import resolve
        from ala.utils.files import atomic_folder

        settings = load(params)
        profile = settings.active
        for one in variant:
            check(settings.trained_as(one)[0])
        size, target = profile.data.input_size, resolve(device)
        train = Store.open(store / str(profile.train.augment.resize or size), "train")
        val = Store.open(store / str(size), "val")

        def diagnose(alpha, rows):  # type: ignore[no-untyped-def]
            found = mean_std_ious(alpha, lambda some: val.foreground(rows[some], profile.data.mask_threshold), size)
            return {"val_miou": float(found.mean())}

        frozen = shared_encoder(encoder, target)
        inputs = [store / str(profile.train.augment.resize or size), store / str(size), encoder]
        for one in variant:
            base, own = settings.trained_as(one)
            blocks = own.model_dump(mode="json", include={"ala", "abn", "train", "data"})
            made_with = used(target, own.train.precision, own.train.batch)
            decides = {"variant": one, "seed": seed, "used": made_with, **blocks}
            checkpoint = Checkpoint.of(f"train/{one}/seed-{seed}", decides, inputs, CODE)
            trained = train_variant(
                base, own, frozen, train, val, len(train.names), seed,
                device=target, diagnose=diagnose, checkpoint=checkpoint,
            )  # fmt: skip
            block = {"abn": own.abn} if one == "abn" else {"ala": own.ala}
            made_by = {name: part.model_dump(mode="json") for name, part in {**block, "train": own.train}.items()}
            chosen = trained.chosen
            about = {
                "variant": one, "seed": seed, "used": made_with, "encoder_sha256": sha256_of(encoder),
                "classes": train.names, "settings": made_by,
                "epoch": trained.epoch, "phase": chosen["phase"], "epochs_run": len(trained.curve),
                "validation": {key: value for key, value in chosen.items() if key in CURVE[CURVE.index("val_loss"):]},
            }  # fmt: skip
            folder = out / one / f"seed-{seed}"
            with atomic_folder(folder) as temporary:
                save_model(temporary, trained.model, about)
                save_curve(trained.curve, temporary / "curve.csv")
            print(f"{folder}: epoch {trained.epoch} of {len(trained.curve)}, val accuracy"
                  f" {chosen['val_accuracy_pb']:.3f}, val loss {chosen['val_loss']:.3f}, val mean IoU"
                  f" {chosen['val_miou']:.3f}")  # fmt: skip


def save_curve(curve: list[dict[str, Any]], path: Path) -> None:
    """Write one row per epoch."""
    import pandas as pd  # not before the training, which needs none

    from ala.training.variant import CURVE

    pd.DataFrame(curve, columns=CURVE).to_csv(path, index=False)


if __name__ == "__main__":
    typer.run(main)
