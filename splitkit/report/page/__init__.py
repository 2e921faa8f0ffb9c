"""The report as one self-contained HTML page."""

from splitkit.report.page.render import GENERATOR, render_page

__all__ = ["GENERATOR", "render_page"]
