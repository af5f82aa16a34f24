from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.kernels import REST, count, group_of, in_turns, kernels, lines


@pytest.mark.parametrize(
    ("kernel", "group"),
    [
        ("aten::addmm", "matrix product"), ("aten.mm", "matrix product"), ("aten::baddbmm", "matrix product"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("aten::mkldnn_convolution", "convolution"), ("aten::convolution_backward", "convolution"),
        ("aten::native_group_norm", "norm"), ("aten::gelu_backward", "activation"),
        ("aten::_fused_adamw_", "optimiser"), ("aten::copy_", REST), ("aten::mul", REST),
    ],
)  # fmt: skip
def test_every_kernel_has_its_group(kernel, group):
    assert group_of(kernel) == group


def test_flops_are_those_of_the_shapes():
    layer, tokens = nn.Linear(8, 5), torch.randn(3, 7, 8)
    query = torch.randn(3, 2, 7, 4)

    def work() -> None:
        layer(tokens)
        F.scaled_dot_product_attention(query, query, query)

    with torch.no_grad():
        found = count(work)
    by_group = {group_of(kernel): flops for kernel, flops in found.items()}
    assert by_group == {"matrix product": 2 * 21 * 8 * 5, "attention": 2 * 2 * 6 * 7 * 7 * 4}


def test_lines_add_up():
    layer, images = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.LayerNorm(64)), torch.randn(256, 64)
    with torch.no_grad():
        each = kernels(lambda: layer(images), rounds=3, calls=3)
    assert {"matrix product", "activation", "norm"} <= set(each.index)
    assert each.loc["matrix product", "gflop"] == pytest.approx(2 * 256 * 64 * 64 / 1e9)
    assert (each["ms"] > 0).all()
    table = lines("job", each, {"all": 2.0, "all, compiled": 1.0}, 100.0).set_index("kernel")
    assert table["share"].sum() == pytest.approx(1)
    assert table.loc["all, compiled", "gflop_per_s"] == 2 * table.loc["all", "gflop_per_s"]
    assert table.loc["all", "gflop_per_s"] == pytest.approx(2 * 256 * 64 * 64 / 1e9 / 2e-3)
    assert table.loc["float32 matrix product", "gflop_per_s"] == 100


def test_turns_are_taken_one_after_the_other():
    called: list[str] = []
    found = in_turns({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, turns=2)
    assert called == ["a", "b"] * 5
    assert set(found) == {"a", "b"}
