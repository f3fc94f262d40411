"""Specification of a cascade: everything but its weights, enough to build it. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from deeppose_cli.config.schema import RefinementPreset, StagePreset
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.models.confidence import Calibration
from deeppose_cli.models.displacement import Displacement


@dataclass(frozen=True)
class StageSpec:
    """One stage."""

    settings: StagePreset
    """A RefinementPreset from stage 2 on."""
    sigma: float = 1.0
    """σ: side of the refinement crops in units of diam, or of the pose's box; not used by stage 1."""
    displacement: Displacement | None = None
    """Error of the previous stage; None in stage 1."""
    calibration: Calibration | None = None
    """Turns peak masses into confidences; None where it was not measured."""

    @property
    def per_joint(self) -> bool:
        """Whether each joint has a network of its own."""
        return isinstance(self.settings, RefinementPreset) and self.settings.per_joint and self.view == "joint"

    @property
    def view(self) -> str:
        """What a crop shows: the whole `person`, or one `joint`."""
        return self.settings.view if isinstance(self.settings, RefinementPreset) else "person"


@dataclass(frozen=True)
class CascadeSpec:
    """S stages and what they share."""

    skeleton: Skeleton
    stages: tuple[StageSpec, ...]
    square_initial_box: bool
    """Whether b⁰ is widened to a square."""
