"""Published results, printed beside the scores. None is computed here.

A result is shown only where it and the scores are taken on the whole test split, with the person's own left and right,
from the data set's usual initial box, and for PCP by the same rule. For two sources it is not certain that they measure
the same: CPM does not define the unit of length of its PCK here, and deeppose_tf counts limbs in its own way. Their
notes below the table state it.
"""

from __future__ import annotations

from typing import Any

DEEPPOSE = "Toshev & Szegedy, CVPR 2014"
CPM = "Wei et al., Convolutional Pose Machines, CVPR 2016"
DEEPPOSE_TF = "github.com/asanakoy/deeppose_tf, stage 1"
MEDIAPIPE = "measured for this project with MediaPipe Pose 'full' 0.10.14"

UNCERTAIN = "not comparable for sure"
"""Begins the note of a result that may measure something else than the score above it."""
_CPM_NOTE = f"{UNCERTAIN}: PCK@0.2 as its authors name it, whose unit of length may differ from the labelled box"
_DEEPPOSE_TF_NOTE = f"{UNCERTAIN}: mean of six limb kinds, limbs found as that project counts them"

TEST_IMAGES = {"lsp": 1000, "flic": 1016}
"""Images of the test splits on which the results were taken."""


def _pdj(**joints: float) -> dict[str, Any]:
    return {"pdj": {"threshold": 0.2, "joints": joints}}


def _pcp(*limbs: float, **means: float) -> dict[str, Any]:
    kinds = dict(zip(("upper_arm", "lower_arm", "upper_leg", "lower_leg"), limbs, strict=False))
    return {"pcp": {"rule": "strict", **({"limbs": kinds} if kinds else {}), **means}}


def _pck(joints: dict[str, float], **means: float) -> dict[str, Any]:
    return {"pck": {"alpha": 0.2, **({"joints": joints} if joints else {}), **means}}


def _row(name: str, source: str, scores: dict[str, Any], *, unverified: bool = False, note: str = "") -> dict[str, Any]:
    """A row as in scores.json. `unverified`: quoted from memory of the paper. `note`: a condition of the comparison."""
    return {"name": name, "source": source, "unverified": unverified, **({"note": note} if note else {}), **scores}


PUBLISHED: dict[str, tuple[dict[str, Any], ...]] = {
    "lsp": (
        _row("DeepPose stage 1", DEEPPOSE, _pcp(0.50, 0.27, 0.74, 0.65, mean_arms_legs=0.54), unverified=True),
        _row("DeepPose stage 2", DEEPPOSE, _pcp(0.56, 0.36, 0.78, 0.70, mean_arms_legs=0.60), unverified=True),
        _row("DeepPose stage 3", DEEPPOSE, _pcp(0.56, 0.38, 0.77, 0.71, mean_arms_legs=0.61), unverified=True),
        _row("deeppose_tf, random", DEEPPOSE_TF, _pcp(mean=0.420), note=_DEEPPOSE_TF_NOTE),
        _row("deeppose_tf, ImageNet", DEEPPOSE_TF, _pcp(mean=0.557), note=_DEEPPOSE_TF_NOTE),
        _row(
            "MediaPipe Pose",
            MEDIAPIPE,
            _pcp(0.756, 0.661, 0.838, 0.804, mean_arms_legs=0.765),
            note="images at twice their size",
        ),
        _row("CPM", CPM, _pck({}, mean=0.8432), note=_CPM_NOTE),
    ),
    "flic": (
        _row("DeepPose", DEEPPOSE, _pdj(elbow=0.923, wrist=0.820), unverified=True),
        _row("MediaPipe Pose", MEDIAPIPE, _pdj(elbow=0.934, wrist=0.915), note="initial box of 3 torso boxes"),
        _row("CPM", CPM, _pck({"elbow": 0.9759, "wrist": 0.9503}), note=_CPM_NOTE),
    ),
}
"""By data set: rows with the same keys as the scores, in fractions of 1."""


def comparable_results(
    data: str, split: str, images: int, *, centric: str, usual_box: bool, pcp_rule: str
) -> list[dict[str, Any]]:
    """The results that may be shown beside the scores of so many images of a data set's split.

    `usual_box`: the initial box is the data set's default for evaluation.
    """
    if split != "test" or centric != "person" or not usual_box or images != TEST_IMAGES.get(data):
        return []
    return [row for row in PUBLISHED[data] if row.get("pcp", {}).get("rule", pcp_rule) == pcp_rule]
