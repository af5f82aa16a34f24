"""Take the recipes out of docs/extending.md, and apply one to a project: its files, and its settings."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
_BLOCK = re.compile(r"^```(python|yaml)\n# ([^\n]+)\n(.*?)^```$", re.M | re.S)


@dataclass
class Recipe:
    """What a section of the document shows.

    Attributes:
        files: the text of each Python file, by its path.
        settings: of params.yaml, one for each block of YAML.
        text: the whole section.
    """

    text: str
    files: dict[str, str] = field(default_factory=dict)
    settings: list[dict[str, Any]] = field(default_factory=list)

    def apply(self, project: Path, settings: int = 0) -> None:
        """Write the files below `project`, and merge one block of settings into its params.yaml.

        The reader's home is the project: paths of files of one's own are absolute.
        """
        for name, text in self.files.items():
            (project / name).parent.mkdir(exist_ok=True)
            (project / name).write_text(text)
        params = yaml.safe_load((project / "params.yaml").read_text())
        merged_text = yaml.safe_dump(merged(params, self.settings[settings]), sort_keys=False)
        (project / "params.yaml").write_text(merged_text.replace("/home/me", str(project)))


def recipe(title: str) -> Recipe:
    """The section of that title."""
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S))
    found = Recipe(sections[title])
    for language, name, text in _BLOCK.findall(found.text):
        if language == "yaml":
            found.settings.append(yaml.safe_load(text))
        else:
            found.files[name] = text
    return found


def merged(old: Any, new: Any) -> Any:
    """`new` over `old`: mappings are merged, and an item `...` of a list is all that stood there."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: merged(old.get(key), value) for key, value in new.items()}
    if isinstance(new, list) and "..." in new:
        at = new.index("...")
        return [*new[:at], *(old or []), *new[at + 1 :]]
    return new
