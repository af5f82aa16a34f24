"""Define every setting of `params.yaml`: type, range and meaning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, model_validator

from ala.config.fields import (
    NOTHING,
    Batch,
    Count,
    Fraction,
    FusionMap,
    Given,
    Level,
    Natural,
    NotNegative,
    Number,
    Odd,
    Once,
    Positive,
    Precision,
    TimmOptions,
)  # fmt: skip
from ala.utils.errors import UserError

ROWS = {
    # The rows of the ablation (slide 31); (iv) is ours, for completeness (METHODS 2.8).
    "i": {"aea": True, "sbn": False},
    "ii": {"aea": False, "sbn": True},
    "iii": {"aea": True, "sbn": True},
    "iv": {"aea": False, "sbn": False},
}

#: Rows that are not the paper's (METHODS 2.8): row (iii) with LoRA in one encoder block, row (iii) with every
#: intermediate feature in its SBN, and row (ii) with as many epochs as (iii) has on epochs. Off unless the top-level
#: `extensions` names them.
EXTENSIONS = {
    "lora": "(iii) + LoRA", "all-taps": "(iii), all intermediate features", "half-epochs": "(ii), half the epochs",
}  # fmt: skip


class Section(BaseModel):
    """A block of settings: unknown keys are refused and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Inputs(Section):
    """Files of the user's own, each a dependency of the stage that reads it (dvc.yaml), so that changed bytes count."""

    data: Given  # a data set in CUB-200-2011 layout, or a folder of data.downloads; unread where source is birdlets
    encoder: Given  # weights in place of those of encoder.name; read with encoder.weights pretrained
    fcam: Given  # a timm weight file in place of timm's own source; unread where fcam.pretrained is false

    def path(self, name: Literal["data", "encoder", "fcam"]) -> Path | None:
        """Return the path of the input `name`; None if there is none."""
        value = getattr(self, name)
        return None if value == NOTHING else Path(value)


class Birdlets(Section):
    """The drawn data set of the miniature (METHODS 1.2)."""

    species: Annotated[int, Field(strict=True, ge=2, le=240)]  # 240 birds differ in colours or crest
    train_per_species: Count  # official-train images of each species, later split into train and val
    test_per_species: Count
    clutter: Fraction  # share of colourful decoys behind, and of twigs in front of, the birds
    seed: Natural


class Archive(Section):
    """A file to download, verified before it is used."""

    name: str
    urls: Annotated[list[str], Field(min_length=1)]  # tried in this order
    bytes: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Expected(Section):
    """Expected counts of a data set, so that a different one is refused."""

    photos: Count
    classes: Count


class AtMost(Section):
    """The number of images of each split in a rehearsal, spread evenly over the classes; all classes remain."""

    train: Annotated[int, Field(strict=True, ge=2)]  # BatchNorm needs two
    val: Count
    test: Count


class Data(Section):
    """The images and their split (METHODS 1)."""

    source: Literal["birdlets", "folder", "download"]
    layout: str  # how the data set lies in its folder: a file of ala/data/layouts, or package.module:Class
    birdlets: Birdlets | None = None  # source: birdlets
    downloads: list[Archive] | None = None  # source: download, unless inputs.data holds them or the data set
    expected: Expected | None = None  # null: any number of images
    split_seed: Natural
    train_per_class: Count
    test_per_class: Count | None = None  # of a layout that does not say which images are for testing
    at_most: AtMost | None  # null: all images
    exclude: list[Natural]  # ids of images that are left out
    mask_threshold: Annotated[int, Field(strict=True, ge=0, le=254)]  # foreground where grey > threshold
    object_levels: Annotated[list[Level], Field(min_length=1)] | None  # of masks; null: see mask_threshold
    background_levels: list[Level]  # levels that are never object
    orientation: Literal["stored", "shown"] | None  # of images with an EXIF tag; null: such are refused
    input_size: Annotated[int, Field(strict=True, ge=16)]  # size S of ALA's input and of the evaluation

    @model_validator(mode="after")
    def _source_is_given(self) -> Data:
        needed = {"birdlets": "birdlets", "download": "downloads"}.get(self.source)
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f"source {self.source} needs {needed}; set it or choose another source")
        if self.source == "birdlets" and self.layout != "cub":
            raise ValueError(f"source birdlets draws in the layout cub, not {self.layout}; set layout to cub")
        both = sorted(set(self.object_levels or ()) & set(self.background_levels))
        if both:
            raise ValueError(f"object_levels and background_levels both name level {both[0]}; take it out of one")
        return self


