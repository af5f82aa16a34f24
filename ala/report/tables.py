"""`main.csv`, `ablation.csv` and `per_seed.csv`: methods, rows of the ablation, and every seed by itself.

Rows of one table may have been scored on different images: some explain a subset. Each score therefore occurs twice:
`X_common_mean` over the images that all rows of the table share, which is what may be compared, and `X_mean` over all
images of the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ala.config.schema import ROWS, variant_name
from ala.metrics.iou import RULES
from ala.report import captions, slides
from ala.report.rows import ZERO_SHOT, Row
from ala.report.run import Key, Run
from ala.report.summary import METRICS, TESTED, Images, means, summarise
from ala.report.table import Table
from ala.report.text import NOT_RUN

AVERAGED = [name for name in METRICS if name != "area"]
#: What the score stage says of a method and seed: the threshold found on validation, and maps that say nothing.
KEPT = ("tau_val", "tie_share", "collapsed_constant", "collapsed_one_pixel", "forwards")
#: Numbers of the whole set among them.
WHOLE = {"tie_share": ("official", "tie_share"), "forwards": ("official", "forwards")}

#: The contract for `main.csv` and `ablation.csv`; the first columns name the row.
COLUMNS = [
    "n_seeds", "n_images", "n_common", "n_perturbed", "n_perturbed_common",
    "accuracy_mean", "accuracy_std",
    "miou_common_mean", "miou_common_std", "miou_mean", "miou_std",
    "miou_fixed_common_mean", "miou_fixed_mean", "miou_otsu_common_mean", "miou_otsu_mean",
    "miou_val_common_mean", "miou_val_mean",
    "insertion_common_mean", "insertion_common_std", "insertion_mean", "insertion_std",
    "deletion_common_mean", "deletion_common_std", "deletion_mean", "deletion_std",
    "id_common_mean", "id_common_std", "id_mean", "id_std",
    "paper_miou", "paper_insertion", "paper_deletion", "paper_id",
    "command",
]  # fmt: skip
#: Those that hold means and spreads of scores.
MEASURED = [column for column in COLUMNS if column.endswith(("_mean", "_std"))]

_BEST = {f"{name}_mean": METRICS[name].sign > 0 for name in AVERAGED if name != "accuracy"}
_RULES = ("miou_fixed_mean", "miou_otsu_mean", "miou_val_mean")
_LEAD = (*TESTED, "accuracy")
_BESIDE = tuple(column for name in TESTED for column in (name, f"paper_{name}"))
#: Columns of the Markdown twins: ours beside the slides', the same in brief, and mean IoU by threshold rule.
BRIEF = ("miou", "paper_miou", "miou_mean", *_BESIDE[2:])
TEXT = ("n_seeds", "n_images", "n_common", "accuracy", *BRIEF)
THRESHOLDS = ("miou", "miou_fixed", "miou_otsu", "miou_val")


def line(run: Run, row: Row, printed: Mapping[str, slides.Printed], shared: Mapping[str, Images]) -> dict[str, object]:
    """The cells of :data:`COLUMNS` for one row; `not run` where no seed of it was run.

    `n_images` and `n_perturbed` are the numbers of images behind the mean IoU and behind insertion, deletion and ID;
    `n_common` and `n_perturbed_common` those of them that all rows share. If seeds differ, the smallest.
    """
    own = {name: summarise(run.of(row, name)) for name in AVERAGED}
    common = {name: summarise(run.of(row, name), shared.get(name)) for name in AVERAGED}
    n_seeds = len(run.seeds(row))
    values: dict[str, object] = {
        "n_seeds": n_seeds, "n_images": own["miou"].n_images, "n_common": common["miou"].n_images,
        "n_perturbed": own["insertion"].n_images, "n_perturbed_common": common["insertion"].n_images,
    }  # fmt: skip
    for column in MEASURED:
        name, kind = column.rsplit("_", 1)
        base = name.removesuffix("_common")
        values[column] = getattr((common if name != base else own)[base], kind)
    if not n_seeds:
        values = dict.fromkeys(values, NOT_RUN) | {"n_seeds": 0}
    values |= {f"paper_{name}": printed[name].mean if printed else None for name in TESTED}
    return values | {"command": row.command(run.settings.seeds)}


def common_images(run: Run, shown: Sequence[Row]) -> dict[str, Images]:
    """The images that all rows `shown` share, by metric and seed; of accuracy none, it is over all test images."""
    return {name: run.common(shown, name) for name in AVERAGED if name != "accuracy"}


def main(run: Run) -> Table:
    """`main.csv`: one line per method beside the slides' values.

    A last line has the zero-shot accuracy of the frozen encoder on the test images, where it has class texts. It
    depends on no seed of the run and has no map, so its other cells are empty.
    """
    printed, shared = slides.printed("main"), common_images(run, run.rows.main)
    lines = [{"method": row.name, **line(run, row, printed.get(row.name, {}), shared)} for row in run.rows.main]
    if run.encoder.get("zero_shot_accuracy") is not None:  # null without class texts
        lines.append(
            {"method": ZERO_SHOT, **dict.fromkeys(COLUMNS), "n_images": run.encoder.get("n_images"),
             "accuracy_mean": run.encoder["zero_shot_accuracy"], "command": "dvc repro encoder"}
        )  # fmt: skip
    frame = pd.DataFrame(lines, columns=["method", *COLUMNS], dtype=object)
    said = (
        "Every method on the model that it explains, mean over images, then mean ± sample standard deviation over"
        " seeds. Bold: best of the methods that explain a model, on the images that all rows share."
    )
    return Table(
        "main", frame, "Methods",
        "\n\n".join([said, *captions.below(run, frame, run.rows.main), captions.chosen_on_masks(run)]),
        TEXT, _LEAD, _BEST,
        frozenset(row.name for row in run.rows.explainers), _RULES, _spreads(frame, "method", "main"),
    )  # fmt: skip


def ablation(run: Run) -> Table:
    """`ablation.csv`: one line per variant of the main model, beside the slides' values; then the extensions, which the
    slides do not have."""
    printed, shown = slides.printed("ablation"), run.rows.ablation
    shared = common_images(run, shown)
    lines = [
        {
            "row": row.name,
            **{part: str(switched_on).lower() for part, switched_on in switches(run, row).items()},
            **line(run, row, printed.get(row.name, {}), shared),
        }
        for row in shown
    ]
    frame = pd.DataFrame(lines, columns=["row", "aea", "sbn", *COLUMNS], dtype=object)
    said = (
        "The main model with and without its two parts: AEA, the alternating epochs, and SBN, the side branch network."
    )
    return Table(
        "ablation", frame, "Ablation",
        "\n\n".join(filter(None, [said, *captions.below(run, frame, shown), captions.confounds(run)])),
        ("aea", "sbn", *TEXT), _LEAD, _BEST, csv_only=_RULES, spreads=_spreads(frame, "row", "ablation"),
    )  # fmt: skip


def switches(run: Run, row: Row) -> Mapping[str, bool]:
    """The parts that a variant has; an extension those of the variant that it is trained as."""
    variant = run.settings.trained_as(row.name)[0] if row.extension else row.method
    return next(parts for parts in ROWS.values() if variant_name(**parts) == variant)


def _spreads(frame: pd.DataFrame, key: str, which: str) -> dict[str, list[object]]:
    """The spreads that the slides print, which the CSV leaves out."""
    printed = slides.printed(which)
    return {f"paper_{name}": [printed[row][name].spread if row in printed else None for row in frame[key]]
            for name in TESTED}  # fmt: skip


def per_seed(run: Run) -> Table:
    """`per_seed.csv`: one line per method and seed that was run: where it is shown, how many images, every mean over
    the images of this seed, empty predictions (mean + std can select nothing), what was kept."""
    lines = []
    for row in run.rows.methods:
        averages = {name: means(run.of(row, name)) for name in AVERAGED}
        for seed in run.seeds(row):
            summary = run.summaries[row.method, seed]
            whole = {name: run.whole.get(Key(row.method, seed, *key)) for name, key in WHOLE.items()}
            if whole["forwards"] is not None:
                whole["forwards"] = int(whole["forwards"])
            empty = {rule: run.under(row, f"majority-{rule}", "empty")[seed] for rule in RULES}
            lines.append({
                "method": row.method,
                "rows": " ".join(one.name for one in run.rows.shown if one.method == row.method),
                "seed": seed, "n_images": len(run.of(row, "miou")[seed]),
                "n_perturbed": len(run.of(row, "insertion")[seed]),
                **{name: values[seed] for name, values in averages.items()},
                **{f"empty_{rule}": int(values.sum()) for rule, values in empty.items()},
                **{name: whole[name] if name in whole else summary.get(name) for name in KEPT},
                "command": row.command([seed]),
            })  # fmt: skip
    head = ["method", "rows", "seed", "n_images", "n_perturbed", *AVERAGED, *(f"empty_{rule}" for rule in RULES), *KEPT]
    return Table(
        "per_seed", pd.DataFrame(lines, columns=[*head, "command"]), "Every seed",
        "The means of every method and seed, before they are averaged over seeds: IoU over all images that have a map,"
        " insertion, deletion and ID over the images perturbed. Rows with other numbers of images are not comparable.",
        lead=("seed", *_LEAD),
    )  # fmt: skip
