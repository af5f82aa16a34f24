"""Import torchvision beside a CPU-only torch: import this before timm, open_clip or torchvision.

The registry's torchvision is built against CUDA. Beside a CPU-only torch its compiled operators cannot be loaded, and
importing it fails with "operator torchvision::nms does not exist" (pytorch/vision issue 9077), although neither timm
nor open_clip calls those operators here. Declaring their signatures, without an implementation, lets the import pass;
a call of one still fails. Where torchvision fits its torch, nothing is declared and this is a plain import.
"""

from __future__ import annotations

import sys

import torch

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library: torch.library.Library | None = None  # the declarations live as long as this object

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
