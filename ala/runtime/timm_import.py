"""Import timm where torchvision's compiled operators cannot be loaded, and without torch's compiler.

`import ala.runtime.timm_import` stands before `import timm`.
"""

from __future__ import annotations

import ala.runtime.torchvision_import  # noqa: F401  (timm imports torchvision)
from ala.runtime.compiler_import import compiler_put_off

with compiler_put_off():
    import timm  # noqa: F401
