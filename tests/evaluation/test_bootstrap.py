"""Intervals: that they are those of scores worked out again for every draw, and behave as intervals do."""

from __future__ import annotations

import numpy as np
import pytest

from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.evaluation import bootstrap, metrics
from tests.helpers.poses import with_gaps


def draw_weights(images: int, draws: int, seed: int) -> np.ndarray:
    """(D, N) how often each image is taken in each draw: the sums of columns that hold one image each."""
    return bootstrap.resampled_sums(np.eye(images), draws, seed)


@pytest.mark.parametrize("at_a_time", [1, 60 * 7, 10**9])
def test_draws_are_of_images_with_replacement_and_the_same_for_a_seed(
    at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = draw_weights(60, 200, 3)
    monkeypatch.setattr(bootstrap, "_WEIGHTS_IN_MEMORY", at_a_time)
    weights = draw_weights(60, 200, 3)
    np.testing.assert_array_equal(weights, expected)
    assert weights.shape == (200, 60)
    assert (weights.sum(1) == 60).all()
    # How often an image is taken: nearly Poisson with mean 1; never in 1/e of the draws.
    assert (weights == 0).mean() == pytest.approx(np.exp(-1), abs=0.02)
    assert np.abs(weights.mean(0) - 1).max() < 5 * np.sqrt(1 / 200)
    assert (draw_weights(60, 200, 4) != weights).any()


def test_sums_give_the_score_of_the_images_of_each_draw() -> None:
    """Against the metric on images repeated as they were drawn."""
    pred, truth = with_gaps(LSP14)
    counts = metrics.pdj_hits(pred, truth, LSP14, 0.2)
    sums = bootstrap.resampled_sums(np.concatenate(counts, axis=1), 50, 1)
    found = metrics.rate(sums[:, :14], sums[:, 14:])
    for draw, weights in enumerate(draw_weights(len(pred), 50, 1)):
        rows = np.repeat(np.arange(len(pred)), weights.astype(int))
        np.testing.assert_array_equal(found[draw], metrics.pdj(pred[rows], truth[rows], LSP14, 0.2))


def test_an_interval_is_the_middle_of_the_draws() -> None:
    values = np.random.default_rng(0).permutation(np.arange(1001.0))
    assert bootstrap.interval(values) == pytest.approx((25, 975))
    assert bootstrap.interval(np.append(values, [np.nan] * 7)) == pytest.approx((25, 975))
    assert bootstrap.interval(values, level=0.5) == pytest.approx((250, 750))
    assert bootstrap.interval(np.full(5, np.nan)) is None


def width_of(images: int, rate: float = 0.3, seed: int = 0) -> tuple[float, float, float]:
    hits = np.zeros((images, 1))
    hits[: round(rate * images)] = 1
    ends = bootstrap.interval(bootstrap.resampled_sums(hits, 1000, seed)[:, 0] / images)
    assert ends is not None
    return hits.mean(), *ends


@pytest.mark.parametrize("images", [100, 400, 6400])
def test_the_interval_of_a_share_is_the_binomials(images: int) -> None:
    """1.96 standard errors either way, hence half as wide for four times the images."""
    value, low, high = width_of(images)
    assert low < value < high
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.3 * 0.7 / images), rel=0.1)


def test_it_covers_the_true_rate_about_as_often_as_its_level() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        hits = (rng.random((150, 1)) < 0.6).astype(float)
        ends = bootstrap.interval(bootstrap.resampled_sums(hits, 300, seed)[:, 0] / 150)
        assert ends is not None
        covered += ends[0] <= 0.6 <= ends[1]
    assert 0.89 <= covered / 200 <= 0.99


def test_no_images() -> None:
    assert bootstrap.resampled_sums(np.zeros((0, 3)), 10, 0).tolist() == [[0, 0, 0]] * 10
