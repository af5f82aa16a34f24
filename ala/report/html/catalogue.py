"""What the page knows of tables, columns and figures by name; anything else is shown under its own name."""

from __future__ import annotations

from dataclasses import dataclass, field

from ala.report import rows


@dataclass(frozen=True)
class Known:
    """How a table is headed and explained (Markdown), and where its best values are set bold.

    Attributes:
        best: column: whether larger is better. Its twin over the images that all rows share is compared instead.
        rivals: rows that compete for it, by the table's first column; empty where all do.
        csv_only: columns over all images of a row that the page leaves out where the common images are fewer.
        lead: columns that stay longest where the window is too narrow for all, after the first of the table; where
            there is no column `miou`, `miou` is `miou_common_mean` or else `miou_mean`.
        ranks: a table of ranks by protocol, which the page shows as heat maps.
    """

    heading: str
    caption: str
    best: dict[str, bool] = field(default_factory=dict)
    rivals: tuple[str, ...] = ()
    csv_only: tuple[str, ...] = ()
    lead: tuple[str, ...] = ()
    ranks: bool = False


_BEST = {
    "miou_mean": True, "miou_fixed_mean": True, "miou_otsu_mean": True, "miou_val_mean": True,
    "insertion_mean": True, "deletion_mean": False, "id_mean": True,
}  # fmt: skip

_CSV_ONLY = ("miou_fixed_mean", "miou_otsu_mean", "miou_val_mean")
_SCORES = ("miou", "insertion", "deletion", "id", "accuracy")

#: Tables by the name of their CSV, in the order of the page.
TABLES = {
    "main": Known(
        "Methods",
        "Every method on the model that it explains, mean over photos, then mean ± sample standard deviation over"
        " seeds. Bold: best of the methods that explain a model, on the images that all rows share.",
        _BEST,
        rows.EXPLAINERS,
        _CSV_ONLY,
        _SCORES,
    ),
    "ablation": Known(
        "Ablation",
        "The main model with and without its two parts: AEA, the alternating epochs, and SBN, the side branch network.",
        _BEST,
        csv_only=_CSV_ONLY,
        lead=_SCORES,
    ),
    "paper": Known(
        "Paper beside this run",
        "The slides' printed value beside ours, cell by cell.",
        lead=("row", "metric", "printed", "ours", "difference", "verdict"),
    ),
    "claims": Known(
        "Claims",
        "Each claim as a difference between two rows, with its interval and verdict.",
        lead=("verdict", "difference", "ci_low", "p_holm", "paper_difference", "higher_mean", "lower_mean"),
    ),
    "sensitivity": Known(
        "Sensitivity to the protocol",
        "All methods under all protocols: which conclusions survive, which do not.",
        ranks=True,
    ),
    "common_model": Known(
        "One common model", "All maps evaluated on one and the same model.", lead=("id_own", "id_common")
    ),
    "curve_ends": Known("Start and end of the curves", "Probability of the target class at both ends, by model."),
    "paired": Known(
        "Paired differences",
        "Differences between methods on the same photos, with effect size and corrected test.",
        lead=("first", "second", "difference", "ci_low", "p_holm", "effect_size"),
    ),
    "layers": Known(
        "Which layer?",
        "Attention on each encoder layer in turn, beside the whole method.",
        lead=("layer", "miou", "id", "share", "miou_without"),
    ),
    "errors": Known(
        "Kinds of error",
        "How many of the worst photos attend too much, too little, or elsewhere.",
        lead=("rho", "OA", "IA", "Others", "n_worst"),
    ),
    "error_top": Known(
        "The worst photos", "The photos of the lowest IoU with their kind of error.", lead=("iou", "kind_2", "class")
    ),
    "edge": Known(
        "Edge fix",
        "Maps cut along the photo's edges, beside simpler ways to clean them.",
        lead=("miou", "miou_gain", "miou_gain_low", "id", "id_gain", "id_gain_low"),
    ),
    "per_seed": Known(
        "Every seed",
        "The means of every method and seed, before they are averaged over seeds: IoU over all images that have a map,"
        " insertion, deletion and ID over the images perturbed. Rows with other numbers of images are not"
        " comparable.",
        lead=("seed", *_SCORES),
    ),
}

