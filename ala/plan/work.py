"""Count the work of each stage from the settings alone, without images or models.

The counts mirror the stages (`stages/*.py` and what they call). Those of forward passes are the ledger's
(:mod:`ala.utils.ledger`), which tests/plan compares with a real run's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ala.config.schema import Profile, Settings
from ala.explainers.methods import VARIANTS
from ala.explainers.trivial import METHODS as TRIVIAL
from ala.metrics.protocols import LEVELS, SUBSTRATES
from ala.model.blueprint import VARIANTS as FEEDS
from ala.plan.photos import Photos
from ala.training.loop import phases

#: Kinds of work whose units are forward passes of one image, as the ledger counts them.
COUNTED = ("encode", "explain", "perturb", "rise")
#: Images per forward pass of a timing whose batch no setting decides.
AUTO = 64
#: The stages of dvc.yaml.
ORDER = ("data", "split", "store", "encoder", "train", "train_abn", "fcam", "extend", "explain", "rise",
         "evaluate", "evaluate_main", "protocols", "layers", "edge", "report")  # fmt: skip
#: Stages that run once; all others run once for each seed.
ONCE = ("data", "split", "store", "encoder", "report")
_ENCODER = ("torch", "timm", "encoder")
#: Imports of a stage, which take seconds: torch with pandas, timm, and what else the encoder needs.
IMPORTS = {
    "data": ("pandas",), "split": ("pandas",), "store": ("pandas",), "fcam": ("torch", "timm"),
    **dict.fromkeys(("encoder", "train", "train_abn", "explain", "rise", "evaluate", "evaluate_main", "protocols",
                     "layers", "edge"), _ENCODER),
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """`units` of one kind of work in one cell of a stage.

    Attributes:
        stage: of dvc.yaml.
        verb: what is done, e.g. `perturb`; :mod:`ala.plan.network_work` and :mod:`ala.plan.photo_work` know them all.
        model: the network that runs: `side`, `single`, `abn-LAYER`, `fcam`, or none.
        units: number of units; of `encode`, `explain`, `perturb`, `rise` and all kinds of training: images.
    """

    stage: str
    verb: str
    units: int
    model: str = ""

    @property
    def kind(self) -> tuple[str, str]:
        """Verb and model: work of the same kind costs the same per unit in every stage."""
        return self.verb, self.model


def model_of(variant: str, profile: Profile) -> str:
    """Return the network of a variant: `side` with SBN, `single` without, `abn-LAYER`."""
    feed = FEEDS[variant][1]
    return f"abn-{profile.abn.layer}" if feed == "direct" else feed


def steps(side: int, step: int) -> int:
    """Return T, the number of insertion (or deletion) steps of an image of side `side`."""
    return math.ceil(side * side / step)


def curve_frames(profile: Profile) -> int:
    """Count the forward passes of one image's insertion and deletion: 2T - 1, since they share both ends."""
    return 2 * steps(profile.data.input_size, profile.metrics.step) - 1


def lab_frames(profile: Profile, distinct: int | None = None) -> int:
    """Count the forward passes of one image under all eight `lab` protocols (predicted and true class share them).

    A map quantised to q levels has at most q - 1 distinct masks, since the highest level is its maximum alone, which
    the first threshold already lies below.

    Args:
        profile: its `metrics` and input side.
        distinct: number of distinct values of the map, if few (`full`: 1, `box`: 2).
    """
    pixels = profile.data.input_size**2
    points = math.ceil(pixels / math.ceil(pixels / profile.metrics.lab_points))
    masks = 0
    for levels in LEVELS.values():
        most = points if distinct is None else min(points, distinct)
        masks += most if levels is None else min(most, max(1, levels - 1))
    return 2 * len(SUBSTRATES) * masks


