"""Check a frozen encoder against :class:`ala.encoders.Encoder`, the interface that adapters read."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from ala.testing import toys
from ala.testing.guards import require, unchanged
from ala.utils.errors import UserError

_CLOSE = 1e-4  # of a feature's range: another number of images in a forward pass changes last bits


def check_encoder(encoder: Any, images: Tensor | None = None) -> None:
    """Check an encoder on a few images; see each `_check_*` below for what is required.

    Args:
        encoder: e.g. what :func:`ala.encoders.build_encoder` or :func:`ala.encoders.load_encoder` returns.
        images: normalised, `(B, 3, S, S)` with B at least 2; default: random patches at the encoder's own size.

    Raises:
        AssertionError: it breaks the contract; the message says which check, and what was found.
    """
    name = f"{type(encoder).__name__} {getattr(encoder, 'description', {}).get('name', '')}".strip()
    if images is None:
        images = encoder.preprocessing.normalise(toys.pixels(size=encoder.preprocessing.size))
    _check_frozen(name, encoder)
    features = _check_features(name, encoder, images)
    _check_batch(name, encoder, images, features)
    _check_embedding(name, encoder, images)
    _check_gradients(name, encoder, images)
    _check_errors(name, encoder, images)


def _check_frozen(name: str, encoder: Any) -> None:
    """No weight can be trained, and training mode cannot be switched on."""
    check = f"frozen weights of {name}"
    free = [key for key, weight in encoder.named_parameters() if weight.requires_grad]
    require(not free, check, f"{next(iter(free), '')} requires a gradient; call requires_grad_(False)")
    encoder.train()
    moved = any(module.training for module in encoder.modules())
    encoder.eval()
    require(not moved, check, "train() switches training mode on, where predictions depend on the batch; stay in eval")
    try:
        json.dumps([encoder.description, encoder.source])
    except TypeError as error:
        raise AssertionError(f"description of {name}: it cannot be written as JSON ({error})") from None


def _check_features(name: str, encoder: Any, images: Tensor) -> dict[int, Tensor]:
    """Features are float32 `(B, C_i, g, g)`, finite, the same again and the same one at a time."""
    check, numbers, size = f"features of {name}", sorted(encoder.feature_channels), encoder.grid
    with unchanged(f"features of {name}", {"images": images}, {"encoder": encoder}), torch.no_grad():
        found = encoder.features(images, numbers)
    require(sorted(found) == numbers, check, f"of {numbers} it gives {sorted(found)}")
    for number, feature in found.items():
        wanted = (len(images), encoder.feature_channels[number], size, size)
        require(
            feature.shape == wanted,
            check, f"feature {number} has the shape {tuple(feature.shape)}; feature_channels and grid say {wanted}",
        )  # fmt: skip
        require(feature.dtype == torch.float32, check, f"feature {number} is {feature.dtype}; give float32")
        require(bool(torch.isfinite(feature).all()), check, f"feature {number} holds NaN or infinity")
    with torch.no_grad():
        again = encoder.features(images, numbers)
        alone = {number: encoder.features(images, [number])[number] for number in numbers}
    for number in numbers:
        require(torch.equal(found[number], again[number]), f"determinism of {name}", f"feature {number} differs again")
        apart = _apart(alone[number], found[number])
        require(apart <= _CLOSE, check, f"feature {number} differs by {apart:.3g} when it alone is wanted")
    return found


def _check_batch(name: str, encoder: Any, images: Tensor, features: dict[int, Tensor]) -> None:
    """The features of an image are the same alone and among others."""
    for one in range(len(images)):
        with torch.no_grad():
            alone = encoder.features(images[one : one + 1], list(features))
        for number, among in features.items():
            apart = _apart(alone[number], among[one : one + 1])
            require(
                apart <= _CLOSE, f"independence from the batch, {name}",
                f"feature {number} of one image alone differs by {apart:.3g} of its range from among {len(images)}",
            )  # fmt: skip


def _check_embedding(name: str, encoder: Any, images: Tensor) -> None:
    """The embedding is float32 `(B, D)`; class text features, if any, are unit vectors `(K, D)`."""
    with torch.no_grad():
        found = encoder.pooled(images)
    check, texts = f"embedding of {name}", encoder.text_features
    require(found.ndim == 2 and len(found) == len(images), check, f"its shape is {tuple(found.shape)}; give (B, D)")
    require(found.dtype == torch.float32 and bool(torch.isfinite(found).all()), check, "it is not finite float32")
    if texts is None:
        return
    require(
        texts.ndim == 2 and texts.shape[1] == found.shape[1],
        check, f"text features are {tuple(texts.shape)} beside images of {found.shape[1]} numbers; give (K, D)",
    )  # fmt: skip
    lengths = texts.norm(dim=1)
    require(
        bool((lengths - 1).abs().max() < 1e-3), check, f"a text feature has length {float(lengths.min()):.3g}, not 1"
    )


def _check_gradients(name: str, encoder: Any, images: Tensor) -> None:
    """A gradient reaches the images when it is requested, and no graph is kept when it is not."""
    number = max(encoder.feature_channels)
    idle = encoder.features(images, [number])[number]
    check = f"gradients of {name}"
    require(not idle.requires_grad, check, "features keep a graph although the images require no gradient")
    asked = images.clone().requires_grad_()
    feature = encoder.features(asked, [number])[number]
    require(
        feature.requires_grad, check, "no gradient reaches the images; do not call no_grad or inference_mode inside"
    )
    (gradient,) = torch.autograd.grad(feature.square().sum(), asked)
    require(bool(torch.isfinite(gradient).all()), check, "the gradient holds NaN or infinity")
    require(bool(gradient.abs().sum() > 0), check, "the gradient is zero everywhere")


def _check_errors(name: str, encoder: Any, images: Tensor) -> None:
    """An unknown feature and images of another size are refused."""
    check = f"errors of {name}"
    unknown, other = max(encoder.feature_channels) + 1, images[:, :, :-1]
    for what, call, kind in (
        (f"feature {unknown}, which it has not", lambda: encoder.features(images, [unknown]), UserError),
        (f"images of shape {tuple(other.shape)}", lambda: encoder.features(other, [0]), ValueError),
    ):
        try:
            call()
        except kind:
            continue
        except Exception as error:
            raise AssertionError(f"{check}: {what} raises {type(error).__name__}, not {kind.__name__}") from None
        raise AssertionError(f"{check}: it takes {what}; raise {kind.__name__}")


def _apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the range of `other`; infinite where shapes differ."""
    if one.shape != other.shape:
        return float("inf")
    return float((one - other).abs().max() / (other.max() - other.min()).clamp_min(1e-12))
