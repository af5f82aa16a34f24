"""A tiny project in which every stage has run, to be damaged; and the commands, as a user calls them."""

from __future__ import annotations

import hashlib
import importlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ala.utils.torchvision_import  # noqa: F401  (before timm)

# isort: split
import pytest
import timm
import torch
import yaml
from safetensors.torch import save_file
from typer import Typer
from typer.testing import CliRunner, Result

from ala.config.schema import NOTHING
from tests.data.conftest import write_cub

ROOT = Path(__file__).resolve().parents[2]
IMAGE_SIZE = 32
MAIN = "aea-true-sbn-true"

#: Every stage that the damaged files need, in order.
COMMANDS = [
    "data", "split", "image_cache", "encoder", f"train --variant {MAIN} --variant abn --seed 0", "fcam --seed 0",
    "score --methods abn --seed 0",
]  # fmt: skip

#: The miniature, smaller still, on a folder of 15 images and an encoder with random weights.
CHANGES: dict[str, Any] = {
    "data": {"source": "folder", "birdlets": None, "train_per_class": 2, "input_size": IMAGE_SIZE},
    "encoder": {"name": "timm:test_resnet", "weights": "pretrained", "pretrain": None},
    "ala.sbn": {"width": 8, "heads": 2, "depth": 2, "patch": 8, "fusion_map": [[1, 0], [2, 1]]},
    "ala.perception": {"feature_layer": 2, "channels": [8], "hidden": [8]},
    "abn.perception": {"feature_layer": 2, "channels": [8], "hidden": [8]},
    "ala": {"single_layer": 2}, "abn": {"layer": 2}, "layers": {"abn": [2]},
    "train": {"epochs": 2, "batch": 4},
    "fcam": {"input_size": IMAGE_SIZE, "decoder_channels": [8, 8, 8, 8, 8]},
    "fcam.classifier": {"epochs": 1, "batch": 4}, "fcam.decoder": {"epochs": 1, "batch": 4},
    "metrics": {"images_per_class": 1, "step": 512, "lab_points": 3},
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """A context that copies the project into the folder of one case and works there.

    Attributes:
        folder: of the project.
        patch: what it changes in the process is put back after the case.
    """

    folder: Path
    patch: pytest.MonkeyPatch

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def run(self, command: str) -> Result:
        """Run `STAGE OPTIONS` in this process, as `python -m stages.STAGE OPTIONS` would."""
        stage, *words = command.split()
        app = Typer()
        app.command()(importlib.import_module(f"stages.{stage}").main)
        self.patch.chdir(self.folder)
        return CliRunner().invoke(app, words)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text in a file; it must be there, else the case would damage nothing."""
        text = (self / name).read_text()
        assert old in text
        (self / name).write_text(text.replace(old, new, 1))

    def set(self, place: str, value: Any) -> None:
        """Change one setting of the profile, such as `train.lr`."""
        change(self / "params.yaml", {place.rpartition(".")[0]: {place.rpartition(".")[2]: value}})

    def give(self, **files: str | None) -> None:
        """Name files of the user's own by `inputs`: paths within the project, or None for none."""
        name_inputs(self.folder, **files)

    def files(self) -> dict[str, str]:
        """The sha256 of every file but the state of half-done work, by name."""
        return {
            name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(self.folder.rglob("*"))
            if path.is_file() and not (name := path.relative_to(self.folder).as_posix()).startswith("state/")
        }  # fmt: skip


def change(params: Path, changes: dict[str, dict[str, Any]]) -> None:
    """Update blocks of the profile `mini`; the key is the block's place in it."""
    settings = yaml.safe_load(params.read_text())
    for place, values in changes.items():
        block = settings["profiles"]["mini"]
        for name in filter(None, place.split(".")):
            block = block[name]
        block.update(values)
    params.write_text(yaml.safe_dump(settings, sort_keys=False))


def name_inputs(folder: Path, **files: str | None) -> None:
    """Put absolute paths of files in `folder` into its settings; None for none."""
    settings = yaml.safe_load((folder / "params.yaml").read_text())
    settings["inputs"] |= {name: NOTHING if file is None else str(folder / file) for name, file in files.items()}
    (folder / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))


def write_weights(file: Path) -> None:
    """Random weights of timm's smallest ResNet, always the same."""
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), file)


def build(folder: Path, commands: Sequence[str] = COMMANDS) -> Path:
    """The sound project, from which every case is copied, after `commands`."""
    folder.mkdir(parents=True)
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings |= {"profile": "mini", "seeds": [0], "profiles": {"mini": settings["profiles"]["mini"]}}
    settings["methods"] = ["ala", "fcam", "rise", "abn", "full+center+noise+box"]
    (folder / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    change(folder / "params.yaml", CHANGES)
    name_inputs(folder, data="photos", encoder="weights.safetensors")
    write_cub(folder / "photos")
    write_weights(folder / "weights.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ALA_STATE", raising=False)
        for command in commands:
            done = World(folder, patch).run(command)
            assert done.exit_code == 0, f"{command}: {done.output}"
    shutil.rmtree(folder / "state", ignore_errors=True)  # so that each case does the work of its command
    return folder


def visit(
    sound: Path,
    folder: Path,
    damage: Callable[[World], None],
    command: str,
    look: Callable[[World, str], None] | None = None,
) -> tuple[Result, bool]:
    """Copy the sound project to `folder`, damage it, run a command there, and look at what a success left.

    Returns:
        what came of it, and whether every file is as it was before the command.
    """
    shutil.copytree(sound, folder, symlinks=True)
    name_inputs(folder, data="photos", encoder="weights.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ALA_STATE", raising=False)
        world = World(folder, patch)
        damage(world)
        before = world.files()
        result = world.run(command)
        untouched = world.files() == before
        if look is not None and result.exit_code == 0:
            look(world, result.output)
        return result, untouched
