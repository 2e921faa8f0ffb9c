"""Search: evolve architecture and split together, for accuracy and system latency."""

from splitkit.search.choice import fastest_at, reference_accuracy
from splitkit.search.config import Constraints, SearchConfig
from splitkit.search.feedback import Feedback, FeedbackRound
from splitkit.search.journal import Journal
from splitkit.search.point import Point
from splitkit.search.protocol import Evaluator, Predictor
from splitkit.search.result import SearchResult, load_result, save_result
from splitkit.search.run import Progress, search

__all__ = [
    "Constraints",
    "Evaluator",
    "Feedback",
    "FeedbackRound",
    "Journal",
    "Point",
    "Predictor",
    "Progress",
    "SearchConfig",
    "SearchResult",
    "fastest_at",
    "load_result",
    "reference_accuracy",
    "save_result",
    "search",
]
