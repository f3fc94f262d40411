"""Heads on a small backbone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from deeppose_cli.errors import UsageError
from deeppose_cli.heads import SimccHead, expected_coordinates, peak_answer
from deeppose_cli.network import BackboneNetwork, build_network
from deeppose_cli.presets import HEADS, MODERN, TINY, Preset, StagePreset
from deeppose_cli.regressor import Expected, Regressor

CHANNELS = (8, 12, 16, 20)


def settings(**more: object) -> StagePreset:
    return replace(MODERN.initial, input_size=64, width=16, **more)  # type: ignore[arg-type]


def levels(size: int = 64) -> list[torch.Tensor]:
    torch.manual_seed(0)
    sides = [size // stride for stride in (4, 8, 16, 32)]
    return [torch.randn(2, count, side, side) for count, side in zip(CHANNELS, sides, strict=True)]


def bump(x: float, y: float, spread: float = 1.0, side: int = 16) -> torch.Tensor:
    """(side, side) density of a Gaussian with its middle at cell (x, y), not normalised."""
    steps = torch.arange(side, dtype=torch.float64)
    return torch.exp(-((steps - x) ** 2 + (steps - y)[:, None] ** 2) / (2 * spread**2))


def cell(at: float, side: int = 16) -> float:
    return (at + 0.5) / side - 0.5


def test_the_peak_of_one_bump_is_its_middle_between_cells_too() -> None:
    maps = torch.log(torch.stack([bump(5.0, 9.0), bump(4.3, 10.8), bump(0.0, 15.0, 0.2)]))[None]
    found = peak_answer(maps).coordinates[0]
    wanted = [[cell(5), cell(9)], [cell(4.3), cell(10.8)], [cell(0), cell(15)]]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), atol=0.005, rtol=0)


def test_a_doubt_elsewhere_draws_the_mean_and_not_the_peak() -> None:
    maps = torch.log(0.6 * bump(3, 3) + 0.4 * bump(12, 12) + 1e-9)[None, None]
    assert expected_coordinates(maps)[0, 0].tolist() == pytest.approx([cell(6.6)] * 2, abs=0.01)
    assert peak_answer(maps).coordinates[0, 0].tolist() == pytest.approx([cell(3)] * 2, abs=0.01)


def test_the_mass_is_what_lies_around_the_peak() -> None:
    maps = torch.log(0.6 * bump(3, 3) / bump(3, 3).sum() + 0.4 * bump(12, 12) / bump(12, 12).sum() + 1e-12)[None, None]
    mass = peak_answer(maps).mass
    assert mass is not None
    assert mass.tolist() == [[pytest.approx(0.6, abs=0.02)]]


def test_one_cell_that_stands_alone_is_no_peak() -> None:
    density = bump(4, 4, 1.5)
    density[12, 12] = 1.2
    found = peak_answer(torch.log(density + 1e-9)[None, None]).coordinates
    assert found[0, 0].tolist() == pytest.approx([cell(4)] * 2, abs=0.01)


@pytest.mark.parametrize("preset", [MODERN, TINY])
def test_maps_are_read_whole_in_training_and_around_the_peak_later(preset: Preset) -> None:
    network = build_network(replace(preset.initial, input_size=64, width=16, dropout=0.0), 5)
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for training, decode in ((True, expected_coordinates), (False, lambda maps: peak_answer(maps).coordinates)):
            coordinates, logits, *_ = network.train(training).with_maps(x)
            assert logits is not None
            torch.testing.assert_close(coordinates, decode(logits))
    mapless = build_network(replace(preset.initial, input_size=64, width=16, map_weight=0.0), 5).eval()
    mapless.load_state_dict(network.state_dict())
    with torch.no_grad():  # trained for its mean alone, a map need not have a peak
        torch.testing.assert_close(mapless(x), expected_coordinates(logits))


def test_simcc_reads_each_axis_by_its_expected_bin() -> None:
    torch.manual_seed(0)
    head = SimccHead(CHANNELS, 3, 64, 16).eval()
    torch.nn.init.normal_(head.axes[0].weight)
    with torch.no_grad():
        coordinates, logits, *_ = head.decode(head(levels()))
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
