"""Run work on single images and maps, on stand-ins: `work(settings, n)` does a kind's work on `n` of them."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from ala.config.schema import Profile
from ala.contracts.maps import resize
from ala.data.birdlets import draw_pairs, species
from ala.data.birdlets.dataset import draw_photo
from ala.data.parallel import workers
from ala.explainers import refine
from ala.metrics import iou
from ala.metrics.lab import seen, thresholds
from ala.metrics.protocols import localise
from ala.metrics.score import Truth
from ala.plan import stand_ins
from ala.training.augment import augmented

#: Width and height of a source image: CUB-200-2011's are mostly 500 x 375, the miniature's about 128 x 100.
_LARGE, _SMALL = (500, 375), (128, 100)


def photo_work(verb: str, profile: Profile, device: torch.device) -> tuple[Callable[[int], object], float] | None:
    """Return a function that does `n` units of the work `verb`, and how many run at the same time; None if unknown."""
    side, grid = profile.data.input_size, profile.data.input_size // profile.ala.sbn.patch
    threshold, cores = profile.data.mask_threshold, float(workers())
    store = stand_ins.store(side, 8)
    maps = stand_ins.maps(store, grid)
    few = np.arange(8)

    def values(n: int) -> np.ndarray:
        return iou.at_size(maps, store.image_ids[few[:n]], side)

    def overlap(n: int) -> None:
        found, masks = values(n), store.foreground(few[:n], threshold)
        for rule in iou.RULES:
            iou.iou(iou.predict(found, rule, 0.5), masks)

    def rank(n: int) -> None:
        for photo in range(n):
            np.unique(thresholds(seen(maps.importance, photo, side, None), profile.metrics.lab_points))
            seen(maps.importance, photo, side, None)  # made again for the perturbed images

    def located(n: int) -> object:
        some = stand_ins.store(side, n)
        every = profile.metrics.model_copy(update={"images_per_class": None})
        return localise(stand_ins.maps(some, grid), Truth(some, some, threshold), every, 0, 0.5)

    def fixed(fix: Callable[..., refine.Fixed], **settings: object) -> Callable[[int], object]:
        photos = np.asarray(store.images)
        return lambda n: iou.iou(fix(values(n), photos[:n], **settings).foreground, store.foreground(few[:n]))

    def changed(n: int) -> object:
        stored = stand_ins.store(profile.train.augment.resize or side, 8)
        pixels = stored.pixels(few[:n]).to(device)
        return augmented(pixels, side, profile.train.augment, torch.Generator().manual_seed(0))

    known: dict[str, tuple[Callable[[int], object], float]] = {
        "iou": (overlap, 1),
        "miou": (lambda n: iou.iou(iou.predict(iou.min_max(resize(maps.importance[:n], side)), "mean_std"),
                                   store.foreground(few[:n])), 1),
        "threshold": (lambda n: iou.iou_by_tau(values(n), store.foreground(few[:n])), 1),
        "rank": (rank, 1),
        "localise": (located, 1),
        "edge": (fixed(refine.edge, kappa=profile.edge.kappas[0], settings=profile.edge), 1),
        "guided": (fixed(refine.guided, radius=profile.edge.guided.radius[0], eps=profile.edge.guided.eps[0]), 1),
        "augment": (changed, 1),
        "check": (_decoded(profile, None), cores),
        "decode": (_decoded(profile, side), cores),
    }  # fmt: skip
    birdlets, pretrain = profile.data.birdlets, profile.encoder.pretrain
    if birdlets is not None:
        kind = species(birdlets)[0]

        def draw(n: int) -> None:
            for number in range(n):
                draw_photo(np.random.default_rng(number), kind, birdlets.clutter).image.save(
                    io.BytesIO(), "jpeg", quality=90
                )

        known["draw"] = (draw, 1)
        if pretrain is not None:
            several = cores if pretrain.pairs >= 1000 else 1.0
            known["draw pair"] = (lambda n: draw_pairs(n, side, pretrain.seed, birdlets), several)
    return known.get(verb)


def _decoded(profile: Profile, side: int | None) -> Callable[[int], None]:
    """Decode an image and its mask, and resize both to `side` x `side` if a side is given."""
    shape = _SMALL if profile.data.source == "birdlets" else _LARGE
    pixels = np.asarray(stand_ins.store(512, 1).images[0])[: shape[1], : shape[0]]
    photo, mask = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(photo, "jpeg", quality=90)
    Image.fromarray(pixels[..., 0]).save(mask, "png")

    def run(n: int) -> None:
        for _ in range(n):
            with Image.open(io.BytesIO(photo.getvalue())) as one, Image.open(io.BytesIO(mask.getvalue())) as other:
                if side is None:
                    np.bincount(np.asarray(one.convert("RGB")).ravel(), minlength=256)
                    np.unique(np.asarray(other))
                else:
                    one.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
                    other.convert("L").resize((side, side), Image.Resampling.NEAREST)

    return run
