"""Write captions and notes of the tables: what was run, by which protocol, on which images, what a number means."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ala.config.schema import Data
from ala.report import claims, ends, rows
from ala.report.run import Run
from ala.report.statistics import LEVEL

CLAIMS = (
    "Differences on the seeds and photos that both sides have, positive where the claimed direction is seen. Mean"
    " IoU by the mean + std rule, Insertion and Deletion by the official protocol; attended area: share of pixels"
    " above half of the map's range. Spread: √(sd² + sd²) over seeds. Interval: 95 %, over seeds and over classes with"
    " their photos; p: of the same rule, two-sided, corrected by Holm over all claims that have one"
    f" (docs/protocols.md, Statistics). `{claims.HOLDS}`: p < {LEVEL:g} after correction, in the claimed direction;"
    f" `{claims.FAILS}`: the same the other way round; `{claims.OPEN}`: neither. A claim on every metric has the"
    " largest p of its comparisons, since all must hold; one that is reversed, corrected for their number, refutes it."
    f" `{claims.ARITHMETIC}`: true by computation, checked and not judged."
)


def what_was_run(run: Run) -> str:
    """The opening paragraph: profile, data, images, seeds, and whether the numbers may be compared with the slides'."""
    settings, data = run.settings, run.settings.active.data
    source = {
        "birdlets": "drawn birds (`birdlets`)",
        "folder": "a folder of photographs in CUB-200-2011 layout",
        "download": "CUB-200-2011",
    }[data.source]
    splits = ", ".join(f"{part['photos']:,} {name}" for name, part in run.splits.items() if "photos" in part)
    classes = f" of {run.data['classes']} classes" if "classes" in run.data else ""
    said = [
        f"**What was run:** profile `{settings.profile}`, {source}{classes}{f' ({splits})' if splits else ''}, input"
        f" {data.input_size}×{data.input_size}, seeds {settings.seeds}; main model `{settings.main_variant}`."
    ]
    if left_out := run.data.get("excluded_ids"):
        ids = ", ".join(map(str, left_out))
        said[0] += f" Left out of the data set (`data.exclude`): {len(left_out):,}, by id {ids}."
    if run.mark is not None:
        said.append(
            f"**{run.mark[0].upper()}{run.mark[1:]}.** The encoder never learned and the photos are a handful of"
            " drawings: no number here means anything, whatever a verdict or a bold figure says. What is shown is that"
            " every stage, shape, path and table works at the paper's sizes."
        )
    elif data.source == "birdlets":
        said.append(
            "**These are drawn birds and a small encoder: the numbers stand for nothing but themselves.** They are not"
            " comparable with the slides' values printed beside them, which are from CUB-200-2011 and CLIP ViT-B/16."
            " What they can show is whether the method's claims hold here."
        )
    elif data.source == "folder":
        said.append(
            "Other photos and another encoder than on the slides: the slides' values beside ours are for orientation,"
            " not for comparison."
        )
    return "\n\n".join(said)


def data_and_encoder(run: Run) -> str:
    """Numbers of the data and the encoder's zero-shot accuracy."""
    said = []
    if area := run.data.get("box_area_share"):
        said.append(f"Mean share of a photo inside the object's box: {area['mean']:.3f} (CUB-200-2011: 0.35).")
    accuracy = run.encoder.get("zero_shot_accuracy")
    said.append(
        f"Zero-shot accuracy of the frozen encoder on the test photos: {accuracy:.3f}."
        if accuracy is not None
        else "Zero-shot accuracy: not run (the encoder has no text tower)."
    )
    return " ".join(said)


def ground_truth(data: Data, threshold: int | None = None) -> str:
    """Which pixels of a mask are the object, by the settings `data`; `threshold` in place of `data.mask_threshold`."""
    if data.object_levels is not None:
        return f"ground truth mask level {' or '.join(map(str, data.object_levels))}"
    said = f"ground truth grey > {data.mask_threshold if threshold is None else threshold}"
    excepted = ", ".join(map(str, data.background_levels))
    return said + (f" but for level {excepted}" if excepted else "")


def protocol(run: Run) -> str:
    """Describe in one paragraph how the numbers were made: part of the caption of every table."""
    settings, profile = run.settings, run.settings.active
    metrics, rise, size = profile.metrics, profile.rise, profile.data.input_size
    photos = sorted({len(cell.mapped) for cell in run.cells.values()}) or [0]
    perturbed = sorted({len(cell.perturbed) for cell in run.cells.values()}) or [0]
    per_class = metrics.images_per_class
    subset = "all test photos" if per_class is None else f"{per_class} test photos per class"
    seeds = "seed" if len(settings.seeds) == 1 else "seeds"
    return (
        f"Profile `{settings.profile}`; {len(settings.seeds)} {seeds} {settings.seeds}: mean over photos first, then"
        f" mean ± sample standard deviation over seeds. Mean IoU of the foreground at {size}×{size}:"
        f" {ground_truth(profile.data)}, map > its mean + standard deviation, on {_span(photos)} photos (RISE on"
        f" {subset}). Insertion and deletion: `official` protocol, {metrics.step} pixels per step, deletion to the mean"
        f" colour, insertion from a {metrics.blur_kernel}×{metrics.blur_kernel} blur with σ {metrics.blur_sigma:g},"
        " predicted class, each map probed on the model that it explains, model-free maps on the main model, on"
        f" {_span(perturbed)} photos ({subset}). RISE: N = {rise.n_masks}, s = {rise.grid}, p = {rise.p1:g}, on"
        f" {rise.output}. Bold: best of the methods that explain a model, among means over the images that all rows of"
        " the table share. `box` is the ground-truth box, an oracle."
    )


