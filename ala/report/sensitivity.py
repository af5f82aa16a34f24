"""`sensitivity.csv` and `common_model.csv`: what depends on the protocol, and what on the evaluated model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ala.metrics.curves import area
from ala.metrics.iou import RULES
from ala.report import rows
from ala.report.pairs import align, labels
from ala.report.run import Run
from ala.report.statistics import LEVEL, difference, holm

#: Metrics of one kind share their images: IoU by rule and ground truth, localisation, insertion and deletion.
WHOLE = ("maxboxacc", "maxboxaccv2", "pxap")
COLUMNS = [
    "protocol", "metric", "method", "n_seeds", "n_images", "mean", "std", "rank", "command", "scores",
]  # fmt: skip
COMMON_COLUMNS = [
    "method", "n_seeds", "n_images",
    *(f"{name}_{model}_{kind}" for name in ("insertion", "deletion", "id") for model in ("own", "common")
      for kind in ("mean", "std")),
    "command", "scores",
]  # fmt: skip
#: Rows of both tables; (iii) is ALA.
SHOWN = (*rows.MAIN, "i", "ii", "iv")
#: What stands together in the table of survival: metrics with scores per image.
KINDS = {"miou": ("miou",), "insertion": ("insertion",), "deletion": ("deletion",), "id": ("id",),
         "localisation": ("pointing", "energy")}  # fmt: skip
#: Claims whose order is looked for in every protocol.
ORDERS = (("ala", "fcam"), ("fcam", "rise"), ("ala", "i"), ("ala", "ii"))


@dataclass(frozen=True)
class Protocols:
    """What the stage `protocols` left, by seed.

    Attributes:
        lab, localisation, common: rows of all seeds.
        whole: MaxBoxAcc, MaxBoxAccV2 and PxAP by (method, seed).
        true_class: official insertion, deletion and id for the true class, by (method, seed), indexed by image id.
        notes: sentences about what is missing.
    """

    lab: pd.DataFrame
    localisation: pd.DataFrame
    common: pd.DataFrame
    whole: dict[tuple[str, int], dict[str, float]]
    true_class: dict[tuple[str, int], pd.DataFrame]
    notes: list[str] = field(default_factory=list)


def gather(run: Run) -> Protocols:
    """Sort the long scores of all cells by kind of protocol."""
    frames: dict[str, list[pd.DataFrame]] = {"lab": [], "localisation": [], "common": []}
    whole: dict[tuple[str, int], dict[str, float]] = {}
    for key, cell in run.cells.items():
        own, sets = cell.long[cell.long["image_id"] >= 0], cell.long[cell.long["image_id"] < 0]
        kinds = own["protocol"].str.partition("-")[0]
        frames["lab"] += [_wide(part, "metric") for _, part in own[kinds == "lab"].groupby("protocol", sort=False)]
        frames["common"].append(_wide(own[kinds == "common"], "metric"))
        places = own[kinds.isin(["localisation", "anyone"])]
        named = places["metric"].where(places["metric"] != "iou", "iou_any_" + places["protocol"].str.partition("-")[2])
        frames["localisation"].append(_wide(places.assign(protocol="", metric=named), "metric"))
        sets = sets[sets["protocol"] == "localisation"]
        if len(sets):
            n_images = frames["localisation"][-1]["image_id"].nunique()
            whole[key] = {**dict(zip(sets["metric"], sets["value"], strict=True)), "n_images": n_images}
    notes: list[str] = []
    joined = {name: pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["method", "seed"])
              for name, parts in frames.items()}  # fmt: skip
    if "energy" in joined["localisation"]:
        empty = joined["localisation"].loc[joined["localisation"]["energy"].isna(), ["method", "seed"]]
        for (method, of), part in empty.groupby(["method", "seed"]):
            notes.append(f"`{method}`, seed {of}: {len(part)} maps are 0 everywhere; their energy is left out")
    return Protocols(**joined, whole=whole, true_class=_true_class(run), notes=notes)


def _wide(long: pd.DataFrame, column: str) -> pd.DataFrame:
    """One line per image, one column per value of `column`."""
    keys = ["method", "seed", "protocol", "image_id"]
    wide = long.pivot_table(index=keys, columns=column, values="value", aggfunc="first")
    return wide.reset_index().rename_axis(columns=None)


def _true_class(run: Run) -> dict[tuple[str, int], pd.DataFrame]:
    found = {}
    for key, cell in run.cells.items():
        if (curves := cell.true_class) is None:
            continue
        insertion, deletion = area(curves.insertion), area(curves.deletion)
        columns = {"insertion": insertion, "deletion": deletion, "id": insertion - deletion}
        found[key] = pd.DataFrame(columns, index=curves.image_ids)
    return found


#: Scores by image id, of one protocol, metric, row and seed.
Images = dict[tuple[str, str, str, int], pd.Series]


def per_image(run: Run, found: Protocols) -> Images:
    """Every score under every protocol, image by image, by (protocol, metric, row, seed)."""
    scores: Images = {}

    def add(protocol: str, metric: str, row: str, seed: int, frame: pd.DataFrame, column: str) -> None:
        known = frame[column].astype(float).dropna()
        if len(known):
            scores[protocol, metric, row, seed] = known

    for row in _rows(run):
        for cell in run.of(row):
            key = cell.method, cell.seed
            perturbed = cell.perturbed.set_index("image_id")
            for rule in RULES:
                add(f"majority-{rule}", "miou", row, cell.seed, perturbed, f"iou_{rule}")
            for metric in ("insertion", "deletion", "id"):
                add("official-predicted", metric, row, cell.seed, perturbed, metric)
                if key in found.true_class:
                    add("official-true", metric, row, cell.seed, found.true_class[key], metric)
            lab = _of(found.lab, *key)
            for protocol, part in lab.groupby("protocol", sort=False) if len(lab) else ():
                for metric in ("insertion", "deletion", "id"):
                    add(str(protocol), metric, row, cell.seed, part.set_index("image_id"), metric)
            places = _of(found.localisation, *key)
            if len(places):
                places = places.set_index("image_id")
                for rule in RULES:
                    add(f"anyone-{rule}", "miou", row, cell.seed, places, f"iou_any_{rule}")
                for metric in ("pointing", "energy"):
                    add("localisation", metric, row, cell.seed, places, metric)
    return scores


def per_seed(run: Run, found: Protocols, images: Images) -> pd.DataFrame:
    """`protocol, metric, method, seed, value, n_images`: means of :func:`per_image`, and the scores of whole sets.

    Each mean is over the images on which all methods have that score at that seed, so that no difference between two
    methods is one between images. MaxBoxAcc, MaxBoxAccV2 and PxAP are no means over images; they keep their own number.
    """
    shared: dict[tuple[str, str, int], set[int]] = {}
    for (protocol, metric, _, seed), values in images.items():
        ids = set(values.index)
        shared[protocol, metric, seed] = shared.get((protocol, metric, seed), ids) & ids
    lines: list[dict[str, Any]] = []
    for (protocol, metric, row, seed), values in images.items():
        common = shared[protocol, metric, seed]
        mean = values[values.index.isin(common)].mean()
        lines.append({"protocol": protocol, "metric": metric, "method": row, "seed": seed, "value": mean,
                      "n_images": len(common)})  # fmt: skip
    for row in _rows(run):
        for cell in run.of(row):
            whole = found.whole.get((cell.method, cell.seed), {})
            for metric in WHOLE if whole else ():
                line = {"protocol": "localisation", "metric": metric, "method": row, "seed": cell.seed}
                lines.append({**line, "value": whole[metric], "n_images": whole["n_images"]})
    return pd.DataFrame(lines, columns=["protocol", "metric", "method", "seed", "value", "n_images"])


def _rows(run: Run) -> list[str]:
    return [row for row in SHOWN if row in rows.MAIN or row in run.settings.ablations]


def _of(frame: pd.DataFrame, method: str, seed: int) -> pd.DataFrame:
    return frame[(frame["method"] == method) & (frame["seed"] == seed)]


def table(run: Run, seeds: pd.DataFrame) -> pd.DataFrame:
    """`sensitivity.csv` from :func:`per_seed`: mean and sample standard deviation over seeds, and the rank among the
    methods that explain a model (1 is best; less Deletion is better). Methods that were scored on different numbers of
    images have no rank.
    """
    lines = []
    for (protocol, metric, method), part in seeds.groupby(["protocol", "metric", "method"], sort=False):
        scored = rows.command(rows.scored_as(str(method), run.settings), run.settings.seeds, run.settings)
        lines.append(
            {
                "protocol": protocol, "metric": metric, "method": method, "n_seeds": len(part),
                "n_images": int(part["n_images"].min()), "mean": part["value"].mean(),
                "std": part["value"].std(ddof=1), "command": scored,
                "scores": _files(str(protocol), str(method), part["seed"].tolist(), run),
            }
        )  # fmt: skip
    frame = pd.DataFrame(lines, columns=[name for name in COLUMNS if name != "rank"])
    rivals = frame[frame["method"].isin(rows.EXPLAINERS)]
    signed = rivals["mean"].where(rivals["metric"] != "deletion", -rivals["mean"])
    ranks = signed.groupby([rivals["protocol"], rivals["metric"]]).rank(ascending=False, method="min")
    alike = rivals.groupby(["protocol", "metric"])["n_images"].transform("nunique") == 1
    frame["rank"] = ranks.where(alike).astype("Int64")
    return frame[COLUMNS]


def _files(protocol: str, method: str, seeds: list[int], run: Run) -> str:
    """The files of per-image scores behind a row, with spaces between."""
    scored = rows.scored_as(method, run.settings)
    name = "true_class.npz" if protocol == "official-true" else "scores.csv"
    return " ".join(f"scores/{rows.place(scored, seed, run.settings)}/{name}" for seed in seeds)


def survival(run: Run, images: Images) -> pd.DataFrame:
    """How often an order of the slides is seen: one line per order and metric, over all protocols of that metric.

    Each protocol is a test (:func:`ala.report.statistics.difference`); Holm's correction is over the protocols of one
    line. `agree`: p < 0.05 after correction, in the order of the slides; `reverse`: the other way round; `open`:
    neither, or not testable. Scores of whole sets (:data:`WHOLE`) have no value per image and are not judged.
    """
    lines = []
    for better, worse in ORDERS:
        classes = labels(run, better)
        for kind, metrics in KINDS.items():
            keys = dict.fromkeys((protocol, metric) for protocol, metric, *_ in images if metric in metrics)
            p_values, signs = [], []
            for protocol, metric in keys:
                sides = [{seed: images[protocol, metric, row, seed] for seed in run.settings.seeds
                          if (protocol, metric, row, seed) in images} for row in (better, worse)]  # fmt: skip
                pair = align(sides[0], sides[1], classes)
                if pair is None:
                    continue
                tested = difference(*pair)
                p_values.append(np.nan if tested is None else tested.p)
                signs.append(0 if tested is None else np.sign(tested.mean) * (-1 if metric == "deletion" else 1))
            called = np.where(holm(p_values) < LEVEL, signs, 0)
            counts = {name: int((called == sign).sum()) for name, sign in (("agree", 1), ("reverse", -1), ("open", 0))}
            lines.append({"better": better, "worse": worse, "metric": kind, "n_protocols": len(signs), **counts})
    return pd.DataFrame(lines)


def common_model(run: Run, found: Protocols) -> pd.DataFrame:
    """`common_model.csv`: official insertion, deletion and ID of every method on its own model and on the main one."""
    lines = []
    for row in SHOWN:
        if row not in rows.MAIN and row not in run.settings.ablations:
            continue
        means: dict[str, list[float]] = {name: [] for name in COMMON_COLUMNS if name.endswith("_mean")}
        counts, cells, method = [], run.of(row), rows.scored_as(row, run.settings)
        for cell in cells:
            on_main = _of(found.common, cell.method, cell.seed)
            own = cell.perturbed
            evaluated = rows.evaluated_model(cell.method, run.settings)
            common = own if evaluated == run.settings.main_variant else on_main
            if not len(common):
                continue
            own = own[own["image_id"].isin(common["image_id"])]
            common = common[common["image_id"].isin(own["image_id"])]
            if not len(own):
                continue
            counts.append(len(own))
            for name in ("insertion", "deletion", "id"):
                means[f"{name}_own_mean"].append(own[name].mean())
                means[f"{name}_common_mean"].append(common[name].mean())
        line: dict[str, object] = {"method": row, "n_seeds": len(counts), "n_images": min(counts, default="not run"),
                                   "command": rows.command(method, run.settings.seeds, run.settings)}  # fmt: skip
        line["scores"] = " ".join(
            f"scores/{rows.place(cell.method, cell.seed, run.settings)}/scores.csv" for cell in cells
        )
        for name, values in means.items():
            series = pd.Series(values, dtype=float)
            line |= {name: series.mean() if values else "not run", name.replace("_mean", "_std"): series.std(ddof=1)}
        lines.append(line)
    return pd.DataFrame(lines, columns=COMMON_COLUMNS, dtype=object)