def stages(settings: Settings, photos: Photos) -> list[Work]:
    """List the work of one cell of every stage, in the order of dvc.yaml; cells of other seeds do the same."""
    profile = settings.active
    main, abn = model_of(settings.main_variant, profile), model_of("abn", profile)
    variants = [model_of(variant, profile) for variant in VARIANTS]
    own = [*variants, abn, "fcam"]  # models that make their own maps
    both = photos.val + photos.test
    metrics = profile.metrics
    subset, val_subset = (photos.subset(s, n) for s, n in (
        ("test", metrics.images_per_class), ("val", metrics.val_images_per_class)))  # fmt: skip
    curves = subset * curve_frames(profile)
    started = IMPORTS | {"extend": 3 * len(settings.extensions) * _ENCODER}  # three commands a cell
    found = [
        *(Work(stage, "start", 1, what) for stage, libraries in started.items() for what in libraries),
        *_data(profile, photos),
        *(work for variant in VARIANTS for work in _training("train", variant, profile, photos)),
        *_training("train_abn", "abn", profile, photos),
        *(work for name in settings.extensions for work in _extension(*settings.trained_as(name), photos, curves)),
        *_fcam(profile, photos),
        *(Work("explain", "explain", both, model) for model in own),
        Work("rise", "perturb", subset + val_subset, main),
        Work("rise", "rise", (subset + val_subset) * profile.rise.n_masks, main),
        *(Work("evaluate", "perturb", photos.test + curves, model) for model in own),
        Work("evaluate", "iou", len(own) * photos.test), Work("evaluate", "threshold", len(own) * photos.val),
        Work("evaluate_main", "perturb", 2 * photos.test + (1 + len(TRIVIAL)) * curves, main),
        Work("evaluate_main", "iou", subset + len(TRIVIAL) * photos.test),
        Work("evaluate_main", "threshold", val_subset + 2 * photos.val),  # full and box have no threshold
        *_protocols(settings, photos, own, subset, curves),
        *_layers(profile, photos, curves),
        Work("edge", "perturb", photos.test + 3 * curves, main),
        Work("edge", "edge", len(profile.edge.kappas) * photos.val + photos.test + subset),
        Work("edge", "guided", len(profile.edge.guided.radius) * len(profile.edge.guided.eps) * photos.val
             + photos.test + subset),
        Work("edge", "miou", photos.val + photos.test + subset),  # the original and the largest part
        Work("edge", "iou", photos.test),
        Work("report", "report", photos.test),
    ]  # fmt: skip
    return sorted((work for work in found if work.units), key=lambda work: ORDER.index(work.stage))


def _extension(variant: str, profile: Profile, photos: Photos, curves: int) -> Iterator[Work]:
    """List the work of one cell of an ablation row that the paper does not have; DVC runs one for each extension."""
    model = model_of(variant, profile)
    yield from _training("extend", variant, profile, photos)
    yield Work("extend", "explain", photos.val + photos.test, model)
    yield Work("extend", "perturb", photos.test + curves, model)
    yield Work("extend", "iou", photos.test)
    yield Work("extend", "threshold", photos.val)


def _data(profile: Profile, photos: Photos) -> Iterator[Work]:
    """List the work of the stages data, split, store and encoder."""
    sizes = [profile.data.input_size, profile.fcam.input_size]
    crops = [profile.train.augment.resize or sizes[0], profile.fcam.resize or sizes[1]]
    if profile.data.source == "birdlets":
        yield Work("data", "draw", photos.all)
    yield Work("data", "check", photos.all)
    yield Work("split", "list", photos.all)
    looked = len(set(sizes)) * (photos.val + photos.test) + len(set(crops)) * photos.train
    yield Work("store", "decode", looked)
    pretrain = profile.encoder.pretrain
    if pretrain is not None:
        yield Work("encoder", "draw pair", pretrain.pairs)
        yield Work("encoder", "pretrain", pretrain.epochs * pretrain.pairs)
    if profile.encoder.kind == "open_clip":
        yield Work("encoder", "embed", photos.test)  # zero-shot accuracy


