"""Strategies that damage a file: bytes changed, inserted, removed or truncated."""

from __future__ import annotations

from hypothesis import strategies as st

# A place is a share of the file, so that shrinking and replaying do not depend on its length.
_PLACE = st.floats(0, 1, exclude_max=True)
_EDIT = st.tuples(st.sampled_from(["change", "insert", "remove", "cut"]), _PLACE, st.binary(min_size=1, max_size=8))
Edits = list[tuple[str, float, bytes]]
EDITS = st.lists(_EDIT, min_size=1, max_size=4)


def damaged(content: bytes, edits: Edits) -> bytes:
    """`content` after all `edits`."""
    for how, place, new in edits:
        at = int(place * len(content))
        if how == "cut":
            content = content[:at]
        else:
            content = content[:at] + new * (how != "remove") + content[at + len(new) * (how != "insert") :]
    return content
