"""Write notes on the means: what was not run, and scores that do not match the settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ala.contracts.collapsed import KINDS
from ala.metrics.iou import RULES
from ala.report.rows import Row
from ala.report.run import Run


def oddities(run: Run) -> Iterator[str]:
    """One sentence for each method or seed that was not run, and for each that is not whole."""
    for row in run.rows.methods:
        seeds, name = run.seeds(row), f"`{row.method}`"
        missing = [seed for seed in run.settings.seeds if seed not in seeds]
        if missing:
            what = f"lacks seed {', '.join(map(str, missing))}" if seeds else "was not run"
            yield f"{name} {what}; run `{row.command(missing)}`"
        if len({tuple(values.index) for values in run.of(row, "miou").values()}) > 1:
            yield f"{name} was scored on different images for different seeds; its means mix them"
        for seed in seeds:
            for sentence in _of_cell(run, row, seed):
                yield f"{name}, seed {seed}: {sentence}"
    yield from _other_images(run)


def _other_images(run: Run) -> Iterator[str]:
    """Methods that were scored on other images than most methods, seed by seed.

    Their means over all of their images must not be compared; tables, claims and paired differences use common images.
    """
    for what, metric in (("insertion and deletion", "insertion"), ("IoU", "miou")):
        rows = [row for row in run.rows.methods if metric == "insertion" or not row.on_subset]  # as their captions say
        for seed in run.settings.seeds:
            found = {row.method: run.of(row, metric)[seed] for row in rows if seed in run.seeds(row)}
            images = {method: frozenset(values.index) for method, values in found.items()}
            if not images:
                continue
            usual = Counter(images.values()).most_common(1)[0][0]
            for method, mine in images.items():
                if mine != usual:
                    yield (
                        f"`{method}`, seed {seed}: {what} on other images than the rest ({len(mine ^ usual)} differ);"
                        " means over all of them are not comparable, tables, paired differences and claims compare on"
                        " common images"
                    )


def _of_cell(run: Run, row: Row, seed: int) -> Iterator[str]:
    summary = run.summaries[row.method, seed]
    explained = summary.get("model")
    if row.explains_main and explained not in (None, run.settings.main_variant):
        yield f"it explains `{explained}`, not the main model; run `{row.command([seed])}`"

    ious = [set(run.under(row, f"majority-{rule}", "iou")[seed].index) for rule in RULES]
    mapped, whole = set.union(*ious), set.intersection(*ious)
    collapsed = {kind: summary.get(f"collapsed_{kind}", 0) for kind in KINDS}
    if any(collapsed.values()):
        counts = " and ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in collapsed.items() if number)
        yield f"maps have collapsed: {counts} of {len(mapped)}; their scores measure the rule and not the map"
    images = run.under(row, "prediction", "correct")[seed]
    if not mapped:
        yield "no image has an IoU; its cells stay empty"
    elif mapped != whole:
        yield f"{len(mapped - whole)} images have an IoU by some threshold rules only; each mean is over its own images"
    elif not row.on_subset and len(whole) < len(images):
        yield f"{len(images) - len(whole)} of {len(images)} images have no map; the means of IoU are over the others"

    followed = [set(run.of(row, metric)[seed].index) for metric in ("insertion", "deletion", "id")]
    if not set.union(*followed):
        yield "no image has insertion, deletion and ID; their cells stay empty"
    elif uneven := len(set.union(*followed) - set.intersection(*followed)):
        yield f"{uneven} images have only some of insertion, deletion and ID"

    pointed, energy = (run.under(row, "localisation", name)[seed] for name in ("pointing", "energy"))
    if lost := len(pointed) - len(energy):
        yield f"{lost} maps are 0 everywhere; their energy is left out"
