"""Stage `protocols`: all methods under all protocols, and on one common model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ala.config import load
from ala.utils.errors import reported
from ala.utils.files import atomic_folder, write_json

Seed = Annotated[int, typer.Option(help="The seed of the trained models.")]
Params = Annotated[Path, typer.Option(help="The settings; the profile they name is used.")]
StoreFolder = Annotated[Path, typer.Option(help="Photos and masks by side length, from the stage `store`.")]
ModelsFolder = Annotated[Path, typer.Option(help="encoder/ and one folder per trained model.")]
MapsFolder = Annotated[Path, typer.Option(help="What the stages `explain` and `rise` wrote.")]
ScoresFolder = Annotated[Path, typer.Option(help="Scores are written to protocols/seed-SEED in this folder.")]
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
    """Score every map under every protocol, to see which conclusions hang on the protocol (docs/protocols.md).

    The lab protocol with both substrates, with and without quantisation, for the predicted and the true class, on the
    model that each map explains; localisation metrics; and the official protocol with all maps on one model, the main
    one. Everything on the photos of metrics.images_per_class.

    Writes SCORES/protocols/seed-SEED/{lab,localisation,common}.csv, one row per photo, and summary.json with
    MaxBoxAcc, MaxBoxAccV2 and PxAP, which are of all photos together, and with precision, device, threads and batch.

    Example: python -m stages.protocols --seed 0
    """
    with reported():
        import json

        import pandas as pd

        from ala.contracts.maps import Maps
        from ala.contracts.seal import check, seal
        from ala.data.store import Store
        from ala.explainers.methods import METHODS, load_explained
        from ala.explainers.trivial import METHODS as TRIVIAL
        from ala.metrics.protocols import common_scores, lab_scores, localise
        from ala.metrics.score import Probe, Truth
        from ala.utils.device import resolve
        from ala.utils.kept import keeping, stage_work

        settings, where = load(params), resolve(device)
        data, metrics = settings.active.data, settings.active.metrics
        at_size = store / str(data.input_size)
        truth = Truth(Store.open(at_size, "val"), Store.open(at_size, "test"), data.mask_threshold)

        def probe_of(method: str) -> Probe:
            model = load_explained(method, seed, settings, models, where).classifier
            return Probe.of(
                model,
                Store.open(store / str(model.preprocessing.size), "test"),
                metrics.batch,
                where,
                settings.active.engine,
            )

        work = stage_work(
            f"protocols/seed-{seed}",
            {**settings.deciding(), "seed": seed},
            [models / "encoder", *sorted(models.glob(f"*/seed-{seed}")), *sorted(maps.glob(f"*/seed-{seed}"))],
            store,
            where,
        )
        with keeping(work):
            main_probe = probe_of("rise")
            lab, places, common = [], [], []
            summary: dict[str, dict[str, Any]] = {}
            for method in METHODS:
                folder = scores / method / f"seed-{seed}"
                check(folder, f"dvc repro evaluate@{seed} evaluate_main@{seed}")
                earned = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
                on_main = method in ("rise", "trivial", settings.main_variant)
                probe = main_probe if on_main else probe_of(method)
                for name in [f"{one}-test" for one in TRIVIAL] if method == "trivial" else ["test"]:
                    content = Maps.load(maps / method / f"seed-{seed}" / f"{name}.npz")
                    rows, forwards = lab_scores(content, truth, probe, metrics, seed)
                    found = localise(content, truth, metrics, seed, earned[content.method]["tau_val"])
                    lab.append(rows)
                    places.append(found.rows)
                    summary[content.method] = {
                        **found.whole, "lab_forwards": forwards, "common_forwards": 0,
                        "used": probe.used, "used_common": main_probe.used,
                    }  # fmt: skip
                    if not on_main:  # for the others the stage `evaluate` has measured just that
                        rows, forwards = common_scores(content, truth, main_probe, metrics, seed)
                        common.append(rows)
                        summary[content.method]["common_forwards"] = forwards

            with atomic_folder(scores / "protocols" / f"seed-{seed}") as out:
                for file, parts in (("lab", lab), ("localisation", places), ("common", common)):
                    pd.concat(parts, ignore_index=True).to_csv(out / f"{file}.csv", index=False, lineterminator="\n")
                write_json(out / "summary.json", summary)
                seal(out)
            for name, whole in summary.items():
                print(
                    "{}: MaxBoxAcc {maxboxacc:.3f}, MaxBoxAccV2 {maxboxaccv2:.3f}, PxAP {pxap:.3f}".format(
                        name, **whole
                    )
                )


if __name__ == "__main__":
    typer.run(main)
