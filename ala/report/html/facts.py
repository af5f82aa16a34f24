"""Provenance as rows of text: nested values become dotted names, lists of plain values become one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

GENERAL = "general"


def facts(provenance: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """(name, value) by group: each nested value of the first level is a group of its own, the others share one."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, value in provenance.items():
        nested = isinstance(value, Mapping) or (isinstance(value, list) and any(map(_nested, value)))
        if nested:
            groups[name] = list(_lines(value, ""))
        else:
            groups.setdefault(GENERAL, []).append((name, _text(value)))
    return {name: groups[name] for name in sorted(groups, key=lambda name: name != GENERAL) if groups[name]}


def _lines(value: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        items = [(str(name), part) for name, part in value.items()]
    elif isinstance(value, list) and any(map(_nested, value)):
        items = [(str(number), part) for number, part in enumerate(value, 1)]
    else:
        yield prefix, _text(value)
        return
    for name, part in items:
        yield from _lines(part, f"{prefix}.{name}" if prefix else name)


def _nested(value: Any) -> bool:
    return isinstance(value, (Mapping, list))


def _text(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)
