"""Smaller inputs at first: which size in which epoch, and that networks, data and the best checkpoint keep to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deeppose_cli.config.presets import RECIPES, TINY
from deeppose_cli.config.schema import Preset, check_network, parse_schedule
from deeppose_cli.core.errors import UsageError
from deeppose_cli.models.networks import build_network


def test_ten_epochs_grow_as_the_shares_say() -> None:
    settings = replace(TINY.initial, input_size=160, progressive_size="96:0.4,128:0.8", max_epochs=10)
    assert [settings.input_size_at(epoch) for epoch in range(10)] == [96] * 4 + [128] * 4 + [160] * 2


@pytest.mark.parametrize("epochs", range(1, 40))
def test_sizes_only_grow_and_the_last_epoch_has_the_final_one(epochs: int) -> None:
    settings = replace(TINY.initial, input_size=160, progressive_size="96:0.4,128:0.99", max_epochs=epochs)
    sizes = [settings.input_size_at(epoch) for epoch in range(epochs)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 160


def test_without_growth_every_epoch_has_the_input_size() -> None:
    assert {TINY.initial.input_size_at(epoch) for epoch in range(30)} == {TINY.initial.input_size}


@pytest.mark.parametrize(
    "text",
    [
        "96",
        "96:",
        ":0.5",
        "96:x",
        "a:0.5",
        "96:0",
        "96:1",
        "96:0.5,128:0.4",
        "0:0.5",
        "96:nan",
        ",",
        "96:0.4,96:0.8",
        "128:0.4,96:0.8",
    ],
)
def test_other_texts_are_refused_with_what_is_valid(text: str) -> None:
    with pytest.raises(UsageError, match=r"--progressive-size .*valid: PX:SHARE"):
        parse_schedule(text)


def test_growth_ends_below_the_input_size() -> None:
    with pytest.raises(UsageError, match=r"--progressive-size 96:0\.5: valid: sizes below the input's, 96 px"):
        check_network(replace(TINY.initial, input_size=96, progressive_size="96:0.5"))


def test_a_size_that_the_network_does_not_take_is_named() -> None:
    with pytest.raises(UsageError, match="--input-size 100"):
        build_network(replace(TINY.initial, input_size=160, progressive_size="100:0.5"), 14)


@pytest.mark.parametrize("recipe", RECIPES.values())
def test_recipes_grow_to_their_own_size(recipe: Preset) -> None:
    build_network(recipe.initial, 14)
