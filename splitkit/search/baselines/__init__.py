"""The other ways to do what a found split does: what each is, what is kept of it, and the searches among them."""

from splitkit.search.baselines.kept import Baselines, load_baselines, save_baselines
from splitkit.search.baselines.row import NAMES, TITLES, Name, Recipe, Row

__all__ = ["NAMES", "TITLES", "Baselines", "Name", "Recipe", "Row", "load_baselines", "save_baselines"]
