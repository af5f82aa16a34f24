"""Check an explainer against :class:`ala.contracts.explainer.Explainer`."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ala.contracts.explainer import TRAITS, accepted, trait
from ala.testing import toys
from ala.testing.guards import require, unchanged

_CHOICES = {"explains": ("main", "own", "nothing"), "images": ("all", "subset")}
_CLOSE = 1e-4  # of a map's range: another number of images in a forward pass changes last bits


def check_explainer(
    explainer: type, *, classifier: Any = None, model: Any = None, images: Tensor | None = None, **settings: Any
) -> None:
    """Check a class of explainers on four images; see each `_check_*` below for what is required.

    Args:
        explainer: the class; it is constructed as the pipeline does, by the names of its parameters.
        classifier: normalised images `(B, 3, S, S)` to probabilities `(B, K)`; default: a small random network, for an
            explainer that takes `model` a Vision Transformer with an `encoder`, but without an adapter.
        model: what the explainer's parameter `model` gets; default: the classifier.
        images: normalised, `(B, 3, S, S)` with B at least 2; default: random patches at 32 x 32 pixels.
        settings: keyword arguments of its constructor, as its block in params.yaml would give.

    Raises:
        AssertionError: it breaks the contract; the message says which check, and what was found.
    """
    if classifier is None:
        looks_inside = "model" in accepted(explainer, model=None)
        classifier = model or (toys.RandomTransformer() if looks_inside else toys.RandomClassifier())
    images = images if images is not None else toys.RandomClassifier.preprocessing.normalise(toys.pixels())
    case = _Case(explainer, classifier, model if model is not None else classifier, images, settings)
    _check_traits(case)
    maps = _check_maps(case)
    _check_determinism(case, maps)
    _check_batch(case, maps)
    _check_targets(case)


class _Case:
    """One explainer with everything that it is given."""

    def __init__(self, explainer: type, classifier: Any, model: Any, images: Tensor, settings: dict[str, Any]) -> None:
        self.kind, self.classifier, self.model = explainer, classifier, model
        self.images, self.settings, self.name = images, settings, explainer.__qualname__
        with torch.no_grad():
            classes = classifier(images[:1]).shape[1]
        self.blind = trait(explainer, "class_agnostic")
        self.targets = torch.arange(len(images)) % classes
        self.others = (self.targets + 1) % classes
        self.ids = np.resize(toys.IDS, len(images)) + 100 * (np.arange(len(images)) // len(toys.IDS))
        self.boxes = toys.boxes(len(images), images.shape[-1])

    def made(self) -> Any:
        """A new explainer."""
        offered = {"classifier": self.classifier, "model": self.model, "seed": 0, "batch": 2, "grid": toys.GRID}
        offered |= self.settings
        known = accepted(self.kind, **offered)
        try:
            return self.kind(**known)
        except TypeError as error:
            raise AssertionError(
                f"construction of {self.name}: the pipeline offers {', '.join(sorted(offered))} by name, and Python"
                f" says: {error}; give the other parameters a default, or their settings to this check"
            ) from None

    def maps(self, explainer: Any, index: list[int], targets: Tensor | None = None) -> Tensor:
        """Maps of the images `index` for `targets` (default: one class each, -1 for what knows no class)."""
        if targets is None:
            targets = torch.full_like(self.targets, -1) if self.blind else self.targets
        known = accepted(explainer.explain, ids=self.ids[index], boxes=self.boxes[index])
        return explainer.explain(self.images[index].clone(), targets[index].clone(), **known)


def _check_traits(case: _Case) -> None:
    """What the class says of itself is one of what can be said."""
    for name, choices in _CHOICES.items():
        said = trait(case.kind, name)
        require(said in choices, f"traits of {case.name}", f"{name} is {said!r}, not one of {', '.join(choices)}")
    for name in [one for one, usual in TRAITS.items() if isinstance(usual, bool)]:
        said = trait(case.kind, name)
        require(isinstance(said, bool), f"traits of {case.name}", f"{name} is {said!r}, not True or False")
    require(
        trait(case.kind, "explains") == "main" or case.blind,
        f"traits of {case.name}",
        f"it explains {trait(case.kind, 'explains')!r}, where there is no target class, so say class_agnostic = True",
    )


def _check_maps(case: _Case) -> Tensor:
    """A map is float `(B, h, w)`, finite and in the range that was promised; nothing else changes by making it."""
    explainer, everything = case.made(), list(range(len(case.images)))
    targets = torch.full_like(case.targets, -1) if case.blind else case.targets.clone()
    inputs = {"images": case.images, "targets": targets, "ids": case.ids, "boxes": case.boxes}
    with unchanged(f"explain of {case.name}", inputs, {"classifier": case.classifier, "model": case.model}):
        known = accepted(explainer.explain, ids=case.ids, boxes=case.boxes)
        maps = _explained(case, explainer, targets, known)
    wanted = 1 if trait(case.kind, "shared") else len(everything)
    check = f"maps of {case.name}"
    require(isinstance(maps, Tensor), check, f"they are a {type(maps).__name__}; return a torch.Tensor")
    require(not maps.requires_grad, check, "they carry a gradient; return them detached")
    require(
        maps.ndim == 3 and len(maps) == wanted and min(maps.shape) > 0,
        check, f"their shape is {tuple(maps.shape)} for {len(everything)} images; return ({wanted}, h, w)",
    )  # fmt: skip
    require(maps.is_floating_point(), check, f"they are {maps.dtype}; return floating-point numbers")
    require(bool(torch.isfinite(maps).all()), check, "they hold NaN or infinity; return finite numbers")
    low, high = float(maps.min()), float(maps.max())
    if trait(case.kind, "calibrated"):
        require(low >= 0 and high <= 1 + 1e-6, check, f"calibrated means 0 to 1, they reach from {low:g} to {high:g}")
    if trait(case.kind, "binary"):
        between = maps[(maps != 0) & (maps != 1)]
        require(not len(between), check, f"binary means 0 or 1, they hold {float(between[:1].sum()):g}")
    return maps.detach()


def _explained(case: _Case, explainer: Any, targets: Tensor, known: dict[str, Any]) -> Any:
    """What `explain` returns; where it looks into a model that it was not given, a sentence tells how to give one."""
    try:
        return explainer.explain(case.images, targets, **known)
    except AttributeError as error:
        if not isinstance(case.model, toys.RandomClassifier | toys.RandomTransformer) or "model" not in accepted(
            case.kind, model=None
        ):
            raise
        raise AssertionError(
            f"maps of {case.name}: it takes `model`, and the check's own has no such part ({error}); give a trained"
            " one: check_explainer(CLASS, classifier=model, model=model, images=images) with model ="
            " ala.load_model(FOLDER, ENCODER) and images at its size"
        ) from None


def _check_determinism(case: _Case, maps: Tensor) -> None:
    """The same again: by the same explainer, and by a new one after all global random states have moved."""
    everything = list(range(len(case.images)))
    explainer = case.made()
    first = case.maps(explainer, everything).detach()
    again = case.maps(explainer, everything).detach()
    moved = _with_other_random_states(lambda: case.maps(case.made(), everything)).detach()
    check = f"determinism of {case.name}"
    require(torch.equal(first, maps), check, f"two new explainers differ by {_apart(first, maps)}{_SEED}")
    require(torch.equal(first, again), check, f"the second call differs by {_apart(first, again)}{_SEED}")
    require(torch.equal(first, moved), check, f"maps depend on global random states, by {_apart(first, moved)}{_SEED}")


_SEED = "; draw from a generator made of `seed` and the image's id"


def _check_batch(case: _Case, maps: Tensor) -> None:
    """The map of an image is the same alone, among others, and in another order."""
    backwards = list(range(len(case.images)))[::-1]
    explainer, shared = case.made(), trait(case.kind, "shared")
    among = case.maps(explainer, backwards).detach()
    wanted = maps if shared else maps[backwards]
    check, remedy = f"independence from the batch, {case.name}", "; compute each map from its own image alone"
    require(_close(among, wanted), check, f"images in another order move maps by {_apart(among, wanted)}{remedy}")
    for one in range(len(case.images)):
        alone, wanted = case.maps(explainer, [one]).detach(), maps if shared else maps[one : one + 1]
        require(
            _close(alone, wanted), check,
            f"one image's map alone differs from its map among {len(backwards)} by {_apart(alone, wanted)}{remedy}",
        )  # fmt: skip


def _check_targets(case: _Case) -> None:
    """Another target class gives another map; where the class says that it knows none, the same one."""
    explainer, everything = case.made(), list(range(len(case.images)))
    one, other = (case.maps(explainer, everything, targets).detach() for targets in (case.targets, case.others))
    check = f"targets of {case.name}"
    if case.blind:
        require(_close(one, other), check, f"class_agnostic, but targets move its maps by {_apart(one, other)}")
    else:
        require(
            not torch.equal(one, other), check,
            "another target class gives the same maps; explain the class in `targets`, or say class_agnostic = True",
        )  # fmt: skip


def _with_other_random_states(call: Callable[[], Tensor]) -> Tensor:
    """Call with every global random state moved on; afterwards they are as before."""
    state, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002
        torch.manual_seed(5)
        try:
            return call()
        finally:
            random.setstate(state)
            np.random.set_state(numbers)  # noqa: NPY002


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    span = float(other.max() - other.min())
    return bool(((one - other).abs() <= _CLOSE * span + 1e-12).all())


def _apart(one: Tensor, other: Tensor) -> str:
    if one.shape != other.shape:
        return f"shapes {tuple(one.shape)} and {tuple(other.shape)}"
    low, high = float(other.min()), float(other.max())
    return f"{float((one - other).abs().max()):.3g} (values reach from {low:.3g} to {high:.3g})"
