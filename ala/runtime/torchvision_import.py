"""Import torchvision where its compiled operators cannot be loaded, and without torch's compiler.

The registry's torchvision is built against CUDA. Beside a CPU-only torch its extension does not load, and importing
it fails with "operator torchvision::nms does not exist" (pytorch/vision issue 9077), although neither open_clip nor
timm calls those operators here. Declaring their signatures (no implementation: calling one still fails) lets the
import pass. With a torchvision that fits its torch, nothing is declared.

Torchvision also imports torch's compiler, for one question that it asks when `roi_align` is called. That import takes
longer than torch's own, so it is put off until the question is asked.
"""

from __future__ import annotations

import sys
from types import ModuleType

import torch

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library: torch.library.Library | None = None  # the declarations live as long as this object

_COMPILER = "torch._dynamo.utils"


def _is_compile_supported(device_type: str) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return bool(is_compile_supported(device_type))


_deferred = _COMPILER not in sys.modules
if _deferred:
    _questions = ModuleType(_COMPILER)
    _questions.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    sys.modules[_COMPILER] = _questions
try:
    import torchvision
except RuntimeError as error:
    if "torchvision::" not in str(error):
        raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # half-imported
    _library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        _library.define(operator + _SIGNATURE)
    import torchvision  # noqa: F401
finally:
    if _deferred:
        del sys.modules[_COMPILER]
