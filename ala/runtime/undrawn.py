"""Networks whose weights come from a file need no random ones first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_IN_PLACE = {Tensor.normal_, Tensor.uniform_, Tensor.bernoulli_}
_MADE = {torch.randn, torch.rand}


class Undrawn(TorchFunctionMode):
    """`with Undrawn():` networks are made with memory as it was found where random numbers would stand.

    Drawing the weights of ViT-B/16 takes a second. The device `meta` would save that, too, but the first random tensor
    on it imports torch's compiler and sympy, which takes another second in every process. The generators of random
    numbers stay as they are. Weights that no file replaces must not be left.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _IN_PLACE:
            return args[0]
        if func in _MADE:
            kwargs.pop("generator", None)
            return torch.empty(*args, **kwargs)
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
