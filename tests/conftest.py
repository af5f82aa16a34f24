"""What all tests share: properties with bounded examples, and which tests may run in different processes.

Properties take the same examples on every run (`ci`), or many new ones (`long`, what `make fuzz` takes).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Times are no property on shared machines; what hangs is stopped by tests/fuzz/told.py.
_SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("ci", derandomize=True, database=None, max_examples=100, **_SHARED)
settings.register_profile("long", max_examples=5000, **_SHARED)
settings.load_profile("ci")

if "PYTEST_XDIST_WORKER" in os.environ:  # one process for each core: more threads would wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")


_FIRST = ("pipeline", "rehearsal")  # what takes longest begins first


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one folder share costly fixtures, so one process runs them (`pytest -n auto --dist loadgroup`).

    Without `-n` groups mean nothing, and the order stays as it is.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item.path)))
    items.sort(key=lambda item: (*_FIRST, _group(item.path)).index(_group(item.path)))


def _group(path: Path) -> str:
    """The folder below tests, but the rehearsal does not wait for the pipeline's scratch clone, nor that for it."""
    if path.name == "test_rehearsal.py" and path.parent.name == "pipeline":
        return "rehearsal"
    return path.relative_to(Path(__file__).parent).parts[0]
