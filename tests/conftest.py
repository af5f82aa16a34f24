"""Property tests: the same bounded examples on every run (`ci`), or many new ones (`long`, what `make fuzz` takes)."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Times are no property on shared machines; what hangs is stopped by tests/fuzz/told.py.
_SHARED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("ci", derandomize=True, database=None, max_examples=100, **_SHARED)
settings.register_profile("long", max_examples=5000, **_SHARED)
settings.load_profile("ci")
