"""Stages `evaluate` and `evaluate_main`: the scores of one or more methods, one seed."""

from __future__ import annotations

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
        help="aea-{true,false}-sbn-{true,false}, abn, fcam, rise or trivial (all four at once); may be repeated.",
    ),
]
Seed = Annotated[int, typer.Option(help="The seed of the trained model.")]
Params = Annotated[Path, typer.Option(help="The settings; the profile they name is used.")]
StoreFolder = Annotated[Path, typer.Option(help="Photos and masks by side length, from the stage `store`.")]
ModelsFolder = Annotated[Path, typer.Option(help="encoder/ and one folder per trained model.")]
MapsFolder = Annotated[Path, typer.Option(help="What the stage `explain` wrote.")]
ScoresFolder = Annotated[Path, typer.Option(help="Scores are written to METHOD/seed-SEED in this folder.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]


def main(
    method: Methods,
    seed: Seed,
    params: Params = Path("params.yaml"),
    store: StoreFolder = Path("data/store"),
    models: ModelsFolder = Path("models"),
    maps: MapsFolder = Path("maps"),
    scores: ScoresFolder = Path("scores"),
    device: Device = "auto",
) -> None:
    """Score maps: IoU with the masks under four threshold rules, insertion and deletion on the model they explain.

    Reads maps, photos, masks and the model (`rise` and `trivial` are probed on the main model). IoU is taken on all
    test photos that have a map, insertion and deletion on metrics.images_per_class photos of each class.

    Writes SCORES/METHOD/seed-SEED/scores.csv (one row per photo and method), curves.npz (insertion and deletion step
    by step; true_class.npz: of the true class), summary.json (by method: means, counts, the threshold found on
    validation, and precision, device, threads and batch of the evaluated model) and SHA256SUMS, by which the report
    refuses scores that were edited.

    Example: python -m stages.evaluate --method rise --seed 0
    """
    with reported():
        import pandas as pd

        from ala.contracts import scores as table
        from ala.contracts.maps import Maps
        from ala.contracts.seal import seal
        from ala.data.store import Store
        from ala.explainers.methods import check, load_explained
        from ala.explainers.trivial import METHODS as TRIVIAL
        from ala.metrics.curves import Curves
        from ala.metrics.score import Probe, Truth, score
        from ala.utils.device import resolve
        from ala.utils.kept import keeping, stage_work

        for one in method:
            check(one)
        settings, where = load(params), resolve(device)
        data, metrics = settings.active.data, settings.active.metrics
        inputs = [
            models / "encoder",
            *sorted(models.glob(f"*/seed-{seed}")),
            *(maps / one / f"seed-{seed}" for one in method),
        ]
        name = f"evaluate/{'+'.join(method)}/seed-{seed}"
        work = stage_work(name, {**settings.deciding(), "method": method, "seed": seed}, inputs, store, where)
        with keeping(work):
            for one in method:
                folder = maps / one / f"seed-{seed}"
                prefixes = [f"{name}-" for name in TRIVIAL] if one == "trivial" else [""]
                pairs = [(Maps.load(folder / f"{p}val.npz"), Maps.load(folder / f"{p}test.npz")) for p in prefixes]

                model = load_explained(one, seed, settings, models, where).classifier
                at_size = store / str(data.input_size)
                truth = Truth(Store.open(at_size, "val"), Store.open(at_size, "test"), data.mask_threshold)
                photos = Store.open(store / str(model.preprocessing.size), "test")
                probe = Probe.of(model, photos, metrics.batch, where, settings.active.engine)
                scored = [score(val, test, truth, probe, metrics, seed) for val, test in pairs]

                with atomic_folder(scores / one / f"seed-{seed}") as out:
                    table.save(pd.concat([each.rows for each in scored], ignore_index=True), out / "scores.csv")
                    Curves.join([each.curves for each in scored]).save(out / "curves.npz")
                    Curves.join([each.true_class for each in scored]).save(out / "true_class.npz")
                    write_json(out / "summary.json", {each.summary["method"]: each.summary for each in scored})
                    seal(out)
                for each in scored:
                    print("{method}: accuracy {accuracy:.3f}, mIoU {miou_mean_std:.3f}, insertion {insertion:.3f}, "
                          "deletion {deletion:.3f}, ID {id:.3f}".format(**each.summary))  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
