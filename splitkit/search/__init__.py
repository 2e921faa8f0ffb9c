"""Search: evolve architecture and split together, for accuracy and system latency."""

from splitkit.scores import ImageScores, Interval, Score, paired_difference
from splitkit.search.choice import fastest_at, reference_accuracy
from splitkit.search.config import Constraints, SearchConfig
from splitkit.search.feedback import Feedback, FeedbackRound
from splitkit.search.finals import Finalist, Finals, FinalsProgress, Tuner
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
    "Finalist",
    "Finals",
    "FinalsProgress",
    "ImageScores",
    "Interval",
    "Journal",
    "Point",
    "Predictor",
    "Progress",
    "Score",
    "SearchConfig",
    "SearchResult",
    "Tuner",
    "fastest_at",
    "load_result",
    "paired_difference",
    "reference_accuracy",
    "save_result",
    "search",
]