class Pretrain(Section):
    """Contrastive pre-training of a small CLIP on captioned drawings (encoder stage, miniature only)."""

    pairs: Count  # drawings with captions
    epochs: Count
    batch: Count
    lr: Positive
    weight_decay: NotNegative
    seed: Natural


def _library_and_model(value: Any) -> Any:
    """Refuse a name that does not say whose model it is; other types are left for pydantic."""
    if not isinstance(value, str):
        return value
    library, _, rest = value.partition(":")
    model, slash, tag = rest.partition("/")
    if library not in ("timm", "open_clip") or not model or (slash and (library == "timm" or not tag)):
        raise ValueError(
            "is neither timm:MODEL nor open_clip:MODEL/WEIGHTS; write e.g. timm:vit_small_patch14_dinov2.lvd142m or"
            " open_clip:ViT-B-16/openai"
        )
    return value


class EncoderSettings(Section):
    """The frozen image encoder (METHODS 2.2)."""

    #: timm:MODEL, timm:MODEL.WEIGHTS, open_clip:MODEL or open_clip:MODEL/WEIGHTS; MODEL is a name of that library, or
    #: of a configuration of ours in ala/encoders/configs.
    name: Annotated[str, BeforeValidator(_library_and_model)]
    #: pretrained: WEIGHTS of the name, or the file inputs.encoder in place of them; packaged: those that this project
    #: ships; train: trained here as `pretrain` says; random: untrained, which every page of the report states.
    weights: Literal["pretrained", "packaged", "train", "random"]
    options: TimmOptions  # [name, value] of each argument passed to timm, e.g. [[pad_type, same]]
    norm: Literal["clip", "imagenet", "half"]
    pretrain: Pretrain | None = None  # how the weights are, or were, trained

    @model_validator(mode="after")
    def _weights_come_from_one_place(self) -> EncoderSettings:
        trained = self.weights in ("packaged", "train")
        if trained and (self.library == "timm" or self.pretrain is None):
            raise ValueError(
                f"weights {self.weights} are those of an open_clip model that `pretrain` says how to train; set"
                " pretrain, or weights to pretrained"
            )
        if self.pretrain is not None and not trained:
            raise ValueError(f"pretrain is not read with weights {self.weights}; set it to null, or weights to train")
        if self.library == "open_clip" and self.weights != "pretrained" and self.tag is not None:
            raise ValueError(f"name requests weights {self.tag}, weights for {self.weights} ones; remove /{self.tag}")
        if self.library == "open_clip" and self.options:
            raise ValueError("options are for timm models; an open_clip model is chosen by its name, set options to []")
        return self

    @property
    def library(self) -> str:
        """`timm` or `open_clip`."""
        return self.name.partition(":")[0]

    @property
    def model(self) -> str:
        """The name in the library: of timm with the tag of weights, of open_clip without."""
        return self.name.partition(":")[2].partition("/")[0]

    @property
    def tag(self) -> str | None:
        """The pre-trained weights that the name requests, if any."""
        mark = "." if self.library == "timm" else "/"
        return self.name.partition(":")[2].partition(mark)[2] or None

    @property
    def reads_file(self) -> bool:
        """Whether the weights come from the user's file, if there is one."""
        return self.weights == "pretrained"


