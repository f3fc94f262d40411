"""Heads on a small backbone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from deeppose_cli.cascade import Expected, Regressor
from deeppose_cli.errors import UsageError
from deeppose_cli.heads import SimccHead
from deeppose_cli.network import BackboneNetwork, build_network
from deeppose_cli.presets import HEADS, MODERN, TINY, StagePreset

CHANNELS = (8, 12, 16, 20)


def settings(**more: object) -> StagePreset:
    return replace(MODERN.initial, input_size=64, width=16, **more)  # type: ignore[arg-type]


def levels(size: int = 64) -> list[torch.Tensor]:
    torch.manual_seed(0)
    sides = [size // stride for stride in (4, 8, 16, 32)]
    return [torch.randn(2, count, side, side) for count, side in zip(CHANNELS, sides, strict=True)]


def test_simcc_reads_each_axis_by_its_expected_bin() -> None:
    torch.manual_seed(0)
    head = SimccHead(CHANNELS, 3, 64, 16).eval()
    torch.nn.init.normal_(head.axes[0].weight)
    with torch.no_grad():
        coordinates, logits, _ = head(levels())
    assert logits is not None
    assert logits.shape == (2, 3, 2, 128)
    for axis in range(2):
        shares = torch.softmax(logits[1, 2, axis].double(), 0)
        expected = sum(float(share) * ((b + 0.5) / 128 - 0.5) for b, share in enumerate(shares))
        assert coordinates[1, 2, axis].item() == pytest.approx(expected, abs=1e-5)


def test_simcc_takes_a_stages_expectation_for_x_and_y_apart() -> None:
    expected = Expected([[0.2, -0.1]] * 3, [[0.1, 0.1]] * 3, sigma=1.0)
    regressor = Regressor(settings(head="simcc"), 3, expected=expected).eval()
    head = regressor.networks[0].head
    for axis in head.axes:  # type: ignore[union-attr]
        torch.nn.init.zeros_(axis.weight)  # type: ignore[arg-type]
    with torch.no_grad():
        said = regressor(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).coordinates
    torch.testing.assert_close(said[0], torch.tensor([[-0.2, 0.1]] * 3), atol=2e-3, rtol=0)  # where the error is undone


@pytest.mark.parametrize("head", HEADS)
def test_a_deviation_is_given_in_training_with_rle_and_never_in_an_answer(head: str) -> None:
    network = build_network(settings(head=head, coordinate_loss="rle"), 5)
    x = torch.rand(2, 3, 64, 64)
    deviation = network.train().with_maps(x).deviation
    assert deviation is not None
    assert deviation.shape == (2, 5, 2)
    assert deviation.min() > 0
    with torch.no_grad():
        assert network.eval().with_maps(x).deviation is None
    other = build_network(settings(head=head), 5)
    assert isinstance(other, BackboneNetwork)
    assert other.deviation is None


def test_rle_without_a_backbone_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--coordinate-loss rle.*--preset modern"):
        build_network(replace(TINY.initial, coordinate_loss="rle"), 14)
