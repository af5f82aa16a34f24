"""How long commands take before they do anything: python -m benchmarks.startup

Needs a finished run of the miniature (`make repro`), which it leaves as it is. In turns, five times each:

* `--help` of every stage;
* stages from the start of their process to the first forward pass of a network. Then the process ends; what it would
  write goes to a temporary folder. `encoder` first draws pairs for a quarter of a minute, which is work: it has no row;
* `dvc repro` with nothing to do, and `dvc status`.

Writes benchmarks/results/ENVIRONMENT-startup.csv and the table in docs/performance.md.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

RUNS = 5
HELP, OVERHEAD, NOTHING, STATUS = 0.5, 4.0, 5.0, 3.0  # seconds that each may take

#: What each stage is requested; TEMPORARY means a folder that is thrown away.
MAIN = "aea-true-sbn-true"
STARTED = {
    "train": ["--variant", MAIN, "--out", "TEMPORARY"],
    "fcam": ["--out", "TEMPORARY"],
    "score": ["--methods", "rise", "--maps", "TEMPORARY", "--scores", "TEMPORARY"],
    "layers": ["--scores", "TEMPORARY"],
    "edge": ["--scores", "TEMPORARY"],
}

#: Ends the process at the first forward pass, before anything of it is kept.
UNTIL_FIRST_FORWARD = """
import os, runpy, sys
from torch.nn.modules.module import register_module_forward_pre_hook
register_module_forward_pre_hook(lambda *_: os._exit(0))
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def commands(temporary: str) -> dict[str, tuple[float, list[str]]]:
    """What is timed, by name: the seconds it may take, and the command."""
    python, dvc = sys.executable, str(Path(sys.executable).with_name("dvc"))
    stages = sorted(path.stem for path in Path("stages").glob("*.py") if "typer.run" in path.read_text("utf-8"))
    timed: dict[str, tuple[float, list[str]]] = {
        f"stages.{stage} --help": (HELP, [python, "-m", f"stages.{stage}", "--help"]) for stage in stages
    }
    for stage, options in STARTED.items():
        words = [temporary if word == "TEMPORARY" else word for word in options]
        command = [python, "-c", UNTIL_FIRST_FORWARD, f"stages.{stage}", "--seed", "0", *words]
        timed[f"{stage}, to the first forward pass"] = (OVERHEAD, command)
    timed["dvc repro, nothing to do"] = (NOTHING, [dvc, "repro"])
    timed["dvc status"] = (STATUS, [dvc, "status"])
    return timed


def seconds(command: list[str], state: str) -> float:
    """How long `command` runs, with its half-done work below `state`.

    Raises:
        UserError: it fails, or there is no finished run.
    """
    from ala.utils.errors import UserError

    began = time.perf_counter()
    done = subprocess.run(command, env=os.environ | {"ALA_STATE": state}, capture_output=True, text=True)
    taken = time.perf_counter() - began
    said = done.stdout + done.stderr
    if done.returncode or (command[1:] in (["repro"], ["status"]) and "up to date" not in said):
        raise UserError(
            f"{' '.join(command[1:])[-60:]} did not end as after `make repro`: {said[-300:]}; run that first"
        )
    return taken


def main(
    out: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/performance.md"),
) -> None:
    """Measure and write the table."""
    import pandas as pd

    from ala.report.readme import update
    from ala.utils.errors import reported
    from ala.utils.progress import track

    with reported(), tempfile.TemporaryDirectory() as temporary:
        timed = commands(f"{temporary}/outs")
        found: dict[str, list[float]] = {name: [] for name in timed}
        for turn in track(range(RUNS + 1), "start-up", unit="turn"):  # the first one fills the system's caches
            for name, (_, command) in timed.items():
                taken = seconds(command, f"{temporary}/state")
                if turn:
                    found[name].append(taken)
        table = pd.DataFrame(
            {"what": name, "at_most_s": timed[name][0], "seconds": statistics.median(each), "seconds_min": min(each),
             "seconds_max": max(each)}
            for name, each in found.items()
        ).round(2)  # fmt: skip
        out.mkdir(parents=True, exist_ok=True)
        table.to_csv(out / f"cpu-{os.cpu_count()}-cores-startup.csv", index=False)
        update(page, table.to_markdown(index=False), "start-up")
        typer.echo(table.to_string(index=False))


if __name__ == "__main__":
    typer.run(main)
