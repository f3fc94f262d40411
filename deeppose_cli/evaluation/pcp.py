"""PCP as pure functions of arrays, by three rules; `pred`, `truth` and `HitCounts` are as in `metrics`.

The rule `buffy` is Buffy Stickmen's own scorer, described in the README of that release (v3.01, Eichner & Ferrari).
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import PcpRule
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.skeleton import BUFFY10, SIDES, Limb, Skeleton
from deeppose_cli.evaluation.metrics import SLACK, HitCounts, checked, intersection_and_union, kind_rates, rate

ARM_AND_LEG_KINDS = ("upper_arm", "lower_arm", "upper_leg", "lower_leg")
"""The limb kinds over which DeepPose's average PCP is taken."""

WINDOW_ASPECT = 0.9
"""Height over width of the window by which Buffy's scorer matches a person."""
WINDOW_OVERLAP = 0.5
"""A predicted window matches if its intersection over union with the true one is greater than this."""


def pcp_hits(
    pred: FloatArray,
    truth: FloatArray,
    skeleton: Skeleton,
    rule: PcpRule = "strict",
    *,
    windows: bool = True,
    marked: FloatArray | None = None,
) -> HitCounts:
    """(N, L) which limbs are found, in the order of `skeleton.limbs`.

    `strict`: both ends lie within half the limb's length of the truth.
    `mean`: the mean of the two ends' errors is within half the length.
    `buffy`: the two ends of a predicted stick change places if its first end is nearer to the second true end than to
    the first, as the release's arms have no fixed order. Then, in the frame of the true stick, the mean absolute error
    of the ends along it and the mean absolute error across it must both be less than half its length. On Buffy's own
    skeleton a person's window must match first (`window_hits`), or all of its sticks are wrong; on other skeletons,
    and with `windows=False`, the stick rule alone is applied.

    A limb's end may be the mean of several joints (the torso's: both shoulders, both hips); it is labelled, or
    predicted, if all of them are. `marked` (N, L, 2, 2): start and end of the true limbs as they were marked, where
    limbs that meet at a joint have different ends there (Buffy's sticks). The rule `buffy` uses them. `strict` and
    `mean` use the joints, so that every data set is scored alike: on Buffy the elbow is then the mean of the two marked
    ends. Raises ValueError for another rule.
    """
    pred, truth = checked(pred, truth)
    p, q = _both_ends(pred, skeleton), _both_ends(truth, skeleton)  # (2, N, L, 2)
    if rule == "buffy" and marked is not None:
        q = np.moveaxis(np.asarray(marked, np.float64), 2, 0)
    valid = np.asarray(~np.isnan(q).any((0, -1)))
    stick = q[1] - q[0]
    length = np.linalg.norm(stick, axis=-1)  # (N, L)
    if rule == "buffy":
        crossed = np.linalg.norm(p[0] - q[1], axis=-1) < np.linalg.norm(p[0] - q[0], axis=-1)
        p = np.where(crossed[..., None], p[::-1], p)
    offset = p - q
    error = np.linalg.norm(offset, axis=-1)  # (2, N, L)
    # A missing prediction's error is NaN, and NaN is within no limit.
    found: NDArray[np.bool_]
    if rule == "strict":
        found = error.max(0) <= 0.5 * length * SLACK
    elif rule == "mean":
        found = error.mean(0) <= 0.5 * length * SLACK
    elif rule == "buffy":
        # Both errors are multiplied by the length, and so is the limit.
        along = np.abs((offset * stick).sum(-1)).mean(0)
        across = np.abs(offset[..., 0] * stick[..., 1] - offset[..., 1] * stick[..., 0]).mean(0)
        exact = error.max(0) == 0  # also where the true stick has no length, and so no frame
        found = (np.maximum(along, across) < 0.5 * length**2) | exact
        if windows and has_windows(skeleton):
            people = window_hits(pred, truth, skeleton)
            found &= people.hits | ~people.valid
    else:
        raise ValueError(f"PCP rule '{rule}' is unknown; valid: {', '.join(get_args(PcpRule))}")
    return HitCounts(valid & found, valid)


def has_windows(skeleton: Skeleton) -> bool:
    """Whether the scorer's windows are defined: for Buffy's own sticks."""
    return skeleton.name == BUFFY10.name


