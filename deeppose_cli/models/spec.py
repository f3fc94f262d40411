"""What a cascade is, without its weights: enough to build it anew. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from deeppose_cli.config.schema import RefinementPreset, StagePreset
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.models.confidence import Calibration

Pairs = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class StageSpec:
    """One stage. `settings` is a RefinementPreset from stage 2 on."""

    settings: StagePreset
    sigma: float = 1.0
    """Side of the refinement crops in units of diam; not used by stage 1."""
    displacement: tuple[Pairs, Pairs] | None = None
    """Mean and standard deviation, (K, 2) each in units of diam, of the error of the stage before; None in stage 1."""

    calibration: Calibration | None = None
    """What makes a confidence of its maps; None where that was not measured."""

    @property
    def kind(self) -> str:
        """`shared`: one network for all joints; `per-joint`: one for each."""
        return self.settings.regressor if isinstance(self.settings, RefinementPreset) else "shared"


@dataclass(frozen=True)
class CascadeSpec:
    """S stages and what they share."""

    skeleton: Skeleton
    stages: tuple[StageSpec, ...]
    square_initial_box: bool
