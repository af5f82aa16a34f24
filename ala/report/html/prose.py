"""Markdown of captions and notes as HTML; raw HTML in it is shown as text, never obeyed."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup

_MARKDOWN = MarkdownIt("commonmark", {"html": False})


def blocks(text: str) -> Markup:
    """Paragraphs and lists."""
    return Markup(_MARKDOWN.render(text))


def inline(text: str) -> Markup:
    """A line without a paragraph around it."""
    return Markup(_MARKDOWN.renderInline(text))
