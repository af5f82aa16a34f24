"""What the networks' time goes to, kernel by kernel, and how much a compiler would save.

    python -m benchmarks.kernels

Two jobs of the main model of a finished run: a prediction to the images of one lane on one thread, as RISE,
insertion and deletion request it (:mod:`ala.utils.threads`), and a training step of an on epoch on all threads,
encoder features at hand. `ms` is a kernel's own time by torch's profiler, a median of nine, `gflop_per_s` what it
multiplies and adds in that time. The line `all` is the median without the profiler, `all, compiled` the same by
`torch.compile` (Inductor, weights frozen for predictions), in turns with it. The last line is a large float32 matrix
product on as many threads.

Writes benchmarks/results/ENVIRONMENT-kernels.csv and the table in docs/performance.md. Takes a minute or two.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from ala.config.schema import Profile
from ala.utils.process import keep_freed_memory

TURNS = 30
ROUNDS, CALLS = 9, 5  # of the profiler

#: Names of kernels by a part of them; the first that fits counts.
GROUPS = {
    "attention": ("scaled_dot_product",),
    "convolution": ("convolution",),
    "matrix product": ("addmm", "aten::mm", "aten.mm", "bmm"),
    "norm": ("layer_norm", "group_norm", "batch_norm"),
    "activation": ("gelu", "relu", "threshold", "softmax", "sigmoid"),
    "optimiser": ("fused_adam", "_foreach", "vector_norm"),
}
REST = "copies, sums and the rest"


def group_of(kernel: str) -> str:
    """The group of a kernel's name, such as `aten::addmm`.

    >>> group_of("aten::native_layer_norm")
    'norm'
    """
    return next((name for name, parts in GROUPS.items() if any(part in kernel for part in parts)), REST)


def kernels(work: Callable[[], object], rounds: int = ROUNDS, calls: int = CALLS) -> pd.DataFrame:
    """Own milliseconds (median of `rounds`) and GFLOP of each group of kernels in one call of `work`.

    Index: the group.
    """
    taken = pd.DataFrame([_profiled(work, calls) for _ in range(rounds)])
    flops: dict[str, float] = {}
    for kernel, amount in count(work).items():
        flops[group_of(kernel)] = flops.get(group_of(kernel), 0.0) + amount / 1e9
    found = pd.DataFrame({"ms": taken.median(), "gflop": pd.Series(flops)}).fillna({"gflop": 0.0})
    return found.sort_values("ms", ascending=False)


def _profiled(work: Callable[[], object], calls: int) -> dict[str, float]:
    """Own milliseconds of each group in one of `calls` calls."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(calls):
            work()
    found: dict[str, float] = {}
    for event in profiled.key_averages():
        group = group_of(event.key)
        found[group] = found.get(group, 0.0) + event.self_cpu_time_total / 1000 / calls
    return found


def count(work: Callable[[], object]) -> dict[str, float]:
    """FLOPs of one call of `work` by kernel, two for each multiplication with addition."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

    def forward(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        return sdpa_flop_count(query, key, value)

    def backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        return sdpa_backward_flop_count(grad, query, key, value)

    aten = torch.ops.aten
    own = {
        aten._scaled_dot_product_flash_attention_for_cpu: forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
    }
    with FlopCounterMode(display=False, custom_mapping=own) as counter:
        work()
    return {str(kernel): float(flops) for kernel, flops in counter.get_flop_counts()["Global"].items()}


def in_turns(work: dict[str, Callable[[], object]], turns: int = TURNS) -> dict[str, float]:
    """The median milliseconds of each, called one after the other, again and again."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(turns + 3):
        for name, one in work.items():
            began = time.perf_counter()
            one()
            taken[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(times[3:]) for name, times in taken.items()}


