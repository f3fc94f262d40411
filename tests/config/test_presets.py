"""The default numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deeppose_cli.config.defaults import BOX_SOURCES
from deeppose_cli.config.presets import PRESETS, RECIPES, preset_by_name
from deeppose_cli.config.schema import (
    Preset,
    RefinementPreset,
    StagePreset,
    from_primitives,
    to_primitives,
    with_changes,
)
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.data.datasets.registry import get_dataset


def test_the_papers_numbers() -> None:
    """Toshev & Szegedy, CVPR 2014, sections 3 and 4."""
    paper = preset_by_name("paper")
    for stage in (paper.initial, paper.refinement):
        assert stage.network == "deeppose"
        assert stage.input_size == 220
        assert stage.dropout == 0.6
        assert stage.batch_size == 128
        assert stage.optimizer == "adagrad"
        assert stage.learning_rate == 0.0005
        assert stage.weight_decay == 0
        assert stage.schedule == "constant"
        assert stage.coordinate_loss == "l2"
        assert stage.heatmap_weight == 0
        assert stage.augmentation.flip == 0.5
    assert paper.refinement.crops_per_joint == 40
    assert paper.refinement.sigma is None, "σ depends on the data set: 1.0 on FLIC, 2.0 on LSP"
    assert not paper.refinement.per_joint
    assert not paper.square_initial_box


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_settings_survive_a_file(preset: Preset) -> None:
    assert preset_by_name(preset.name) is preset
    for stage in (preset.initial, preset.refinement):
        assert from_primitives(type(stage), json.loads(json.dumps(to_primitives(stage)))) == stage


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_the_draws_of_an_epoch_are_whole_visits(preset: Preset) -> None:
    assert preset.refinement.crops_per_joint % preset.refinement.crops_per_visit == 0


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="--preset huge: unknown; valid: paper, tiny"):
        preset_by_name("huge")


def test_settings_of_another_version_are_refused() -> None:
    values = to_primitives(preset_by_name("tiny").refinement)
    with pytest.raises(DeepPoseError, match="stored settings do not fit this version"):
        from_primitives(StagePreset, values)
    with pytest.raises(DeepPoseError, match="unknown 'heads'"):
        from_primitives(RefinementPreset, {**values, "heads": 4})
    with pytest.raises(DeepPoseError, match="input_size is '64'"):
        from_primitives(RefinementPreset, {**values, "input_size": "64"})
    with pytest.raises(DeepPoseError, match="augmentation is 1"):
        from_primitives(RefinementPreset, {**values, "augmentation": 1})


def test_changes_reach_the_augmentation_and_leave_the_rest_alone() -> None:
    stage = preset_by_name("modern").refinement
    changed = with_changes(stage, {"learning_rate": 7.0, "erase": 0.25, "rotate": 0.0})
    assert (changed.learning_rate, changed.augmentation.erase, changed.augmentation.rotate) == (7.0, 0.25, 0.0)
    back = {"learning_rate": stage.learning_rate, "erase": 0.0, "rotate": stage.augmentation.rotate}
    assert with_changes(changed, back) == stage
    with pytest.raises(TypeError, match="speed"):
        with_changes(stage, {"speed": 1.0})


def test_settings_of_before_patches_were_erased_still_load() -> None:
    values = to_primitives(preset_by_name("modern").initial)
    del values["augmentation"]["erase"]
    assert from_primitives(StagePreset, values) == preset_by_name("modern").initial


def test_reading_settings_leaves_what_was_read_alone() -> None:
    values = to_primitives(preset_by_name("tiny").initial)
    copy = json.loads(json.dumps(values))
    from_primitives(StagePreset, values)
    assert values == copy


def test_recipes_bring_a_data_set_that_there_is_and_can_be_trained_on(tmp_path: Path) -> None:
    assert set(RECIPES) == {"lsp", "flic", "people", "people-fast"}
    for recipe in RECIPES.values():
        known = get_dataset(recipe.data, tmp_path)
        known.check_trainable()
        assert recipe.box in ("", *BOX_SOURCES)
        assert recipe.initial.init_weights == "random", "starting values are a file that not everyone has"
        assert recipe.refinement.init_weights == "previous"
        assert recipe.cost


def test_a_recipes_initial_box_is_for_its_own_data_set_only() -> None:
    flic, lsp = preset_by_name("flic"), preset_by_name("lsp")
    assert flic.box_on("flic") == "torso"
    assert flic.box_on("lsp") is None
    assert lsp.box_on("lsp") is None, "the data set's own"
    assert preset_by_name("tiny").box_on("") is None
