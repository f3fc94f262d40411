"""PCP as pure functions of arrays, by three rules; `pred`, `truth` and `HitCounts` are as in `metrics`.

The rule `buffy` is Buffy Stickmen's own scorer, described in the README of that release (v3.01, Eichner & Ferrari).
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import PcpRule
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.skeleton import BUFFY10, Skeleton, split_side
from deeppose_cli.evaluation import metrics
from deeppose_cli.evaluation.metrics import SLACK, HitCounts, checked, limb_ends

ARM_AND_LEG_KINDS = ("upper_arm", "lower_arm", "upper_leg", "lower_leg")
"""The limb kinds over which DeepPose's average PCP is taken."""

WINDOW_ASPECT = 0.9
"""Height over width of the window by which Buffy's scorer matches a person."""
WINDOW_OVERLAP = 0.5


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

    `strict`: both ends lie within half the limb's length of the truth. `mean`: the mean of their errors does.
    `buffy`: a predicted stick is turned round if its first end is nearer to the second true end than to the first, as
    the release's arms have no fixed order. Then, in the frame of the true stick, the ends' mean absolute errors along
    it and across it must both be less than half its length. On Buffy's own skeleton a person's window must match first
    (`window_hits`), or all of its sticks are wrong; elsewhere, and with `windows=False`, the stick rule alone counts.

    An end that is the mean of several joints is labelled, or predicted, if all of them are. `marked` (N, L, 2, 2): the
    true limbs' ends as they were marked, where limbs that meet at a joint have different ends there (Buffy's sticks);
    only the rule `buffy` uses them: by the others every data set is scored alike, by its joints. Raises ValueError for
    another rule.
    """
    pred, truth = checked(pred, truth)
    p, q = limb_ends(pred, skeleton), limb_ends(truth, skeleton)  # (2, N, L, 2)
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
        if windows and window_limbs(skeleton):
            people = window_hits(pred, truth, skeleton)
            found &= people.hits | ~people.valid
    else:
        raise ValueError(f"PCP rule '{rule}' is unknown; valid: {', '.join(get_args(PcpRule))}")
    return HitCounts(valid & found, valid)


def window_limbs(skeleton: Skeleton) -> tuple[int, int] | None:
    """Head and torso, the limbs from which the scorer makes its windows; None: not Buffy's own sticks."""
    kinds = [limb.kind for limb in skeleton.limbs]
    return (kinds.index("head"), kinds.index("torso")) if skeleton.name == BUFFY10.name else None


def predicts_windows(joints: NDArray[np.bool_], skeleton: Skeleton) -> bool:
    """Whether there are windows, and a model of these joints (K) predicts their limbs."""
    limbs = window_limbs(skeleton)
    return limbs is not None and bool(limbs_of_joints(joints, skeleton)[list(limbs)].all())


def window_hits(pred: FloatArray, truth: FloatArray, skeleton: Skeleton) -> HitCounts:
    """(N, 1) which people's windows match: the first step of Buffy's scorer.

    A window reaches in y over both ends of the head stick and the centre of the torso stick; its width is its height /
    0.9, and in x it is centred on the mean of the two sticks' centres. A predicted window matches if its intersection
    over union with the true one is greater than 0.5. A person is valid if the true head and torso are labelled.
    """

    def windows(poses: FloatArray) -> NDArray[np.float64]:
        """(4, N) left, top, right, bottom, px; NaN where head or torso is missing."""
        limbs = limb_ends(poses, skeleton)[:, :, list(window_limbs(skeleton) or ())]  # (2, N, 2, 2)
        heights = np.stack([*limbs[:, :, 0, 1], limbs[:, :, 1, 1].mean(0)])
        top, bottom = heights.min(0), heights.max(0)
        x, width = limbs[..., 0].mean((0, 2)), (bottom - top) / WINDOW_ASPECT
        return np.stack([x - width / 2, top, x + width / 2, bottom])

    found, true = (windows(poses) for poses in checked(pred, truth))
    shared, union = metrics.intersection_and_union(found, true)
    # Windows without an extent have no overlap: two such windows match if they are equal.
    matched = np.asarray((shared > WINDOW_OVERLAP * union) | (found == true).all(0))
    valid = np.asarray(~np.isnan(true).any(0))
    return HitCounts((valid & matched)[:, None], valid[:, None])


def buffy_scores(limbs: HitCounts, people: HitCounts, skeleton: Skeleton) -> dict[str, Any]:
    """The numbers of Buffy's scorer, from `pcp_hits` by the rule `buffy` and `window_hits` of the same images.

    `detection_rate`: share of the people whose window matches. `pcp_of_detected`: share of the matched people's limbs
    that are found, NaN where nobody is matched; `limbs_of_detected`: the same by limb kind. `total`: the product.
    """
    detection = float(people.rates()[0])
    of_matched = HitCounts(limbs.hits & people.hits, limbs.valid & people.hits)
    found = float(metrics.rate(of_matched.hits.sum(), of_matched.valid.sum()))
    return {
        "detection_rate": detection,
        "pcp_of_detected": found,
        "total": detection * found if people.hits.any() else detection,
        "limbs_of_detected": metrics.kind_rates(of_matched.rates(), limb_kinds(skeleton)),
    }


def limb_names(skeleton: Skeleton) -> tuple[str, ...]:
    """(L) `left_upper_arm`; `torso` for a limb of both sides or none; with its ends where the name is not unique."""
    names = []
    for limb in skeleton.limbs:
        sides = {split_side(joint)[0] for joint in (*limb.start, *limb.end)} - {""}
        names.append(f"{sides.pop()}_{limb.kind}" if len(sides) == 1 else limb.kind)
    ends = (f"{'+'.join(limb.start)}-{'+'.join(limb.end)}" for limb in skeleton.limbs)
    return tuple(f"{name} {end}" if names.count(name) > 1 else name for name, end in zip(names, ends, strict=True))


def limb_kinds(skeleton: Skeleton) -> dict[str, tuple[int, ...]]:
    """Limb indices by kind, left and right together, in the order of first appearance."""
    kinds = [limb.kind for limb in skeleton.limbs]
    return {kind: tuple(i for i, other in enumerate(kinds) if other == kind) for kind in kinds}


def limbs_of_joints(joints: NDArray[np.bool_], skeleton: Skeleton) -> NDArray[np.bool_]:
    """Which joints (K) → which limbs (L): those with all of their joints among them."""
    ends = [[skeleton.index(joint) for joint in (*limb.start, *limb.end)] for limb in skeleton.limbs]
    return np.array([joints[index].all() for index in ends], dtype=bool)
