"""Count FLOPs and bytes of one unit of each kind of work, on tensors without content (device `meta`)."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode

from ala.config.schema import Profile
from ala.explainers.fcam.crf import crf_loss
from ala.plan.models import Models
from ala.training.loss import objective

META = torch.device("meta")


@dataclass(frozen=True)
class Cost:
    """The cost of one forward pass or training step with `images` images.

    Attributes:
        images: the batch.
        flops: two for each multiplication with addition, matrix products and convolutions only; gradients included.
        activations: bytes of all tensors alive at once, at most, beyond weights; attention is counted as if its
            matrix were held, which fused kernels avoid.
    """

    images: int
    flops: float
    activations: int

    @property
    def each(self) -> float:
        """FLOPs per image."""
        return self.flops / self.images


class _Alive(TorchDispatchMode):
    """Tracks the bytes of simultaneously live tensors made within the block; `most` is their maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {t.untyped_storage()._cdata for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)}
        out = func(*args, **(kwargs or {}))
        for tensor in tree_iter(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in given and key not in self._known:
                    self._known[key] = storage.nbytes()
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self._gone, key)
        self.most = max(self.most, self.now)
        return out

    def _gone(self, key: int) -> None:
        self.now -= self._known.pop(key, 0)


def measured(images: int, work: Callable[[], object]) -> Cost:
    """Measure the cost of `work`, which runs on `images` images on the device `meta`."""
    with _Alive() as alive, FlopCounterMode(display=False) as counter:
        work()
    return Cost(images, float(counter.get_total_flops()), alive.most)


def inputs(images: int, side: int) -> Tensor:
    """Make images without content, `(B, 3, S, S)`."""
    return torch.empty(images, 3, side, side, device=META)


def counted(kind: tuple[str, str], profile: Profile, models: Models, batch: int) -> Cost | None:
    """Count the cost of one pass of `batch` images; None for work without a network.

    Args:
        kind: verb and model, of :class:`ala.plan.work.Work`.
        profile: the settings.
        models: of the profile, on `meta`.
        batch: images.
    """
    verb, name = kind
    side = profile.fcam.input_size if name == "fcam" else profile.data.input_size
    if verb == "embed":
        encoder = models.encoder  # built before anything is counted
        return measured(batch, lambda: encoder.pooled(inputs(batch, side)))
    if verb == "pretrain":
        return _pretraining(models, profile, batch)
    if name == "fcam":
        return _of_fcam(verb, models, side, batch)
    if name:
        return _of_adapter(verb, name, models, side, batch)
    return None


def _of_adapter(verb: str, name: str, models: Models, side: int, batch: int) -> Cost:
    model = models.explained(name)
    adapter, images = model.adapter, inputs(batch, side)
    if verb == "encode":
        return measured(batch, lambda: model.encoder.taps(images, adapter.taps(True)))
    if verb in ("explain", "perturb", "rise"):
        with torch.inference_mode():
            return measured(batch, lambda: model(images))
    taps = {tap: torch.empty(batch, adapter.blueprint.channels[tap], model.encoder.grid, model.encoder.grid,
                             device=META) for tap in adapter.taps(True)}  # fmt: skip
    if verb == "validate":
        with torch.no_grad():
            return measured(batch, lambda: adapter(images, taps, True))
    on = verb == "train on"
    adapter.train()
    labels = torch.zeros(batch, dtype=torch.int64, device=META)
    try:
        return measured(batch, lambda: objective(adapter(images, taps, on), labels, 1.0).backward())
    finally:
        adapter.eval()
        adapter.zero_grad(set_to_none=True)


def _of_fcam(verb: str, models: Models, side: int, batch: int) -> Cost:
    images = inputs(batch, side)
    finished = models.fcam
    if verb == "explain":
        return measured(batch, lambda: finished.explain(images))
    if verb in ("perturb", "look"):
        with torch.inference_mode():
            return measured(batch, lambda: finished.network(images))
    network = models.classifier()
    labels = torch.zeros(batch, dtype=torch.int64, device=META)
    if verb == "train classifier":
        cost = measured(batch, lambda: F.cross_entropy(network(images), labels).backward())
        forward = _of_fcam("look", models, side, batch)
        # The counter treats the gradient of a grouped convolution as that of a full one.
        return replace(cost, flops=min(cost.flops, 3 * forward.flops))
    decoder = models.decoder(network).train()
    with torch.no_grad():
        levels = [torch.empty_like(level) for level in network.eval().pyramid(images).levels]

    def step() -> None:
        logits = decoder(levels, side)  # (B, 2, S, S)
        crf = crf_loss(logits.softmax(1), images, models.profile.fcam.crf)
        (F.cross_entropy(logits, labels[:, None, None].expand(-1, side, side)) + crf).backward()

    return measured(batch, step)


def _pretraining(models: Models, profile: Profile, batch: int) -> Cost:
    model = models.clip().train()
    context = model.context_length
    tokens = torch.zeros(batch, context, dtype=torch.int64, device=META)
    which = torch.zeros(batch, dtype=torch.int64, device=META)

    def step() -> None:  # the real loss asks for values, which are not there; its products are these
        images = model.encode_image(inputs(batch, profile.data.input_size), normalize=True)
        texts = model.encode_text(tokens, normalize=True)
        F.cross_entropy(images @ texts.T, which).backward()

    return measured(batch, step)
