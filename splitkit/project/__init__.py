"""A project: its configuration, its runs, and the steps of the loop on them."""

from splitkit.project.config import Project, load_project
from splitkit.project.run import Run

__all__ = ["Project", "Run", "load_project"]
