"""Load `params.yaml` as typed settings; all errors of the file are reported together."""

from __future__ import annotations

import re
import reprlib
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ala.config.schema import Settings, unknown_profile
from ala.utils.errors import UserError


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: only true/false are booleans, `1e-5` is a number, a key stands once.

    DVC reads and writes params.yaml by YAML 1.2, PyYAML by YAML 1.1, where `off` is false, `1e-5` is text, `017` is 15
    and `1:30` is 90; if the two read the file differently, DVC would record another experiment than the code runs.
    """

    yaml_implicit_resolvers = {
        key: [
            (tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":int", ":float", ":timestamp"))
        ]
        for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, f"the key in line {line} is no word")
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice (again in line {line})")
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        return int(str(self.construct_scalar(node)))  # decimal only, as the pattern below


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), "-+0123456789")
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF")
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN)$"),
    "-+0123456789.",
)


#: Paths that older versions had in each profile, where DVC could not see changes of their content.
MOVED = {
    ".data.root": "inputs.data", ".data.archives": "inputs.data", ".encoder.checkpoint": "inputs.encoder",
    ".fcam.checkpoint": "inputs.fcam",
}  # fmt: skip

_LONGEST = 300  # characters of a parser's own words
_MOST_NODES = 100_000  # our own file has some hundreds; aliases of aliases can ask for more than any memory holds


def load(path: Path | str = "params.yaml") -> Settings:
    """Read and validate `path`.

    Raises:
        UserError: the file is missing, unreadable or no YAML, or settings are unknown, of a wrong type, out of range or
            impossible together. All of them are listed, each with its place, its value and what is allowed.
    """
    path = Path(path)
    try:
        raw = _parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the command in the project's folder") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the file and its permissions") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is not readable as YAML: {_reason(error)}; correct it there") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} must hold settings by name (`profile: mini` ...), got {type(raw).__name__}")
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        lines = [_sentence(item) for item in error.errors(include_url=False)]
        # Checks across sections run only once each section is valid; this one needs nothing but the names.
        if isinstance(raw.get("profiles"), dict) and isinstance(raw.get("profile"), str):
            lines += [line for line in unknown_profile(raw["profile"], raw["profiles"]) if line not in " ".join(lines)]
        raise UserError(f"{path} has {len(lines)} error{'s' if len(lines) > 1 else ''}:", *lines) from None


def _parse(text: str) -> Any:
    """Parse a YAML document after checking that it is finite and of a sensible size."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        nodes = _expanded(node, {})
        if nodes > _MOST_NODES:
            raise yaml.YAMLError(f"its aliases unfold to {nodes:,} values, at most {_MOST_NODES:,} are read")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _reason(error: Exception) -> str:
    """Describe in one line what is wrong with the text, and where."""
    if isinstance(error, RecursionError):
        return "its brackets or indents are too deep"
    if type(error) is ValueError and "digits" in str(error):  # of int(); its text tells how to lift Python's limit
        return "a number has more digits than any setting needs"
    if not isinstance(error, yaml.YAMLError | UnicodeError):  # `!!int x`, `!!bool x`, `!!timestamp x`
        return "a value is not what its tag says"
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split()).replace('in "<unicode string>", ', "at ")[:_LONGEST]
    mark = error.problem_mark
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
    return " ".join(filter(None, (error.context, error.problem)))[:_LONGEST] + place


def _expanded(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values below `node` with each alias expanded."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = -1  # under way
        children = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_expanded(child, known) for child in children)
    elif known[id(node)] < 0:
        raise yaml.YAMLError(f"the value in line {node.start_mark.line + 1} contains itself")
    return known[id(node)]


def _sentence(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"]) or "(top level)"
    message = str(item["msg"]).removeprefix("Value error, ")
    moved = next((new for old, new in MOVED.items() if place.endswith(old)), None)
    if item["type"] == "extra_forbidden" and moved is not None:
        return f"{place}: is no setting any more; name it by {moved} (-S '{moved}=\"/its/path\"')"
    if item["type"] == "extra_forbidden":
        return f"{place}: unknown setting; remove it or check its spelling"
    if item["type"] == "missing":
        return f"{place}: is missing; {message[0].lower()}{message[1:]}"
    value = item["input"]
    if item["type"] == "list_type" and not isinstance(value, dict):
        listed = "[...]" if value is None or len(str(value)) > 40 else f"[{value}]"
        return f"{place}: {_brief(value)}: is no list; write {listed}, with dvc exp run -S '{place}={listed}'"
    shown = "" if isinstance(value, dict) else f"{_brief(value)}: "
    return f"{place}: {shown}{message[0].lower()}{message[1:]}"


def _brief(value: Any) -> str:
    """Format a value as text, truncated if it is long."""
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = 80
    return brief.repr(value)
