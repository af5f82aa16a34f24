"""Write captions and notes of the tables: what was run, by which protocol, on which images, what a number means."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ala.config.schema import Data
from ala.report import ends, slides
from ala.report.rows import Row
from ala.report.run import Run


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
            f"**{run.mark[0].upper()}{run.mark[1:]}.** The encoder never learned and the images are a handful of"
            " drawings: no number here means anything, whatever a verdict or a bold figure says. What is shown is that"
            " every stage, shape, path and table works at the paper's sizes."
        )
    elif data.source == "birdlets":
        said.append(
            "**These are drawn birds and a small encoder: the numbers say nothing about other data.** They are not"
            " comparable with the slides' values printed beside them, which are from CUB-200-2011 and CLIP ViT-B/16."
            " What they can show is whether the method's claims hold here."
        )
    elif data.source == "folder":
        said.append(
            "Other images and another encoder than on the slides: the slides' values beside ours are for orientation,"
            " not for comparison."
        )
    return "\n\n".join(said)


def data_and_encoder(run: Run) -> str:
    """Numbers of the data and the encoder's zero-shot accuracy."""
    said = []
    if area := run.data.get("box_area_share"):
        said.append(f"Mean share of an image inside the object's box: {area['mean']:.3f} (CUB-200-2011: 0.35).")
    accuracy = run.encoder.get("zero_shot_accuracy")
    said.append(
        f"Zero-shot accuracy of the frozen encoder on the test images: {accuracy:.3f}."
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


def subset(run: Run) -> str:
    """The images that insertion and deletion are measured on."""
    per_class = run.settings.active.metrics.images_per_class
    return "all test images" if per_class is None else f"{per_class} test images per class"


def protocol(run: Run) -> str:
    """Describe in one paragraph how the numbers were made: part of the caption of every table."""
    settings, profile = run.settings, run.settings.active
    metrics, size = profile.metrics, profile.data.input_size
    mapped, perturbed = (_counts(run, run.rows.methods, metric) for metric in ("miou", "insertion"))
    few = [row.label for row in run.rows if row.on_subset]
    some = f" ({', '.join(few)} on {subset(run)})" if few else ""
    seeds = "seed" if len(settings.seeds) == 1 else "seeds"
    chosen = "".join(f" {row.label}: {', '.join(f'{name} {value}' for name, value in row.settings.items())}."
                     for row in run.rows if row.settings)  # fmt: skip
    return (
        f"Profile `{settings.profile}`; {len(settings.seeds)} {seeds} {settings.seeds}: mean over images first, then"
        f" mean ± sample standard deviation over seeds. Mean IoU of the foreground at {size}×{size}:"
        f" {ground_truth(profile.data)}, map > its mean + standard deviation, on {mapped} images{some}."
        f" Insertion and deletion: `official` protocol, {metrics.step} pixels per step, deletion to the mean"
        f" colour, insertion from a {metrics.blur_kernel}×{metrics.blur_kernel} blur with σ {metrics.blur_sigma:g},"
        " predicted class, each map evaluated on the model that it explains, model-free maps on the main model, on"
        f" {perturbed} images ({subset(run)}).{chosen} Bold: best of the methods that explain a model, among means over"
        " the images that all rows of the table share. An oracle knows the ground truth."
    )


def protocol_and_ends(run: Run) -> str:
    """:func:`protocol`, and between which ends the curves of all evaluated models run."""
    return f"{protocol(run)} {ends.sentence(run)}".strip()


def curves(run: Run, drawn: str) -> str:
    """The caption of insertion and deletion curves: on how many images, what is `drawn`, between which ends.

    The number of images is a span where methods were measured on different ones; then the lines are not comparable.
    """
    kept = [row for row in run.rows.main if any((row.method, seed) in run.curves for seed in run.seeds(row))]
    counts = _counts(run, kept, "insertion")
    said = f"Mean over {counts} images, {drawn}. {ends.sentence(run, run.rows.main)}".strip()
    if " to " in counts:
        said += " The curves are over different images (see what is odd), so they are not comparable."
    return said


def _counts(run: Run, rows: Sequence[Row], metric: str) -> str:
    """The number of images that rows have a score of, as a span where they differ."""
    counts = sorted({len(values) for row in rows for values in run.of(row, metric).values()}) or [0]
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def below(run: Run, frame: pd.DataFrame, shown: Sequence[Row]) -> list[str]:
    """The paragraphs below the main table or the ablation, whose rows are `shown`: on which images it compares, and
    between which ends its curves run."""
    return [part for part in (same_images(frame), ends.sentence(run, shown)) if part]


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
        names = " and ".join(run.rows.label(method) if method in run.rows else f"`{method}`"
                             for method in chosen.methods)  # fmt: skip
        said = f"{', '.join(f'`{path}`' for path in chosen.settings)} ({chosen.how})"
        by_methods.setdefault(names, []).append(said)
    parts = [f"{names}: {', '.join(said)}" for names, said in by_methods.items()]
    methods = {method for chosen in found for method in chosen.methods}
    none = [row.label for row in run.rows.explainers if row.name not in methods]
    profile = f"profile `{run.settings.profile}`"
    if parts:
        said = f"these settings of {profile} were chosen, though: {'; '.join(parts)}"
        said += f"; none is declared for {', '.join(none)}." if none else "."
    else:
        said = f"no setting of {profile} was chosen, either."
    return (
        "**Chosen with masks.** No method is trained on a mask, which is why all are called weakly supervised. By mean"
        f" IoU with masks of validation images {said} The column `best on validation` takes its threshold from the same"
        " masks, for every method and seed."
    )


def confounds(run: Run) -> str:
    """What differs between the rows with and without AEA beside AEA; empty where one of them is no row."""
    settings, train, aea = run.settings, run.settings.active.train, slides.content()["aea"]
    if aea["with"] not in run.rows or aea["without"] not in run.rows:
        return ""
    full, less = run.rows.label(aea["with"]), run.rows.label(aea["without"])
    epochs, updated = train.epochs, settings.on_epochs
    patience = (
        "neither stops early"
        if train.patience is None
        else f"patience of {train.patience} counts evaluations, so {full} may go on for {epochs / updated:.2g} times as"
        f" many epochs as {less} without getting better"
    )
    row = aea["as_often"]
    asked = row in run.rows
    return (
        f'**What "{full} better than {less}" mixes with AEA.** Both are planned for {epochs} epochs and update PB in'
        f" all of them; SBN and AB are updated in {updated} epochs of {full}, in all {epochs} of {less}. {full} is"
        f" validated after on epochs alone, so the best of {updated} states is kept, of {less} the best of {epochs};"
        f" {patience}. The learning rate falls by the epoch, not by the update of a branch."
        f" {'Row' if asked else 'A row'} `{row}` {'trains' if asked else 'would train'} {less} for {updated} epochs:"
        " SBN and AB are then updated and evaluated as often"
        f" as in {full}, and the learning rate falls as far over these updates; PB is updated less often than in {full}"
        " instead. No row matches both." + ("" if asked else f" It is run by `dvc exp run -S 'extensions=[{row}]'`.")
    )
