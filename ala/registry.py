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
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from ala.utils.errors import UserError, reason

#: Where params.yaml names each kind, for messages.
SETTINGS = {"explainers": "methods", "metrics": "metrics", "layouts": "data.layout", "executors": "executor.kind"}

#: Kind: the package in which its files lie, and the method by which a class of that kind is known.
KINDS = {
    "explainers": ("ala.explainers", "explain"),
    "metrics": ("ala.metrics", "measure"),
    "layouts": ("ala.data.layouts", "read"),
    "executors": ("ala.pipeline.executors", "results"),
}


def find(kind: str, name: str, also: Sequence[str] = ()) -> Any:
    """The class that `name` means.

    Args:
        kind: a key of :data:`KINDS`.
        name: of a file, such as `rise`, or `package.module:Class`, which is imported from the current folder or from
            wherever Python finds it.
        also: names that mean something else, for the message where there is no such file.

    Raises:
        UserError: there is no such file, module or class, or the class lacks the method of its kind.
    """
    package, method = KINDS[kind]
    setting = SETTINGS[kind]
    if ":" in name:
        module_name, _, class_name = name.partition(":")
        if "/" in module_name:
            dotted = module_name.removesuffix(".py").strip("/").replace("/", ".")
            raise UserError(f"{setting}: {name!r} names a file; write '{dotted}:{class_name}'")
        module = _imported(setting, module_name)
        found = getattr(module, class_name, None)
        if not inspect.isclass(found) or not hasattr(found, method):
            known = [f"{module_name}:{one.__name__}" for one in _classes(module, method)]
            raise UserError(
                f"{setting}: {name!r} names no class with a method `{method}`; write"
                f" {' or '.join(known) or 'package.module:Class'}"
            )
        return found
    module_name = f"{package}.{name.replace('-', '_')}"
    if (not name.isidentifier() and not name.replace("-", "_").isidentifier()) or not _is_file(module_name):
        known = [*also, *names(kind)]
        near = [repr(one) for one in get_close_matches(name, known, 1)]
        if name.rpartition(".")[2][:1].isupper():
            near = [repr(":".join(name.rsplit(".", 1)))]
        raise UserError(
            f"{setting}: {name!r} does not exist{f'; did you mean {near[0]}?' if near else ';'} choose one of"
            f" {', '.join(known)}, or write package.module:Class"
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


def _imported(setting: str, module_name: str) -> ModuleType:
    if "" not in sys.path:  # a console script does not look into the current folder by itself
        sys.path.insert(0, "")
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        raise UserError(
            f"{setting}: {module_name} cannot be imported ({reason(error)}); correct it or the name"
        ) from None
