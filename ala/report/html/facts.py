"""Provenance as rows of text: nested values become dotted names, lists become one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

GENERAL = "general"


def facts(provenance: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """(name, value) by group: each nested value of the first level is a group of its own, the others share one."""
    groups: dict[str, list[tuple[str, str]]] = {GENERAL: []}
    for name, value in provenance.items():
        if isinstance(value, Mapping):
            groups[name] = list(_lines(value, ""))
        else:
            groups[GENERAL] += _lines({name: value}, "")
    return {name: lines for name, lines in groups.items() if lines}


def _lines(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if value is None:
        return "not known"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
