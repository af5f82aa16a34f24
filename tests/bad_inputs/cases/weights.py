"""Weight files and trained models."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.bad_inputs.case import Case
from tests.bad_inputs.world import MAIN, World

GIVEN, ENCODER = "weights.safetensors", "models/encoder/encoder.safetensors"
ABN, FCAM = "models/abn/seed-0", "models/fcam/seed-0"
FIRST = "conv1.0.weight"


class _Evil:
    """A pickle that makes a folder when it is opened."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("broken-into",)


def _checkpoint(content: object) -> Callable[[World], None]:
    """Give a torch checkpoint with this content."""

    def damage(world: World) -> None:
        torch.save(content, world / "given.pt")
        world.give(encoder="given.pt")

    return damage


def _fcam(name: str) -> Callable[[World], None]:
    """Name a file for F-CAM's backbone."""

    def damage(world: World) -> None:
        (world / "empty.safetensors").touch()
        world.set("fcam.pretrained", True)
        world.give(fcam=name)

    return damage


def _pickle(world: World) -> None:
    (world / "given.pt").write_bytes(pickle.dumps(_Evil()))
    world.give(encoder="given.pt")


def _pickle_cut(world: World) -> None:
    (world / "given.pt").write_bytes(b"M")  # a number of two bytes follows
    world.give(encoder="given.pt")


def _change(name: str, change: Callable[[dict[str, Tensor]], object]) -> Callable[[World], None]:
    def damage(world: World) -> None:
        tensors = load_file(world / name)
        change(tensors)
        save_file(tensors, world / name)

    return damage


def _fill(value: float, key: str | None = None) -> Callable[[dict[str, Tensor]], None]:
    """Put `value` into one number of a tensor."""

    def change(tensors: dict[str, Tensor]) -> None:
        floats = [name for name, tensor in tensors.items() if tensor.is_floating_point()]
        tensors[key or min(floats)].view(-1)[0] = value

    return change


def _reshape(tensors: dict[str, Tensor]) -> None:
    tensors[FIRST] = tensors[FIRST][:, :1].contiguous()


def _cut(name: str, share: float = 0.7) -> Callable[[World], None]:
    def damage(world: World) -> None:
        content = (world / name).read_bytes()
        (world / name).write_bytes(content[: int(len(content) * share)])

    return damage


def _text(name: str, text: str) -> Callable[[World], None]:
    return lambda world: (world / name).write_text(text) and None


def _other_encoder(world: World) -> None:
    _change(GIVEN, _fill(0.5, FIRST))(world)
    assert world.run("encoder").exit_code == 0


