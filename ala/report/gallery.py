"""Images beside their masks and maps: the gallery of best, median, worst and reflected cases, and a contact sheet."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ala.contracts.maps import Maps
from ala.data.image_cache import ImageCache
from ala.metrics import iou
from ala.report import style
from ala.report.rows import Row
from ala.report.run import Run
from ala.utils.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAP_COLOURS = "inferno"  # even in lightness, and readable by colour-blind eyes


@dataclass(frozen=True)
class Case:
    """A row of the gallery: why it is shown, and which image it is."""

    name: str
    image_id: int


def gallery_seed(run: Run) -> int | None:
    """The first seed at which all methods that explain a model were run; failing that, the first at which the main
    model's own map was."""
    if run.main is None:
        return None
    done = [set(run.seeds(row)) for row in run.rows.explainers]
    together = [seed for seed in run.settings.seeds if all(seed in seeds for seeds in done)]
    return next(iter(together or run.seeds(run.main)), None)


def cases(run: Run, seed: int, reflected: set[int]) -> list[Case]:
    """Best, median and worst image by the IoU of the main model's own map at `seed`, and the median one among
    `reflected`, if any.

    Only images that every shown method has a map for take part. Ties go to the smaller image id.
    """
    assert run.main is not None
    ious = {row.name: run.of(row, "miou").get(seed) for row in run.rows.explainers}
    shared = [set(values.index) for values in ious.values() if values is not None]
    score = run.of(run.main, "miou")[seed]
    ranked = sorted(set.intersection(*shared), key=lambda image: (-score[image], image)) if shared else []
    if not ranked:
        return []
    found = [Case("best", ranked[0]), Case("median", ranked[len(ranked) // 2]), Case("worst", ranked[-1])]
    taken = {case.image_id for case in found}
    mirrored = [image for image in ranked if image in reflected and image not in taken]
    if mirrored:
        found.append(Case("reflection", mirrored[len(mirrored) // 2]))
    return found


def caption(run: Run, chosen: list[Case], seed: int) -> str:
    """Which images are shown, and what their lines are."""
    assert run.main is not None
    said = (
        f"{run.main.label}'s best, median and worst test image by IoU, seed {seed}, among the images that every method"
    )
    said += " shown explains."
    if any(case.name == "reflection" for case in chosen):
        said += " The last row is the median one among images with a reflection, the failure that slide 25 shows."
    missing = [row.label for row in run.rows.explainers if not run.seeds(row)]
    said += f" Not run: {', '.join(missing)}." if missing else ""
    return f"{said} White: outline of the ground truth; cyan: of the map above its mean + standard deviation."


def reflections(path: Path) -> set[int]:
    """Image ids that `path` (lines `image_id 0|1`) marks as reflected in water; empty where there is no such file.

    Raises:
        UserError: a line is neither.
    """
    if not path.exists():
        return set()
    found = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        parts = line.split()
        if len(parts) != 2 or not parts[0].isdigit() or parts[1] not in ("0", "1"):
            raise UserError(f"{path} line {number} is {line!r}, not `image_id 0` or `image_id 1`; draw the data again")
        if parts[1] == "1":
            found.add(int(parts[0]))
    return found


def draw(run: Run, chosen: list[Case], seed: int, cache: ImageCache, maps: Path, path: Path) -> None:
    """One row per case: image, mask, and the maps of the methods that explain a model with their IoU.

    White lines bound the ground truth, cyan lines the map's foreground by the mean + std rule.

    Raises:
        UserError: a map is missing that the scores say was evaluated.
    """
    import matplotlib.pyplot as plt

    where = cache.indices_of([case.image_id for case in chosen])
    images = np.asarray(cache.images[where])
    masks = cache.foreground(where, run.settings.active.data.mask_threshold)
    shown = run.rows.explainers
    found = [_maps(run, row, seed, maps) for row in shown]
    columns = ["image", "mask", *(row.label for row in shown)]
    figure, panels = plt.subplots(
        len(chosen), len(columns), figsize=(1.72 * len(columns), 1.83 * len(chosen) + 0.25), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for line, case in enumerate(chosen):
        class_name = cache.names[int(cache.labels[where[line]])].split(".", 1)[-1].replace("_", " ")
        panels[line, 0].set_ylabel(case.name, fontsize=10, fontweight="bold")
        shortened = textwrap.fill(class_name, 28, max_lines=2, placeholder=" …")
        panels[line, 0].set_title(shortened, fontsize=6.5, fontweight="normal", loc="center")
        panels[line, 0].imshow(images[line])
        panels[line, 1].imshow(masks[line], cmap="gray", vmin=0, vmax=1)
        panels[line, 1].set_title(f"image {case.image_id}", fontsize=8, fontweight="normal", loc="center")
        for panel, row, content in zip(panels[line, 2:], shown, found, strict=True):
            grey = np.asarray(Image.fromarray(images[line]).convert("L"))
            if content is None:
                panel.imshow(np.full_like(grey, 235), cmap="gray", vmin=0, vmax=255)
                panel.text(0.5, 0.5, "not run", transform=panel.transAxes, ha="center", va="center", color=style.INK)
                continue
            values = iou.at_size(content, np.array([case.image_id]), cache.size)  # (1, S, S)
            panel.imshow(grey, cmap="gray", vmin=0, vmax=255)
            # The image stays visible where the map is low.
            opacity = 0.2 + 0.6 * values[0]
            panel.imshow(values[0], cmap=MAP_COLOURS, vmin=0, vmax=1, alpha=opacity, interpolation="bilinear")
            outline(panel, iou.predict(values, "mean_std")[0], style.OUTLINE)
            outline(panel, masks[line], "white")
            score = run.of(row, "miou")[seed][case.image_id]
            panel.set_title(f"IoU {score:.2f}", fontsize=8, fontweight="normal", loc="center")
    for panel, name in zip(panels[0], columns, strict=True):
        panel.annotate(
            name, (0.5, 1), (0, 24), "axes fraction", "offset points", ha="center", fontsize=10, fontweight="bold"
        )
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[])
        panel.grid(visible=False)
        for spine in panel.spines.values():
            spine.set_visible(False)
    style.save(figure, path, images=True)


def contact_sheet(cache: ImageCache, threshold: int, path: Path, columns: int = 10, lines: int = 4) -> None:
    """Images spread evenly over the classes of `image_cache`, the object of each outlined."""
    import matplotlib.pyplot as plt

    order = np.argsort(cache.labels, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, columns * lines).round().astype(int))]
    images, masks = np.asarray(cache.images[chosen]), cache.foreground(chosen, threshold)
    lines = -(-len(chosen) // columns)
    figure, panels = plt.subplots(
        lines, columns, figsize=(0.95 * columns, 0.95 * lines), squeeze=False,
        gridspec_kw={"wspace": 0.04, "hspace": 0.04, "left": 0, "right": 1, "top": 1, "bottom": 0},
    )  # fmt: skip
    for panel in panels.flat:
        panel.set_axis_off()
    for panel, image, mask in zip(panels.flat, images, masks, strict=False):
        panel.imshow(image)
        outline(panel, mask, "white", width=0.7)
    style.save(figure, path, images=True)


def outline(panel: Axes, mask: np.ndarray, colour: str, width: float = 1.0) -> None:
    """Draw the border of `mask` `(S, S)` on `panel`, in `colour` on black; an empty or full mask has none."""
    if mask.any() and not mask.all():
        panel.contour(mask, levels=[0.5], colors="black", linewidths=1.8 * width)
        panel.contour(mask, levels=[0.5], colors=colour, linewidths=width)


def _maps(run: Run, row: Row, seed: int, maps: Path) -> Maps | None:
    return Maps.load(maps / row.folder(seed) / "test.npz") if seed in run.seeds(row) else None
