"""How close RISE, insertion and deletion come to the bare model's speed.

    python -m benchmarks.perturbation --seconds 4

Each job is done by this library (`ala`) and by a plain port of the published algorithm (`plain`: one photo at a time,
all masks stored; one forward pass per step). Both are timed in turns with the bare model on ready-made batches, and
`efficiency` is forward passes per second over the bare model's in the same turn: median, smallest and largest of the
turns. `agreement` is the largest difference of a result (importance, or a point of a curve) from `plain`'s. Peak memory
is that of a process of its own, above model and inputs. Weights are random: speed does not hang on them.

Writes benchmarks/results/ENVIRONMENT-perturbation.csv after each job, and at the end the same table into
docs/performance.md, between two markers.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ala.runtime.memory import keep_freed_memory

MODELS = {"vit_tiny_patch16_224": 64, "vit_base_patch16_224": 16}  # and the batch that suits them on a CPU
IMAGES = (1, 16, 64)
JOBS = ("rise", "insertion and deletion")
SIDE = 224


@dataclass(frozen=True)
class Setting:
    """One job: what is done with how many photos and frames per photo."""

    job: str
    model: str
    images: int
    frames: int

    @property
    def batch(self) -> int:
        return MODELS[self.model]


class Photos:
    """Random photos in memory."""

    def __init__(self, count: int) -> None:
        import numpy as np
        import torch

        self.image_ids = np.arange(count)
        self._pixels = torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.manual_seed(0))

    def pixels(self, rows: Any) -> Any:
        return self._pixels[rows]


def build(name: str) -> Any:
    """A timm network of 1,000 classes with random weights, as a Classifier."""
    import ala.runtime.torchvision_import  # noqa: F401 - before timm

    import timm  # isort: skip
    import torch

    from ala.contracts.preprocessing import Preprocessing

    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False).eval().requires_grad_(False)

    class Model:
        preprocessing = Preprocessing.named(SIDE, "imagenet")

        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            return network(images).softmax(1)  # (B, K)

    return Model()


def bare(setting: Setting, model: Any, frames: int) -> Callable[[], Any]:
    """`frames` forward passes on one ready batch."""
    import torch

    images = torch.randn(setting.batch, 3, SIDE, SIDE, generator=torch.manual_seed(1))

    @torch.inference_mode()
    def run() -> None:
        for start in range(0, frames, setting.batch):
            model(images[: min(setting.batch, frames - start)])

    return run


def ours(setting: Setting, model: Any, photos: Photos) -> Callable[[], Any]:
    """The job by this library."""
    import numpy as np

    from ala.config.schema import Rise
    from ala.explain.rise import rise_maps
    from ala.metrics.insertion_deletion import blur_kernel, insertion_deletion

    rows, device, targets, maps, full = inputs(setting, photos)
    if setting.job == "rise":
        settings = Rise(n_masks=setting.frames, grid=7, p1=0.5, seed=0, output="probabilities", batch=setting.batch)
        return lambda: rise_maps(model, photos, rows, targets, settings, device)

    def curves() -> Any:
        done = insertion_deletion(
            model, photos, rows, maps, full, method="random", step=step_of(setting), kernel=blur_kernel(11, 5.0),
            seed=0, batch=setting.batch, device=device,
        )  # fmt: skip
        return np.concatenate([done.insertion[:, :-1], done.deletion[:, 1:]], axis=1)

    return curves


def plain(setting: Setting, model: Any, photos: Photos) -> Callable[[], Any]:
    """The job as published, step by step."""
    import numpy as np
    import torch

    from ala.explain.rise import RiseMasks
    from ala.metrics.insertion_deletion import blur_kernel, blurred, order, shown_pixels

    rows, device, targets, maps, _ = inputs(setting, photos)

    @torch.inference_mode()
    def rise() -> Any:
        masks = RiseMasks.draw(setting.frames, 7, 0.5, SIDE, 0).render(0, setting.frames, device)  # (N, S, S), stored
        importance = []
        for row, target in zip(rows, targets, strict=True):
            image = model.preprocessing.normalise(photos.pixels([row]))  # (1, 3, S, S)
            masked = image * masks[:, None]  # (N, 3, S, S), stored
            answers = torch.cat([model(part)[:, target] for part in masked.split(setting.batch)])  # (N,)
            importance.append((answers @ masks.flatten(1) / (0.5 * len(masks))).view(SIDE, SIDE))
        return torch.stack(importance).numpy()

    @torch.inference_mode()
    def curves() -> Any:
        changed, kernel = shown_pixels(SIDE, step_of(setting)), blur_kernel(11, 5.0)
        points = []
        for row, target in zip(rows, targets, strict=True):
            image = model.preprocessing.normalise(photos.pixels([row]))  # (1, 3, S, S)
            blur, pixels = blurred(image, kernel), order(maps[row], int(photos.image_ids[row]), 0)
            sequence = [(blur, image, int(k)) for k in changed[:-1]]
            sequence += [(image, torch.zeros_like(image), int(k)) for k in changed[1:]]
            for begin, finish, count in sequence:
                frame = begin.clone().flatten(2)  # (1, 3, S * S)
                frame[:, :, pixels[:count]] = finish.flatten(2)[:, :, pixels[:count]]
                points.append(float(model(frame.view(1, 3, SIDE, SIDE))[0, target]))
        return np.array(points).reshape(len(rows), -1)

    return rise if setting.job == "rise" else curves


def inputs(setting: Setting, photos: Photos) -> tuple[Any, ...]:
    """Rows, device, target classes, maps and probabilities that both implementations start from."""
    import numpy as np
    import torch

    random = np.random.default_rng(0)
    targets = random.integers(0, 1000, setting.images)
    maps = random.random((setting.images, SIDE, SIDE), dtype=np.float32)
    full = np.eye(1000, dtype=np.float32)[targets]  # only its argmax decides
    return np.arange(setting.images), torch.device("cpu"), targets, maps, full


def step_of(setting: Setting) -> int:
    """Pixels per step, so that insertion and deletion together take about `setting.frames` forward passes."""
    return -(-SIDE * SIDE // max(2, setting.frames // 2))


def forwards(setting: Setting) -> int:
    """Forward passes of one photo."""
    return setting.frames if setting.job == "rise" else 2 * -(-SIDE * SIDE // step_of(setting))


MAKERS = {"ala": ours, "plain": plain}


def resident(field: str) -> float:
    """VmRSS (now) or VmHWM (the largest since the last reset) of this process, in megabytes; Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def peak(setting: Setting, implementation: str, pipe: Any) -> None:
    """In a process of its own: megabytes by which the job raises resident memory above model and inputs.

    Freed memory goes back to the kernel here, so the activations of the forward passes count.
    """
    model, photos = build(setting.model), Photos(setting.images)
    run = MAKERS[implementation](setting, model, photos)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    run()
    pipe.send(resident("VmHWM") - before)