def protocol_and_ends(run: Run) -> str:
    """:func:`protocol`, and between which ends the curves of all evaluated models run."""
    return f"{protocol(run)} {ends.sentence(run)}".strip()


def curves(run: Run, drawn: str) -> str:
    """The caption of insertion and deletion curves: on how many images, what is `drawn`, between which ends.

    The number of images is a span where methods were measured on different ones; then the lines are not comparable.
    """
    counts = sorted({len(cell.perturbed) for row in rows.MAIN for cell in run.of(row) if cell.curves}) or [0]
    said = f"Mean over {_span(counts)} images, {drawn}. {ends.sentence(run, rows.MAIN)}".strip()
    if len(counts) > 1:
        said += " The curves are over different images (see what is odd), so they are not comparable."
    return said


def below(run: Run, table: pd.DataFrame, which: str) -> list[str]:
    """The paragraphs below table `which` (`main` or `ablation`): on which images it compares, between which ends its
    curves run, and what else tells its rows apart."""
    shown = [str(row) for row in table["method" if which == "main" else "row"]]
    own = chosen_on_masks(run) if which == "main" else confounds(run)
    return [part for part in (same_images(table), ends.sentence(run, shown), own) if part]


def same_images(table: pd.DataFrame) -> str:
    """How many images the rows of `table` are compared on, and which rows were scored on more of them."""
    said = []
    for metric, own, common in (("Mean IoU", "n_images", "n_common"),
                                ("Insertion, Deletion and ID", "n_perturbed", "n_perturbed_common")):  # fmt: skip
        counts = table[[own, common]].apply(pd.to_numeric, errors="coerce").dropna().astype(int)
        if counts.empty:
            continue
        shared, most = int(counts[common].min()), int(counts[own].max())
        if most == shared:
            said.append(f"{metric}: every row on the same {shared} images.")
        else:
            said.append(
                f"{metric}: compared on the {shared} images that all rows share; beside it, where a row was scored on"
                f" more, the mean over all of them (up to {most}), which must not be compared between rows."
            )
    return " ".join(said)


def chosen_on_masks(run: Run) -> str:
    """Which settings of the profile were chosen by mean IoU with masks of validation images, from `chosen_on_masks`."""
    found = run.settings.active.chosen_on_masks
    by_methods: dict[str, list[str]] = {}
    for chosen in found:
        names = " and ".join(rows.LABELS.get(method, f"`{method}`") for method in chosen.methods)
        said = f"{', '.join(f'`{path}`' for path in chosen.settings)} ({chosen.how})"
        by_methods.setdefault(names, []).append(said)
    parts = [f"{names}: {', '.join(said)}" for names, said in by_methods.items()]
    methods = {method for chosen in found for method in chosen.methods}
    none = [rows.LABELS[row] for row in rows.EXPLAINERS if row not in methods]
    profile = f"profile `{run.settings.profile}`"
    if parts:
        said = f"these settings of {profile} were chosen, though: {'; '.join(parts)}"
        said += f"; for {', '.join(none)} none." if none else "."
    else:
        said = f"no setting of {profile} was chosen, either."
    return (
        "**Chosen with masks.** No method is trained on a mask, which is why all are called weakly supervised. By mean"
        f" IoU with masks of validation images {said} The column `best on validation` takes its threshold from the same"
        " masks, for every method and seed."
    )


def confounds(run: Run) -> str:
    """What differs between rows (iii) and (ii) beside AEA; empty where the settings leave out one of them."""
    settings, train = run.settings, run.settings.active.train
    if not {"ii", "iii"} <= set(settings.ablations):
        return ""
    epochs, updated = train.epochs, settings.on_epochs
    patience = (
        "neither stops early"
        if train.patience is None
        else f"patience of {train.patience} counts evaluations, so (iii) may go on for {epochs / updated:.2g} times as"
        " many epochs as (ii) without getting better"
    )
    row = "Row `half-epochs` trains" if "half-epochs" in settings.extensions else "A row `half-epochs` would train"
    return (
        f'**What "(iii) better than (ii)" mixes with AEA.** Both are planned for {epochs} epochs and update PB in all'
        f" of them; SBN and AB are updated in {updated} epochs of (iii), in all {epochs} of (ii). (iii) is validated"
        f" after on epochs alone, so the best of {updated} states is kept, of (ii) the best of {epochs}; {patience}."
        f" The learning rate falls by the epoch, not by the update of a branch. {row} (ii) for {updated} epochs: SBN"
        " and AB are then updated and evaluated as often as in (iii), and the learning rate falls as far over these"
        " updates; PB is updated less often than in (iii) instead. No row matches both."
        + ("" if row.startswith("Row") else " It is run by `dvc exp run -S 'extensions=[half-epochs]'`.")
    )


def _span(counts: Sequence[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
