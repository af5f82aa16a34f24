"""Rows of the tables: which method each one shows, how it is called and drawn, and the command that makes it again.

All of it follows from `methods` (and `extensions`) of params.yaml and from what the explainers say of themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ala.config.schema import EXTENSIONS, ROWS, Settings
from ala.contracts.explainer import trait
from ala.pipeline.methods import Method, cells, resolve
from ala.report.style import Look, looks

#: The last row of the main table: the frozen encoder by itself, named by its class texts. It has an accuracy, no map.
ZERO_SHOT = "zero_shot"
ZERO_SHOT_LABEL = "frozen encoder, zero-shot"


@dataclass(frozen=True)
class Row:
    """A name in `methods`.

    Attributes:
        name: in tables.
        label: in figures and pages.
        kind: `explainer` explains a model; `baseline` needs none (an explainer
            may say `baseline = False` of maps that another program made); `ablation` is a variant of the main model.
        method: whose scores it shows: `ala` and its row of the ablation are one method.
        evaluated: the model whose predictions insertion and deletion follow.
        explains_main: whether its maps explain the main model, by whatever model that is.
        on_subset: whether it explains a part of the images only.
        cell: the entry of `methods` that it belongs to; maps and scores lie in CELL/seed-SEED/METHOD.
        extension: whether the entry is one of `extensions`.
        settings: of the explainer.
        look: colour and dashes.
    """

    name: str
    label: str
    kind: Literal["explainer", "baseline", "ablation"]
    method: str
    evaluated: str
    explains_main: bool
    on_subset: bool
    cell: str
    extension: bool
    settings: Mapping[str, Any]
    look: Look

    def folder(self, seed: int) -> str:
        """The folder below `scores/` and `maps/`."""
        return f"{self.cell}/seed-{seed}/{self.method}"

    def command(self, seeds: Iterable[int]) -> str:
        """The command that makes its maps and scores again; DVC adds the stages that they need."""
        stages = (f"extend@{seed}-{self.cell}" if self.extension else f"score@{self.cell}-{seed}" for seed in seeds)
        return "dvc repro " + " ".join(stages)


@dataclass(frozen=True)
class Rows:
    """All rows, in the order of `methods`; two of them may show the same method."""

    all: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.all)

    def __contains__(self, name: object) -> bool:
        return any(name in (row.name, row.method) for row in self.all)

    def __getitem__(self, name: str) -> Row:
        """The row of that name, or the first that shows the method of that name.

        Raises:
            KeyError: there is none.
        """
        for row in self.all:
            if name in (row.name, row.method):
                return row
        raise KeyError(name)

    @property
    def explainers(self) -> list[Row]:
        """Those that explain a model; the best of them is set bold."""
        return [row for row in self.all if row.kind == "explainer"]

    @property
    def main(self) -> list[Row]:
        """Those of the main table: explainers, then maps that need no model."""
        return [*self.explainers, *(row for row in self.all if row.kind == "baseline")]

    @property
    def ablation(self) -> list[Row]:
        """Those of the ablation table: the variants, then the extensions."""
        found = [row for row in self.all if row.kind == "ablation"]
        return sorted(found, key=lambda row: row.extension)

    @property
    def shown(self) -> list[Row]:
        """Every row, those of the main table first."""
        return [*self.main, *self.ablation]

    @property
    def methods(self) -> list[Row]:
        """The first row of every method."""
        found: dict[str, Row] = {}
        for row in self.shown:
            found.setdefault(row.method, row)
        return list(found.values())

    def label(self, name: str) -> str:
        """The label of a row or method; `name` itself where there is none."""
        if name == ZERO_SHOT:
            return ZERO_SHOT_LABEL
        return self[name].label if name in self else name

    def commands(self, names: Iterable[str], seeds: list[int]) -> str:
        """The commands that make the scores of these rows again, each once."""
        return " && ".join(dict.fromkeys(self[name].command(seeds) for name in names if name in self))


def rows_of(settings: Settings) -> Rows:
    """The rows that the settings request.

    Raises:
        UserError: a name in `methods` is no explainer.
    """
    named = [(name, cell) for cell in cells(settings) for name in cell.split("+")]
    resolved = {name: resolve(name, settings) for name, _ in named}
    kinds = {name: _kind(name, method, settings) for name, method in resolved.items()}
    drawn = looks({name: (kinds[name], method.name) for name, method in resolved.items()})
    first = {resolved[name].name: cell for name, cell in reversed(named)}
    return Rows(tuple(
        Row(
            name, _label(name, method), kinds[name], method.name, method.evaluated,
            trait(method.explainer, "explains") == "main" and method.model == settings.main_variant,
            trait(method.explainer, "images") == "subset", first[method.name], name in settings.extensions,
            method.settings, drawn[name],
        )
        for name, method in resolved.items()
    ))  # fmt: skip


def _kind(name: str, method: Method, settings: Settings) -> Literal["explainer", "baseline", "ablation"]:
    if name in ROWS or name in settings.extensions:
        return "ablation"
    baseline = getattr(method.explainer, "baseline", trait(method.explainer, "explains") == "nothing")
    return "baseline" if baseline else "explainer"


def _label(name: str, method: Method) -> str:
    """What the explainer's class says; of a trained model that gives its own map, the model's name."""
    if name in ROWS:
        return f"({name})"
    if name in EXTENSIONS:
        return EXTENSIONS[name]
    label = getattr(method.explainer, "label", None)
    base, _, model = name.partition("-on-")
    if label is not None:
        return f"{label} on {model}" if model else str(label)
    return base.upper() if method.name == method.model else name.rpartition(":")[2]