class SideBranchSettings(Section):
    """Settings of the SBN, a narrow ViT beside the encoder (METHODS 2.3)."""

    width: Count
    heads: Count
    depth: Count
    queries: Count
    mlp_ratio: Positive
    patch: Count  # input pixels per axis of a token
    decoder_width: Count  # of the query and pixel MLPs
    fusion_map: FusionMap  # [encoder feature, side block after which it is added (0 = before)] of each one read

    @model_validator(mode="after")
    def _shapes_fit(self) -> SideBranchSettings:
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        if self.fusion_map != "all":
            late = [[feature, block] for feature, block in self.fusion_map if block > self.depth]
            if late:
                raise ValueError(f"fusion_map names side blocks beyond depth ({self.depth}): {late}")
            if not self.fusion_map:
                raise ValueError("fusion_map is empty; an SBN without features is no SBN, set sbn to false instead")
        return self


class AttentionSettings(Section):
    """Settings of AB: from the SBN's mask logits to the map and a second classification (METHODS 2.4)."""

    kind: Literal["minmax", "sigmoid"]  # minmax: Conv1x1 and per-image min-max; sigmoid: the ABN trunk and sigmoid
    map_dropout: Fraction
    hidden: Count  # channels of the class head (author preset)


class PerceptionSettings(Section):
    """Settings of PB, which classifies the attended features (METHODS 2.5)."""

    combine: Literal["alpha", "one_plus_alpha"]  # alpha * h, or (1 + alpha) * h
    inputs: Literal["clip", "clip+sbn"]  # clip+sbn adds projected SBN features (slide 9: "both are used")
    feature_layer: Natural  # the encoder feature h that PB reads
    norm: Literal["batch", "group"]
    channels: Annotated[list[Count], Field(min_length=1)]  # of the 3x3 convolutions, each followed by a 2x2 pooling
    hidden: Annotated[list[Count], Field(min_length=1)]  # of the MLP after global average pooling
    dropout: Fraction


class Lora(Section):
    """Low-rank update of one executed encoder block with copied weights (METHODS 8)."""

    block: Natural
    rank: Count
    alpha: Positive


class Schedule(Section):
    """AEA as a repeating pattern of epochs; `sbn` and `aea` switches at the top level choose whether it applies."""

    off_epochs: Count  # in which SBN and AB rest and alpha is 1
    on_epochs: Count  # in which everything trains
    first: Literal["off", "on"]

    def on(self, epoch: int) -> bool:
        """Whether `epoch` (from 0) is an on epoch."""
        place = epoch % (self.off_epochs + self.on_epochs)
        return place < self.on_epochs if self.first == "on" else place >= self.off_epochs


class Ala(Section):
    """The adapter's architecture (METHODS 2)."""

    sbn: SideBranchSettings
    attention: AttentionSettings
    perception: PerceptionSettings
    single_layer: Natural  # the one encoder feature that AB reads where sbn is false
    predict: Literal["pb", "pb_plus_ab"]
    lambda_ab: NotNegative  # weight of CE(AB)
    schedule: Schedule
    lora: Lora | None  # null: none


class Augment(Section):
    """Augmentation of an image in training (METHODS 1.5)."""

    resize: Count | None  # then a random crop of the input size; null: straight to the input size
    hflip: Fraction
    blur: Fraction  # probability of a 5x5 Gaussian blur, sigma in [0.1, 5]
    sharpen: Fraction  # probability of sharpness 1.5


class Train(Section):
    """Optimisation of ALA and ABN (METHODS 2.7)."""

    epochs: Count
    batch: Annotated[int, Field(strict=True, ge=2)]
    lr: Positive
    weight_decay: NotNegative
    clip_norm: Positive | None  # global gradient norm; null: no clipping
    poly_power: NotNegative  # lr * (1 - epoch/epochs)^power; 0: constant
    patience: Count | None  # evaluated epochs without a better criterion before stopping; null: never
    criterion: Literal["val_loss", "val_accuracy", "last"]
    augment: Augment
    precision: Precision  # of encoder and adapter; loss, weights and validation are float32 in both


class Rise(Section):
    """RISE (METHODS 3)."""

    n_masks: Annotated[int, Field(strict=True, ge=2)]
    grid: Count
    p1: Annotated[Number, Field(gt=0, le=1)]
    seed: Natural
    output: Literal["probabilities", "logits"]
    batch: Batch


class FcamStage(Section):
    """SGD of one stage of F-CAM."""

    epochs: Count
    lr: Positive
    step_epochs: Count | None  # lr * 0.1 after each so many epochs; null: constant
    momentum: Fraction
    weight_decay: NotNegative
    batch: Annotated[int, Field(strict=True, ge=2)]


