"""The locks: every package pinned with hashes, no host named; findings of the audit are explained or none."""

from __future__ import annotations

import re

import pytest

from requirements.audit import HERE, explained
from tests.imports import ROOT

LOCKS = ["lock.txt", "cuda.txt", "torch-cpu.txt", "oracles.txt", "peers.txt", "audit.txt"]


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_with_hashes(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    entries = re.sub(r"(?m)^#.*\n", "", text.replace("\\\n", " ")).splitlines()
    assert entries
    for entry in entries:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==\S+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", entry), entry[:80]


def test_the_auditor_is_locked() -> None:
    assert re.search(r"(?m)^pip-audit==", (HERE / "audit.txt").read_text(encoding="utf-8"))


def test_what_is_ignored_has_a_reason() -> None:
    explained((HERE / "audit-ignore.txt").read_text(encoding="utf-8"))
    assert explained("# why\n\nPYSEC-2025-1  no server runs here\n") == {"PYSEC-2025-1": "no server runs here"}
    with pytest.raises(SystemExit, match="gives no reason for GHSA-x"):
        explained("GHSA-x\n")