def window_limbs(skeleton: Skeleton) -> NDArray[np.bool_]:
    """(L) the limbs from which a window is made: torso and head."""
    return np.array([limb.kind in ("torso", "head") for limb in skeleton.limbs])


def window_hits(pred: FloatArray, truth: FloatArray, skeleton: Skeleton) -> HitCounts:
    """(N, 1) which people's windows match: the first step of Buffy's scorer.

    A window reaches in y over both ends of the head stick and the centre of the torso stick; its width is its height /
    0.9, and in x it is centred on the mean of the two sticks' centres. The window of the predicted sticks must have an
    intersection over union with that of the true ones greater than 0.5. A person is valid if the true head and torso
    are labelled; if the predicted head or torso is missing, the window does not match.
    """
    found, true = (_windows(_both_ends(poses, skeleton), skeleton) for poses in checked(pred, truth))
    shared, union = intersection_and_union(found, true)
    # Windows without an extent have no overlap: two such windows match if they are equal.
    matched = np.asarray((shared > WINDOW_OVERLAP * union) | (found == true).all(0))
    valid = np.asarray(~np.isnan(true).any(0))
    return HitCounts((valid & matched)[:, None], valid[:, None])


def buffy_scores(limbs: HitCounts, people: HitCounts, skeleton: Skeleton) -> dict[str, Any]:
    """The numbers of Buffy's scorer, from `pcp_hits` by the rule `buffy` and `window_hits` of the same images.

    `detection_rate`: share of the people whose window matches; NaN where there is nobody. `pcp_of_detected`: share of
    the limbs of matched people that are found; NaN where nobody is matched. `total`: the product. `limbs_of_detected`:
    the second number by limb kind.
    """
    detection = float(people.rates()[0])
    of_matched = HitCounts(limbs.hits & people.hits, limbs.valid & people.hits)
    found = float(rate(of_matched.hits.sum(), of_matched.valid.sum()))
    return {
        "detection_rate": detection,
        "pcp_of_detected": found,
        "total": detection * found if people.hits.any() else detection,
        "limbs_of_detected": kind_rates(of_matched.rates(), limb_kinds(skeleton)),
    }


def limb_name(limb: Limb) -> str:
    """`left_upper_arm`; `torso` for a limb of both sides or none."""
    side = limb.start[0].partition("_")[0]
    return f"{side}_{limb.kind}" if len(limb.start) == 1 and side in SIDES else limb.kind


def limb_kinds(skeleton: Skeleton) -> dict[str, tuple[int, ...]]:
    """Limb indices by kind, left and right together, in the order of first appearance."""
    kinds = [limb.kind for limb in skeleton.limbs]
    return {kind: tuple(i for i, other in enumerate(kinds) if other == kind) for kind in kinds}


def limbs_of_joints(joints: NDArray[np.bool_], skeleton: Skeleton) -> NDArray[np.bool_]:
    """Which joints (K) → which limbs (L): those with all of their joints among them."""
    return np.array(
        [joints[[skeleton.index(joint) for joint in (*limb.start, *limb.end)]].all() for limb in skeleton.limbs],
        dtype=bool,
    )


def _windows(ends: FloatArray, skeleton: Skeleton) -> NDArray[np.float64]:
    """(4, N) left, top, right, bottom, px, from limbs' ends (2, N, L, 2); NaN where head or torso is missing."""
    kinds = [limb.kind for limb in skeleton.limbs]
    head, torso = ends[:, :, kinds.index("head")], ends[:, :, kinds.index("torso")]
    heights = np.stack([*head[..., 1], torso[..., 1].mean(0)])
    top, bottom = heights.min(0), heights.max(0)
    x, width = np.concatenate([head, torso])[..., 0].mean(0), (bottom - top) / WINDOW_ASPECT
    return np.stack([x - width / 2, top, x + width / 2, bottom])


def _both_ends(poses: FloatArray, skeleton: Skeleton) -> NDArray[np.float64]:
    """(2, N, L, 2) the limbs' starts and ends: means of their joints."""

    def means(ends: list[tuple[str, ...]]) -> NDArray[np.float64]:
        if not ends:
            return np.empty((len(poses), 0, 2))
        return np.stack([poses[:, [skeleton.index(joint) for joint in joints]].mean(1) for joints in ends], axis=1)

    return np.stack([means([limb.start for limb in skeleton.limbs]), means([limb.end for limb in skeleton.limbs])])
