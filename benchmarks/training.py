"""What training of ALA costs beside the frozen encoder's forward pass, at the sizes of a profile.

    python -m benchmarks.training --batch 4

Weights are random and images are noise: speed depends on neither. Three ratios, each from one process:

* images/s of the training loop itself (read, crop, flip, blur, encode, forward, backward, step) over images/s of the
  encoder's features of a ready batch, in turns; for an *on* epoch, an *off* epoch, and the profile's schedule of both;
* peak memory of an *on* training step over that of the encoder's features, weights and batch included;
* images/s of the input pipeline (read, crop, flip, blur, normalise) by two threads over images/s of training.

The encoder runs the blocks up to the last feature that the adapter reads, on both sides. Writes
benchmarks/results/ENVIRONMENT-training.csv and the same table into docs/performance.md, between two markers.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

#: Phase: is it an *on* epoch?
PHASES = {"on": True, "off": False}
#: Images of a turn of the input pipeline, which is too quick for one batch to be timed.
PIPELINE_IMAGES = 64


class Noise:
    """Random images in a memory-mapped file, as :class:`ala.data.image_cache.ImageCache` keeps them."""

    def __init__(self, count: int, size: int, classes: int) -> None:
        import numpy as np

        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / "images.npy"
        random = np.random.default_rng(0)
        np.save(file, random.integers(0, 256, (count, size, size, 3), dtype=np.uint8))
        self._images = np.load(file, mmap_mode="r")
        self.size, self.image_ids, self.labels = size, np.arange(count), random.integers(0, classes, count)

    def pixels(self, rows: Any) -> Any:
        import numpy as np
        import torch

        return torch.from_numpy(np.array(self._images[rows])).permute(0, 3, 1, 2).contiguous()  # (B, 3, R, R)


class Bench(NamedTuple):
    """What is timed: `step(on)` trains one batch by the loop, `encode()` makes its features, `pipeline()` feeds it; the
    first two in `precision`.
    """

    step: Callable[[bool], Any]
    encode: Callable[[], Any]
    pipeline: Callable[[], Any]
    schedule: Any
    precision: str


def build(profile_name: str, batch: int, device: str) -> Bench:
    """The profile's encoder with random weights, its main model with AEA and SBN, and noise."""
    import numpy as np
    import torch

    from ala.config import load
    from ala.contracts.compute import autocast
    from ala.encoders.build import random_encoder
    from ala.model.adapter import Adapter
    from ala.model.blueprint import plan
    from ala.training.augment import augmented
    from ala.training.features import LiveSource
    from ala.training.loop import Epoch, run_epoch
    from ala.training.variant import Work
    from ala.utils.seeds import torch_generator

    profile = load().profiles[profile_name]
    size, classes, target = profile.data.input_size, 200, torch.device(device)
    precision = profile.train.precision
    torch.manual_seed(0)
    encoder = random_encoder(profile.encoder, size, size // profile.ala.sbn.patch).to(target)
    blueprint = plan(
        "aea-true-sbn-true", profile.ala, profile.abn, feature_channels=encoder.feature_channels, grid=encoder.grid,
        input_size=size, classes=classes,
    )  # fmt: skip
    adapter = Adapter(blueprint, 0).to(target)
    augment = profile.train.augment
    images = Noise(batch, augment.resize or size, classes)
    source = LiveSource(encoder, images, augment, target, precision)
    settings = profile.train.model_copy(update={"batch": batch})
    work = Work(adapter, settings, profile.ala.lambda_ab, 0, lambda: (source, source))
    work.prepare()
    task = work.task("a step", [], images.image_ids)
    batch_images = torch.randn(batch, 3, size, size, device=target)
    many = Noise(PIPELINE_IMAGES, augment.resize or size, classes)

    def step(on: bool) -> None:
        run_epoch(task, Epoch(0, on))
        settle(target)

    def encode() -> None:
        with autocast(precision, target):
            encoder.features(batch_images, blueprint.features)
        settle(target)

    def prepare(start: int) -> None:
        rows = np.arange(start, min(start + batch, PIPELINE_IMAGES))
        pixels = many.pixels(rows).to(target, non_blocking=True)
        encoder.preprocessing.normalise(augmented(pixels, size, augment, torch_generator(0, "augment", start)))

    def pipeline() -> None:
        with ThreadPoolExecutor(2) as workers:
            list(workers.map(prepare, range(0, PIPELINE_IMAGES, batch)))
        settle(target)

    return Bench(step, encode, pipeline, profile.ala.schedule, precision)


def settle(device: Any) -> None:
    """Wait until the device has done what it was requested."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()


def resident(field: str) -> float:
    """VmRSS (now) or VmHWM (the largest since the last reset) of this process, in megabytes; Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def peak(job: str, profile: str, batch: int, device: str, pipe: Any) -> None:
    """In a process of its own: megabytes at the worst moment of the second of two calls, weights included.

    On a CPU above what the process held before the model was built; freed memory goes back to the kernel here.
    """
    import torch

    torch.zeros(1)
    build("mini", 2, "cpu").step(True)  # libraries and threads are there before anything is counted
    before = resident("VmRSS")
    made = build(profile, batch, device)
    call = made.encode if job == "encode" else lambda: made.step(True)
    call()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
    call()
    pipe.send(torch.cuda.max_memory_allocated() / 2**20 if device != "cpu" else resident("VmHWM") - before)


def peak_memory(job: str, profile: str, batch: int, device: str) -> float:
    """See :func:`peak`."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=peak, args=(job, profile, batch, device, there))
    process.start()
    there.close()
    megabytes = float(here.recv())
    process.join()
    return megabytes


def timed(call: Callable[[], Any]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(profile: str, batch: int, turns: int, device: str) -> list[dict[str, Any]]:
    """The rows of the table."""
    made = build(profile, batch, device)
    calls: dict[str, Callable[[], Any]] = {
        "encode": made.encode, "on": lambda: made.step(True), "off": lambda: made.step(False),
        "pipeline": made.pipeline,
    }  # fmt: skip
    for call in calls.values():
        call()  # warms up
    seconds = {name: [] for name in calls}  # type: dict[str, list[float]]
    for _ in range(turns):
        for name, call in calls.items():
            seconds[name].append(timed(call))
    on, off = made.schedule.on_epochs, made.schedule.off_epochs
    seconds["schedule"] = [
        (on * a + off * b) / (on + off) for a, b in zip(seconds["on"], seconds["off"], strict=True)
    ]  # fmt: skip

    def row(job: str, top: list[float], bottom: list[float]) -> dict[str, Any]:
        """The ratio is the median over turns of both sides' ratio within the turn."""
        ratios = [a / b for a, b in zip(top, bottom, strict=True)]
        return {
            "job": job, "device": name_of(device), "precision": made.precision, "batch": batch,
            "numerator": statistics.median(top), "denominator": statistics.median(bottom),
            "ratio": statistics.median(ratios),
        }  # fmt: skip

    rates = {name: [batch / s for s in values] for name, values in seconds.items()}
    rates["pipeline"] = [PIPELINE_IMAGES / s for s in seconds["pipeline"]]
    rows = [row(f"{name}: training / encoder, images/s", rates[name], rates["encode"])
            for name in ("schedule", "on", "off")]  # fmt: skip
    rows.append(row("input pipeline, 2 workers / training, images/s", rates["pipeline"], rates["schedule"]))
    memory = [[peak_memory(job, profile, batch, device)] for job in ("train", "encode")]
    return [*rows, row("on: training / encoder, peak MB", *memory)]


def name_of(device: str) -> str:
    """`cpu`, or the GPU's name."""
    import torch

    return "cpu" if device == "cpu" else torch.cuda.get_device_name()


def environment(device: str) -> str:
    """The part of the file's name that says where it was made."""
    return f"cpu-{os.cpu_count()}-cores" if device == "cpu" else name_of(device).lower().replace(" ", "-")


def main(
    batch: Annotated[int, typer.Option(min=2, help="Images of a training step.")] = 4,
    turns: Annotated[int, typer.Option(min=1, help="Timed turns; the table has medians.")] = 5,
    profile: Annotated[str, typer.Option(help="Whose sizes are measured; its encoder must be open_clip's.")] = "paper",
    threads: Annotated[int, typer.Option(min=0, help="Threads of torch on a CPU; 0: as many as torch takes.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/performance.md"),
) -> None:
    """Measure the ratios and write the table; a GPU is used where torch sees one."""
    import pandas as pd
    import torch

    from ala.report.readme import update

    if threads:
        torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    table = pd.DataFrame(measure(profile, batch, turns, device))
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / f"{environment(device)}-training.csv", index=False, float_format="%.4g")
    text = table.round({"numerator": 2, "denominator": 2, "ratio": 2}).to_markdown(index=False)
    update(page, text, "training")
    typer.echo(text)


if __name__ == "__main__":
    typer.run(main)
