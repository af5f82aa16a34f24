"""The generated part of a README, and nothing else of it, changes."""

from __future__ import annotations

import pytest

from ala.report.readme import END, main_table, update
from ala.utils.errors import UserError

BEGIN = "<!-- generated: main table -->"


def test_only_the_text_between_the_markers_changes(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"# Title\n\n{BEGIN}\nold | table\n{END}\n\nThe rest.\n")
    assert update(path, "| new |\n")
    assert path.read_text() == f"# Title\n\n{BEGIN}\n| new |\n{END}\n\nThe rest.\n"
    assert not update(path, "| new |\n")


@pytest.mark.parametrize("content", ["no markers", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_missing_or_doubled_markers_are_refused_and_nothing_is_written(tmp_path, content):
    path = tmp_path / "README.md"
    path.write_text(content)
    with pytest.raises(UserError, match=r"README\.md needs the lines"):
        update(path, "table")
    assert path.read_text() == content


def test_a_missing_readme_is_named(tmp_path):
    with pytest.raises(UserError, match=r"README\.md does not exist"):
        update(tmp_path / "README.md", "table")


def test_table_says_what_it_means(run_of, cell_of):
    text = main_table(run_of(cell_of("aea-true-sbn-true", 0, [0.5], [0.5])))
    assert text.startswith("| method | mean IoU ↑ | slides: mean IoU, not comparable |")
    assert "say nothing about other data" in text
    assert "not run" in text


def test_other_parts_of_a_page_stay(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"<!-- generated: one -->\n1\n{END}\n<!-- generated: two -->\n2\n{END}\n")
    assert update(path, "3", "two")
    assert path.read_text() == f"<!-- generated: one -->\n1\n{END}\n<!-- generated: two -->\n3\n{END}\n"
