"""Settings files: any text, and the project's own file with mutations; one line for each mistake, and nothing else."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import yaml
from dvc.utils.serialize import parse_yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ala.config import load
from ala.config.schema import Settings
from ala.utils.errors import UserError
from tests.fuzz.reported import complaint, fewer
from tests.imports import ROOT

WHOLE = (ROOT / "params.yaml").read_text(encoding="utf-8")
TEXT = WHOLE[: WHOLE.index("\n  photos:")]  # one profile is read three times as fast as three
PLAIN: dict[str, Any] = yaml.safe_load(TEXT)
YAML = st.sampled_from(
    ["a", "profile", "seeds", "profiles", ": ", "- ", "? ", "\n", "  ", "\t", "[", "]", "{", "}", ",", "&a", "*a",
     "<<: ", "!!int", "!!python/name:os.system", "!!binary ", "!!set", "!!timestamp", "!!float", "!!omap", "|\n", ">",
     "---\n", "...\n", "%YAML 1.1\n", "#", "'", '"', "\\x", "0o17", "0b1", "1:30", "2001-01-01", "1e400", "-.inf",
     ".nan", "~", "null", "=", "9" * 5000, "\x00", "\ufeff", "\u2028", "\x85", "\U0001f600"]
)  # fmt: skip


def _stays_one(key: object) -> bool:
    return not (isinstance(key, float) and key != key)  # YAML has one NaN, dictionaries have many


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([10**400, -1, 0, 1, 2**63, 1e-320, "auto", "1e-5", "nan", "1_0", "\x1b[2J", "a\nb"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS.filter(_stays_one), inner, max_size=3),
    max_leaves=6,
)


def loaded(content: bytes) -> Settings | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_bytes(content)
        found = complaint(lambda: load(path))
        if not isinstance(found, UserError):
            return found
        head, *mistakes = str(found).split("\n")
        assert head.startswith(str(path))
        assert all(line.isprintable() for line in (head, *mistakes)), repr(str(found))
        if mistakes:
            assert head == f"{path} has {len(mistakes)} error{'s' * (len(mistakes) > 1)}:"
            assert len(set(mistakes)) == len(mistakes)
            assert all(line.startswith("  ") for line in mistakes), mistakes
    return None


@given(st.binary(max_size=300) | st.lists(YAML, max_size=40).map("".join).map(str.encode))
@example(b"a: !!timestamp x")
@example(b"[" * 20_000)
@example(b"a: " + b"9" * 5000)
@example(b"a: !!int 0x" + b"f" * 5000)
@example(b"? {a: 1}\n: 2")
@example(
    b"".join(b"x%d: &x%d [%s]\n" % (at, at, b", ".join([b"*x%d" % (at - 1)] * 9) if at else b"1") for at in range(25))
)
def test_any_text(content: bytes) -> None:
    assert loaded(content) is None or content  # an empty file holds no settings


def test_what_is_changed_below_is_sound() -> None:
    assert loaded(TEXT.encode()) == loaded(yaml.safe_dump(PLAIN).encode()) is not None


@given(
    st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 5), YAML), min_size=1, max_size=3),
    st.integers(0, len(TEXT)) | st.none(),
)
def test_text_of_the_project_with_edits(edits: list[tuple[int, int, str]], end: int | None) -> None:
    text = TEXT
    for at, cut, new in edits:
        text = text[:at] + new + text[at + cut :]
    loaded(text[:end].encode())


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything within `value`."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at] * bool(at) + [place for key, one in inner for place in places(one, (*at, key))]


PLACES = places(PLAIN)


@fewer
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(["set", "remove", "add"]), VALUES), max_size=4))
@example([(("profile",), "set", "a\nb")])
@example([(("ablations",), "set", {"a\nb": {"aea": True, "sbn": True}})])
@example([(("profiles",), "set", {"a\n  b": {}})])
def test_values_of_the_project_changed(changes: list[tuple[tuple[Any, ...], str, Any]]) -> None:
    raw = copy.deepcopy(PLAIN)
    for place, how, value in changes:
        change(raw, place, how, value)
    settings = loaded(yaml.safe_dump(raw, allow_unicode=True).encode())
    if settings is not None:
        again = loaded(yaml.safe_dump(settings.model_dump()).encode())
        assert again == settings  # what was accepted is accepted as it was understood
        assert settings.active is settings.profiles[settings.profile]


def change(raw: Any, place: tuple[Any, ...], how: str, value: Any) -> None:
    """Set, remove or add something at `place`, unless an earlier change has taken it away."""
    *way, last = place
    try:
        for key in way:
            raw = raw[key]
        if how == "set":
            raw[last] = value
        elif how == "remove":
            del raw[last]
        elif isinstance(raw, dict):
            raw[value if isinstance(value, str) else last] = value
        else:
            raw.insert(0, value)
    except (KeyError, IndexError, TypeError, AttributeError):
        return


@fewer
@given(st.text("0123456789+-_.:eExobnulyesffrtaTF~=", min_size=1, max_size=8))
@example("017")
@example("1:30")
@example("1_0")
@example("0b1")
@example("0x10")
@example("off")
def test_what_is_accepted_is_what_dvc_reads(scalar: str) -> None:
    for old, new in (
        ("seeds: [0, 1, 2]", "seeds: [{}]"),
        ("      lr: 1.0e-3", "      lr: {}"),
        ("aea: true ", "aea: {} "),
    ):
        assert old in TEXT
        text = TEXT.replace(old, new.format(scalar), 1)
        settings = loaded(text.encode())
        if settings is None:
            continue
        dvc = parse_yaml(text, "params.yaml")
        assert settings.seeds == dvc["seeds"]
        assert settings.aea is dvc["aea"]
        assert settings.profiles["mini"].train.lr == float(dvc["profiles"]["mini"]["train"]["lr"])