AGAIN = "run the train stage again"
EXPLAIN = "score --methods abn --seed 0"
CASES = [
    Case("a weight file is missing", "encoder", lambda w: (w / GIVEN).unlink(), GIVEN, "does not exist",
         "name it by its absolute path"),
    Case("a weight file is missing, reported before any work", "check", lambda w: (w / GIVEN).unlink(),
         "inputs.encoder", f"{GIVEN} does not exist", "name it by its absolute path"),
    Case("F-CAM's weight file is missing, reported before any work", "check", _fcam("gone.safetensors"), "inputs.fcam",
         "gone.safetensors does not exist", "name it by its absolute path"),
    Case("F-CAM's weight file is empty", "check", _fcam("empty.safetensors"), "inputs.fcam",
         "empty.safetensors is empty", "fetch it again"),
    Case("a folder in place of a weight file", "check", _fcam("photos"), "inputs.fcam", "photos is a folder",
         "name it by its absolute path"),
    Case("a weight file that the profile does not read is missing", "check", lambda w: w.give(fcam="gone.safetensors"),
         "inputs.fcam", "gone.safetensors does not exist", "set inputs.fcam to inputs/none"),
    Case("no weight file is named", "encoder", lambda w: w.give(encoder=None), "inputs.encoder",
         "is inputs/none", "name it by its absolute path"),
    Case("a pickle that would run code", "encoder", _pickle, "given.pt", "no readable weight file",
         "files that hold more than tensors are not opened"),
    Case("a checkpoint with objects", "encoder", _checkpoint({"model": _Evil()}), "given.pt", "no readable weight file",
         "files that hold more than tensors are not opened"),
    Case("a checkpoint that is a list", "encoder", _checkpoint([torch.zeros(2)]), "given.pt", "no state dict",
         "save `model.state_dict()` instead"),
    Case("a checkpoint of tensors by number", "encoder", _checkpoint({1: torch.zeros(2)}), "given.pt", "no state dict",
         "save `model.state_dict()` instead"),
    Case("a pickle that ends within a number", "encoder", _pickle_cut, "given.pt", "no readable weight file",
         "give a .safetensors file or a plain torch state dict"),
    Case("a text file named .safetensors", "encoder", _text(GIVEN, "version https://git-lfs\n" * 9), GIVEN,
         "no readable safetensors file", "fetch it again"),
    Case("weights cut off", "encoder", _cut(GIVEN), GIVEN, "no readable safetensors file", "fetch it again"),
    Case("weights of another shape", "encoder", _change(GIVEN, _reshape), GIVEN, f"{FIRST} has the shape",
         "give weights of this architecture or change encoder.name"),
    Case("a layer is missing", "encoder", _change(GIVEN, lambda t: t.pop(FIRST)), GIVEN, f"{FIRST} is missing",
         "give weights of this architecture or change encoder.name"),
    Case("a layer too many", "encoder", _change(GIVEN, lambda t: t.update(extra=torch.ones(1))), GIVEN,
         "extra is unknown", "give weights of this architecture or change encoder.name"),
    Case("NaN in the weights", "encoder", _change(GIVEN, _fill(float("nan"), FIRST)), GIVEN,
         f"NaN or infinity in {FIRST} (1 of", "train or fetch it again"),
    Case("infinity in the weights", "encoder", _change(GIVEN, _fill(float("inf"), FIRST)), GIVEN,
         f"NaN or infinity in {FIRST} (1 of", "train or fetch it again"),
    Case("an architecture that does not exist", "encoder", lambda w: w.set("encoder.name", "timm:resnet_9000"),
         "encoder.name", "resnet_9000", "timm"),
    Case("the encoder's description is cut off", EXPLAIN, _cut("models/encoder/encoder.json"),
         "models/encoder/encoder.json", "not readable as JSON", "run the encoder stage again"),
    Case("the encoder's description is another one", EXPLAIN, _text("models/encoder/encoder.json", "{}"),
         "models/encoder/encoder.json", "lacks what describes an encoder", "run the encoder stage again"),
    Case("the encoder's weights were changed", "train --variant abn --seed 0", _change(ENCODER, _fill(0.5)), ENCODER,
         "is not the file that models/encoder/encoder.json tells of", "run the encoder stage again"),
    Case("a model of another encoder", EXPLAIN, _other_encoder, f"{ABN}/model.json", "was trained on the encoder",
         AGAIN),
    Case("no model", EXPLAIN, lambda w: (w / f"{ABN}/model.json").unlink(), f"{ABN}/model.json", "does not exist",
         AGAIN),
    Case("a model's description is cut off", EXPLAIN, _text(f"{ABN}/model.json", "{"), f"{ABN}/model.json",
         "not readable as JSON", AGAIN),
    Case("a model's description is another one", EXPLAIN, _text(f"{ABN}/model.json", '{"blueprint": {}}'),
         f"{ABN}/model.json", "blueprint.", AGAIN),
    Case("a model's weights are cut off", EXPLAIN, _cut(f"{ABN}/weights.safetensors"), f"{ABN}/weights.safetensors",
         "is no safetensors file or is cut off", AGAIN),
    Case("a model's weights hold NaN", EXPLAIN, _change(f"{ABN}/weights.safetensors", _fill(float("nan"))),
         f"{ABN}/weights.safetensors", "NaN or infinity in", "train or fetch it again"),
    Case("weights of another variant", EXPLAIN,
         lambda w: (w / f"{ABN}/weights.safetensors").write_bytes(
             (w / f"models/{MAIN}/seed-0/weights.safetensors").read_bytes()) and None,
         f"{ABN}/weights.safetensors", "another architecture", AGAIN),
    Case("F-CAM's weights hold NaN", "score --methods fcam --seed 0",
         _change(f"{FCAM}/decoder.safetensors", _fill(float("nan"))), f"{FCAM}/decoder.safetensors",
         "NaN or infinity in", "train or fetch it again"),
    Case("F-CAM's weights of another model", "score --methods fcam --seed 0",
         lambda w: (w / f"{FCAM}/decoder.safetensors").write_bytes((w / f"{FCAM}/classifier.safetensors").read_bytes())
         and None, f"{FCAM}/decoder.safetensors", "belong to different models",
         f"delete {FCAM} and run the fcam stage again"),
]  # fmt: skip
