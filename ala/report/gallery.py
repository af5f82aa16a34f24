"""Photos beside their masks and maps: the gallery of best, median, worst and reflected cases, and a contact sheet."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ala.contracts.maps import Maps
from ala.data.store import Store
from ala.metrics import iou
from ala.report import rows, style
from ala.report.run import Run
from ala.utils.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = ("rise", "fcam", "ala")
MAP_COLOURS = "inferno"  # even in lightness, and readable by colour-blind eyes


@dataclass(frozen=True)
class Case:
    """A row of the gallery: why it is shown, and which image it is."""

    name: str
    image_id: int


def gallery_seed(run: Run) -> int | None:
    """The first seed at which ALA, F-CAM and RISE were all run; failing that, the first at which ALA was."""
    done = {row: {cell.seed for cell in run.of(row)} for row in SHOWN}
    together = [seed for seed in run.settings.seeds if all(seed in done[row] for row in SHOWN)]
    return next(iter(together or [seed for seed in run.settings.seeds if seed in done["ala"]]), None)


def cases(run: Run, seed: int, reflected: set[int]) -> list[Case]:
    """Best, median and worst image by ALA's IoU at `seed`, and the median one among `reflected`, if any.

    Only images that every shown method has a map for take part. Ties go to the smaller image id.
    """
    photos: set[int] | None = None
    for row in SHOWN:
        for cell in run.of(row):
            if cell.seed == seed:
                ids = set(cell.mapped["image_id"])
                photos = ids if photos is None else photos & ids
    score = _iou(run, "ala", seed)
    ranked = sorted(photos or set(), key=lambda image: (-score[image], image))
    if not ranked:
        return []
    found = [Case("best", ranked[0]), Case("median", ranked[len(ranked) // 2]), Case("worst", ranked[-1])]
    taken = {case.image_id for case in found}
    mirrored = [image for image in ranked if image in reflected and image not in taken]
    if mirrored:
        found.append(Case("reflection", mirrored[len(mirrored) // 2]))
    return found


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


def draw(run: Run, chosen: list[Case], seed: int, store: Store, maps: Path, path: Path) -> None:
    """One row per case: image, mask, and the maps of RISE, F-CAM and ALA with their IoU.

    White lines bound the ground truth, cyan lines the map's foreground by the mean + std rule.

    Raises:
        UserError: a map is missing that the scores say was evaluated.
    """
    import matplotlib.pyplot as plt

    where = store.rows_of([case.image_id for case in chosen])
    photos = np.asarray(store.images[where])
    masks = store.foreground(where, run.settings.active.data.mask_threshold)
    found = {row: _maps(run, row, seed, maps) for row in SHOWN}
    columns = ["photo", "mask", *(rows.LABELS[row] for row in SHOWN)]
    figure, panels = plt.subplots(
        len(chosen), len(columns), figsize=(1.72 * len(columns), 1.83 * len(chosen) + 0.25), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for line, case in enumerate(chosen):
        class_name = store.names[int(store.labels[where[line]])].split(".", 1)[-1].replace("_", " ")
        panels[line, 0].set_ylabel(case.name, fontsize=10, fontweight="bold")
        shortened = textwrap.fill(class_name, 28, max_lines=2, placeholder=" …")
        panels[line, 0].set_title(shortened, fontsize=6.5, fontweight="normal", loc="center")
        panels[line, 0].imshow(photos[line])
        panels[line, 1].imshow(masks[line], cmap="gray", vmin=0, vmax=1)
        panels[line, 1].set_title(f"photo {case.image_id}", fontsize=8, fontweight="normal", loc="center")
        for panel, row in zip(panels[line, 2:], SHOWN, strict=True):
            grey = np.asarray(Image.fromarray(photos[line]).convert("L"))
            if (content := found[row]) is None:
                panel.imshow(np.full_like(grey, 235), cmap="gray", vmin=0, vmax=255)
                panel.text(0.5, 0.5, "not run", transform=panel.transAxes, ha="center", va="center", color=style.INK)
                continue
            values = iou.at_size(content, np.array([case.image_id]), store.size)  # (1, S, S)
            panel.imshow(grey, cmap="gray", vmin=0, vmax=255)
            # The image stays visible where the map is low.
            opacity = 0.2 + 0.6 * values[0]
            panel.imshow(values[0], cmap=MAP_COLOURS, vmin=0, vmax=1, alpha=opacity, interpolation="bilinear")
            outline(panel, iou.predict(values, "mean_std")[0], style.OUTLINE)
            outline(panel, masks[line], "white")
            score = _iou(run, row, seed)[case.image_id]
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
    style.save(figure, path, photos=True)


def contact_sheet(store: Store, threshold: int, path: Path, columns: int = 10, lines: int = 4) -> None:
    """Photos spread evenly over the classes of `store`, the object of each outlined."""
    import matplotlib.pyplot as plt

    order = np.argsort(store.labels, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, columns * lines).round().astype(int))]
    photos, masks = np.asarray(store.images[chosen]), store.foreground(chosen, threshold)
    lines = -(-len(chosen) // columns)
    figure, panels = plt.subplots(
        lines, columns, figsize=(0.95 * columns, 0.95 * lines), squeeze=False,
        gridspec_kw={"wspace": 0.04, "hspace": 0.04, "left": 0, "right": 1, "top": 1, "bottom": 0},
    )  # fmt: skip
    for panel in panels.flat:
        panel.set_axis_off()
    for panel, photo, mask in zip(panels.flat, photos, masks, strict=False):
        panel.imshow(photo)
        outline(panel, mask, "white", width=0.7)
    style.save(figure, path, photos=True)


def outline(panel: Axes, mask: np.ndarray, colour: str, width: float = 1.0) -> None:
    """Draw the border of `mask` `(S, S)` on `panel`, in `colour` on black; an empty or full mask has none."""
    if mask.any() and not mask.all():
        panel.contour(mask, levels=[0.5], colors="black", linewidths=1.8 * width)
        panel.contour(mask, levels=[0.5], colors=colour, linewidths=width)


def _iou(run: Run, row: str, seed: int) -> dict[int, float]:
    cell = next(cell for cell in run.of(row) if cell.seed == seed)
    return dict(zip(cell.mapped["image_id"].tolist(), cell.mapped["iou_mean_std"].tolist(), strict=True))


def _maps(run: Run, row: str, seed: int, maps: Path) -> Maps | None:
    if not any(cell.seed == seed for cell in run.of(row)):
        return None
    return Maps.load(maps / rows.place(rows.scored_as(row, run.settings), seed, run.settings) / "test.npz")
