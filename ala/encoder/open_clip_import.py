"""Import open_clip without timm, which it needs only for towers that have no taps here.

timm imports all of its models and torch's compiler, which takes longer than torch itself, in every stage that looks at
the encoder. open_clip takes timm's absence as "not installed". timm itself can be imported afterwards as always;
configurations with a timm tower are refused by :func:`ala.encoder.clip_vit.check_config`.
"""

from __future__ import annotations

import sys

import ala.runtime.torchvision_import  # noqa: F401  (open_clip imports torchvision)

if "open_clip" not in sys.modules and "timm" not in sys.modules:
    sys.modules["timm"] = None  # type: ignore[assignment]  # an import of it then fails
    try:
        import open_clip  # noqa: F401
    finally:
        del sys.modules["timm"]
