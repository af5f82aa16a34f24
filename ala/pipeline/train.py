"""Train one model with one seed, and keep it: ALA's variants, extensions of row (iii), and ABN."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ala.config.schema import Profile
from ala.contracts.compute import used
from ala.encoders import shared_encoder
from ala.metrics.iou import mean_std_ious
from ala.model.blueprint import check
from ala.model.checkpoint import save_model, sha256_of
from ala.pipeline.context import Context
from ala.training.variant import CURVE, Trained, train_variant
from ala.utils.checkpoint import Checkpoint
from ala.utils.files import atomic_folder

#: A change of any of these restarts an unfinished training.
CODE = ["ala.training", "ala.model", "ala.encoders", "ala.metrics.iou", "ala.data.image_cache", "ala.contracts",
        "ala.utils.seeds"]  # fmt: skip


def train(context: Context, variant: str, profile: Profile, out: Path, name: str) -> Trained:
    """Train `variant` as `profile` says beside the frozen encoder; keep the best state after an *on* epoch in `out`.

    The masks of validation images are read for the column val_miou alone, which decides nothing. A killed training goes
    on after its last epoch, and one that has ended is not done again.

    Args:
        variant: a key of :data:`ala.model.blueprint.VARIANTS`.
        profile: its `ala`, `abn`, `train` and `data` blocks are used.
        out: the model's folder, replaced as a whole: weights.safetensors, model.json, curve.csv.
        name: of the work.

    Raises:
        UserError: the settings do not fit the encoder or each other, or a loss is no number.
    """
    check(variant)
    size, encoder_folder = profile.data.input_size, context.encoder or context.models / "encoder"
    train_size = profile.train.augment.resize or size
    images, val = context.split("train", train_size), context.split("val", size)

    def diagnose(alpha: np.ndarray, index: np.ndarray) -> Mapping[str, float]:
        found = mean_std_ious(alpha, lambda some: val.foreground(index[some], profile.data.mask_threshold), size)
        return {"val_miou": float(found.mean())}

    made_with = used(context.device, profile.train.precision, profile.train.batch)
    blocks = profile.model_dump(mode="json", include={"ala", "abn", "train", "data"})
    decides = {"variant": variant, "seed": context.seed, "used": made_with, **blocks}
    inputs = [context.images / str(train_size), context.images / str(size), encoder_folder]
    checkpoint = Checkpoint.of(f"{name}/seed-{context.seed}", decides, inputs, CODE)
    encoder = shared_encoder(encoder_folder, context.device)
    trained = train_variant(
        variant, profile, encoder, images, val, len(images.names), context.seed,
        device=context.device, diagnose=diagnose, checkpoint=checkpoint,
    )  # fmt: skip
    block = {"abn": profile.abn} if variant == "abn" else {"ala": profile.ala}
    made_by = {one: part.model_dump(mode="json") for one, part in {**block, "train": profile.train}.items()}
    about = {
        "variant": out.parts[-2], "seed": context.seed, "used": made_with,
        "encoder_sha256": sha256_of(encoder_folder), "classes": images.names, "settings": made_by,
        "epoch": trained.epoch, "phase": trained.chosen["phase"], "epochs_run": len(trained.curve),
        "validation": {key: value for key, value in trained.chosen.items() if key in CURVE[CURVE.index("val_loss"):]},
    }  # fmt: skip
    with atomic_folder(out) as folder:
        save_model(folder, trained.model, about)
        save_curve(trained, folder / "curve.csv")
    return trained


def save_curve(trained: Trained, path: Path) -> None:
    """Write one row per epoch."""
    import pandas as pd  # not before the training, which needs none

    pd.DataFrame(trained.curve, columns=CURVE).to_csv(path, index=False)
