"""The source text that decides about a result: of a module and of all modules of this package that it imports."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path

#: Modules that make no numbers: a new error text or progress bar must not make anything run again.
NO_NUMBERS = ("ala.config", "ala.utils", "ala.registry", "ala.pipeline", "ala.data.disk", "ala.data.parallel")
_BUT = ("ala.utils.seeds", "ala.utils.threads")


@cache
def digest(*modules: str) -> str:
    """sha256 over the source of `modules` and of what they import of this package or their own, in 16 hex digits."""
    packages = {"ala", *(name.split(".")[0] for name in modules)}
    files: dict[str, bytes] = {}
    todo = list(modules)
    while todo:
        name = todo.pop()
        file = _file(name) if name in modules or _counts(name) else None
        if file is None or name in files:
            continue
        files[name] = file.read_bytes()
        todo += [one for one in imports(files[name]) if one.split(".")[0] in packages]
    whole = hashlib.sha256()
    for name in sorted(files):
        whole.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return whole.hexdigest()[:16]


def imports(source: bytes) -> set[str]:
    """Every name that the text imports, inside functions too; of `from a import b` both `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _file(name: str) -> Path | None:
    """The file of a module, found without importing it; None for a name within a module."""
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return None
    if not rest:
        return Path(spec.origin)
    base = Path(spec.origin).parent.joinpath(*rest)
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)


def _counts(name: str) -> bool:
    within = any(name == one or name.startswith(f"{one}.") for one in NO_NUMBERS)
    return name in _BUT or not within
