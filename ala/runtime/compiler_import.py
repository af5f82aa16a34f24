"""Import libraries that ask torch's compiler something while they are imported, without importing the compiler.

That import takes longer than torch's own, and stages that compile nothing have no use for it. Torchvision imports the
compiler for one question that it asks when `roi_align` is called, timm to except one function of one network from
compilation.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_COMPILER, _UTILS = "torch._dynamo", "torch._dynamo.utils"


@contextmanager
def compiler_put_off() -> Iterator[None]:
    """While the block runs an import of the compiler gives a stand-in; afterwards it is as if it had not been.

    The stand-in knows the two names that torchvision and timm use. Its `disable` leaves a function as it is, which
    would matter where that one network of timm's is compiled. If the compiler is there already, nothing is done.
    """
    if _COMPILER in sys.modules:
        yield
        return
    compiler, utils = ModuleType(_COMPILER), ModuleType(_UTILS)
    compiler.disable = _disable  # type: ignore[attr-defined]
    utils.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    stand_ins = {_COMPILER: compiler, _UTILS: utils}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


def _disable(fn: Any = None, recursive: bool = True, **_: Any) -> Any:
    return (lambda function: function) if fn is None else fn


def _is_compile_supported(device_type: str) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return bool(is_compile_supported(device_type))
