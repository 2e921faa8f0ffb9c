"""Where cutting was before `splitkit.graphs`; kept so that scripts which import it from here go on."""

from splitkit.graphs.cut import Halves, cut
from splitkit.graphs.model import load_model

__all__ = ["Halves", "cut", "load_model"]