class FcamClassifierStage(FcamStage):
    """SGD of the classifier."""

    head_lr_factor: Positive  # head and last block train this much faster


class FcamSeeds(Section):
    """Seeds drawn at every step from the true class's CAM (METHODS 4.3)."""

    foreground: Count
    background: Count
    background_share: Annotated[Number, Field(gt=0, lt=1)]
    dilate: Odd
    erode: Odd


class FcamCrf(Section):
    """The exact-kernel CRF loss on down-scaled maps (METHODS 4.5)."""

    weight: NotNegative  # at full resolution; multiplied by scale^-4
    sigma_rgb: Positive
    sigma_xy: Positive
    scale: Annotated[Number, Field(gt=0, le=1)]
    chunk: Count  # images whose kernels are held at once


class Fcam(Section):
    """F-CAM (METHODS 4)."""

    backbone: str  # a timm model name
    pretrained: StrictBool  # ImageNet weights: the file inputs.fcam, else timm's source; false: drawn at random
    options: TimmOptions  # [name, value] of each argument passed to timm
    freeze_norms: StrictBool  # BatchNorms keep the statistics they came with
    output_stride: Literal[4, 8, 16, 32]
    norm: Literal["clip", "imagenet", "half"]
    resize: Count | None  # training: then a random crop of input_size
    input_size: Annotated[int, Field(strict=True, ge=16)]
    decoder_channels: Annotated[list[Count], Field(min_length=1)]
    select: Literal["val_accuracy", "val_box_accuracy"]  # classifier checkpoint
    classifier: FcamClassifierStage
    decoder: FcamStage
    seeds: FcamSeeds
    size_weight: NotNegative
    barrier_t: Positive
    barrier_growth: Annotated[Number, Field(ge=1)]
    barrier_max: Positive
    crf: FcamCrf


class Abn(Section):
    """Related work: an attention branch on one chosen encoder layer, (1 + a) * h, no SBN, no AEA (METHODS 8)."""

    layer: Natural
    attention: AttentionSettings
    perception: PerceptionSettings
    predict: Literal["pb", "pb_plus_ab"]
    lambda_ab: NotNegative


class ErrorSettings(Section):
    """The criteria of the worst images and of one-sided errors (METHODS 6)."""

    rho: Annotated[list[Annotated[Number, Field(ge=1)]], Field(min_length=1)]  # dominance of fp or fn
    main_rho: Number  # the one by which pictures are sorted
    worst_share: Annotated[Number, Field(gt=0, le=1)]  # of the test images; the slides' 100 of 5,794
    at_least: Count  # in small sets

    @model_validator(mode="after")
    def _main_is_one_of_them(self) -> ErrorSettings:
        if self.main_rho not in self.rho:
            allowed = ", ".join(f"{rho:g}" for rho in self.rho)
            raise ValueError(f"main_rho ({self.main_rho:g}) is not one of rho ({allowed})")
        return self


class Guided(Section):
    """Guided filter of a map by its grey image; the setting that is best on validation images is used."""

    radius: Annotated[list[Count], Field(min_length=1)]  # pixels at data.input_size; window 2r + 1
    eps: Annotated[list[Positive], Field(min_length=1)]  # of grey levels in [0, 1], squared


class Edge(Section):
    """The edge fix (METHODS 6); the kappa that is best on validation images is used."""

    kappas: Annotated[list[Positive], Field(min_length=1)]
    low: NotNegative  # Canny's thresholds as multiples of the image's median grey level
    high: NotNegative
    dilate: Odd  # width of the square by which edges grow
    tiny: Fraction  # of the image; smaller regions join their neighbour
    guided: Guided

    @model_validator(mode="after")
    def _thresholds_fit(self) -> Edge:
        if self.low > self.high:
            raise ValueError(f"low ({self.low:g}) exceeds high ({self.high:g})")
        return self


