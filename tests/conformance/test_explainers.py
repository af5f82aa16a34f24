"""Every registered explainer keeps its contract, and each check fails for a class that breaks it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ala import registry
from ala.testing import check_explainer
from tests.conformance.good import Brightness, Gradient
from tests.conformance.settings import explainer_settings


@pytest.mark.parametrize("name", registry.names("explainers"))
def test_registered_explainers_keep_the_contract(name):
    check_explainer(registry.find("explainers", name), **explainer_settings(name))


@pytest.mark.parametrize("kind", [Gradient, Brightness])
def test_good_classes_pass(kind):
    check_explainer(kind)
    check_explainer(kind, images=torch.randn(3, 3, 40, 40, generator=torch.Generator().manual_seed(0)))


class Channels(Gradient):
    def explain(self, images, targets):
        return super().explain(images, targets)[:, None]


class NoTensor(Gradient):
    def explain(self, images, targets):
        return super().explain(images, targets).numpy()


class WholeNumbers(Gradient):
    def explain(self, images, targets):
        return (1000 * super().explain(images, targets)).long()


class NotFinite(Gradient):
    def explain(self, images, targets):
        return super().explain(images, targets).log() - torch.inf


class Calibrated(Gradient):
    calibrated = True

    def explain(self, images, targets):
        return 1.5 + super().explain(images, targets)


class Binary(Gradient):
    binary = True


class TellsNothing(Gradient):
    explains = "something"


class NeedsAClass(Gradient):
    explains = "own"


class Ignores(Gradient):
    def explain(self, images, targets):
        return super().explain(images, torch.zeros_like(targets))


class NotAgnostic(Gradient):
    class_agnostic = True


class ScaledByTheBatch(Gradient):
    def explain(self, images, targets):
        maps = super().explain(images, targets)
        return maps / maps.max()


class ByPosition(Brightness):
    def explain(self, images, targets):
        return images.mean(dim=1) + torch.arange(len(images))[:, None, None]


class GlobalRandom(Brightness):
    def explain(self, images, targets):
        with torch.random.fork_rng(devices=[]):
            return images.mean(dim=1) + torch.rand(images.shape[-2:])


class Moves(Brightness):
    calls = 0

    def explain(self, images, targets):
        self.calls += 1
        return images.mean(dim=1) + self.calls


class DrawsNumpy(Brightness):
    def explain(self, images, targets):
        np.random.rand()  # noqa: NPY002
        return images.mean(dim=1)


class Seeds(Brightness):
    def explain(self, images, targets):
        torch.manual_seed(0)
        return images.mean(dim=1)


class InPlace(Brightness):
    def explain(self, images, targets):
        return images.abs_().mean(dim=1)


class LeavesGradients(Gradient):
    def explain(self, images, targets):
        images = images.clone().requires_grad_()
        self.classifier(images)[torch.arange(len(images)), targets].sum().backward()
        return images.grad.norm(dim=1)


class Trains(Gradient):
    def explain(self, images, targets):
        self.classifier.train()
        return super().explain(images, targets)


class Freezes(Gradient):
    def explain(self, images, targets):
        self.classifier.requires_grad_(False)
        return super().explain(images, targets)


class Hooks(Gradient):
    def explain(self, images, targets):
        self.classifier.head.register_forward_hook(lambda *_: None)
        return super().explain(images, targets)


class Weights(Gradient):
    def explain(self, images, targets):
        with torch.no_grad():
            self.classifier.head.bias += 1
        return super().explain(images, targets)


class NoGradients(Brightness):
    def explain(self, images, targets):
        torch.set_grad_enabled(False)
        return images.mean(dim=1)


class AsksForMore(Brightness):
    def __init__(self, temperature):
        self.temperature = temperature


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Channels, r"maps of Channels: their shape is \(4, 1, 32, 32\) for 4 images; return \(4, h, w\)"),
        (NoTensor, "they are a ndarray"),
        (WholeNumbers, "they are torch.int64"),
        (NotFinite, "they hold NaN or infinity"),
        (Calibrated, "calibrated means 0 to 1, they reach from 1.5"),
        (Binary, "binary means 0 or 1"),
        (TellsNothing, "explains is 'something', not one of main, own, nothing"),
        (NeedsAClass, "there is no target class, so say class_agnostic = True"),
        (Ignores, "another target class gives the same maps"),
        (NotAgnostic, "class_agnostic, but targets move its maps"),
        (ScaledByTheBatch, "one image's map alone differs from its map among 4 by"),
        (ByPosition, "images in another order move maps by"),
        (GlobalRandom, "determinism of GlobalRandom: "),
        (Moves, "the second call differs by 1 "),
        (DrawsNumpy, "it changed numpy's global random state"),
        (Seeds, "it changed torch's global random state"),
        (InPlace, "it changed the images that it was given"),
        (LeavesGradients, r"it changed the gradients \(.grad\) of the classifier"),
        (Trains, "it changed the training mode of the classifier"),
        (Freezes, "it changed requires_grad of the classifier"),
        (Hooks, "it changed the hooks of the classifier"),
        (Weights, "it changed the weights of the classifier"),
        (NoGradients, "it changed whether gradients are enabled"),
        (AsksForMore, "construction of AsksForMore: .*temperature"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_broken_contract_is_one_sentence(kind, message):
    was = torch.is_grad_enabled()
    try:
        with pytest.raises(AssertionError, match=message) as caught:
            check_explainer(kind)
    finally:
        torch.set_grad_enabled(was)
    assert "\n" not in str(caught.value)


def test_what_is_said_to_be_of_the_seed_may_be_drawn():
    class Noise:
        explains, class_agnostic = "nothing", True

        def __init__(self, seed):
            self.seed = seed

        def explain(self, images, targets, ids):
            made = [np.random.default_rng([self.seed, int(one)]).random((4, 4), np.float32) for one in ids]
            return torch.from_numpy(np.stack(made))

    check_explainer(Noise)
