"""One typed way from `params.yaml` to settings; everything wrong with the file is told at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ala.config.schema import Settings, unknown_profile
from ala.runtime.errors import UserError


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: only true/false are booleans, `1e-5` is a number, a key stands once.

    DVC reads and writes params.yaml by YAML 1.2, PyYAML by YAML 1.1, where `off` is false and `1e-5` is text; with
    two readings of one file, DVC would take another experiment for run than the code runs.
    """

    yaml_implicit_resolvers = {
        key: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float", ":timestamp"))]
        for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice (again in line {line})")
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF")
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN)$"),
    "-+0123456789.",
)


def load(path: Path | str = "params.yaml") -> Settings:
    """Read and validate `path`.

    Raises:
        UserError: the file is missing or no YAML, or settings are unknown, of a wrong type, out of range or
            impossible together. All of them are listed, each with its place, its value and what is allowed.
    """
    path = Path(path)
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader, see above
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the command in the project's folder") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} must hold settings by name (`profile: mini` ...), got {type(raw).__name__}")
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        lines = [_sentence(item) for item in error.errors(include_url=False)]
        # Checks across sections run only once each section is valid; this one needs nothing but the names.
        if isinstance(raw.get("profiles"), dict) and "profile" in raw:
            lines += [line for line in unknown_profile(raw["profile"], raw["profiles"]) if line not in " ".join(lines)]
        raise UserError(f"{path} has {len(lines)} error{'s' if len(lines) > 1 else ''}:", *lines) from None


def _sentence(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"]) or "(top level)"
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        return f"{place}: unknown setting; remove it or check its spelling"
    if item["type"] == "missing":
        return f"{place}: is missing; {message[0].lower()}{message[1:]}"
    value = item["input"]
    shown = "" if isinstance(value, dict) else f"{value!r}: "
    return f"{place}: {shown}{message[0].lower()}{message[1:]}"
