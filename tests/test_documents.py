"""What documents, docstrings and comments refer to exists: sections of docs/methods.md, files, links, names in code."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.imports import ROOT

CODE = sorted(
    path for name in ("ala", "stages", "tests", "benchmarks", "requirements") for path in (ROOT / name).rglob("*.py")
)
PAGES = sorted(
    [ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "reports").rglob("*.md")]
)
HTML = sorted([*(ROOT / "docs").rglob("*.html"), *(ROOT / "reports").rglob("*.html")])
PLAIN = [ROOT / name for name in ("params.yaml", "dvc.yaml", "Makefile", "pyproject.toml", "ala/report/slides.yaml")]

SECTION = r"\d+(?:\.\d+)?"
METHODS = re.compile(rf"METHODS ({SECTION}(?:(?:, | and ){SECTION})*)")
PATH = re.compile(r"(?<![\w./<-])(?:ala|docs|stages|tests|benchmarks|requirements|\.ci)/[\w./{},*-]*[\w}]")
LINK = re.compile(r"\]\(([^)\s]+)\)")
ROLE = re.compile(r":(?:func|class|data|mod|meth|attr|exc):`~?([\w.]+)`")
#: Pages that readers of this repository do not have.
ELSEWHERE = re.compile(r"\bARCHITECTURE\b|\bshared/(?:design|reference|cases)\b|\bdesign material\b")


def documented(tree: ast.Module) -> Iterator[str]:
    """The docstrings of a module, its classes and functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def comments(source: str) -> Iterator[str]:
    """Each block of comment lines as one text, since a reference may go on in the next line."""
    block: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1:
            yield " ".join(block)
            block = []
        block.append(token.string.lstrip("#: "))
        last = token.start[0]
    yield " ".join(block)


