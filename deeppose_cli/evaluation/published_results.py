"""Published results, printed beside the scores. None is computed here.

A result is shown only where it and the scores are taken on the whole test split, with the person's own left and right,
from the data set's usual initial box, and for PCP by the same rule. For two sources it is not certain that they measure
the same: CPM does not define the unit of length of its PCK here, and deeppose_tf counts limbs in its own way. Their
notes, printed below the table, say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DEEPPOSE = "Toshev & Szegedy, CVPR 2014"
CPM = "Wei et al., Convolutional Pose Machines, CVPR 2016"
DEEPPOSE_TF = "github.com/asanakoy/deeppose_tf, stage 1"
MEDIAPIPE = "measured for this project with MediaPipe Pose 'full' 0.10.14"

UNCERTAIN = "not comparable for sure"
"""Begins the note of a result that may measure something else than the score above it."""
_CPM_NOTE = f"{UNCERTAIN}: PCK@0.2 as its authors name it, whose unit of length may differ from the labelled box"
_DEEPPOSE_TF_NOTE = f"{UNCERTAIN}: mean of six limb kinds, limbs found as that project counts them"
_LIMBS = ("upper_arm", "lower_arm", "upper_leg", "lower_leg")

TEST_IMAGES = {"lsp": 1000, "flic": 1016}
"""Images of the test splits on which the results were taken."""


@dataclass(frozen=True)
class PublishedResult:
    """One row of a published table, as fractions of 1."""

    name: str
    data: str
    metric: Literal["pdj", "pcp", "pck"]
    source: str
    kinds: Mapping[str, float] = field(default_factory=dict)
    """By joint kind; for PCP by limb kind."""
    means: Mapping[str, float] = field(default_factory=dict)
    """By the keys of a row in scores.json: mean, mean_arms_legs."""
    unverified: bool = False
    """Quoted from memory of the paper, not checked against it."""
    note: str = ""
    """A condition of the comparison."""
    rule: str = "strict"
    """The rule of PCP."""
    at: float = 0.2
    """PDJ's threshold, PCK's α."""

    def as_row(self) -> dict[str, Any]:
        """The result in the form of a row of scores.json, with its source."""
        settings: dict[str, dict[str, Any]] = {
            "pdj": {"threshold": self.at},
            "pcp": {"rule": self.rule},
            "pck": {"alpha": self.at},
        }
        values = settings[self.metric]
        if self.kinds:
            values["limbs" if self.metric == "pcp" else "joints"] = dict(self.kinds)
        row: dict[str, Any] = {"name": self.name, "source": self.source, "unverified": self.unverified}
        if self.note:
            row["note"] = self.note
        return {**row, self.metric: {**values, **self.means}}


def _lsp_pcp(
    name: str, source: str, limbs: tuple[float, ...], mean: float, *, unverified: bool = False, note: str = ""
) -> PublishedResult:
    kinds = dict(zip(_LIMBS, limbs, strict=True))
    return PublishedResult(name, "lsp", "pcp", source, kinds, {"mean_arms_legs": mean}, unverified, note)


PUBLISHED = (
    _lsp_pcp("DeepPose stage 1", DEEPPOSE, (0.50, 0.27, 0.74, 0.65), 0.54, unverified=True),
    _lsp_pcp("DeepPose stage 2", DEEPPOSE, (0.56, 0.36, 0.78, 0.70), 0.60, unverified=True),
    _lsp_pcp("DeepPose stage 3", DEEPPOSE, (0.56, 0.38, 0.77, 0.71), 0.61, unverified=True),
    PublishedResult("deeppose_tf, random", "lsp", "pcp", DEEPPOSE_TF, means={"mean": 0.420}, note=_DEEPPOSE_TF_NOTE),
    PublishedResult("deeppose_tf, ImageNet", "lsp", "pcp", DEEPPOSE_TF, means={"mean": 0.557}, note=_DEEPPOSE_TF_NOTE),
    _lsp_pcp("MediaPipe Pose", MEDIAPIPE, (0.756, 0.661, 0.838, 0.804), 0.765, note="images at twice their size"),
    PublishedResult("CPM", "lsp", "pck", CPM, means={"mean": 0.8432}, note=_CPM_NOTE),
    PublishedResult("DeepPose", "flic", "pdj", DEEPPOSE, {"elbow": 0.923, "wrist": 0.820}, unverified=True),
    PublishedResult(
        "MediaPipe Pose",
        "flic",
        "pdj",
        MEDIAPIPE,
        {"elbow": 0.934, "wrist": 0.915},
        note="initial box of 3 torso boxes",
    ),
    PublishedResult("CPM", "flic", "pck", CPM, {"elbow": 0.9759, "wrist": 0.9503}, note=_CPM_NOTE),
)


def comparable_results(
    data: str, split: str, images: int, *, centric: str, usual_box: bool, pcp_rule: str
) -> list[PublishedResult]:
    """The results that may be shown beside the scores of so many images of a data set's split.

    `usual_box`: the initial box is the data set's default for evaluation.
    """
    if split != "test" or centric != "person" or not usual_box or images != TEST_IMAGES.get(data):
        return []
    return [
        result for result in PUBLISHED if result.data == data and (result.metric != "pcp" or result.rule == pcp_rule)
    ]
