"""Small classes that keep the contracts; the tests break them in one place each."""

from __future__ import annotations

import numpy as np
import torch


class Gradient:
    """The length of the class probability's gradient at each pixel."""

    label = "Gradient"

    def __init__(self, classifier):
        self.classifier = classifier

    def explain(self, images, targets):
        images = images.clone().requires_grad_()
        score = self.classifier(images)[torch.arange(len(images)), targets].sum()
        return torch.autograd.grad(score, images)[0].norm(dim=1)


class Brightness:
    """How bright each pixel is: no model, no class."""

    explains = "nothing"
    class_agnostic = True

    def explain(self, images, targets):
        return images.mean(dim=1)


class Extent:
    """Share of the image above half of the map's range, and how large the maps are."""

    images = "mapped"
    evaluates = False
    reads = ()

    def measure(self, scoring, index):
        return {"extent/share": (scoring.scaled(index) > 0.5).mean(axis=(1, 2)), "_count": np.ones(len(index))}

    def whole(self, arrays):
        return {"extent/images": float(arrays["_count"].sum())}
