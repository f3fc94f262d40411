"""Figures that others have published, to be printed beside ours. None is computed here.

A figure stands beside a score only where both are taken on the whole test split, with the person's own left and right,
from the data set's usual initial box, and for PCP by the same rule. Whether both measure the same is not sure of two
sources: CPM does not say here what unit of length its PCK has, and deeppose_tf counts limbs in its own way. Their notes
say so, and the notes are printed below the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DEEPPOSE = "Toshev & Szegedy, CVPR 2014"
CPM = "Wei et al., Convolutional Pose Machines, CVPR 2016"
DEEPPOSE_TF = "github.com/asanakoy/deeppose_tf, stage 1"
MEDIAPIPE = "measured for this project with MediaPipe Pose 'full' 0.10.14"

NOT_SURE = "not comparable for sure"
"""Begins the note of a figure that may measure something else than the score above it."""

TEST_IMAGES = {"lsp": 1000, "flic": 1016}
"""Images of the test splits on which the figures were taken."""


@dataclass(frozen=True)
class PublishedResult:
    """One row of somebody's table, as fractions of 1."""

    name: str
    data: str
    metric: Literal["pdj", "pcp", "pck"]
    means: Mapping[str, float] = field(default_factory=dict)
    """By the keys of a row in scores.json: mean, mean_arms_legs."""
    kinds: Mapping[str, float] = field(default_factory=dict)
    """By joint kind; for PCP by limb kind."""
    source: str = ""
    unverified: bool = False
    """Quoted from memory of the paper, not checked against it."""
    note: str = ""
    """What else is to be known before comparing."""
    rule: str = "strict"
    """PCP's reading."""
    at: float = 0.2
    """PDJ's threshold, PCK's α."""

    def as_row(self) -> dict[str, Any]:
        """As in scores.json: keys of a computed row, and where the figures come from."""
        facts: dict[str, dict[str, Any]] = {
            "pdj": {"threshold": self.at},
            "pcp": {"rule": self.rule},
            "pck": {"alpha": self.at},
        }
        parts = {"limbs" if self.metric == "pcp" else "joints": dict(self.kinds)} if self.kinds else {}
        row: dict[str, Any] = {"name": self.name, "source": self.source, "unverified": self.unverified}
        if self.note:
            row["note"] = self.note
        return {**row, self.metric: {**facts[self.metric], **parts, **self.means}}


def _deeppose_lsp(stage: int, *values: float) -> PublishedResult:
    return PublishedResult(
        name=f"DeepPose stage {stage}",
        data="lsp",
        metric="pcp",
        kinds=dict(zip(("upper_arm", "lower_arm", "upper_leg", "lower_leg"), values[:4], strict=True)),
        means={"mean_arms_legs": values[4]},
        source=DEEPPOSE,
        unverified=True,
    )


def _deeppose_tf(start: str, mean: float) -> PublishedResult:
    return PublishedResult(
        name=f"deeppose_tf, {start}",
        data="lsp",
        metric="pcp",
        means={"mean": mean},
        source=DEEPPOSE_TF,
        note=f"{NOT_SURE}: mean of six limb kinds, limbs found as that project counts them",
    )


def _cpm(data: str, **figures: Mapping[str, float]) -> PublishedResult:
    return PublishedResult(
        name="CPM",
        data=data,
        metric="pck",
        kinds=figures.get("kinds", {}),
        means=figures.get("means", {}),
        source=CPM,
        note=f"{NOT_SURE}: PCK@0.2 as its authors name it, whose unit of length may differ from the labelled box",
    )


PUBLISHED = (
    _deeppose_lsp(1, 0.50, 0.27, 0.74, 0.65, 0.54),
    _deeppose_lsp(2, 0.56, 0.36, 0.78, 0.70, 0.60),
    _deeppose_lsp(3, 0.56, 0.38, 0.77, 0.71, 0.61),
    _deeppose_tf("random", 0.420),
    _deeppose_tf("ImageNet", 0.557),
    PublishedResult(
        name="MediaPipe Pose",
        data="lsp",
        metric="pcp",
        kinds={"upper_arm": 0.756, "lower_arm": 0.661, "upper_leg": 0.838, "lower_leg": 0.804},
        means={"mean_arms_legs": 0.765},
        source=MEDIAPIPE,
        note="images at twice their size",
    ),
    _cpm("lsp", means={"mean": 0.8432}),
    PublishedResult(
        name="DeepPose",
        data="flic",
        metric="pdj",
        kinds={"elbow": 0.923, "wrist": 0.820},
        source=DEEPPOSE,
        unverified=True,
    ),
    PublishedResult(
        name="MediaPipe Pose",
        data="flic",
        metric="pdj",
        kinds={"elbow": 0.934, "wrist": 0.915},
        source=MEDIAPIPE,
        note="initial box of 3 torso boxes",
    ),
    _cpm("flic", kinds={"elbow": 0.9759, "wrist": 0.9503}),
)


def comparable_results(
    data: str, split: str, images: int, *, centric: str, usual_box: bool, pcp_rule: str
) -> list[PublishedResult]:
    """The figures that may stand beside scores of a data set's split of so many images. `usual_box`: the initial box is
    the one that the data set is evaluated with where nobody says otherwise."""
    if split != "test" or centric != "person" or not usual_box or images != TEST_IMAGES.get(data):
        return []
    return [each for each in PUBLISHED if each.data == data and (each.metric != "pcp" or each.rule == pcp_rule)]