class Metrics(Section):
    """The metrics and the number of images that they are computed on (METHODS 5)."""

    images_per_class: Count | None  # test images for RISE, insertion and deletion; null: all
    val_images_per_class: Count | None  # validation images on which RISE is run for the val-best threshold
    subset_seed: Natural
    step: Count  # pixels per insertion/deletion step
    blur_kernel: Annotated[Odd, Field(ge=3)]
    blur_sigma: Positive
    lab_points: Annotated[int, Field(strict=True, ge=2)]  # of the curves of the protocol `lab`; the authors had 48
    box_step: Annotated[Number, Field(gt=0, lt=1)]  # between the thresholds of MaxBoxAcc and MaxBoxAccV2
    batch: Batch  # images per forward pass of the evaluated model


class Engine(Section):
    """How models run in RISE, insertion and deletion (`ala/perturbation`); maps and areas depend on it slightly."""

    precision: Precision
    compile: StrictBool  # torch.compile: minutes at the start, worth it on GPUs and long runs


class Layers(Section):
    """The encoder layers to compare for methods that read a single one (slide 6)."""

    abn: Annotated[list[Natural], Field(min_length=1), Once]  # encoder features; ABN is trained on each in turn


class Extensions(Section):
    """Settings of the rows that the top-level `extensions` adds to the ablation."""

    lora: Lora | None  # null: the row lora is not available


class Chosen(Section):
    """Settings whose values were chosen by mean IoU with masks of validation images; the report names them."""

    methods: Annotated[list[str], Field(min_length=1)]  # rows of the tables, or `ala+edge`
    settings: Annotated[list[str], Field(min_length=1)]  # of this profile, with points: fcam.crf.weight
    how: str  # what was compared, on how many seeds


