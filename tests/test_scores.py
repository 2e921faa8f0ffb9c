"""Scores image by image: temperature does not rank, pairs are compared as the textbooks do."""

import numpy as np
import pytest
from scipy.stats import binomtest

from splitkit.scores import ImageScores, chance_of_loss, paired_difference

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 10, 200)
SCORES = RNG.normal(size=(200, 10)) + 2.0 * np.eye(10)[LABELS]


def of(*correct: int) -> ImageScores:
    return ImageScores(np.array(correct, dtype=bool), np.zeros(len(correct)))


@pytest.mark.parametrize("boldness", [0.1, 3.0, 20.0])
def test_how_boldly_a_network_speaks_does_not_change_its_score(boldness: float) -> None:
    plain, bold = ImageScores.of(SCORES, LABELS).score, ImageScores.of(boldness * SCORES, LABELS).score
    assert bold.accuracy == plain.accuracy
    assert bold.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-6)


def test_likelihood_tells_apart_what_accuracy_does_not() -> None:
    surer = SCORES + 0.3 * np.eye(10)[LABELS] * (SCORES.argmax(1) == LABELS)[:, None]
    plain, better = ImageScores.of(SCORES, LABELS), ImageScores.of(surer, LABELS)
    assert better.score.accuracy == plain.score.accuracy
    assert better.score.log_likelihood > plain.score.log_likelihood


def test_a_network_that_guesses_has_the_likelihood_of_guessing() -> None:
    guess = ImageScores.of(np.zeros((50, 4)), np.arange(50) % 4)
    assert guess.score.log_likelihood == pytest.approx(np.log(0.25))


@pytest.mark.parametrize("images", [3, 60, 287])
@pytest.mark.parametrize("boldness", [1e-3, 1.0, 1e4])
def test_nothing_wrong_is_as_likely_as_one_error_more_allows(images: int, boldness: float) -> None:
    sure = ImageScores.of(boldness * np.eye(3)[np.arange(images) % 3], np.arange(images) % 3).score
    assert sure.accuracy == 1.0
    assert sure.log_likelihood == pytest.approx(np.log(images / (images + 1)), rel=1e-3)


def with_margins(margins: np.ndarray) -> ImageScores:
    return ImageScores.of(np.stack([margins, np.zeros(len(margins))], axis=1), np.zeros(len(margins), dtype=np.int64))


def test_networks_with_nothing_wrong_are_told_apart_by_how_near_they_are_to_an_error() -> None:
    found = [with_margins(np.array([*[5.0] * 99, least])).score for least in (5.0, 2.0, 1.0, 0.1)]
    assert [score.accuracy for score in found] == [1.0] * 4
    assert sorted(found, key=lambda score: -score.log_likelihood) == found
    assert len({round(score.log_likelihood, 4) for score in found}) == 4


def test_the_first_error_costs_no_more_than_its_margin() -> None:
    """An image that is barely right and one that is barely wrong are almost the same, and so are their networks."""
    right, wrong = (with_margins(np.array([*[5.0] * 99, m])).score for m in (0.01, -0.01))
    assert (right.accuracy, wrong.accuracy) == (1.0, 0.99)
    assert 0.0 < right.log_likelihood - wrong.log_likelihood < 1e-3


def test_one_error_more_hardly_changes_what_networks_with_errors_score() -> None:
    def likeliest(scores: np.ndarray) -> float:
        """Without it: the best mean log probability that any temperature gives, by trying many."""
        bold = np.exp(np.linspace(-3.0, 3.0, 2001))[:, None, None] * scores
        right = np.take_along_axis(bold, LABELS[None, :, None], axis=2)[..., 0]
        return float((right - np.log(np.exp(bold).sum(axis=2))).mean(axis=1).max())

    for noise in (0.6, 0.8, 1.0, 1.5):
        scores = noise * RNG.normal(size=(200, 10)) + 2.0 * np.eye(10)[LABELS]
        found = ImageScores.of(scores, LABELS).score
        assert found.accuracy < 1.0
        assert -1e-4 <= likeliest(scores) - found.log_likelihood < 2e-3


def test_scores_survive_their_json_form() -> None:
    scores = ImageScores.of(SCORES, LABELS)
    again = ImageScores.from_json(scores.to_json())
    np.testing.assert_array_equal(again.correct, scores.correct)
    np.testing.assert_allclose(again.log_likelihood, scores.log_likelihood, atol=1e-5)
    assert ImageScores.from_json(again.to_json()).score == again.score


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"images": 2, "wrong": [2], "log_likelihood": [0.0, 0.0]},
        {"images": 2, "wrong": [], "log_likelihood": []},
    ],
)
def test_damaged_scores_are_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"wrong|images"):
        ImageScores.from_json(body)


def test_a_loss_is_judged_by_mcnemars_exact_test() -> None:
    one, other = of(*[1] * 90, *[1] * 3, *[0] * 7), of(*[1] * 90, *[0] * 3, *[1] * 7)
    assert chance_of_loss(one, other) == pytest.approx(binomtest(3, 10, alternative="less").pvalue)
    assert chance_of_loss(of(1, 1), of(1, 0)) == 1.0
    assert chance_of_loss(one, one) == 1.0


def test_an_interval_holds_the_difference_and_never_shrinks_to_nothing() -> None:
    one, other = of(*[1] * 90, *[1] * 3, *[0] * 7), of(*[1] * 90, *[0] * 3, *[1] * 7)
    interval = paired_difference(one, other)
    assert interval.difference == pytest.approx(-0.04)
    assert interval.low < -0.04 < interval.high
    same = paired_difference(one, one)
    assert same.low < 0.0 < same.high
    assert same.holds_zero


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        hard = rng.random(360)
        one, other = (ImageScores(hard + 0.1 * rng.random(360) < 1.03, np.zeros(360)) for _ in range(2))
        held += paired_difference(one, other).holds_zero
    assert held >= 0.93 * 400
