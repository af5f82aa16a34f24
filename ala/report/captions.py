"""What stands above and below the tables: what was run, by which protocol, and what the numbers stand for."""

from __future__ import annotations

from collections.abc import Sequence

from ala.report import claims
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
    """The opening paragraph: profile, data, photos, seeds, and what the numbers stand for."""
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


def protocol(run: Run) -> str:
    """How the numbers were made, in one paragraph: it is the caption of every table."""
    settings, profile = run.settings, run.settings.active
    metrics, rise, size = profile.metrics, profile.rise, profile.data.input_size
    photos = sorted({len(cell.mapped) for cell in run.cells.values()}) or [0]
    perturbed = sorted({len(cell.perturbed) for cell in run.cells.values()}) or [0]
    per_class = metrics.images_per_class
    subset = "all test photos" if per_class is None else f"{per_class} test photos per class"
    seeds = "seed" if len(settings.seeds) == 1 else "seeds"
    return (
        f"Profile `{settings.profile}`; {len(settings.seeds)} {seeds} {settings.seeds}: mean over photos first, then"
        f" mean ± sample standard deviation over seeds. Mean IoU of the foreground at {size}×{size}: ground truth grey"
        f" > {profile.data.mask_threshold}, map > its mean + standard deviation, on {_span(photos)} photos (RISE on"
        f" {subset}). Insertion and deletion: `official` protocol, {metrics.step} pixels per step, deletion to the mean"
        f" colour, insertion from a {metrics.blur_kernel}×{metrics.blur_kernel} blur with σ {metrics.blur_sigma:g},"
        " predicted class, each map probed on the model that it explains, model-free maps on the main model, on"
        f" {_span(perturbed)} photos ({subset}). RISE: N = {rise.n_masks}, s = {rise.grid}, p = {rise.p1:g}, on"
        f" {rise.output}. Bold: best of the methods that explain a model. `box` is the ground-truth box, an oracle."
    )


def _span(counts: Sequence[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
