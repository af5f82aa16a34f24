"""What all tests share: properties with bounded examples, and in which order processes take files of tests.

Properties take the same examples on every run (`ci`), or many new ones (`long`, what `make fuzz` takes).
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# Times are no property on shared machines; what hangs is stopped by tests/fuzz/reported.py.
_SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("ci", derandomize=True, database=None, max_examples=100, **_SHARED)
settings.register_profile("long", max_examples=5000, **_SHARED)
settings.load_profile("ci")

if "PYTEST_XDIST_WORKER" in os.environ:  # one process for each core: more threads would wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where files are shared out to processes (`pytest -n auto --dist loadfile`), what takes longest begins first."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: (item.path.parent.name != "pipeline", item.path.name != "test_rehearsal.py"))