#: Columns by name; any other is shown with spaces for underscores.
COLUMNS = {
    "n_seeds": "seeds", "n_images": "images", "n_common": "common images", "n_perturbed": "images perturbed",
    "n_perturbed_common": "common images perturbed", "image_id": "image",
    "insertion_start": "Insertion: blurred image", "insertion_end": "Insertion: whole image",
    "deletion_start": "Deletion: whole image", "deletion_end": "Deletion: empty image",
    "aea": "AEA", "sbn": "SBN", "miou": "mean IoU ↑", "miou_fixed": "IoU, fixed 0.5 ↑", "miou_otsu": "IoU, Otsu ↑",
    "miou_val": "IoU, best on validation ↑", "insertion": "Insertion ↑", "deletion": "Deletion ↓", "id": "ID ↑",
    "iou": "IoU", "paper_miou": "slides: mean IoU", "paper_insertion": "slides: Insertion",
    "paper_deletion": "slides: Deletion", "paper_id": "slides: ID", "paper_difference": "slides: difference",
    "higher_mean": "mean of the higher", "lower_mean": "mean of the lower", "ci": "95 % interval", "reason": "why",
    "p_holm": "p after Holm", "seeds_to_halve": "half as wide with",
    "empty_mean_std": "empty, mean + std", "empty_fixed": "empty, fixed 0.5", "empty_otsu": "empty, Otsu",
    "empty_val": "empty, best on validation", "tau_val": "τ of validation", "tie_share": "tied pixels",
    "collapsed_constant": "constant maps", "collapsed_one_pixel": "maps of one pixel",
}  # fmt: skip

#: Figures by the name of their PNG: heading and alternative text.
FIGURES = {
    "curves": (
        "Insertion and deletion",
        "Mean over photos, line: mean over seeds, band: ± sample standard deviation over seeds.",
    ),
    "ablation": ("Ablation", "Each seed as a dot, mean ± spread beside the slides' value as an open marker."),
    "training": (
        "Training",
        "Line: mean over seeds, band: ± sample standard deviation. Shaded: AEA's off epochs; triangles: the epoch"
        " that each seed kept.",
    ),
    "gallery": (
        "Best, median and worst",
        "Photo, mask and the maps of RISE, F-CAM and ALA for ALA's best, median and worst test photo by IoU. White:"
        " outline of the ground truth; cyan: of the map above its mean + standard deviation.",
    ),
    "layers": (
        "Which layer?",
        "Left: mean IoU of ABN on one encoder layer at a time beside ALA's. Right: how much each layer adds to the"
        " tokens of ALA's side branch.",
    ),
    "errors": ("The worst photos", "The photos of the lowest IoU, sorted by kind of error."),
    "data": ("Data", "Test photos spread evenly over the classes, the object outlined."),
}

#: Curves by the name of their CSV: heading, axis of the values.
CURVES = {
    "insertion": ("Insertion", "probability of the target class"),
    "deletion": ("Deletion", "probability of the target class"),
    "validation_miou": ("Mean IoU on validation", "mean IoU, mean over seeds"),
}
#: Columns of `training.csv` that are drawn: heading.
TRAINING = {"train_loss": "Training loss", "val_accuracy_pb": "Accuracy on validation"}
#: Axes by the name of the column.
AXES = {"share": "share of the pixels", "epoch": "epoch"}


def column_label(name: str) -> str:
    """How column `name` is headed: by its own label, or by that of the longest known beginning and what follows it."""
    if name in COLUMNS:
        return COLUMNS[name]
    parts = name.split("_")
    for length in range(len(parts) - 1, 0, -1):
        known = COLUMNS.get("_".join(parts[:length]))
        if known is not None:
            return " ".join([known.rstrip(" ↑↓"), *parts[length:]])
    return " ".join(parts)


def in_order(names: list[str]) -> list[str]:
    """Names of tables: those of :data:`TABLES` first, in its order, then the others by name."""
    return [name for name in TABLES if name in names] + sorted(set(names) - set(TABLES))
