"""What a check compares before and after it calls somebody's code: networks, inputs, and the process itself."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def require(holds: bool, check: str, found: str) -> None:
    """Raise an AssertionError `CHECK: FOUND` unless `holds`."""
    if not holds:
        raise AssertionError(f"{check}: {found}")


@contextmanager
def unchanged(what: str, inputs: Mapping[str, Any], networks: Mapping[str, Any]) -> Iterator[None]:
    """Compare inputs, networks and the process before and after the block.

    Args:
        what: the name of the call, for the message.
        inputs: tensors and arrays by name.
        networks: modules by name; what is no module is not looked at.

    Raises:
        AssertionError: the block changed one of them; the message says which and what of it.
    """
    before = _all(inputs, networks)
    yield
    after = _all(inputs, networks)
    for name, value in before.items():
        require(_same(value, after[name]), f"{what} leaves things as they are", f"it changed {name}; work on a copy")


def _all(inputs: Mapping[str, Any], networks: Mapping[str, Any]) -> dict[str, Any]:
    found = {f"the {name} that it was given": _copy(value) for name, value in inputs.items()}
    for name, network in networks.items():
        if isinstance(network, nn.Module):
            found |= {f"{part} of the {name}": value for part, value in _of_network(network).items()}
    return found | _of_process()


def _of_network(network: nn.Module) -> dict[str, Any]:
    modules, parameters = list(network.modules()), list(network.parameters())
    return {
        "the weights": {name: tensor.detach().clone() for name, tensor in network.state_dict().items()},
        "the training mode": [module.training for module in modules],
        "requires_grad": [parameter.requires_grad for parameter in parameters],
        "the gradients (.grad)": [parameter.grad is None for parameter in parameters],
        "the hooks": [
            (len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
            for module in modules
        ],
    }


def _of_process() -> dict[str, Any]:
    """The settings that all code of a process shares, under names that a message can hold."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - the global state is what is looked at
    return {
        "torch's global random state (take a generator of your own)": torch.get_rng_state(),
        "numpy's global random state (take a generator of your own)": [kind, np.asarray(keys).tolist(), rest],
        "Python's global random state (take a generator of your own)": random.getstate(),
        "whether gradients are enabled in the process": torch.is_grad_enabled(),
        "the number of threads": torch.get_num_threads(),
        "torch's default dtype": torch.get_default_dtype(),
        "whether torch's algorithms are deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return {"values": value.detach().clone(), "requires_grad": value.requires_grad, "grad": value.grad is None}
    return np.array(value) if isinstance(value, np.ndarray) else value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return bool(one == other)
