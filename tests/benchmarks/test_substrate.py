"""The substrate of insertion: the rule, what is shown to the models, and what params.yaml makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ala.config import load
from ala.contracts.preprocessing import Preprocessing
from ala.report.ends import FAR
from benchmarks.substrate import SIZES, chosen, name_of, pages, predictions, substrates

ROOT = Path(__file__).parents[2]


def table(p: dict[str, list[float]]) -> pd.DataFrame:
    """Rows of two models and two seeds from the probabilities of each size of the kernel."""
    lines = [
        {"substrate": "the image itself", "model": model, "seed": seed, "p": 0.9, "accuracy": 0.9}
        for model in ("ala", "abn")
        for seed in (0, 1)
    ]
    for size, values in p.items():
        cells = [(model, seed) for model in ("ala", "abn") for seed in (0, 1)]
        lines += [
            {"substrate": name_of(int(size)), "model": model, "seed": seed, "p": value, "accuracy": value}
            for (model, seed), value in zip(cells, values, strict=True)
        ]
    return pd.DataFrame(lines)


def test_the_rule_takes_the_smallest_blur_near_chance() -> None:
    far = {str(size): [0.7] * 4 for size in SIZES}
    assert chosen(table(far), 0.1) == SIZES[-1]  # none is near
    near = [0.1, 0.1, 0.1, 0.1]
    assert chosen(table({**far, "41": near, "81": near}), 0.1) == 41
    # A tenth of what the whole image gains over chance is .08.
    assert chosen(table({**far, "41": [0.0, 0.1, 0.15, 0.2], "81": near}), 0.1) == 41  # the second model at .175
    assert (
        chosen(table({**far, "41": [0.0, 0.1, 0.2, 0.2], "81": near}), 0.1) == 81
    )  # at .2, whatever the other one does


def test_the_miniature_starts_insertion_where_its_models_see_nothing() -> None:
    """Its setting is what the rule takes from the committed measurement."""
    measured = pd.read_csv(ROOT / "benchmarks" / "results" / "substrate-mini.csv")
    metrics = load(ROOT / "params.yaml").profiles["mini"].metrics
    assert metrics.blur_kernel == chosen(measured, 0.1)
    assert metrics.blur_sigma == (metrics.blur_kernel - 1) / 2
    at = measured[measured["substrate"] == name_of(metrics.blur_kernel)]
    whole = measured[measured["substrate"] == "the image itself"].groupby("model")["p"].mean()
    assert (at.groupby("model")["p"].mean() - 0.1 <= FAR * (whole - 0.1)).all()
    assert measured["seed"].nunique() == 3


def test_the_paper_profile_keeps_the_official_kernel() -> None:
    metrics = load(ROOT / "params.yaml").profiles["paper"].metrics
    assert (metrics.blur_kernel, metrics.blur_sigma) == (11, 5.0)


def test_substrates_hold_less_and_less_of_the_image() -> None:
    images = torch.randn(2, 3, 16, 16, generator=torch.manual_seed(0))
    found = substrates(images)
    assert all(one.shape == images.shape for one in found.values())
    left = [float(found[name_of(size)].std()) for size in SIZES]
    assert all(np.diff(left) < 0)
    assert next(iter(found)) == "blur 11, σ 5"
    flat = found["mean colour of the image"]
    np.testing.assert_allclose(flat[1, 2].numpy(), images[1, 2].mean().item(), rtol=1e-6)
    assert not found["zero (mean colour of the data)"].any()


class Images:
    """Two black images, a bright one, and their labels."""

    labels = np.array([0, 0, 1])
    images = torch.stack([torch.zeros(3, 8, 8), torch.zeros(3, 8, 8), torch.full((3, 8, 8), 255)]).to(torch.uint8)

    def __len__(self) -> int:
        return 3

    def pixels(self, indices: np.ndarray) -> torch.Tensor:
        return self.images[torch.as_tensor(indices)]


class Bright:
    """Class 1 is 0.9 where the image is brighter than mid-grey, class 0 is 0.8 elsewhere."""

    preprocessing = Preprocessing.named(8, "half")

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        bright = images.mean(dim=(1, 2, 3)) > 1e-6
        return torch.where(bright[:, None], torch.tensor([0.1, 0.9]), torch.tensor([0.8, 0.2]))


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_predictions_follow_the_class_of_the_whole_image(batch: int) -> None:
    images: Any = Images()
    rows = {row["substrate"]: row for row in predictions(Bright(), images, batch, torch.device("cpu"))}
    whole, zero = rows["the image itself"], rows["zero (mean colour of the data)"]
    assert whole["p"] == pytest.approx((0.8 + 0.8 + 0.9) / 3)
    assert whole["accuracy"] == 1
    assert zero["p"] == pytest.approx((0.8 + 0.8 + 0.2) / 3)  # everything is class 0
    assert zero["accuracy"] == pytest.approx(2 / 3)


def test_the_page_shows_the_spread_over_seeds_and_the_gain_over_noise() -> None:
    measured = table({str(size): [0.7, 0.5, 0.7, 0.5] for size in SIZES})
    inserted = pd.DataFrame(
        [
            {"substrate": name_of(11), "method": method, "seed": seed, "start": 0.1, "end": 0.8, "insertion": value}
            for method, values in {"noise": (0.4, 0.5), "main": (0.6, 0.8)}.items()
            for seed, value in enumerate(values)
        ]
    )
    text = " ".join(pages(measured, inserted, 0.1, "main").split())
    assert "| blur 11, σ 5 | 0.600 ± 0.141 | 0.600 to 0.600" in text
    assert "0.250 ± 0.071" in text  # .2 and .3
    assert "The rule takes `blur 321, σ 160`" in text
