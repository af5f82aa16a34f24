"""Train F-CAM, a classifier and then a decoder over its features, with one seed, and keep it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from ala.config.inputs import fcam_file
from ala.contracts.compute import used
from ala.explainers.fcam import save_fcam, train_fcam
from ala.pipeline.context import Context
from ala.utils.checkpoint import Checkpoint

#: A change of any of these restarts an unfinished training.
CODE = ["ala.explainers.fcam", "ala.training.loop", "ala.encoders.weights", "ala.data.image_cache", "ala.contracts",
        "ala.utils.seeds"]  # fmt: skip


def fcam(context: Context, out: Path) -> dict[str, Any]:
    """Train F-CAM as the block `fcam` of the active profile says; write the model into `out`/seed-SEED.

    A killed training goes on after its last epoch. No mask is read.

    Returns:
        About the kept classifier and decoder, as in model.json.

    Raises:
        UserError: the weights do not fit the backbone, or a loss is no number.
    """
    settings, seed, device = context.profile.fcam, context.seed, context.device
    given = fcam_file(settings, context.settings.inputs.path("fcam"))
    train_size = settings.resize or settings.input_size
    train, val = context.split("train", train_size), context.split("val", settings.input_size)
    made_with = {part: used(device, "fp32", getattr(settings, part).batch) for part in ("classifier", "decoder")}
    decides = {"fcam": settings.model_dump(mode="json"), "seed": seed, "timm": version("timm"), "device": str(device),
               "used": made_with}  # fmt: skip
    inputs = [context.images / str(train_size), context.images / str(settings.input_size)]
    inputs += [given] if given is not None else []
    checkpoint = Checkpoint.of(f"fcam/seed-{seed}", decides, inputs, CODE)
    trained = train_fcam(train, val, settings, seed, device, checkpoint, given)
    save_fcam(out / f"seed-{seed}", trained, made_with)
    return trained.about
