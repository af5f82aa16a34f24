"""Which explainer and which model are behind a name in `methods`, and what decides about its results.

A name is one of

- `ala` (the main model that the switches name), a row of the ablation, `abn` or an extension: the map that this trained
  model gives of itself;
- a file of `ala/explainers`, such as `rise`, or `package.module:Class`; `rise-on-fcam` explains another trained model
  than the explainer would by itself;
- a key of `foreign`: a folder of maps that another program made.

Names joined by `+` share one DVC cell, and so one process: for methods that take seconds.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ala import registry
from ala.config.schema import EXTENSIONS, ROWS, Settings, variant_name
from ala.contracts.explainer import trait
from ala.pipeline import code
from ala.pipeline.foreign import Foreign
from ala.utils.errors import UserError
from ala.utils.files import stamped_sha256, stamps

#: Models that stages train; each gives a map of itself.
VARIANTS = tuple(variant_name(**row) for row in ROWS.values())


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        name: in scores and tables; of a trained model the model's name, so `ala` and its row of the ablation are one.
        explainer: the class.
        model: name of the model that it explains, below models/; None for baseline and foreign maps.
        evaluated: name of the model whose predictions insertion and deletion follow: `model`, else the main one.
        settings: keyword arguments of the explainer from params.yaml.
    """

    name: str
    explainer: Any
    model: str | None
    evaluated: str
    settings: dict[str, Any]


def cells(settings: Settings) -> list[str]:
    """The entries of `methods` and `extensions`: names, or several joined by `+`."""
    return [*settings.methods, *settings.extensions]


def of_cell(cell: str, settings: Settings) -> list[Method]:
    """The methods of a cell, each once."""
    found = [resolve(name, settings) for name in cell.split("+")]
    return list({method.name: method for method in found}.values())


def named(settings: Settings) -> dict[str, str]:
    """The first cell of every method that the settings request, by the method's name, in the order of `methods`."""
    return {
        method.name: cell for cell in reversed(cells(settings)) for method in reversed(of_cell(cell, settings))
    }  # fmt: skip


def trained_model(name: str, settings: Settings) -> str | None:
    """The folder below models/ of the trained model that `name` means, or None."""
    if name in (*VARIANTS, "abn", *EXTENSIONS):
        return name
    if name == "ala":
        return settings.main_variant
    return variant_name(**ROWS[name]) if name in settings.ablations else None


def resolve(name: str, settings: Settings) -> Method:
    """The method of that name.

    Raises:
        UserError: there is no such explainer or model.
    """
    own = trained_model(name, settings)
    if own is not None:
        return Method(own, registry.find("explainers", "attention"), own, own, {})
    if name in settings.foreign:
        return Method(name, Foreign, None, settings.main_variant, {"folder": settings.foreign[name]})
    base, _, on = name.partition("-on-")
    explainer = registry.find("explainers", base, also=["ala", *settings.ablations, "abn", *settings.foreign])
    explains = trait(explainer, "explains")
    model: str | None
    if on:
        if explains != "main":
            raise UserError(f"methods: {name!r}: {base} does not explain a model that can be chosen; write {base!r}")
        model = trained_model(on, settings) or on
    else:
        model = {"main": settings.main_variant, "own": base, "nothing": None}[explains]
    profile = settings.active
    section = getattr(profile, base.replace("-", "_"), None) if explains != "own" else None
    block = section.model_dump() if section is not None else profile.explainers.get(base, {})
    return Method(name, explainer, model, model or settings.main_variant, block)


def recipe(method: Method, seed: int, models: Path) -> dict[str, Any]:
    """Everything of a method that decides about its maps, as JSON: explainer, its code and settings, the model."""
    module = method.explainer.__module__
    files = {"files": stamps(Path(method.settings["folder"]))} if method.explainer is Foreign else {}
    return {
        "method": method.name,
        "explainer": f"{module}:{method.explainer.__qualname__}",
        "code": code.digest(module),
        "settings": method.settings | files,
        "seed": seed,
        "model": method.model,
        "model_sha256": model_digest(method.model, seed, models),
        "evaluated": method.evaluated,
    }


def model_digest(name: str | None, seed: int, models: Path) -> str | None:
    """sha256 of what a trained model is made of; None for no model.

    Raises:
        UserError: it was not trained.
    """
    if name is None:
        return None
    folder = models / name / f"seed-{seed}"
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("model.json")])
    if not files:
        raise UserError(
            f"{folder} holds no model; run `dvc repro`, or take the methods that explain it out of `methods`"
        )
    parts = {file.name: stamped_sha256(file) for file in files}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
