"""RISE, insertion and deletion: how close they come to the bare model's speed, and what other libraries need.

    make bench        (python -m benchmarks.perturbation)

Every job is done by this library (`ala`), by a plain port of the published algorithm (`plain`: one photo at a time,
all masks stored, one forward pass per step) and by the libraries that `make bench` installs. All run the same timm
network with random weights on the same photos; `efficiency` is images per second over the bare model's, which is timed
in turns with the job, a few forward passes each (benchmarks/engine/paired.py): median, smallest and largest of at least
five turns. Those who work photo by photo do the first photos only, as many as the turns need (`forwards` counts what
was timed). `agreement` is the largest difference from `plain` (a value of a map, a point or the area of a curve; of
bf16: from plain float32). `peak_memory_mb` is above model and inputs, the activations of the forward passes included.

Writes benchmarks/results/ENVIRONMENT-perturbation.csv after each job, and the same table into docs/performance.md.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

IMAGES = (1, 16, 64)


def environment(device: Any) -> str:
    """The first part of the results' file name."""
    import torch

    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device)).lower().replace(" ", "-")
    return f"cpu-{os.cpu_count()}-cores"


def rows_of(job: Any, name: str, model: Any, peers: list[str], bf16: bool) -> list[dict[str, Any]]:
    """The lines of one job: `ala`, `ala` in bf16 where wanted, `plain`, and `peers`."""
    import numpy as np

    from ala.perturb import Running
    from benchmarks.engine import ours
    from benchmarks.engine.paired import measured
    from benchmarks.engine.peers import PEERS

    few = min(job.images, -(-job.at_least // job.frames))  # photos of those who work photo by photo
    expected, of_plain = measured(lambda timed: ours.plain(job, timed, few), model, job.batch, job.device)
    found, of_ala = measured(partial(ours.ala, job), model, job.batch, job.device, engine=True)
    lines = [("ala", "fp32", of_ala, difference(found[:few], expected))]
    if bf16:
        found, of_ala = measured(partial(ours.ala, job), Running(model, "bf16"), job.batch, job.device, engine=True)
        lines.append(("ala", "bf16", of_ala, difference(found[:few], expected)))
    lines.append(("plain", "fp32", of_plain, 0.0))
    for peer in peers:
        found, of_peer = measured(lambda timed, peer=peer: PEERS[job.kind][peer](job, timed, few), model, job.batch,
                                  job.device)  # fmt: skip
        if found is not None and np.ndim(found) == 0:  # the mean area of the curves
            agreement = abs(float(found) - mean_area(replace(job, images=few), model))
        else:
            agreement = None if found is None else difference(found, expected)
        lines.append((peer, "fp32", of_peer, agreement))
    keys = ("forwards", "efficiency", "efficiency_min", "efficiency_max", "peak_memory_mb")
    return [
        {"job": job.kind, "model": name, "images": job.images, "implementation": who, "device": job.device.type,
         "precision": precision, **{key: facts[key] for key in keys}, "agreement": agreement}
        for who, precision, facts, agreement in lines
    ]  # fmt: skip


def difference(found: Any, expected: Any) -> float:
    """The largest, over points that both have."""
    import numpy as np

    return float(np.nanmax(np.abs(found - expected)))


def mean_area(job: Any, model: Any) -> float:
    """The mean area under our curves, with the model's own answers to whole photos at their ends."""
    import numpy as np

    from ala.metrics.curves import area
    from ala.perturb import predict
    from benchmarks.engine import ours

    rows = np.arange(job.images)
    curves = ours.ala(job, model)
    curves[:, -1 if job.kind == "insertion" else 0] = predict(model, job.photos, rows, job.batch, job.device)[
        rows, job.targets
    ]
    return float(area(curves).mean())


def main(
    seconds: Annotated[float, typer.Option(help="Least seconds of forward passes of one implementation.")] = 1.0,
    model: Annotated[list[str] | None, typer.Option(help="timm names; may be repeated. Default: ViT-Ti/16, ViT-B/16.")]
    = None,
    images: Annotated[list[int] | None, typer.Option(help="Numbers of photos; may be repeated.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images per forward pass. Default: what a trial finds.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    bf16: Annotated[bool, typer.Option(help="Time `ala` in bfloat16, too.")] = True,
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/performance.md"),
) -> None:  # fmt: skip
    """Measure every job and write the table."""
    import pandas as pd

    from ala.perturb import best_batch
    from ala.report.readme import update
    from ala.runtime.device import resolve
    from ala.runtime.progress import track
    from benchmarks.engine.jobs import JOBS, MODELS, SIDE, Job, Model
    from benchmarks.engine.paired import images_per_second
    from benchmarks.engine.peers import MODULES, PEERS, installed

    where = resolve(device)
    missing = {peer: why for peer in MODULES if (why := installed(peer))}
    for peer, why in missing.items():
        print(f"{peer} is left out: {why}", file=sys.stderr)
    rows: list[dict[str, Any]] = []
    cells = [(name, count, kind) for name in model or MODELS for count in images or IMAGES for kind in JOBS]
    network, current, size, least = None, "", 0, 0
    began = time.perf_counter()
    for name, count, kind in track(cells, "perturbation", unit="job"):
        if name != current:
            network, current = Model(name, where), name
            size = batch or best_batch(network, SIDE, where)
            least = max(6 * size, round(seconds * images_per_second(network, size, where)))
        job = Job(kind, count, least, size, where)
        peers = [peer for peer in PEERS[kind] if peer not in missing]
        rows += rows_of(job, name, network, peers, bf16)
        out.mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame(rows)
        file = out / f"{environment(where)}-perturbation.csv"
        table.to_csv(file, index=False, float_format="%.4g")
    shown = table.drop(columns=["device"]).round({key: 2 for key in table if "efficiency" in key})
    text = shown.round({"peak_memory_mb": 0}).to_markdown(index=False)
    update(page, text, "engine" if where.type == "cpu" else "engine on a GPU")
    typer.echo(text)
    typer.echo(f"{time.perf_counter() - began:.0f} seconds; {file}")


if __name__ == "__main__":
    typer.run(main)
