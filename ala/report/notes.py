"""Write notes on the means: what was not run, and scores that do not match the settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ala.config.schema import Settings
from ala.contracts.collapsed import KINDS
from ala.report import rows
from ala.report.run import Cell, Run

IOU_RULES = ("iou_mean_std", "iou_fixed", "iou_otsu", "iou_val")
PERTURBED = ("insertion", "deletion", "id")


def oddities(run: Run) -> Iterator[str]:
    """One sentence for each method or seed that was not run, and for each cell that is not whole."""
    settings = run.settings
    for method in rows.methods(settings):
        cells = {seed: run.cells[method, seed] for seed in settings.seeds if (method, seed) in run.cells}
        missing = [seed for seed in settings.seeds if seed not in cells]
        if missing:
            what = "was not run" if not cells else f"lacks seed {', '.join(map(str, missing))}"
            yield f"`{method}` {what}; run `{rows.command(method, missing, run.settings)}`"
        if len({tuple(cell.mapped["image_id"]) for cell in cells.values()}) > 1:
            yield f"`{method}` was scored on different photos for different seeds; its means mix them"
        for seed, cell in cells.items():
            for sentence in _of_cell(cell, settings):
                yield f"`{method}`, seed {seed}: {sentence}"
    yield from _other_photos(run)


def _other_photos(run: Run) -> Iterator[str]:
    """Methods that were scored on other images than most methods, seed by seed.

    Their means over all of their images must not be compared; tables, claims and paired differences use common images.
    """
    for what, column in (("insertion and deletion", "insertion"), ("IoU", "iou_mean_std")):
        for seed in run.settings.seeds:
            cells = {method: cell for (method, other), cell in run.cells.items() if other == seed}
            if what == "IoU":
                cells.pop("rise", None)  # it explains a subset, as its caption says
            photos = {m: frozenset(c.scores.loc[c.scores[column].notna(), "image_id"]) for m, c in cells.items()}
            if not photos:
                continue
            usual = Counter(photos.values()).most_common(1)[0][0]
            for method, mine in photos.items():
                if mine != usual:
                    odd = len(mine ^ usual)
                    yield (
                        f"`{method}`, seed {seed}: {what} on other photos than the rest ({odd} differ); means over all"
                        " of them are not comparable, tables, paired differences and claims compare on common photos"
                    )


def _of_cell(cell: Cell, settings: Settings) -> Iterator[str]:
    explained = cell.summary.get("evaluated")
    if cell.method == "rise" and explained not in (None, settings.main_variant):
        command = rows.command(cell.method, [cell.seed], settings)
        yield f"it explains `{explained}`, not the main model; run `{command}`"

    collapsed = {kind: cell.summary.get(f"collapsed_{kind}", 0) for kind in KINDS}
    if any(collapsed.values()):
        counts = " and ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in collapsed.items() if number)
        yield f"maps have collapsed: {counts} of {len(cell.mapped)}; their scores measure the rule and not the map"

    has_iou = cell.scores[list(IOU_RULES)].notna()
    partly, wholly = has_iou.any(axis=1), has_iou.all(axis=1)
    if not partly.any():
        yield "no photo has an IoU; its cells stay empty"
    elif (uneven := int((partly & ~wholly).sum())) > 0:
        yield f"{uneven} photos have an IoU by some threshold rules only; each mean is over its own photos"
    elif cell.method != "rise" and not wholly.all():  # RISE explains a subset, all others every image
        yield f"{int((~wholly).sum())} of {len(wholly)} photos have no map; the means of IoU are over the others"

    followed = cell.scores[list(PERTURBED)].notna()
    partly, wholly = followed.any(axis=1), followed.all(axis=1)
    if not partly.any():
        yield "no photo has insertion, deletion and ID; their cells stay empty"
    elif (uneven := int((partly & ~wholly).sum())) > 0:
        yield f"{uneven} photos have only some of insertion, deletion and ID"
