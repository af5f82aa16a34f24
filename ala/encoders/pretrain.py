"""Train a small CLIP contrastively on captioned drawings (the miniature's encoder).

The model is open_clip's own CLIP class with a configuration of ours. The loss is CLIP's symmetric one (Radford et al.
2021), with one difference: in a batch several drawings may carry the same caption, so each text occurs once and all
its drawings are its positives. The matrices of the blocks are trained by Muon (Jordan 2024), which orthogonalises
each step: with some hundreds of steps it gets much further than AdamW, which trains everything else.
"""

from __future__ import annotations

import math
from typing import Any

import ala.utils.torchvision_import  # noqa: F401  (before open_clip)

# isort: split
import numpy as np
import open_clip
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ala.config.schema import Pretrain
from ala.contracts.preprocessing import Preprocessing
from ala.encoders.words import WordTokeniser
from ala.training.loop import Epoch, Part, Task, train
from ala.utils.checkpoint import Checkpoint
from ala.utils.seeds import derive, seed_everything, torch_generator

_WARM_UP = 0.05  # share of the steps in which the learning rate rises
_CLIP_NORM = 1.0
_MUON = 10.0  # learning rate of Muon over that of AdamW
_SHIFT = 4  # pixels by which a batch is moved at random
_LIGHT = 0.15  # brightness and contrast vary by this share
_MAX_SCALE = math.log(100.0)  # of the logits, as in CLIP


def pretrain(
    config: dict[str, Any],
    preprocessing: Preprocessing,
    settings: Pretrain,
    pixels: np.ndarray,
    captions: list[str],
    more_texts: list[str],
    device: torch.device | str = "cpu",
    checkpoint: Checkpoint | None = None,
) -> tuple[open_clip.CLIP, WordTokeniser]:
    """Train a CLIP of this configuration on pairs of a drawing and its caption.

    The same arguments give the same weights (on one machine and thread count).

    Args:
        config: open_clip model configuration; its text tower reads a vocabulary made of the captions.
        preprocessing: normalisation of the drawings.
        settings: epochs, batch size, learning rate, weight decay, seed.
        pixels: uint8 `(n, S, S, 3)` drawings.
        captions: n texts.
        more_texts: texts that the tokeniser must know too, such as those of the classes.
        device: where to train.
        checkpoint: keeps the state between epochs; a killed training goes on from it.

    Returns:
        The model in eval mode, on `device`, and its tokeniser.

    Raises:
        UserError: the captions have more words than the configuration's text tower takes, or the loss or its gradient
            is NaN or infinite; it names epoch, batch and drawings (by their position in `pixels`). Or the device's
            memory does not hold a step.
    """
    text_config = config["text_cfg"]
    tokenise = WordTokeniser([*captions, *more_texts], text_config["vocab_size"], text_config["context_length"])
    texts = sorted(set(captions))
    tokens = tokenise(texts).to(device)  # (number of texts, context)
    number = {text: position for position, text in enumerate(texts)}
    text_of = torch.tensor([number[text] for text in captions])  # (n,)

    seed_everything(settings.seed, "encoder", "weights")
    model = open_clip.CLIP(**config).to(device).train()
    muon, adamw = make_optimisers(model, settings)
    adamw.register_step_post_hook(lambda *_: model.logit_scale.detach().clamp_(0.0, _MAX_SCALE))
    generator = torch_generator(settings.seed, "encoder", "batches")
    drawings = torch.from_numpy(pixels).permute(0, 3, 1, 2)  # (n, 3, S, S)

    def loss(indices: np.ndarray, epoch: Epoch) -> tuple[Tensor, dict[str, float]]:
        index = torch.from_numpy(indices)
        images = preprocessing.normalise(augment(drawings[index], generator).to(device))  # (B, 3, S, S)
        present, which = text_of[index].unique(return_inverse=True)  # T texts; (B,) position of each drawing's
        return contrastive_loss(model, images, tokens[present.to(device)], which.to(device)), {}

    train(
        Task(
            "pre-training", "encoder.pretrain", model, [Part(muon, [model]), Part(adamw, [])],
            list(model.parameters()), [Epoch(index) for index in range(settings.epochs)], settings.batch, settings.lr,
            derive(settings.seed, "encoder"), np.arange(len(captions)),
            order=lambda epoch: torch.randperm(len(captions), generator=generator).numpy(), loss=loss,
            factor=lambda epoch, number, count: warm_cosine(epoch * count + number, settings.epochs * count),
            clip_norm=_CLIP_NORM, generator=generator,
        ),
        checkpoint,
    )  # fmt: skip
    return model, tokenise


def contrastive_loss(model: open_clip.CLIP, images: Tensor, tokens: Tensor, which: Tensor) -> Tensor:
    """Compute CLIP's loss of B images and T distinct texts.

    Args:
        model: the CLIP.
        images: normalised `(B, 3, S, S)`.
        tokens: `(T, context)`, each text once.
        which: `(B,)`, the text of each image; every text has at least one.

    Returns:
        The mean of both directions: each image must name its text; each text's probability over the images must be
        spread evenly over its own.
    """
    image_vectors = model.encode_image(images, normalize=True)  # (B, D)
    text_vectors = model.encode_text(tokens, normalize=True)  # (T, D)
    logits = model.logit_scale.exp() * image_vectors @ text_vectors.T  # (B, T)
    own = F.one_hot(which, len(tokens)).to(logits.dtype)  # (B, T)
    share = (own / own.sum(dim=0)).T  # (T, B), rows sum to 1
    return (F.cross_entropy(logits, which) + F.cross_entropy(logits.T, share)) / 2


def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror, shift and relight drawings: uint8 `(B, 3, S, S)` to uint8 of the same shape.

    Half of the drawings are mirrored; the batch is shifted by up to 4 pixels, edges repeated; each drawing's
    brightness and contrast vary by up to 15 %, so no caption becomes untrue.
    """
    batch, _, image_size, _ = pixels.shape
    mirrored = torch.rand(batch, generator=generator) < 0.5
    pixels = torch.where(mirrored[:, None, None, None], pixels.flip(-1), pixels)
    down, right = torch.randint(-_SHIFT, _SHIFT + 1, (2,), generator=generator).tolist()
    row = (torch.arange(image_size) + down).clamp(0, image_size - 1)
    column = (torch.arange(image_size) + right).clamp(0, image_size - 1)
    light = pixels[:, :, row][:, :, :, column].float()  # (B, 3, S, S)
    gain, offset = 1 + _LIGHT * (2 * torch.rand(2, batch, 1, 1, 1, generator=generator) - 1)
    return ((light - 127.5) * gain + 127.5 * offset).clamp(0, 255).round().to(torch.uint8)


def make_optimisers(model: nn.Module, settings: Pretrain) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the transformer blocks, AdamW for all other parameters that learn.

    Muon's steps have a size of their own; its learning rate is ten times `settings.lr`. Both decay matrices by
    `settings.weight_decay`, relative to `settings.lr`; vectors, embeddings and the logit scale are not decayed.
    """
    blocks: list[nn.Parameter] = []
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            if ".resblocks." in name and parameter.ndim == 2:
                blocks.append(parameter)
            else:
                (matrices if parameter.ndim >= 2 and "embedding" not in name else others).append(parameter)
    decay = settings.weight_decay
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return [
        torch.optim.Muon(blocks, lr=_MUON * settings.lr, weight_decay=decay / _MUON),
        torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98)),
    ]


def warm_cosine(step: int, steps: int) -> float:
    """Factor on the learning rate: a linear rise, then half a cosine down to zero."""
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
