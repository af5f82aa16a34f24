"""RISE, insertion and deletion: how close they come to the bare model's speed, and what other libraries need.

    make bench        (python -m benchmarks.perturbation)

Every job is done by this library (`ala`), by a plain port of the published algorithm (`plain`: one image at a time,
all masks stored, one forward pass per step) and by the libraries that `make bench` installs. All run the same timm
network with random weights on the same images; `efficiency` is images per second over the bare model's, which is timed
in turns with the job (benchmarks/engine/paired.py): median, smallest and largest of at least five turns.

All of it ends after about `--budget` seconds. So an image has as many masks or steps as that leaves time for, as the
line above the table tells (benchmarks/engine/budget.py), and of many images only the first few are timed: `ala` is
given all of them, but predictions come at once after the last turn; the others are given no more images than their
turns need. `forwards` counts the images that were timed.

`agreement` is the largest difference from `plain` (a value of a map, a point or the area of a curve; of bf16: from
plain float32). `peak_memory_mb` is above model and inputs, the activations of the forward passes included, those of
the bare model, too.

Writes a line of benchmarks/results/ENVIRONMENT-perturbation.csv as soon as it is known, and in the end the same table
into docs/performance.md.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ala.utils.process import keep_freed_memory

IMAGES = (1, 16, 64)


def environment(device: Any) -> str:
    """The first part of the results' file name."""
    import torch

    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device)).lower().replace(" ", "-")
    return f"cpu-{os.cpu_count()}-cores"


