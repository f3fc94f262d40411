"""The configuration of a stage, as config.yaml holds it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from deeppose_cli.config.presets import TINY
from deeppose_cli.config.run import StageRunConfig
from deeppose_cli.config.schema import RefinementPreset, StagePreset, check_settings
from deeppose_cli.core.errors import UsageError
from deeppose_cli.core.skeleton import LSP14

FIRST = StageRunConfig(
    "mine", 1, "demo", LSP14.to_mapping(), "image", True, TINY.initial, preset="tiny", trainer={"devices": 2}
)
SECOND = replace(FIRST, stage=2, settings=TINY.refinement, sigma=2.0, previous_stage_sha256="c0ffee")


@pytest.mark.parametrize("config", [FIRST, SECOND])
def test_a_configuration_survives_yaml(config: StageRunConfig) -> None:
    text = yaml.safe_dump(config.to_mapping())
    assert StageRunConfig.from_mapping(yaml.safe_load(text)) == config
    assert "null" not in text.replace("sigma: null", "")  # σ of the settings: the data set's


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"speed": 1}, "unknown 'speed'"),
        ({"seed": "0"}, "seed is '0'"),
        ({"square_initial_box": 1}, "square_initial_box is 1"),
        ({"settings": {"per_joint": True}}, "unknown 'per_joint'"),
        ({"settings": 3}, "settings is 3"),
    ],
)
def test_a_bad_key_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        StageRunConfig.from_mapping({**FIRST.to_mapping(), **changes})
    with pytest.raises(ValueError, match="configuration is a list"):
        StageRunConfig.from_mapping(["run"])


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (StagePreset, {"sigma": 1.0}, "--sigma: no setting of stage 1"),
        (RefinementPreset, {"progressive_size": "96:0.5"}, "--progressive-size: no setting of a refinement stage"),
        (StagePreset, {"max_epochs": 2.5}, "--max-epochs 2.5: must be a whole number"),
        (StagePreset, {"max_epochs": True}, "--max-epochs True: must be a whole number"),
        (StagePreset, {"flip": "often"}, "--flip often: must be a number"),
        (StagePreset, {"network": "vgg"}, "--network vgg: unknown; valid: deeppose, integral, backbone"),
    ],
)
def test_a_setting_that_cannot_be_is_named(kind: type[StagePreset], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_settings(kind, changes)
