"""FLOPs against a formula, memory against what is known to live, and the networks' sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ala.config import load
from ala.plan.flops import META, counted, measured
from ala.plan.models import Models, parameters
from tests.imports import ROOT

PROFILES = load(ROOT / "params.yaml").profiles


def test_a_linear_layer():
    layer = nn.Linear(100, 50, device=META)
    cost = measured(10, lambda: layer(torch.empty(10, 100, device=META)))
    assert cost.flops == 10 * 2 * 100 * 50
    assert cost.each == 2 * 100 * 50
    assert cost.activations == 4 * (10 * 100 + 10 * 50)


def test_memory_is_of_what_lives_at_once():
    def work() -> torch.Tensor:
        a = torch.empty(1000, device=META)
        b = a + 1
        del a
        return b * 2

    assert measured(1, work).activations == 2 * 4 * 1000


def test_vit_b_16_at_384_by_the_formula():
    paper = PROFILES["paper"]
    cost = counted(("encode", "abn-9"), paper, Models(paper, 200, META), 2)
    tokens, width, blocks = 24 * 24 + 1, 768, 9
    linear = 2 * 12 * width**2 * tokens  # q, k, v, output, and the MLP of four widths
    attention = 2 * 2 * tokens**2 * width
    patches = 2 * 576 * 3 * 16**2 * width
    assert cost.each == pytest.approx(blocks * (linear + attention) + patches, rel=1e-6)


def test_training_costs_more_than_answering_and_is_no_more_than_three_times_it_for_grouped_convolutions():
    photos = PROFILES["photos"]
    models = Models(photos, 10, META)
    forward = counted(("look", "fcam"), photos, models, 2)
    step = counted(("train classifier", "fcam"), photos, models, 2)
    assert forward.flops < step.flops <= 3 * forward.flops
    assert step.activations > forward.activations


def test_f_cams_trainings_fit_a_gpu_of_16_gb_at_the_papers_batch():
    """By the shapes of all tensors that live at once, with weights, gradients and momentum."""
    paper = PROFILES["paper"]
    fcam, models = paper.fcam, Models(paper, 200, META)
    assert (fcam.classifier.batch, fcam.decoder.batch, fcam.input_size) == (32, 32, 224)
    weights = 3 * 4 * parameters(models.fcam)
    held = {
        verb: counted((f"train {verb}", "fcam"), paper, models, 32).activations for verb in ("classifier", "decoder")
    }
    kernels = fcam.crf.chunk * 4 * (224 * fcam.crf.scale) ** 4
    assert kernels == 16 * 4 * 3136**2  # 0.63 GB
    assert kernels < held["decoder"] < 3e9
    assert held["classifier"] < 7e9
    assert max(held.values()) + weights < 8e9  # half of it: there are a context and fragments, too


def test_networks_are_those_of_the_paper():
    paper = PROFILES["paper"]
    models = Models(paper, 200, META)
    assert parameters(models.encoder) == pytest.approx(86e6, rel=0.01)
    assert parameters(models.fcam.network.backbone) == pytest.approx(23.5e6, rel=0.01)
    assert models.explained("side").adapter.blueprint.classes == 200
    assert counted(("iou", ""), paper, models, 2) is None