def rows_of(job: Any, model: Any, turns: int, others: list[str], bf16: bool) -> Iterator[dict[str, Any]]:
    """The lines of one job, as they are measured: `plain`, `ala`, `ala` in bf16 where wanted, and `others`."""
    import numpy as np

    from ala.perturbation import Running
    from benchmarks.engine import ours
    from benchmarks.engine.budget import TURNS
    from benchmarks.engine.paired import measured
    from benchmarks.engine.peers import PASSES, PEERS

    _ = job.image_source, job.targets, job.maps, job.full  # made before memory and time are taken
    alone = job.images == 1

    def timed(
        run: Any, passes: int = 1, subject: Any = model, engine: bool = False
    ) -> tuple[Any, dict[str, float], int]:
        """What :func:`measured` gives, by those who need so many forward passes for each of ours.

        A turn is as many images as an image has, or a fifth of those of the only image. `run` is given the number of
        images that this needs.
        """
        least = (
            max(1, job.perturbed * passes // TURNS // job.batch) * job.batch if alone else max(job.perturbed, job.batch)
        )
        count = min(job.images, -(-turns * least // (job.perturbed * passes)))
        return *measured(partial(run, count), subject, least, job.batch, turns, job.device, engine, alone), count

    def line(who: str, facts: dict[str, float], agreement: float | None, precision: str = "fp32") -> dict[str, Any]:
        keys = ("forwards", "efficiency", "efficiency_min", "efficiency_max", "peak_memory_mb")
        return {"implementation": who, "precision": precision, **{key: facts[key] for key in keys},
                "agreement": agreement}  # fmt: skip

    expected, facts, few = timed(lambda count, model: ours.plain(job, model, count))
    yield line("plain", facts, 0.0)
    for precision in ("fp32", "bf16") if bf16 else ("fp32",):
        subject = model if precision == "fp32" else Running(model, "bf16")
        found, facts, _ = timed(lambda count, model: ours.ala(job, model), subject=subject, engine=True)
        seen = min(few, int(facts["forwards"]) // job.perturbed)  # images whose perturbed images were all predicted
        yield line("ala", facts, difference(found[:seen], expected[:seen]), precision)
    for peer in others:
        found, facts, count = timed(
            lambda count, model, peer=peer: PEERS[job.kind][peer](job, model, count), PASSES.get(peer, 1)
        )
        agreement = None
        if found is not None:
            area = np.ndim(found) == 0  # the mean one of the curves
            agreement = difference(found, mean_area(job, model, expected[:count]) if area else expected[:count])
        yield line(peer, facts, agreement)


def difference(found: Any, expected: Any) -> float:
    """The largest, over points that both have."""
    import numpy as np

    return float(np.nanmax(np.abs(found - expected)))


def mean_area(job: Any, model: Any, curves: Any) -> float:
    """The mean area under the curves of the first images, with the model's predictions to whole images at their
    ends."""
    import numpy as np

    from ala.metrics.curves import area
    from ala.perturbation import predict

    rows = np.arange(len(curves))
    whole = predict(model, job.image_source, rows, job.batch, job.device)[rows, job.targets[rows]]
    ends = np.column_stack([curves[:, :-1], whole] if job.kind == "insertion" else [whole, curves[:, 1:]])
    return float(area(ends).mean())


def main(
    budget: Annotated[float, typer.Option(help="Seconds for everything.")] = 800.0,
    model: Annotated[list[str] | None, typer.Option(help="timm names; may be repeated. Default: ViT-Ti/16, ViT-B/16.")]
    = None,
    images: Annotated[list[int] | None, typer.Option(help="Numbers of images; may be repeated.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images per forward pass, of all implementations.")] = 16,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    bf16: Annotated[bool | None, typer.Option(help="Time `ala` in bfloat16, too. Default: on a GPU.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/performance.md"),
) -> None:  # fmt: skip
    """Measure every job and write the table."""
    end = time.perf_counter() + budget
    os.environ["TQDM_DISABLE"] = "1"  # before it is imported: a line for each measurement tells more than its bar
    import pandas as pd

    from ala.report.readme import update
    from ala.utils.device import resolve
    from ala.utils.threads import in_flight
    from benchmarks.engine import budget as planned
    from benchmarks.engine.jobs import IMAGE_SIZE, JOBS, MODELS, Job, Model
    from benchmarks.engine.paired import images_per_second
    from benchmarks.engine.peers import MODULES, PEERS, installed

    where = resolve(device)
    missing = {peer: why for peer in MODULES if (why := installed(peer))}
    for peer, why in missing.items():
        print(f"{peer} is left out: {why}", file=sys.stderr)
    others = {kind: [peer for peer in PEERS[kind] if peer not in missing] for kind in JOBS}
    bf16 = where.type == "cuda" if bf16 is None else bf16
    cells = {kind: 2 + bf16 + len(others[kind]) for kind in JOBS}  # measurements of one job
    names, counts = list(dict.fromkeys(model or MODELS)), images or list(IMAGES)
    networks = {name: Model(name, where) for name in names}
    batches = dict.fromkeys(networks, batch)
    rows: list[dict[str, Any]] = []
    about = []
    file = out / f"{environment(where)}-perturbation.csv"
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        rest = names[names.index(name) :]  # planned again for each model, with the time that the last one left
        rates = {one: images_per_second(networks[one], batches[one], where) for one in rest}
        of_each = len(counts) * sum(cells.values())
        paces = planned.paces(rates, batches, in_flight(IMAGE_SIZE, where), of_each, end - time.perf_counter())
        pace, left = paces[name], [paces[one] for one in rest for _ in range(of_each)]
        about.append(f"{name}: {pace.steps} masks or steps an image ({pace.steps * planned.ALONE} where it is the only"
                     f" one), {pace.batch} images a forward pass, bare model {pace.rate:.3g} images/s")  # fmt: skip
        print(about[-1], file=sys.stderr)
        for count, kind in itertools.product(counts, JOBS):
            steps = pace.steps * (planned.ALONE if count == 1 else 1)
            job, before = Job(kind, count, steps, pace.batch, where), len(rows)
            turns = planned.turns(left, end - time.perf_counter())
            for line in rows_of(job, networks[name], turns, others[kind], bf16):
                row = {"job": kind, "model": name, "images": count, "implementation": line.pop("implementation"),
                       "device": where.type, **line}  # fmt: skip
                rows.append(row)
                rows[before:] = sorted(rows[before:], key=lambda row: row["implementation"] != "ala")  # ours first
                pd.DataFrame(rows).to_csv(file, index=False, float_format="%.4g")
                left.pop(0)
                print(f"[{left_of(end)}, {len(left)} to go] {kind}, {name}, images: {count}, {row['implementation']}"
                      f" {row['precision']}: {row['efficiency']:.2f} ({row['efficiency_min']:.2f} to"
                      f" {row['efficiency_max']:.2f})", file=sys.stderr)  # fmt: skip
    table = pd.DataFrame(rows)
    shown = table.drop(columns=["device"]).round({key: 2 for key in table if "efficiency" in key})
    text = f"{'; '.join(about)}.\n\n{shown.round({'peak_memory_mb': 0}).to_markdown(index=False)}"
    update(page, text, "engine" if where.type == "cpu" else "engine on a GPU")
    typer.echo(text)
    typer.echo(f"{budget - end + time.perf_counter():.0f} seconds; {file}")


def left_of(end: float) -> str:
    """What is left of the budget, in words."""
    seconds = round(end - time.perf_counter())
    minutes, rest = divmod(abs(seconds), 60)
    return f"{minutes}:{rest:02d} {'left' if seconds >= 0 else 'over'}"


if __name__ == "__main__":
    keep_freed_memory()  # as stages do
    typer.run(main)