class Profile(Section):
    """One complete experiment."""

    data: Data
    encoder: EncoderSettings
    ala: Ala
    train: Train
    rise: Rise
    explainers: dict[str, dict[str, Any]]  # settings of further explainers, by their name
    fcam: Fcam
    abn: Abn
    layers: Layers
    extensions: Extensions
    metrics: Metrics
    engine: Engine
    errors: ErrorSettings
    edge: Edge
    chosen_on_masks: list[Chosen]

    @model_validator(mode="after")
    def _chosen_exist(self) -> Profile:
        named = [path for chosen in self.chosen_on_masks for path in chosen.settings]
        unknown = [path for path in named if not _has(self, path)]
        if unknown:
            raise ValueError(f"chosen_on_masks names {', '.join(unknown)}, no setting of this profile; correct it")
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Profile:
        size = self.data.input_size
        problems = []
        if size % self.ala.sbn.patch:
            problems.append(f"ala.sbn.patch ({self.ala.sbn.patch}) must divide data.input_size ({size})")
        if self.train.augment.resize is not None and self.train.augment.resize < size:
            problems.append(f"train.augment.resize ({self.train.augment.resize}) is below data.input_size ({size})")
        if self.fcam.resize is not None and self.fcam.resize < self.fcam.input_size:
            problems.append(f"fcam.resize ({self.fcam.resize}) is below fcam.input_size ({self.fcam.input_size})")
        if self.metrics.step > size * size:
            problems.append(f"metrics.step ({self.metrics.step}) exceeds the {size * size} pixels of an image")
        birdlets = self.data.birdlets
        if self.data.source == "birdlets" and birdlets and birdlets.train_per_species <= self.data.train_per_class:
            problems.append(
                f"data.birdlets.train_per_species ({birdlets.train_per_species}) must exceed data.train_per_class"
                f" ({self.data.train_per_class}), else validation is empty"
            )
        if self.encoder.weights == "random" and self.data.source != "birdlets":
            problems.append(
                f"encoder.weights random rehearse on drawn birds, not on data.source {self.data.source}; set it to"
                " pretrained"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self


class Executor(Section):
    """Where shards are computed (`ala/pipeline/executors`); it decides no number."""

    kind: str  # serial, processes, or package.module:Class
    workers: Count


def _names(value: Any) -> Any:
    """Refuse the mapping that `ablations` once was; anything else is left for pydantic."""
    if isinstance(value, Mapping):
        raise ValueError(f"is a mapping; write the names of the rows, which the paper defines: [{', '.join(ROWS)}]")
    return value


def _has(section: Section, path: str) -> bool:
    """Whether the dotted `path` names a setting below `section`."""
    name, _, rest = path.partition(".")
    if name not in type(section).model_fields:
        return False
    inner = getattr(section, name)
    return not rest or (isinstance(inner, Section) and _has(inner, rest))


def unknown_profile(name: object, profiles: Iterable[object]) -> list[str]:
    """Return the error message for a profile that does not exist; nothing if it does."""
    names = [str(profile) for profile in profiles]
    return [] if name in names else [f"profile {name!r} does not exist; choose one of {', '.join(names)}"]


class Settings(Section):
    """The whole of `params.yaml`."""

    profile: str
    aea: StrictBool
    sbn: StrictBool
    seeds: Annotated[list[Natural], Field(min_length=1), Once]
    methods: Annotated[list[str], Field(min_length=1), Once]  # rows of the tables; joined by + they share a cell
    metrics: Annotated[list[str], Field(min_length=1), Once]
    foreign: dict[str, str]  # name of a row to a folder of maps that another program made
    executor: Executor
    ablations: Annotated[list[Literal["i", "ii", "iii", "iv"]], BeforeValidator(_names), Once]  # see :data:`ROWS`
    extensions: Annotated[list[Literal["lora", "all-taps", "half-epochs"]], Once]  # see :data:`EXTENSIONS`
    inputs: Inputs
    profiles: dict[str, Profile]

    @model_validator(mode="after")
    def _names_exist(self) -> Settings:
        problems = unknown_profile(self.profile, self.profiles)
        if "lora" in self.extensions and not problems and self.active.extensions.lora is None:
            problems.append(
                f"extensions names lora, but profiles.{self.profile}.extensions.lora is null; set it to a block of the"
                " encoder, a rank and an alpha"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def active(self) -> Profile:
        """The profile that `profile` names."""
        return self.profiles[self.profile]

    def with_profile(self, name: str) -> Settings:
        """Return the settings with another active profile; the same ones for an empty name.

        Raises:
            UserError: there is no such profile.
        """
        for wrong in unknown_profile(name, self.profiles) if name else []:
            raise UserError(wrong)
        return self.model_copy(update={"profile": name or self.profile})

    def trained_as(self, name: str) -> tuple[str, Profile]:
        """Return the variant that a model's `name` denotes, and the profile that it is trained by.

        Every name but those of :data:`EXTENSIONS` is its own variant, trained by the active profile.
        """
        if name not in EXTENSIONS:
            return name, self.active
        ala = self.active.ala
        if name == "half-epochs":
            train = self.active.train.model_copy(update={"epochs": self.on_epochs})
            return variant_name(**ROWS["ii"]), self.active.model_copy(update={"train": train})
        if name == "lora":
            ala = ala.model_copy(update={"lora": self.active.extensions.lora})
        else:
            ala = ala.model_copy(update={"sbn": ala.sbn.model_copy(update={"fusion_map": "all"})})
        return variant_name(**ROWS["iii"]), self.active.model_copy(update={"ala": ala})

    @property
    def on_epochs(self) -> int:
        """The number of epochs in which a variant with AEA trains its SBN and AB: half of all, with one off per on."""
        return sum(self.active.ala.schedule.on(epoch) for epoch in range(self.active.train.epochs))

    def deciding(self) -> dict[str, Any]:
        """Return what the results of one cell depend on, as JSON: the profile and the main model's switches."""
        return {"profile": self.active.model_dump(mode="json"), "aea": self.aea, "sbn": self.sbn}

    @property
    def main_variant(self) -> str:
        """The variant that the top-level switches choose; see :func:`variant_name`."""
        return variant_name(self.aea, self.sbn)


def variant_name(aea: bool, sbn: bool) -> str:
    """The name of an ALA variant in folders and DVC cells, e.g. `aea-true-sbn-false`.

    It spells the switches out because `dvc.yaml` builds the main model's path from `${aea}` and `${sbn}`.
    """
    return f"aea-{str(aea).lower()}-sbn-{str(sbn).lower()}"
