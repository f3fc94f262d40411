"""Configurations of stages that were not trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from deeppose_cli.checkpoints.run_folder import StageFolder
from deeppose_cli.config.presets import TINY
from deeppose_cli.config.run import StageRunConfig
from deeppose_cli.core.skeleton import LSP14


def write_config(folder: Path, *, max_epochs: int = 20, **changes: Any) -> Path:
    """Write the `config.yaml` of a stage folder `<run>/stage<N>`, and return its path."""
    number = int(folder.name.removeprefix("stage"))
    settings = replace(TINY.initial if number == 1 else TINY.refinement, max_epochs=max_epochs)
    config = StageRunConfig(
        folder.parent.name, number, "demo", LSP14.to_mapping(), "image", True, settings, preset="tiny"
    )
    stage = StageFolder(folder, number)
    stage.write_config(replace(config, **changes))
    return stage.config_file
