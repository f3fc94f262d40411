"""How much predictions vary, beside how much the labels do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from deeppose_cli.training.metrics import PredictionDiversity

K = 5


def batch(seed: int, count: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    labels = rng.normal(rng.normal(0, 2, (1, K, 2)), rng.uniform(0.1, 1, (1, K, 2)), (count, K, 2))
    labels[rng.random((count, K)) < 0.3] = np.nan
    return torch.from_numpy(rng.normal(1, 0.4, (count, K, 2))).float(), torch.from_numpy(labels).float()


def diversity(*batches: tuple[torch.Tensor, torch.Tensor]) -> float:
    metric = PredictionDiversity(K)
    for predictions, labels in batches:
        metric.update(predictions, labels)
    return float(metric.compute())


def slow_spread(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Total variance about each joint's own mean, over the images in which it is labelled."""
    totals = []
    for points in (predictions, labels):
        total = 0.0
        for joint in range(K):
            seen = np.array([p[joint] for p, y in zip(points, labels, strict=True) if not math.isnan(y[joint][0])])
            total += float(((seen - seen.mean(0)) ** 2).sum() / len(seen))
        totals.append(total)
    return math.sqrt(totals[0] / totals[1])


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_ratio_of_the_standard_deviations(seed: int) -> None:
    predictions, labels = batch(seed)
    expected = slow_spread(predictions.double().numpy(), labels.double().numpy())
    assert diversity((predictions, labels)) == pytest.approx(expected, rel=1e-5)


def test_one_pose_for_all_has_no_spread_wherever_it_lies() -> None:
    _, labels = batch(0)
    for place in (0.0, 0.4, -3.3):
        assert diversity((torch.full_like(labels, place), labels)) < 0.005
    each_its_own = torch.arange(2.0 * K).view(1, K, 2).expand_as(labels)
    assert diversity((each_its_own, labels)) < 0.005


def test_the_labels_themselves_have_all_of_it() -> None:
    _, labels = batch(1)
    assert diversity((labels.nan_to_num(9.0), labels)) == pytest.approx(1)
    shrunk = (labels - 4) * 0.25
    assert diversity((shrunk.nan_to_num(9.0), labels)) == pytest.approx(0.25, rel=1e-5)


def test_several_batches_and_processes_add_up() -> None:
    parts = [batch(seed, 7) for seed in range(4)]
    together = tuple(torch.cat([part[i] for part in parts]) for i in (0, 1))
    assert diversity(*parts) == pytest.approx(diversity(together), rel=1e-6)
    one, other = PredictionDiversity(K), PredictionDiversity(K)
    for i, part in enumerate(parts):
        (one if i % 2 else other).update(*part)
    one.sums += other.sums
    assert float(one.compute()) == pytest.approx(diversity(together), rel=1e-6)


def test_without_labels_or_with_one_image_there_is_no_number() -> None:
    predictions, labels = batch(0)
    assert math.isnan(diversity((predictions, torch.full_like(labels, math.nan))))
    assert math.isnan(diversity((predictions[:1], torch.zeros(1, K, 2))))


def test_reset_forgets() -> None:
    metric = PredictionDiversity(K)
    metric.update(*batch(0))
    metric.reset()
    metric.update(*batch(1))
    assert float(metric.compute()) == diversity(batch(1))
