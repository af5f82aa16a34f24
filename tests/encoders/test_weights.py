from __future__ import annotations

import pickle
import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ala.encoders.weights import fit_weights, read_weights
from ala.utils.errors import UserError


class Trap:
    """An object that would create a file when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_both_formats_and_their_wrappings(tmp_path):
    weights = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    save_file(weights, tmp_path / "w.safetensors")
    torch.save(weights, tmp_path / "plain.pt")
    torch.save({"epoch": 3, "state_dict": {f"module.{key}": x for key, x in weights.items()}}, tmp_path / "wrapped.pth")
    for name in ("w.safetensors", "plain.pt", "wrapped.pth"):
        read = read_weights(tmp_path / name)
        assert set(read) == {"a", "b"}
        assert torch.equal(read["a"], weights["a"])


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_stored_code_never_runs(tmp_path):
    torch.save({"a": torch.zeros(1), "trap": Trap(tmp_path / "sprung")}, tmp_path / "zip.pt")
    (tmp_path / "bare.pkl").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    for name in ("zip.pt", "bare.pkl"):
        with pytest.raises(UserError, match=f"{name} is no readable weight file"):
            read_weights(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.filterwarnings("ignore")  # torch.jit is deprecated; OpenAI's files are what they are
def test_torchscript_is_refused_with_the_way_to_convert_it(tmp_path):
    layer = nn.Linear(2, 1)
    torch.jit.save(torch.jit.script(layer), tmp_path / "script.pt")
    with pytest.raises(UserError, match="TorchScript archive, which could run code") as error:
        read_weights(tmp_path / "script.pt")
    code = re.search(r'python -c "(.*)"$', str(error.value)).group(1)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert torch.equal(read_weights(tmp_path / "weights.pt")["weight"], layer.weight)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", None])
def test_damaged_files_are_one_sentence(tmp_path, name, content):
    path = tmp_path / name
    if content is None:  # the first half of a good file
        tensors = {"a": torch.zeros(1000)}
        save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)
        content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    with pytest.raises(UserError, match=name) as error:
        read_weights(path)
    assert "\n" not in str(error.value)


def test_missing_files_and_other_contents(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_weights(tmp_path / "none.safetensors")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    with pytest.raises(UserError, match="holds no state dict"):
        read_weights(tmp_path / "list.pt")


def test_fitting_names_the_first_offending_key(tmp_path):
    layer, path = nn.Linear(2, 1), tmp_path / "w.safetensors"
    good = {"weight": torch.ones(1, 2, dtype=torch.float16), "bias": torch.ones(1)}
    fit_weights(layer, {**good, "head": torch.zeros(3)}, path, "a layer", spare={"head"})
    assert layer.weight.dtype == torch.float32
    assert layer.weight.tolist() == [[1.0, 1.0]]
    with pytest.raises(UserError, match="does not fit a layer: bias is missing"):
        fit_weights(layer, {"weight": good["weight"]}, path, "a layer")
    with pytest.raises(UserError, match=r"weight has the shape \(2, 1\), not \(1, 2\)"):
        fit_weights(layer, {**good, "weight": torch.ones(2, 1)}, path, "a layer")
    with pytest.raises(UserError, match="head is unknown to it"):
        fit_weights(layer, {**good, "head": torch.zeros(3)}, path, "a layer")
