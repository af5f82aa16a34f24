"""Load `params.yaml` as typed settings; all errors of the file are reported together."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from ala.config.schema import Settings, unknown_profile
from ala.utils import ledger
from ala.utils.errors import UserError

#: Paths that older versions had in each profile, where DVC could not see changes of their content.
MOVED = {
    ".data.root": "inputs.data", ".data.archives": "inputs.data", ".encoder.checkpoint": "inputs.encoder",
    ".fcam.checkpoint": "inputs.fcam",
}  # fmt: skip

_LONGEST = 300  # characters of a parser's own words
_MOST_NODES = 100_000  # our own file has some hundreds; aliases of aliases can request more than any memory holds


def load(path: Path | str = "params.yaml") -> Settings:
    """Read and validate `path`; the record of the running stage gets the active profile (:mod:`ala.utils.ledger`).

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
    except (YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is not readable as YAML: {_reason(error)}; correct it there") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} must hold settings by name (`profile: mini` ...), got {type(raw).__name__}")
    try:
        settings = Settings.model_validate(raw)
        ledger.note(profile=settings.profile, settings=settings.active.model_dump(mode="json"))
        return settings
    except ValidationError as error:
        lines = [_sentence(item) for item in error.errors(include_url=False)]
        # Checks across sections run only once each section is valid; this one needs nothing but the names.
        if isinstance(raw.get("profiles"), dict) and isinstance(raw.get("profile"), str):
            lines += [line for line in unknown_profile(raw["profile"], raw["profiles"]) if line not in " ".join(lines)]
        raise UserError(f"{path} has {len(lines)} error{'s' if len(lines) > 1 else ''}:", *lines) from None


def _parse(text: str) -> Any:
    """Parse a YAML 1.2 document as DVC does, after checking that it is finite and of a sensible size."""
    yaml = YAML(typ="safe", pure=True)  # DVC's own parser, in Python: the one in C has other messages
    node = yaml.compose(text)
    if node is None:
        return None
    nodes = _expanded(node, {})
    if nodes > _MOST_NODES:
        raise YAMLError(f"its aliases unfold to {nodes:,} values, at most {_MOST_NODES:,} are read")
    return yaml.constructor.construct_document(node)


def _reason(error: Exception) -> str:
    """Describe in one line what is wrong with the text, and where."""
    if isinstance(error, RecursionError):
        return "its brackets or indents are too deep"
    if type(error) is ValueError and "digits" in str(error):  # of int(); its text tells how to lift Python's limit
        return "a number has more digits than any setting needs"
    if not isinstance(error, YAMLError | UnicodeError):  # `!!int x`, `!!bool x`
        return "a value is not what its tag says"
    if not isinstance(error, MarkedYAMLError):
        return " ".join(str(error).split()).replace('in "<unicode string>", ', "at ")[:_LONGEST]
    problem = str(error.problem)
    if isinstance(error, DuplicateKeyError):
        problem = problem.partition(" with value")[0]  # which may be half of the file
    place = f" (line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1})"
    return " ".join(filter(None, (error.context, problem)))[:_LONGEST] + place


def _expanded(node: Node, known: dict[int, int]) -> int:
    """Count the values below `node` with each alias expanded.

    Raises:
        YAMLError: a value contains itself, or a key is a list or a mapping.
    """
    if not isinstance(node, CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = -1  # under way
        keys = [key for key, _ in node.value] if isinstance(node, MappingNode) else []
        wrong = next((key for key in keys if not isinstance(key, ScalarNode)), None)
        if wrong is not None:
            raise YAMLError(f"the key in line {wrong.start_mark.line + 1} is no word")
        values = [value for _, value in node.value] if keys else node.value
        known[id(node)] = 1 + len(keys) + sum(_expanded(value, known) for value in values)
    elif known[id(node)] < 0:
        raise YAMLError(f"the value in line {node.start_mark.line + 1} contains itself")
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
