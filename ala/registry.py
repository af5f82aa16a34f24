"""Find explainers, metrics, layouts and executors by name: a file of this package, or a class of the user's own.

A name needs no entry anywhere. The explainer `rise` is the class of `ala/explainers/rise.py` that has the method
`explain`; a new file in that folder is a new explainer. A class of the user's own is named `package.module:Class`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from ala.utils.errors import UserError, reason

#: Kind: the package in which its files lie, and the method by which a class of that kind is known.
KINDS = {
    "explainers": ("ala.explainers", "explain"),
    "metrics": ("ala.metrics", "measure"),
    "layouts": ("ala.data.layouts", "read"),
    "executors": ("ala.pipeline.executors", "results"),
}


def find(kind: str, name: str) -> Any:
    """The class that `name` means.

    Args:
        kind: a key of :data:`KINDS`.
        name: of a file, such as `rise`, or `package.module:Class`, which is imported from the current folder or from
            wherever Python finds it.

    Raises:
        UserError: there is no such file, module or class, or the class lacks the method of its kind.
    """
    package, method = KINDS[kind]
    if ":" in name:
        module_name, _, class_name = name.partition(":")
        found = getattr(_imported(kind, module_name), class_name, None)
        if not inspect.isclass(found) or not hasattr(found, method):
            raise UserError(f"{kind}: {name!r} names no class with a method `{method}`; write package.module:Class")
        return found
    module_name = f"{package}.{name.replace('-', '_')}"
    if (not name.isidentifier() and not name.replace("-", "_").isidentifier()) or not _is_file(module_name):
        raise UserError(
            f"{kind}: {name!r} does not exist; choose one of {', '.join(names(kind))}, or write package.module:Class"
        )
    module = importlib.import_module(module_name)
    classes = _classes(module, method)
    if len(classes) != 1:
        raise UserError(f"{module.__file__} must define one class with a method `{method}`, it has {len(classes)}")
    return classes[0]


def names(kind: str) -> list[str]:
    """The names that this package has files for, in the order of the alphabet."""
    package, method = KINDS[kind]
    found = []
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if _source_has(f"{package}.{info.name}", method):
            found.append(info.name.replace("_", "-"))
    return sorted(found)


def _classes(module: ModuleType, method: str) -> list[type]:
    """Public classes that `module` itself defines and that have `method`."""
    return [
        value
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and not getattr(value, "_is_protocol", False)
        and hasattr(value, method)
    ]


def _is_file(module_name: str) -> bool:
    try:
        return importlib.util.find_spec(module_name) is not None
    except (ImportError, ValueError):
        return False


def _source_has(module_name: str, method: str) -> bool:
    """Whether the file defines a class with that method; the text is read, because importing all would take seconds."""
    spec = importlib.util.find_spec(module_name)
    if spec is None or spec.origin is None:
        return False
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    return any(
        isinstance(part, ast.FunctionDef) and part.name == method
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and not any(isinstance(b, ast.Name) and b.id == "Protocol" for b in node.bases)
        for part in node.body
    )


def _imported(kind: str, module_name: str) -> ModuleType:
    if "" not in sys.path:  # a console script does not look into the current folder by itself
        sys.path.insert(0, "")
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        raise UserError(f"{kind}: {module_name} cannot be imported ({reason(error)}); correct it or the name") from None
