"""The paper's network, layer by layer, and the small one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from deeppose_cli.config.presets import MODERN, PAPER, TINY
from deeppose_cli.config.schema import StagePreset
from deeppose_cli.core.errors import UsageError
from deeppose_cli.models.networks import DeepPoseNetwork, IntegralNetwork, build_network


@pytest.fixture(scope="module")
def paper_network() -> DeepPoseNetwork:
    return DeepPoseNetwork(num_joints=14).eval()


def test_sizes_after_every_layer_are_the_papers(paper_network: DeepPoseNetwork) -> None:
    x, sizes = torch.zeros(1, 3, 220, 220), []
    with torch.no_grad():
        for layer in [*paper_network.features, *paper_network.head]:
            x = layer(x)
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.Linear):
                sizes.append(tuple(x.shape[1:]))
    assert sizes == [
        (96, 55, 55),
        (96, 27, 27),
        (256, 27, 27),
        (256, 13, 13),
        (384, 13, 13),
        (384, 13, 13),
        (256, 13, 13),
        (256, 4, 4),
        (4096,),
        (4096,),
        (28,),
    ]


def test_parameters_number_37_4_million(paper_network: DeepPoseNetwork) -> None:
    by_hand = (
        (11 * 11 * 3 * 96 + 96)
        + (5 * 5 * 96 * 256 + 256)
        + (9 * 256 * 384 + 384)
        + (9 * 384 * 384 + 384)
        + (9 * 384 * 256 + 256)
        + (4 * 4 * 256 * 4096 + 4096)
        + (4096 * 4096 + 4096)
        + (4096 * 28 + 28)
    )
    total = sum(parameter.numel() for parameter in paper_network.parameters())
    assert total == by_hand
    assert round(total / 1e6, 1) == 37.4


def test_dropout_is_the_papers_and_off_in_evaluation(paper_network: DeepPoseNetwork) -> None:
    assert [layer.p for layer in paper_network.head if isinstance(layer, nn.Dropout)] == [0.6, 0.6]
    x = torch.rand(1, 3, 220, 220)
    with torch.no_grad():
        assert torch.equal(paper_network(x).coordinates, paper_network(x).coordinates)
        paper_network.train()
        try:
            assert not torch.equal(paper_network(x).coordinates, paper_network(x).coordinates)
        finally:
            paper_network.eval()


def test_local_response_normalisation_is_krizhevskys(paper_network: DeepPoseNetwork) -> None:
    layer = next(layer for layer in paper_network.features if isinstance(layer, nn.LocalResponseNorm))
    x = torch.rand(1, 96, 2, 2) * 50
    a = x[0, :, 0, 0].double()
    slow = [
        float(a[i] / (2 + 1e-4 * sum(a[j] ** 2 for j in range(max(0, i - 2), min(96, i + 3)))) ** 0.75)
        for i in range(96)
    ]
    torch.testing.assert_close(layer(x)[0, :, 0, 0].double(), torch.tensor(slow, dtype=torch.double), rtol=1e-5, atol=0)


def test_integral_network_in_training_reads_a_map_by_its_expected_coordinate() -> None:
    network = IntegralNetwork(num_joints=3, width=8).train()
    with torch.no_grad():
        xy, logits, *_ = network(torch.rand(2, 3, 64, 64))
    assert logits is not None
    assert logits.shape == (2, 3, 16, 16)
    centres = [(i + 0.5) / 16 - 0.5 for i in range(16)]
    for b in range(2):
        for k in range(3):
            share = torch.softmax(logits[b, k].flatten(), 0).view(16, 16).double()
            x = sum(float(share[r, c]) * centres[c] for r in range(16) for c in range(16))
            y = sum(float(share[r, c]) * centres[r] for r in range(16) for c in range(16))
            torch.testing.assert_close(xy[b, k].double(), torch.tensor([x, y], dtype=torch.double), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "settings", [PAPER.initial, TINY.initial, TINY.refinement], ids=["paper", "tiny", "refinement"]
)
def test_presets_build_networks_that_take_their_input(settings: StagePreset) -> None:
    network = build_network(settings, 10).eval()
    with torch.no_grad():
        out = network(torch.zeros(1, 3, settings.input_size, settings.input_size)).coordinates
    assert out.shape == (1, 10, 2)
    assert out.abs().max() < 0.5


def test_unusable_settings_are_named() -> None:
    with pytest.raises(UsageError, match=r"--input-size 50: .* such as 64"):
        build_network(replace(TINY.initial, input_size=50), 14)
    with pytest.raises(UsageError, match="--input-size 40"):
        build_network(replace(PAPER.initial, input_size=40), 14)
    with pytest.raises(UsageError, match="'hourglass' is unknown"):
        build_network(StagePreset(network="hourglass"), 14)


@pytest.mark.parametrize("head", ["integral", "regression"])
def test_a_backbone_answers_first_with_the_centre_of_the_crop(head: str) -> None:
    """Its last layer's values are small: the loss starts at the labels' own spread."""
    network = build_network(replace(MODERN.initial, head=head, input_size=64), 14).train()
    with torch.no_grad():
        xy, logits, *_ = network(torch.randn(2, 3, 64, 64))
    assert xy.shape == (2, 14, 2)
    assert xy.abs().max() < 0.1
    assert logits is None if head == "regression" else logits is not None and logits.shape == (2, 14, 16, 16)


def test_a_prior_moves_the_integral_head_to_where_it_says() -> None:
    network = build_network(replace(MODERN.initial, input_size=64), 2).eval()
    prior = torch.full((2, 16, 16), -50.0)
    prior[0, 3, 12] = prior[1, 9, 0] = 0.0
    with torch.no_grad():
        xy = network(torch.randn(1, 3, 64, 64), prior).coordinates
    # Cell (row, column) of 16 is centred at ((column + 0.5) / 16 - 0.5, (row + 0.5) / 16 - 0.5).
    torch.testing.assert_close(xy[0], torch.tensor([[0.28125, -0.28125], [-0.46875, 0.09375]]), atol=1e-4, rtol=0)


def test_a_backbone_refuses_what_it_cannot_be() -> None:
    with pytest.raises(UsageError, match=r"--input-size 100: this network takes multiples of 32, such as 96"):
        build_network(replace(MODERN.initial, input_size=100), 14)
    with pytest.raises(UsageError, match=r"--head tail: unknown; valid: integral, pyramid, regression"):
        build_network(replace(MODERN.initial, head="tail"), 14)
