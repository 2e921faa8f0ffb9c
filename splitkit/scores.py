"""How well a network classifies: over all images, image by image, and beside another one on the same images."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from splitkit.reading import typed

FloatArray = NDArray[np.float64]

TEMPERATURES = (-4.0, 5.0)
"""Bounds of the logarithm of 1 / temperature, of scores that vary by 1."""


@dataclass(frozen=True, slots=True)
class Score:
    """How well an architecture classifies the images a search scores with.

    Attributes:
        accuracy: share of the images it classifies rightly, in [0, 1]: what is reported.
        log_likelihood: mean logarithm of the probability it gives to the right class, at most 0: what candidates are
            ranked by, since accuracies of a few hundred images come in a few dozen values only.
    """

    accuracy: float
    log_likelihood: float


@dataclass(frozen=True, eq=False)
class ImageScores:
    """One network on n images.

    Attributes:
        correct: bool (n,), whether the right class has the highest score.
        log_likelihood: float64 (n,), logarithm of the probability given to the right class.
    """

    correct: NDArray[np.bool_]
    log_likelihood: FloatArray

    @classmethod
    def of(cls, scores: FloatArray, labels: NDArray[np.int64]) -> Self:
        """From scores before the softmax (n, classes) and the right classes (n,).

        Scores are first divided by the one temperature at which the images are likeliest, so that a network is not
        ranked by how boldly it speaks, which shared weights and short training leave to chance. One image more is
        thought of: an average one, of which the second choice is right. Without it a network with nothing wrong is
        likeliest at no temperature at all, every image for certain, and all such networks are alike. With it n images
        of equal margin are given n / (n + 1) each, and less the more unequal margins are; where some are wrong, one
        error more moves the temperature little.
        """
        from scipy.optimize import minimize_scalar

        scores = scores - scores.mean(axis=1, keepdims=True)
        scores = scores / (float(np.sqrt(np.square(scores).mean())) or 1.0)
        images, second = np.arange(len(labels)), np.argsort(scores, axis=1)[:, -2]

        def log_probabilities(log_boldness: float) -> FloatArray:
            bold = scores * np.exp(log_boldness)
            bold = bold - bold.max(axis=1, keepdims=True)
            return np.asarray(bold - np.log(np.exp(bold).sum(axis=1, keepdims=True)))

        def loss(log_boldness: float) -> float:
            found = log_probabilities(log_boldness)
            return -float(found[images, labels].sum() + found[images, second].mean())

        best = minimize_scalar(loss, bounds=TEMPERATURES, options={"xatol": 1e-4})
        return cls(scores.argmax(axis=1) == labels, log_probabilities(float(best.x))[images, labels])

    @property
    def score(self) -> Score:
        """Over all images."""
        return Score(float(self.correct.mean()), float(self.log_likelihood.mean()))

    @property
    def probability(self) -> FloatArray:
        """Of the right class, (n,): what accuracy would be if classes were drawn, smooth where few images are wrong."""
        return np.exp(self.log_likelihood)

    def to_json(self) -> dict[str, Any]:
        """A JSON object: how many images, which were wrong, the log-likelihoods."""
        return {
            "images": len(self.correct),
            "wrong": np.flatnonzero(~self.correct).tolist(),
            "log_likelihood": [round(value, 5) for value in self.log_likelihood.tolist()],
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`, but for the rounding.

        Raises:
            ValueError: a field is missing, or does not fit the others.
        """
        read = typed(_Body, dict(body))
        if len(read.log_likelihood) != read.images or not all(0 <= i < read.images for i in read.wrong):
            raise ValueError(f"log_likelihood or wrong: not of {read.images} images")
        correct = np.ones(read.images, dtype=np.bool_)
        correct[read.wrong] = False
        return cls(correct, np.array(read.log_likelihood, dtype=np.float64))


@dataclass(frozen=True)
class _Body:
    images: int
    wrong: list[int]
    log_likelihood: list[float]


@dataclass(frozen=True)
class Interval:
    """A difference in accuracy, and the 95 % interval it is known to."""

    difference: float
    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        """Whether the two may be equally accurate."""
        return self.low <= 0.0 <= self.high


def paired_difference(one: ImageScores, other: ImageScores) -> Interval:
    """How much more accurate `one` is than `other` on the same images.

    Only images that one of them alone has right say anything. The interval is Wald's with half an image added to each
    of the four cells, which keeps its promise for small counts too (Agresti and Min, Statistics in Medicine 24, 2005).
    """
    n = len(one.correct)
    won = int((one.correct & ~other.correct).sum())
    lost = int((other.correct & ~one.correct).sum())
    middle = (won - lost) / (n + 2)
    half = 1.96 * sqrt(won + lost + 1 - (won - lost) ** 2 / (n + 2)) / (n + 2)
    return Interval((won - lost) / n, middle - half, middle + half)


def chance_of_loss(one: ImageScores, other: ImageScores) -> float:
    """McNemar's exact test, one-sided: how likely `one` is to lose so many images to an `other` that is no better."""
    from scipy.stats import binom

    won = int((one.correct & ~other.correct).sum())
    lost = int((other.correct & ~one.correct).sum())
    return float(binom.cdf(won, won + lost, 0.5)) if lost else 1.0


def chance_of_lower_probability(one: ImageScores, other: ImageScores) -> float:
    """Paired t-test, one-sided: how likely `one` is to give the right classes so much less probability than an `other`
    that is no better. Probabilities are bounded, so no single image decides, as one can among log-likelihoods."""
    from scipy.stats import t

    won = one.probability - other.probability
    error = won.std(ddof=1) / sqrt(len(won))
    if error <= 1e-9:
        return 1.0 if won.mean() >= 0 else 0.0
    return float(t.cdf(won.mean() / error, len(won) - 1))
