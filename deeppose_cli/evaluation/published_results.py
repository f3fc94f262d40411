"""Published results, printed beside the scores where they are taken in the same way. None is computed here."""

from __future__ import annotations

from typing import Any

DEEPPOSE = "Toshev & Szegedy, CVPR 2014"
CPM = "Wei et al., Convolutional Pose Machines, CVPR 2016"
DEEPPOSE_TF = "github.com/asanakoy/deeppose_tf, stage 1"
MEDIAPIPE = "measured for this project with MediaPipe Pose 'full' 0.10.14"
_CPM_NOTE = (
    "not comparable for sure: PCK@0.2 as its authors name it, whose unit of length may differ from the labelled box"
)
_DEEPPOSE_TF_NOTE = "not comparable for sure: mean of six limb kinds, limbs found as that project counts them"

TEST_IMAGES = {"lsp": 1000, "flic": 1016}
"""Images of the test splits on which the results were taken."""


def _row(name: str, source: str, note: str = "", **scores: dict[str, Any]) -> dict[str, Any]:
    """A row as in scores.json. `note`: a condition of the comparison. The paper is quoted from memory: unverified."""
    unverified = source == DEEPPOSE
    return {"name": name, "source": source, "unverified": unverified, **({"note": note} if note else {}), **scores}


def _pcp(mean: float, *limbs: float) -> dict[str, Any]:
    kinds = ("upper_arm", "lower_arm", "upper_leg", "lower_leg")
    return {"rule": "strict", "limbs": dict(zip(kinds, limbs, strict=True)), "mean_arms_legs": mean}


PUBLISHED: dict[str, tuple[dict[str, Any], ...]] = {
    "lsp": (
        _row("DeepPose stage 1", DEEPPOSE, pcp=_pcp(0.54, 0.50, 0.27, 0.74, 0.65)),
        _row("DeepPose stage 2", DEEPPOSE, pcp=_pcp(0.60, 0.56, 0.36, 0.78, 0.70)),
        _row("DeepPose stage 3", DEEPPOSE, pcp=_pcp(0.61, 0.56, 0.38, 0.77, 0.71)),
        _row("deeppose_tf, random", DEEPPOSE_TF, _DEEPPOSE_TF_NOTE, pcp={"rule": "strict", "mean": 0.420}),
        _row("deeppose_tf, ImageNet", DEEPPOSE_TF, _DEEPPOSE_TF_NOTE, pcp={"rule": "strict", "mean": 0.557}),
        _row("MediaPipe Pose", MEDIAPIPE, "images at twice their size", pcp=_pcp(0.765, 0.756, 0.661, 0.838, 0.804)),
        _row("CPM", CPM, _CPM_NOTE, pck={"alpha": 0.2, "mean": 0.8432}),
    ),
    "flic": (
        _row("DeepPose", DEEPPOSE, pdj={"threshold": 0.2, "joints": {"elbow": 0.923, "wrist": 0.820}}),
        _row(
            "MediaPipe Pose",
            MEDIAPIPE,
            "initial box of 3 torso boxes",
            pdj={"threshold": 0.2, "joints": {"elbow": 0.934, "wrist": 0.915}},
        ),
        _row("CPM", CPM, _CPM_NOTE, pck={"alpha": 0.2, "joints": {"elbow": 0.9759, "wrist": 0.9503}}),
    ),
}
"""By data set: rows with the same keys as the scores, in fractions of 1."""


def comparable_results(
    data: str, split: str, images: int, *, centric: str, usual_box: bool, pcp_rule: str
) -> list[dict[str, Any]]:
    """The results that may be shown beside the scores of so many images of a data set's split.

    They need the whole test split, the person's own left and right, the data set's usual initial box, and PCP's rule.
    """
    if split != "test" or centric != "person" or not usual_box or images != TEST_IMAGES.get(data):
        return []
    return [row for row in PUBLISHED[data] if row.get("pcp", {}).get("rule", pcp_rule) == pcp_rule]
