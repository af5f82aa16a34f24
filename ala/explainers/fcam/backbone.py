"""A timm network at a small output stride, with weights from timm's source, from a local file, or drawn at random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ala.config.schema import Fcam as Settings
from ala.encoders.weights import read_weights
from ala.utils.errors import UserError

NORMS = (nn.modules.batchnorm._BatchNorm,)


def build_backbone(settings: Settings, weights: bool = True, file: Path | None = None) -> nn.Module:
    """Build the network `settings.backbone` without its classification layer, at `settings.output_stride`.

    ResNets get stride 1 in their last stages and keep their kernels as they are, without dilation (METHODS 4.1);
    other networks get timm's own `output_stride`, which dilates.

    Args:
        settings: the `fcam` block.
        weights: False builds the same network without looking for pre-trained weights, for a caller who loads its
            own.
        file: a timm state dict in place of timm's own source.

    Raises:
        UserError: timm does not know the network or one of its options; it cannot give a pyramid of feature maps or
            the stride requested; the weights cannot be had or belong to another network.
    """
    import ala.utils.torchvision_import  # noqa: F401 - before timm, see there

    import timm  # isort: skip
    from timm.models.resnet import ResNet  # isort: skip

    name = settings.backbone
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name[:6]}*")[:3])
        raise UserError(
            f"fcam.backbone: timm has no model {name!r}; choose one of its models{f', e.g. {near}' * bool(near)}"
        )
    is_resnet = issubclass(_class_of(timm, name, settings), ResNet)
    options: dict[str, Any] = dict(settings.options)
    fetched = weights and settings.pretrained and file is None
    if not is_resnet:
        options["output_stride"] = settings.output_stride
    try:
        network = timm.create_model(name, pretrained=fetched, num_classes=0, **options)
    except (TypeError, AssertionError, ValueError) as error:
        raise UserError(
            f"fcam.backbone {name}: timm refuses output_stride {settings.output_stride} or one of fcam.options"
            f" {dict(settings.options)} ({_short(error)}); choose another backbone, stride or options"
        ) from None
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"fcam.backbone {name}: its pretrained weights could not be had ({_short(error)}); connect to the network,"
            " name a local file by inputs.fcam, or set fcam.pretrained to false"
        ) from None
    if not hasattr(network, "forward_intermediates"):
        raise UserError(f"fcam.backbone {name} gives no feature maps in timm; choose a convolutional network")
    if is_resnet:
        drop_strides(network, settings.output_stride)
    if weights and file is not None:
        load_checkpoint(network, file, settings)
    return network


def _class_of(timm: Any, name: str, settings: Settings) -> type[nn.Module]:
    """Return the class that timm builds for `name`."""
    try:
        with torch.random.fork_rng(devices=[]):  # its random weights are thrown away and move no generator
            return type(timm.create_model(name, pretrained=False, num_classes=0))
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise UserError(f"fcam.backbone {name} cannot be built ({_short(error)}); choose another backbone") from None


def drop_strides(network: nn.Module, output_stride: int) -> None:
    """Set the stride of a timm ResNet's last stages to 1, in place, until its output stride is `output_stride`.

    A ResNet's stages have the output strides 4, 8, 16 and 32; at 8, layer3 and layer4 keep the 28 x 28 grid of a 224
    image. Only the first block of a stage is strided: in one convolution and in its short cut (a strided 1x1
    convolution, or an average pooling before it). No parameter changes its shape, so pre-trained weights still fit.
    """
    for reduction, name in ((8, "layer2"), (16, "layer3"), (32, "layer4")):
        if reduction <= output_stride:
            continue
        first = network.get_submodule(f"{name}.0")
        for path, module in list(first.named_modules()):
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
            elif isinstance(module, nn.AvgPool2d):
                parent, _, child = path.rpartition(".")
                setattr(first.get_submodule(parent), child, nn.Identity())


def load_checkpoint(network: nn.Module, path: Path, settings: Settings) -> None:
    """Load a timm state dict (`.safetensors`, or a PyTorch file of tensors only) into `network`, in place.

    The file's classification layer is left out: F-CAM trains its own. Tensors are cast to the network's dtype.

    Raises:
        UserError: the file is missing or unreadable, holds other keys or shapes than `network`, or its BatchNorms
            carry no statistics although `freeze_norms` is false.
    """
    state = read_weights(path)
    own = network.state_dict()
    heads = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    state = {key: value for key, value in state.items() if not any(key.startswith(f"{head}.") for head in heads)}
    remedy = f"it belongs to another network than {settings.backbone}; make fcam.backbone and inputs.fcam a pair"
    for key, value in own.items():
        if key not in state:
            if key.endswith("num_batches_tracked"):
                state[key] = value  # a counter, which many files leave out
                continue
            raise UserError(f"inputs.fcam {path} lacks {key}: {remedy}")
        if state[key].shape != value.shape:
            raise UserError(
                f"inputs.fcam {path}: {key} is {tuple(state[key].shape)}, not {tuple(value.shape)}: {remedy}"
            )
    extra = sorted(set(state) - set(own))
    if extra:
        raise UserError(f"inputs.fcam {path} holds {extra[0]} ({len(extra)} such keys), unknown here: {remedy}")
    means = [value for key, value in state.items() if key.endswith("running_mean")]
    if means and not settings.freeze_norms and not any(bool(mean.any()) for mean in means):
        raise UserError(
            f"inputs.fcam {path}: its BatchNorms carry no statistics (every running_mean is 0), so training them on"
            " batches would destroy the network; set fcam.freeze_norms to true"
        )
    network.load_state_dict(state, strict=True)


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
