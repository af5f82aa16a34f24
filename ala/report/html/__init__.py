"""`reports/index.html`: one self-contained page with claims, tables, curves and a gallery of images under maps."""

from ala.report.html.page import LIMIT, render

__all__ = ["LIMIT", "render"]
