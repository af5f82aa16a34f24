"""Import torchvision where its compiled operators cannot be loaded, and without torch's compiler.

The registry's torchvision is built against CUDA. Beside a CPU-only torch its extension does not load, and importing
it fails with "operator torchvision::nms does not exist" (pytorch/vision issue 9077), although neither open_clip nor
timm calls those operators here. Declaring their signatures (no implementation: calling one still fails) lets the
import pass. With a torchvision that fits its torch, nothing is declared.
"""

from __future__ import annotations

import sys

import torch

from ala.runtime.compiler_import import compiler_put_off

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library: torch.library.Library | None = None  # the declarations live as long as this object

with compiler_put_off():
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
