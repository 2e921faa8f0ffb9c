"""The search space: what can be chosen, what one choice is, and what it computes. Imports neither torch nor tvm."""

from splitkit.space.architecture import Architecture, PhaseChoice
from splitkit.space.network import Network, PlacedUnit, describe
from splitkit.space.sampling import Sampler, space_size
from splitkit.space.search_space import SearchSpace, load_space, preset_names

__all__ = [
    "Architecture",
    "Network",
    "PhaseChoice",
    "PlacedUnit",
    "Sampler",
    "SearchSpace",
    "describe",
    "load_space",
    "preset_names",
    "space_size",
]