@cache
def prose(path: Path) -> str:
    """What people read of a file, one space between words: of code docstrings and comments, else the whole."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        source = "\n".join([*documented(ast.parse(source)), *comments(source)])
    return " ".join(source.split())


@cache
def sections() -> frozenset[str]:
    text = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    return frozenset(re.findall(rf"^#+ ({SECTION})[. ]", text, re.MULTILINE))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def cited(text: str) -> list[str]:
    """The sections that `text` cites: METHODS 2.6, 2.7 cites two."""
    return [number for found in METHODS.findall(text) for number in re.findall(SECTION, found)]


def expanded(path: str) -> list[str]:
    """The paths that a reference names: `a/{b,c}.py` names two."""
    head, brace, tail = path.partition("{")
    inner, closing, rest = tail.partition("}")
    return [f"{head}{part}{rest}" for part in inner.split(",")] if brace and closing else [path]


def missing_paths(text: str) -> list[str]:
    """The references of `text` to files of this repository that do not exist; words in capitals are placeholders."""
    found = [one for path in PATH.findall(text) if not re.search(r"[A-Z]{2,}", path) for one in expanded(path)]
    return [one for one in found if not (list(ROOT.glob(one)) if "*" in one else (ROOT / one).exists())]


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub makes of the headings of a Markdown page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    slugs: dict[str, int] = {}
    found = set()
    for heading in re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE):
        plain = LINK.sub("", heading.replace("[", "").replace("`", ""))
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.add(slug if slug not in slugs else f"{slug}-{slugs[slug]}")
        slugs[slug] = slugs.get(slug, 0) + 1
    return frozenset(found)


def broken(page: Path, links: list[str], ids: frozenset[str]) -> list[str]:
    """The links of `page` that lead nowhere: no such file, or no such heading in it. `ids`: anchors of the page."""
    found = []
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        known = ids if not name else anchors(target) if target.suffix == ".md" and target.is_file() else None
        if not target.exists() or (anchor and known is not None and anchor not in known):
            found.append(link)
    return found


def test_sections_that_are_named_exist():
    found = {relative(path): sorted(set(cited(prose(path))) - sections()) for path in [*CODE, *PAGES, *PLAIN]}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}, "add the section to docs/methods.md"


def test_files_that_are_named_exist():
    read = [path for path in [*CODE, *PAGES, *PLAIN] if ROOT / "reports" not in path.parents]
    found = {relative(path): missing_paths(prose(path)) for path in read}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_nothing_refers_to_pages_that_readers_do_not_have():
    found = {relative(path): ELSEWHERE.findall(prose(path)) for path in [*CODE, *PAGES, *PLAIN]}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_sections_that_methods_names_of_itself_exist():
    text = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    assert sorted(set(re.findall(rf"\bsection ({SECTION})", text)) - sections()) == []


def test_pages_named_in_messages_and_captions_exist():
    missing = {}
    for path in CODE:
        texts = [node.value for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                 if isinstance(node, ast.Constant) and isinstance(node.value, str)]  # fmt: skip
        named = {page for text in texts for page in re.findall(r"(?<![\w./-])docs/[\w/-]+\.md\b", text)}
        missing[relative(path)] = {page for page in named if not (ROOT / page).is_file()}
    missing.pop(relative(Path(__file__)))  # this file names some that do not exist, to show that they are found
    assert {name: wrong for name, wrong in missing.items() if wrong} == {}


def test_links_of_pages_lead_somewhere():
    found = {}
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        found[relative(page)] = broken(page, LINK.findall(text), anchors(page))
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_links_of_html_lead_somewhere():
    found = {}
    for page in HTML:
        body = re.sub(r"<script.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        ids = frozenset(re.findall(r'\bid="([^"]+)"', body))
        links = [link for link in re.findall(r'\bhref="([^"]+)"', body) if not link.startswith("#image-")]
        found[relative(page)] = broken(page, links, ids)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@cache
def names(path: Path) -> dict[str, ast.AST | None]:
    """What a module defines or imports at its top level; classes and functions with their node."""
    found: dict[str, ast.AST | None] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0]: None for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                found |= {part.id: None for part in ast.walk(target) if isinstance(part, ast.Name)}
                found |= {part.attr: None for part in ast.walk(target) if isinstance(part, ast.Attribute)}
    return found


def module(parts: list[str]) -> Path | None:
    place = ROOT.joinpath(*parts)
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def resolves(reference: str, path: Path) -> bool:
    """Whether a role's target is defined: in the module that it begins with, or in that of `path` where it has none.

    Of a longer name, as `Class.field`, each part must be defined somewhere in that module.
    """
    parts = reference.split(".")
    for length in range(len(parts), 0, -1):
        found = module(parts[:length])
        if found is not None:
            return all(part in names(found) for part in parts[length:])
    return parts[0] not in ("ala", "stages", "tests") and all(part in names(path) for part in parts)


def test_names_that_docstrings_refer_to_exist():
    found = {relative(path): [name for name in ROLE.findall(prose(path)) if not resolves(name, path)] for path in CODE}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("see METHODS 2.6, 9.9 and 4.1", ["9.9"]), ("METHODS 5.4; METHODS 99", ["99"]), ("METHODS 2.8", [])],
)
def test_a_section_that_does_not_exist_is_found(text, wrong):
    assert [number for number in cited(text) if number not in sections()] == wrong


def test_a_file_or_link_that_does_not_exist_is_found():
    assert missing_paths("in ala/report/tables.py and ala/{report,nowhere}/run.py, docs/none.md, docs/NAME.md") == [
        "ala/nowhere/run.py", "docs/none.md",
    ]  # fmt: skip
    page = ROOT / "docs/methods.md"
    links = [
        "deviations.md",
        "none.md",
        "#2-ala",
        "#none",
        "deviations.md#not-built",
        "deviations.md#none",
        "https://x.y",
    ]
    assert broken(page, links, anchors(page)) == ["none.md", "#none", "deviations.md#none"]
    assert not resolves("ala.report.tables.nothing", page)
    assert resolves("ala.report.tables.COLUMNS", page)