def peak_memory(setting: Setting, implementation: str) -> float:
    """See :func:`peak`."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=peak, args=(setting, implementation, there))
    process.start()
    megabytes = float(here.recv())
    process.join()
    return megabytes


def measure(setting: Setting, turns: int) -> list[dict[str, Any]]:
    """The rows of one job."""
    import numpy as np

    model, photos = build(setting.model), Photos(setting.images)
    total = forwards(setting) * setting.images
    runs = {name: make(setting, model, photos) for name, make in MAKERS.items()}
    calls = {"bare": bare(setting, model, total), **runs}
    results = {name: np.asarray(call()) for name, call in calls.items() if name != "bare"}  # also warms up
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    rows = []
    for name in runs:
        shared_ends = name == "ala" and setting.job != "rise"  # whole photos once, the empty photo once for all
        made = total - setting.images + 1 if shared_ends else total
        share = [made / total * b / s for b, s in zip(seconds["bare"], seconds[name], strict=True)]
        rows.append({
            "job": setting.job, "model": setting.model, "images": setting.images, "implementation": name,
            "device": "cpu", "precision": "fp32", "forwards": made, "efficiency": statistics.median(share),
            "efficiency_min": min(share), "efficiency_max": max(share), "peak_memory_mb": peak_memory(setting, name),
            "agreement": float(np.abs(results[name] - results["plain"]).max()),
        })  # fmt: skip
    return rows


def main(
    seconds: Annotated[float, typer.Option(help="About how long one turn of the bare model takes.")] = 4.0,
    turns: Annotated[int, typer.Option(min=1, help="Timed turns of each implementation.")] = 5,
    model: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(MODELS)}; may be repeated.")] = None,
    images: Annotated[list[int] | None, typer.Option(help="Numbers of photos; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/performance.md"),
) -> None:
    """Measure every job and write the table."""
    import pandas as pd

    from ala.report.readme import update
    from ala.runtime.progress import track

    keep_freed_memory()
    rows: list[dict[str, Any]] = []
    cells = [(job, name, count) for name in model or MODELS for count in images or IMAGES for job in JOBS]
    rates: dict[str, float] = {}
    for job, name, count in track(cells, "perturbation", unit="job"):
        if name not in rates:  # forward passes per second of the bare model
            call = bare(Setting(job, name, 1, 0), build(name), 4 * MODELS[name])
            call()
            began = time.perf_counter()
            call()
            rates[name] = 4 * MODELS[name] / (time.perf_counter() - began)
        frames = max(4, round(rates[name] * seconds / count))
        rows += measure(Setting(job, name, count, frames), turns)
        out.mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame(rows)
        table.to_csv(out / f"cpu-{os.cpu_count()}-cores-perturbation.csv", index=False, float_format="%.4g")
    shown = table.drop(columns=["device", "precision"]).round({name: 2 for name in table if "efficiency" in name})
    text = shown.round({"peak_memory_mb": 0}).to_markdown(index=False)
    update(page, text, "engine")
    typer.echo(text)


if __name__ == "__main__":
    typer.run(main)
