"""Heads on a small backbone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from deeppose_cli.config.presets import MODERN, TINY
from deeppose_cli.config.schema import Preset, StagePreset
from deeppose_cli.models.heads import expected_coordinates, peak_coordinates
from deeppose_cli.models.networks import build_network

CHANNELS = (8, 12, 16, 20)


def settings(**more: object) -> StagePreset:
    return replace(MODERN.initial, input_size=64, head_channels=16, **more)  # type: ignore[arg-type]


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
    found = peak_coordinates(maps).coordinates[0]
    wanted = [[cell(5), cell(9)], [cell(4.3), cell(10.8)], [cell(0), cell(15)]]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), atol=0.005, rtol=0)


def test_a_doubt_elsewhere_draws_the_mean_and_not_the_peak() -> None:
    maps = torch.log(0.6 * bump(3, 3) + 0.4 * bump(12, 12) + 1e-9)[None, None]
    assert expected_coordinates(maps)[0, 0].tolist() == pytest.approx([cell(6.6)] * 2, abs=0.01)
    assert peak_coordinates(maps).coordinates[0, 0].tolist() == pytest.approx([cell(3)] * 2, abs=0.01)


def test_the_mass_is_what_lies_around_the_peak() -> None:
    maps = torch.log(0.6 * bump(3, 3) / bump(3, 3).sum() + 0.4 * bump(12, 12) / bump(12, 12).sum() + 1e-12)[None, None]
    peak_mass = peak_coordinates(maps).peak_mass
    assert peak_mass is not None
    assert peak_mass.tolist() == [[pytest.approx(0.6, abs=0.02)]]


def test_one_cell_that_stands_alone_is_no_peak() -> None:
    density = bump(4, 4, 1.5)
    density[12, 12] = 1.2
    found = peak_coordinates(torch.log(density + 1e-9)[None, None]).coordinates
    assert found[0, 0].tolist() == pytest.approx([cell(4)] * 2, abs=0.01)


@pytest.mark.parametrize("preset", [MODERN, TINY])
def test_maps_are_read_whole_in_training_and_around_the_peak_later(preset: Preset) -> None:
    network = build_network(replace(preset.initial, input_size=64, head_channels=16, dropout=0.0), 5)
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for training, decode in (
            (True, expected_coordinates),
            (False, lambda maps: peak_coordinates(maps).coordinates),
        ):
            coordinates, logits, *_ = network.train(training)(x)
            assert logits is not None
            torch.testing.assert_close(coordinates, decode(logits))
    mapless = build_network(replace(preset.initial, input_size=64, head_channels=16, heatmap_weight=0.0), 5).eval()
    mapless.load_state_dict(network.state_dict())
    with torch.no_grad():  # trained for its mean alone, a map need not have a peak
        torch.testing.assert_close(mapless(x).coordinates, expected_coordinates(logits))