def lines(job: str, each: pd.DataFrame, whole: dict[str, float], peak: float) -> pd.DataFrame:
    """Columns `job, kernel, ms, share, gflop, gflop_per_s`: the groups, then `whole`, then the peak."""
    table = each.assign(share=each["ms"] / each["ms"].sum())
    for name, ms in whole.items():
        table.loc[name, ["ms", "gflop"]] = [ms, each["gflop"].sum()]
    table["gflop_per_s"] = 1000 * table["gflop"] / table["ms"]
    table.loc["float32 matrix product", "gflop_per_s"] = peak
    table.index.name = "kernel"
    return table.reset_index().assign(job=job)[["job", "kernel", "ms", "share", "gflop", "gflop_per_s"]]


def answer(model: Any, profile: Profile) -> tuple[Callable[[], object], Callable[[], object]]:
    """A prediction to a lane of images, and the same compiled."""
    import torch
    from torch._inductor import config

    from ala.utils.threads import lane

    image_size = model.preprocessing.size
    images = torch.randn(lane(image_size), 3, image_size, image_size)
    compiled = torch.compile(model)

    def asked(one: Any) -> Callable[[], object]:
        def call() -> object:
            with torch.no_grad():
                return one(images)

        return call

    with config.patch(freezing=True):
        asked(compiled)()
    return asked(model), asked(compiled)


def step(model: Any, profile: Profile) -> tuple[Callable[[], object], Callable[[], object]]:
    """A training step of an on epoch, and the same with the adapter compiled."""
    import torch

    from ala.training.loss import objective
    from ala.training.optimiser import adapter_parts, parameters

    adapter = model.adapter
    image_size, batch = model.preprocessing.size, profile.train.batch
    images = torch.randn(batch, 3, image_size, image_size)
    labels = torch.arange(batch) % adapter.blueprint.classes
    features = model.encoder.features(images, adapter.features(True))
    parts = adapter_parts(adapter, profile.train)

    def trained(one: Any) -> Callable[[], object]:
        def call() -> object:
            adapter.train()
            objective(one(images, features, True), labels, profile.ala.lambda_ab).backward()
            torch.nn.utils.clip_grad_norm_(parameters(parts), profile.train.clip_norm or float("inf"))
            for part in parts:
                part.optimiser.step()
                part.optimiser.zero_grad()

        return call

    return trained(adapter), trained(torch.compile(adapter))


def main(
    params: Annotated[Path, typer.Option(help="The settings; their profile's main model is looked at.")] = Path(
        "params.yaml"
    ),
    models: Annotated[Path, typer.Option(help="The models of a finished run.")] = Path("models"),
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/performance.md"),
) -> None:
    """Measure and write the table."""
    import torch

    from ala.config import load
    from ala.model.checkpoint import load_model
    from ala.report.readme import update
    from ala.utils.device import resolve
    from benchmarks.perturbation import environment
    from benchmarks.wall_time import peak

    device, settings = resolve("cpu"), load(params)
    threads = torch.get_num_threads()
    model = load_model(models / settings.main_variant / f"seed-{settings.seeds[0]}", models / "encoder", device)
    tables = []
    for name, on, job in (("prediction", 1, answer), ("training step", threads, step)):
        torch.set_num_threads(on)  # before anything is compiled: the compiler writes it into its code
        eager, compiled = job(model, settings.active)
        compiled()
        whole = in_turns({"all": eager, "all, compiled": compiled})
        tables.append(lines(f"{name}, {on} thread{'s' * (on > 1)}", kernels(eager), whole, peak()))
    torch.set_num_threads(threads)
    table = pd.concat(tables, ignore_index=True)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / f"{environment(device)}-kernels.csv", index=False, float_format="%.4g")
    shown = table.round({"ms": 2, "share": 2, "gflop": 2, "gflop_per_s": 0}).astype(object).fillna("")
    update(page, shown.to_markdown(index=False), "kernels")
    typer.echo(table.to_string(index=False))


if __name__ == "__main__":
    keep_freed_memory()  # as stages do
    typer.run(main)
