"""`deeppose presets`."""

from __future__ import annotations

import json

import pytest

from deeppose_cli.cli.app import main
from deeppose_cli.config.presets import PRESETS
from deeppose_cli.config.schema import StagePreset, from_primitives


def test_every_preset_is_listed_with_its_cost_and_a_recipe_with_its_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    out, err = capsys.readouterr()
    assert not err
    for name, preset in PRESETS.items():
        part = out[out.index(f"{name}  {preset.title}") :].partition("cost")
        assert part[2].split("\n")[0].strip() == preset.cost
        assert ("--data" in part[0]) == bool(preset.data)
    assert "--data flic --box torso" in out


def test_json_has_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in listed] == list(PRESETS)
    for each in listed:
        assert from_primitives(StagePreset, each["initial"]) == PRESETS[each["name"]].initial


def test_one_preset_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "flic", "--json"]) == 0
    assert [preset["name"] for preset in json.loads(capsys.readouterr().out)] == ["flic"]
    assert main(["presets", "huge"]) == 2
    assert capsys.readouterr().err.startswith("error: --preset huge: unknown; valid: paper, tiny")
    assert main(["presets", "--yaml"]) == 2
    assert capsys.readouterr().err.startswith("error: --yaml: needs a NAME; valid: paper, tiny")
