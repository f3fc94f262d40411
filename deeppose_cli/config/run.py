"""Configuration of one stage of a run: the content of its `config.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from deeppose_cli.config.schema import RefinementPreset, StagePreset, from_mapping
from deeppose_cli.core.skeleton import Skeleton


@dataclass(frozen=True)
class StageRunConfig:
    """All that is needed to repeat a stage's training. None: not known, or not of this stage."""

    run: str
    stage: int
    data: str
    """Name of the data set."""
    skeleton: dict[str, Any]
    """`Skeleton.to_mapping()`"""
    box: str
    """Source of the initial box."""
    square_initial_box: bool
    settings: StagePreset
    """A RefinementPreset from stage 2 on."""
    preset: str | None = None
    seed: int = 0
    sigma: float | None = None
    """Side of the crops in units of diam; from stage 2 on."""
    trainer: dict[str, Any] = field(default_factory=dict)
    """Arguments of Lightning's Trainer."""
    previous_stage_sha256: str | None = None
    """First digits of the hash of the checkpoint that the stage refines."""
    num_train_images: int | None = None
    imported: str | None = None
    """Name of the weights file that the stage was imported from."""
    command: str | None = None
    deeppose_version: str | None = None
    commit: str | None = None
    """Of the toolkit's source code."""

    @property
    def max_epochs(self) -> int:
        return int(self.trainer.get("max_epochs", self.settings.max_epochs))

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for YAML, without those that are None or empty."""
        return {name: value for name, value in asdict(self).items() if value is not None and value != {}}

    @staticmethod
    def from_mapping(values: Any) -> StageRunConfig:
        """Inverse of `to_mapping`. Raises ValueError, one line, for an unknown or missing key or a bad value."""
        if isinstance(values, Mapping) and "settings" in values:
            stage = values.get("stage")
            kind = RefinementPreset if isinstance(stage, int) and stage > 1 else StagePreset
            values = {**values, "settings": from_mapping(kind, values["settings"], "settings")}
        config = from_mapping(StageRunConfig, values, "configuration")
        Skeleton.from_mapping(config.skeleton)
        return config
