from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import ala.utils.torchvision_import  # noqa: F401  (before the tests import open_clip and timm)

SHARED_WEIGHTS = Path(__file__).parents[2].parent / "shared" / "weights"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny_config() -> dict[str, Any]:
    """An open_clip configuration that trains in a second: 16 px, patch 8, two blocks."""
    return {
        "embed_dim": 8,
        "quick_gelu": False,
        "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "head_width": 8, "layers": 2, "mlp_ratio": 2.0},
        "text_cfg": {"context_length": 8, "vocab_size": 16, "width": 16, "heads": 2, "layers": 1, "mlp_ratio": 2.0},
    }


@pytest.fixture
def shared_weights() -> Path:
    if not SHARED_WEIGHTS.is_dir():
        pytest.skip("the pre-trained weights (a folder `shared/weights` beside the repository) are not at hand")
    return SHARED_WEIGHTS
