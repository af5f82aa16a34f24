from __future__ import annotations

import numpy as np
import pytest

from ala.utils.errors import UserError
from ala.utils.finite import require_finite


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(12,), (12, 3), (12, 2, 2)])
def test_images_with_wrong_numbers_are_named(wrong, shape):
    values = np.zeros(shape, np.float32)
    require_finite(values, range(12), "maps", "look")
    values[3].fill(wrong) if values.ndim > 1 else values.__setitem__(3, wrong)
    with pytest.raises(UserError, match=r"maps: NaN or infinite for 1 of 12 images \(images 103\); look"):
        require_finite(values, range(100, 112), "maps", "look")
    with pytest.raises(UserError, match="63 and 6 more"):
        require_finite(np.full(70, wrong), range(70), "maps", "look")
