"""Stage `edge`: scores of fixes of the main model's maps, and the errors that the maps make, one seed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ala.config import load
from ala.utils.errors import reported
from ala.utils.files import atomic_folder, write_json

Seed = Annotated[int, typer.Option(help="The seed of the trained model.")]
Params = Annotated[Path, typer.Option(help="The settings; the switches aea and sbn name the main model.")]
StoreFolder = Annotated[Path, typer.Option(help="Photos and masks by side length, from the stage `store`.")]
ModelsFolder = Annotated[Path, typer.Option(help="encoder/ and one folder per trained model.")]
MapsFolder = Annotated[Path, typer.Option(help="What the stage `explain` wrote.")]
ScoresFolder = Annotated[Path, typer.Option(help="What `evaluate` wrote; edge/seed-SEED is added in this folder.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]


def main(
    seed: Seed,
    params: Params = Path("params.yaml"),
    store: StoreFolder = Path("data/store"),
    models: ModelsFolder = Path("models"),
    maps: MapsFolder = Path("maps"),
    scores: ScoresFolder = Path("scores"),
    device: Device = "auto",
) -> None:
    """Fix the main model's maps by the photo's edges and by two rivals, and say what errors the maps make.

    kappa of the edge fix, and radius and eps of the guided filter, are chosen by mean IoU on validation photos. Then
    every fix is scored on test photos: IoU on all, insertion and deletion on metrics.images_per_class of each class.

    Writes SCORES/edge/seed-SEED/edge.csv (one row per fix and photo), errors.csv (one row per threshold rule and
    photo) and summary.json (what was chosen, by which validation scores, and means).

    Example: python -m stages.edge --seed 0
    """
    with reported():
        import pandas as pd

        from ala.contracts import scores as table
        from ala.contracts.maps import Maps
        from ala.contracts.seal import check, seal
        from ala.data.store import Store
        from ala.explainers import refine
        from ala.explainers.methods import load_explained
        from ala.metrics import error_rows, fix_tables, fixes
        from ala.metrics.score import Probe
        from ala.utils.device import resolve
        from ala.utils.kept import keeping, stage_work

        settings, where = load(params), resolve(device)
        data, metrics, method = settings.active.data, settings.active.metrics, settings.main_variant
        val, test = (Store.open(store / str(data.input_size), split) for split in ("val", "test"))
        folder = maps / method / f"seed-{seed}"
        val_maps, test_maps = Maps.load(folder / "val.npz"), Maps.load(folder / "test.npz")
        check(scores / method / f"seed-{seed}", f"dvc repro evaluate@{seed}")
        earned = table.load(scores / method / f"seed-{seed}" / "scores.csv")
        work = stage_work(
            f"edge/seed-{seed}",
            {**settings.deciding(), "seed": seed},
            [models / "encoder", models / method / f"seed-{seed}", maps, scores / method / f"seed-{seed}"],
            store,
            where,
        )
        with keeping(work):
            # The model first: where it is missing or damaged, nothing has been tried in vain.
            model = load_explained(method, seed, settings, models, where).classifier
            photos = Store.open(store / str(model.preprocessing.size), "test")
            probe = Probe.of(model, photos, metrics.batch, where, settings.active.engine)

            tau = error_rows.val_tau(val_maps, val, data.mask_threshold)
            errors = error_rows.error_rows(test_maps, test, data.mask_threshold, earned, tau, seed)

            edge, guided = settings.active.edge, settings.active.edge.guided
            kappa, by_kappa = fixes.best(
                {kappa: partial(refine.edge, kappa=kappa, settings=edge) for kappa in edge.kappas},
                val_maps, val, data.mask_threshold,
            )  # fmt: skip
            (radius, eps), by_window = fixes.best(
                {(r, e): partial(refine.guided, radius=r, eps=e) for r in guided.radius for e in guided.eps},
                val_maps, val, data.mask_threshold,
            )  # fmt: skip
            _, unfixed = fixes.best({"original": refine.original}, val_maps, val, data.mask_threshold)

            chosen: dict[str, fixes.Fix] = {
                "ala+edge": partial(refine.edge, kappa=kappa, settings=edge),
                "ala+largest": refine.largest,
                "ala+guided": partial(refine.guided, radius=radius, eps=eps),
            }
            parts = [fixes.original_rows(earned)] + [
                fixes.score_fix(name, fix, test_maps, test, data.mask_threshold, probe, metrics, seed)
                for name, fix in chosen.items()
            ]
            rows = pd.concat(parts, ignore_index=True)
            means = rows.groupby("fix")[["iou", "insertion", "deletion", "id"]].mean()
            summary = {
                "model": method, "seed": seed, "kappa": kappa, "radius": radius, "eps": eps, "tau_val": tau,
                "n_val": len(val), "n_images": len(test), "n_perturbed": int(parts[0]["insertion"].notna().sum()),
                "used": probe.used,
                "val_miou": {
                    "original": unfixed["original"],
                    "kappa": [{"kappa": k, "miou": value} for k, value in by_kappa.items()],
                    "guided": [{"radius": r, "eps": e, "miou": value} for (r, e), value in by_window.items()],
                },
                "test": {name: {kind: float(value) for kind, value in means.loc[name].items()} for name in means.index},
                "empty": {name: int(count) for name, count in rows.groupby("fix")["empty"].sum().items()},
            }  # fmt: skip
            with atomic_folder(scores / "edge" / f"seed-{seed}") as out:
                fix_tables.save(rows, out / "edge.csv")
                fix_tables.save(errors, out / "errors.csv")
                write_json(out / "summary.json", summary)
                seal(out)
            print(f"chosen on validation: kappa {kappa:g}, guided filter of radius {radius} and eps {eps:g}")
            for name in fix_tables.FIXES:
                print("{}: mIoU {iou:.3f}, insertion {insertion:.3f}, deletion {deletion:.3f}, ID {id:.3f}".format(
                      name, **means.loc[name]))  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
