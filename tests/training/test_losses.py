"""Losses against slow references, and on batches that lack labels."""

from __future__ import annotations

import math

import pytest
import torch

from deeppose_cli.training.losses import coordinate_loss, heatmap_loss

NAN = math.nan


def test_l2_is_the_sum_of_squared_distances_over_labelled_joints() -> None:
    prediction = torch.tensor([[[0.1, 0.2], [0.3, 0.4]], [[0.0, 0.0], [9.0, 9.0]]])
    target = torch.tensor([[[0.0, 0.0], [0.3, 0.1]], [[0.3, 0.4], [NAN, NAN]]])
    expected = (0.1**2 + 0.2**2) + 0.3**2 + (0.3**2 + 0.4**2)
    assert coordinate_loss(prediction, target).item() == pytest.approx(expected)
    assert coordinate_loss(prediction, target, "l1").item() == pytest.approx(0.3 + 0.3 + 0.7)


@pytest.mark.parametrize("kind", ["l1", "l2", "wing"])
def test_a_batch_without_labels_gives_zero_and_no_gradient(kind: str) -> None:
    prediction = torch.rand(3, 14, 2, requires_grad=True)
    logits = torch.rand(3, 14, 8, 8, requires_grad=True)
    target = torch.full((3, 14, 2), NAN)
    loss = coordinate_loss(prediction, target, kind) + heatmap_loss(logits, target)
    loss.backward()
    assert loss.item() == 0
    assert prediction.grad is not None
    assert logits.grad is not None
    assert not prediction.grad.any()
    assert not logits.grad.any()


def test_a_joint_without_label_changes_nothing() -> None:
    prediction, target = torch.rand(2, 14, 2), torch.rand(2, 14, 2) - 0.5
    target[0, 3] = NAN
    rest = [(b, k) for b in range(2) for k in range(14) if (b, k) != (0, 3)]
    alone = sum(coordinate_loss(prediction[b, k], target[b, k]).item() for b, k in rest)
    assert coordinate_loss(prediction, target).item() == pytest.approx(alone, rel=1e-5)


def test_map_loss_is_the_cross_entropy_with_a_bell_of_one_cell() -> None:
    logits = torch.randn(1, 2, 5, 7)
    target = torch.tensor([[[0.11, -0.23], [0.7, 0.0]]])  # the second lies outside the box: no cell
    centre_x, centre_y = (0.11 + 0.5) * 7 - 0.5, (-0.23 + 0.5) * 5 - 0.5
    bell = [[math.exp(-((c - centre_x) ** 2 + (r - centre_y) ** 2) / 2) for c in range(7)] for r in range(5)]
    whole = sum(map(sum, bell))
    flat = logits[0, 0].flatten().double()
    log_share = (flat - torch.logsumexp(flat, 0)).view(5, 7)
    expected = -sum(bell[r][c] / whole * float(log_share[r, c]) for r in range(5) for c in range(7))
    assert heatmap_loss(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_map_loss_is_least_where_the_map_is_the_bell() -> None:
    target = torch.tensor([[[0.05, -0.1]]])
    logits = torch.zeros(1, 1, 8, 8, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(200):
        optimizer.zero_grad()
        heatmap_loss(logits, target).backward()
        optimizer.step()
    peak = logits.detach().flatten().argmax().item()
    assert (peak % 8, peak // 8) == (round((0.05 + 0.5) * 8 - 0.5), round((-0.1 + 0.5) * 8 - 0.5))


def test_wing_is_a_logarithm_near_and_a_line_beyond_and_both_meet() -> None:
    """Feng et al., CVPR 2018, w = 10 and ε = 2 in px of an input of 64."""

    def in_px(x: float) -> float:
        constant = 10 - 10 * math.log(1 + 10 / 2)
        return 10 * math.log(1 + abs(x) / 2) if abs(x) < 10 else abs(x) - constant

    for x, y in ((0.3, -4.0), (9.99, 10.01), (-25.0, 0.0)):
        wing = coordinate_loss(torch.tensor([[x, y]]) / 64, torch.zeros(1, 2), "wing")
        assert wing.item() * 64 == pytest.approx(in_px(x) + in_px(y), rel=1e-5)


@pytest.mark.parametrize("kind", ["l1", "l2", "wing"])
def test_gradients_are_those_of_small_differences(kind: str) -> None:
    generator = torch.Generator().manual_seed(4)
    prediction = (torch.rand(3, 5, 2, generator=generator).double() - 0.5).requires_grad_()
    target = torch.rand(3, 5, 2, generator=generator).double() - 0.5
    target[1, 2] = NAN
    assert torch.autograd.gradcheck(lambda x: coordinate_loss(x, target, kind), prediction, eps=1e-7)


def test_an_unknown_coordinate_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="huber"):
        coordinate_loss(torch.zeros(1, 2), torch.zeros(1, 2), "huber")