def _training(stage: str, variant: str, profile: Profile, photos: Photos, diagnosed: bool = True) -> Iterator[Work]:
    """List the work of one training of ALA or ABN; with `train.patience` it may end earlier."""
    model = model_of(variant, profile)
    epochs = phases(profile.train.epochs, profile.ala.schedule, FEEDS[variant][0])
    on = sum(epoch.on for epoch in epochs)
    off = len(epochs) - on
    augment = profile.train.augment
    if keeps_features(profile):
        yield Work(stage, "encode", photos.train * (2 if augment.hflip else 1) + photos.val, model)
    else:
        yield Work(stage, "encode", photos.train * len(epochs) + photos.val * on, model)
        yield Work(stage, "augment", photos.train * len(epochs))
    yield Work(stage, "train on", photos.train * on, model)
    yield Work(stage, "train off", photos.train * off, model)
    yield Work(stage, "validate", photos.val * on, model)
    if diagnosed:
        yield Work(stage, "miou", photos.val * on)


def keeps_features(profile: Profile) -> bool:
    """Whether features are computed only once: mirroring is the only augmentation and the encoder does not change.

    Where they exceed the bound of :func:`ala.training.variant.train_variant` they are computed again in every epoch,
    and the plan is too low.
    """
    augment = profile.train.augment
    return profile.ala.lora is None and not (augment.resize or augment.blur or augment.sharpen)


def _fcam(profile: Profile, photos: Photos) -> Iterator[Work]:
    settings = profile.fcam
    epochs = settings.classifier.epochs
    yield Work("fcam", "train classifier", epochs * photos.train, "fcam")
    yield Work("fcam", "look", epochs * photos.val, "fcam")
    if settings.resize is None or settings.resize == settings.input_size:
        yield Work("fcam", "look", 2 * photos.train, "fcam")  # each image and its mirror image, once
    else:
        yield Work("fcam", "look", settings.decoder.epochs * photos.train, "fcam")
    yield Work("fcam", "train decoder", settings.decoder.epochs * photos.train, "fcam")


def _protocols(settings: Settings, photos: Photos, own: list[str], subset: int, curves: int) -> Iterator[Work]:
    """List the work of `protocols`: lab protocols of every map on its own model, official ones on the main model."""
    profile, position = settings.active, VARIANTS.index(settings.main_variant)
    main = own[position]
    others = own[:position] + own[position + 1 :]
    lab = subset * lab_frames(profile)
    for model in others:
        yield Work("protocols", "perturb", photos.test + lab, model)
    full, box = (subset * lab_frames(profile, distinct) for distinct in (1, 2))
    on_main = 2 * lab + full + box + 2 * lab  # main model and RISE; trivial: full, box, center and noise
    yield Work("protocols", "perturb", photos.test + on_main + len(others) * curves, main)
    maps = len(own) + 1 + len(TRIVIAL)
    yield Work("protocols", "localise", maps * subset)
    yield Work("protocols", "rank", maps * subset * len(SUBSTRATES) * len(LEVELS))


def _layers(profile: Profile, photos: Photos, curves: int) -> Iterator[Work]:
    both, layers = photos.val + photos.test, profile.layers.abn
    for layer in layers:
        other = profile.model_copy(update={"abn": profile.abn.model_copy(update={"layer": layer})})
        model = f"abn-{layer}"
        if layer != profile.abn.layer:
            yield from _training("layers", "abn", other, photos, diagnosed=False)
        yield Work("layers", "explain", both, model)
        yield Work("layers", "perturb", photos.test + curves, model)
    yield Work("layers", "iou", len(layers) * photos.test)
    yield Work("layers", "threshold", len(layers) * photos.val)
    taps = profile.ala.sbn.fusion_map
    without = profile.ala.sbn.depth + 1 if taps == "all" else len(taps)  # `all`: taps 0 to depth
    yield Work("layers", "explain", (1 + without) * photos.test, "side")
    yield Work("layers", "perturb", without * photos.test, "side")
    yield Work("layers", "miou", without * photos.test)


def forwards(work: list[Work]) -> dict[str, int]:
    """Count the forward passes of one cell of each stage, as the ledger will."""
    found = {one.stage: 0 for one in work}
    for one in work:
        if one.verb in COUNTED:
            found[one.stage] += one.units
    return found
