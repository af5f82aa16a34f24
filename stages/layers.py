"""Stage `layers`: ABN on each encoder layer in turn, and the contribution of each encoder feature to ALA."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ala.config import load
from ala.utils.errors import reported
from ala.utils.files import atomic_folder, write_json

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from ala.config.schema import Profile
    from ala.metrics.score import Scored, Truth
    from ala.model.explained import ExplainedModel

Seed = Annotated[int, typer.Option(min=0, help="Seed of ABN's training, and of the ALA model that is looked into.")]
Params = Annotated[Path, typer.Option(help="The settings; layers.abn of the profile they name lists the layers.")]
StoreFolder = Annotated[Path, typer.Option(help="Photos and masks by side length, from the stage `store`.")]
ModelsFolder = Annotated[Path, typer.Option(help="encoder/ and one folder per trained model.")]
ScoresFolder = Annotated[Path, typer.Option(help="Scores are written to layers/seed-SEED in this folder.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]


def main(
    seed: Seed,
    params: Params = Path("params.yaml"),
    store: StoreFolder = Path("data/store"),
    models: ModelsFolder = Path("models"),
    scores: ScoresFolder = Path("scores"),
    device: Device = "auto",
) -> None:
    """Train and score ABN on every layer of layers.abn; weigh and knock out the taps of ALA's SBN.

    ABN reads one chosen layer (slide 6 calls the choice arbitrary), ALA several. All else of ABN stays as it is, and
    no layer is chosen by what this stage finds: abn.layer comes from validation photos. The layer abn.layer itself is
    taken from models/abn.

    Writes SCORES/layers/seed-SEED/scores.csv (per photo, methods `abn-layer-K`), taps.csv (per tap: its share, and
    mean IoU and accuracy on test photos without it) and summary.json.

    Example: python -m stages.layers --seed 0
    """
    with reported():
        import pandas as pd

        from ala.config.schema import variant_name
        from ala.contracts import scores as table
        from ala.contracts.compute import used
        from ala.contracts.seal import seal
        from ala.data.store import Store
        from ala.encoders import shared_encoder
        from ala.metrics.score import Truth
        from ala.model.checkpoint import load_model, read_about
        from ala.training.variant import train_variant
        from ala.utils.checkpoint import Checkpoint
        from ala.utils.device import resolve
        from ala.utils.kept import keeping, stage_work, where_run

        settings, where = load(params), resolve(device)
        profile, size = settings.active, settings.active.data.input_size
        train = Store.open(store / str(profile.train.augment.resize or size), "train")
        truth = Truth(
            Store.open(store / str(size), "val"), Store.open(store / str(size), "test"), profile.data.mask_threshold
        )
        encoder = shared_encoder(models / "encoder", where)
        work = stage_work(
            f"layers/seed-{seed}",
            {**settings.deciding(), "seed": seed},
            [models / "encoder", *sorted(models.glob(f"*/seed-{seed}"))],
            store,
            where,
        )
        made_with = used(where, profile.train.precision, profile.train.batch)
        with keeping(work):
            scored = []
            for layer in profile.layers.abn:
                if layer == profile.abn.layer:
                    model = load_model(models / "abn" / f"seed-{seed}", models / "encoder", where)
                    trained = read_about(models / "abn" / f"seed-{seed}").get("used")
                else:
                    abn = profile.abn.model_copy(update={"layer": layer})
                    other = profile.model_copy(update={"abn": abn})
                    decides = other.model_dump(mode="json", include={"abn", "train", "data"})
                    name = f"layers/seed-{seed}/abn-layer-{layer}"
                    decides |= {"seed": seed, **where_run(store, where)}
                    checkpoint = Checkpoint.of(name, decides, [models / "encoder"], ["ala"])
                    model = train_variant(
                        "abn", other, encoder, train, truth.val, len(train.names), seed,
                        device=where, checkpoint=checkpoint,
                    ).model  # fmt: skip
                    trained = made_with
                scored.append(score_layer(model, layer, truth, profile, seed, where))
                scored[-1].summary["used_in_training"] = trained
            variant = variant_name(aea=True, sbn=True)  # row (iii), whatever the main model is
            ala = load_model(models / variant / f"seed-{seed}", models / "encoder", where)
            taps = weigh_taps(ala, truth, profile, seed, where)

            with atomic_folder(scores / "layers" / f"seed-{seed}") as out:
                table.save(pd.concat([each.rows for each in scored], ignore_index=True), out / "scores.csv")
                taps.to_csv(out / "taps.csv", index=False, lineterminator="\n")
                write_json(out / "summary.json", {each.summary["method"]: each.summary for each in scored})
                seal(out)
            for each in scored:
                print("{method}: accuracy {accuracy:.3f}, mIoU {miou_mean_std:.3f}, ID {id:.3f}".format(**each.summary))
            print(taps.to_string(index=False, float_format="{:.3f}".format))


def score_layer(
    model: ExplainedModel, layer: int, truth: Truth, profile: Profile, seed: int, device: torch.device
) -> Scored:
    """Scores of ABN on `layer`, as the stage `evaluate` makes them, under the name `abn-layer-LAYER`."""
    from ala.explainers.methods import Explained, own_maps
    from ala.metrics.score import Probe, score

    explained = Explained(f"abn-layer-{layer}", model, model.explain, calibrated=False)
    val, test = (own_maps(explained, photos, profile.metrics.batch, device) for photos in (truth.val, truth.test))
    probe = Probe.of(model, truth.test, profile.metrics.batch, device, profile.engine)
    return score(val, test, truth, probe, profile.metrics, seed)


def weigh_taps(model: ExplainedModel, truth: Truth, profile: Profile, seed: int, device: torch.device) -> pd.DataFrame:
    """One row per tap of ALA's SBN: `seed, tap, block, n_images, share, miou_without, accuracy_without`, means over
    test photos; mean IoU by the mean + std rule."""
    import numpy as np
    import pandas as pd

    from ala.explainers.attention import explain_photos
    from ala.explainers.taps import side_branch, tap_shares, without_tap
    from ala.metrics.iou import mean_std_ious
    from ala.perturbation import predict as probabilities

    test, batch = truth.test, profile.metrics.batch
    every = np.arange(len(test))
    shares = tap_shares(model, test, every, batch, device)
    lines = []
    for tap, block in side_branch(model).fusion_map.items():
        with without_tap(model, tap):
            maps = explain_photos(model.explain, model.preprocessing, test, every, batch, device, f"without tap {tap}")
            answers = probabilities(model, test, every, batch, device, f"predict without tap {tap}").argmax(axis=1)
        found = mean_std_ious(maps, lambda rows: test.foreground(rows, truth.mask_threshold), test.size)
        lines.append(
            {"seed": seed, "tap": tap, "block": block, "n_images": len(test), "share": shares[tap].mean(),
             "miou_without": found.mean(), "accuracy_without": (answers == test.labels).mean()}
        )  # fmt: skip
    return pd.DataFrame(lines)


if __name__ == "__main__":
    typer.run(main)
