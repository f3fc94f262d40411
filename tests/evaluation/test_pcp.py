"""PCP against a slow reference of its three readings, and Buffy's windows against rectangles of whole pixels."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest

from deeppose_cli.config.defaults import PcpRule
from deeppose_cli.core.skeleton import BUFFY10, FLIC10, LSP14, Limb, Skeleton
from deeppose_cli.evaluation import pcp
from tests.helpers.poses import INPUTS, SKELETONS, Make, Poses, is_defined, random_poses, share, with_gaps, zero_lengths

Point = tuple[float, float]


# --- References: one image, one stick, one number at a time ----------------------------------------------------------


def middle(pose: Poses, skeleton: Skeleton, joints: tuple[str, ...]) -> Point:
    points = [pose[skeleton.index(joint)] for joint in joints]
    return sum(point[0] for point in points) / len(points), sum(point[1] for point in points) / len(points)


def stick_of(pose: Poses, skeleton: Skeleton, limb: Limb) -> tuple[Point, Point]:
    return middle(pose, skeleton, limb.start), middle(pose, skeleton, limb.end)


def slow_window(pose: Poses) -> tuple[float, float, float, float] | None:
    """left, top, right, bottom of a person of Buffy's."""
    chin, top, neck, hip = (pose[BUFFY10.index(joint)] for joint in ("chin", "head_top", "neck", "mid_hip"))
    if not all(is_defined(point) for point in (chin, top, neck, hip)):
        return None
    torso = ((neck[0] + hip[0]) / 2, (neck[1] + hip[1]) / 2)
    low, high = min(chin[1], top[1], torso[1]), max(chin[1], top[1], torso[1])
    x, width = ((chin[0] + top[0]) / 2 + torso[0]) / 2, (high - low) / 0.9
    return x - width / 2, low, x + width / 2, high


def slow_match(pred: Poses, truth: Poses) -> bool | None:
    """None: the true window is not labelled."""
    p, t = slow_window(pred), slow_window(truth)
    if t is None or p is None:
        return None if t is None else False
    shared = max(0, min(p[2], t[2]) - max(p[0], t[0])) * max(0, min(p[3], t[3]) - max(p[1], t[1]))
    union = sum((right - left) * (bottom - top) for left, top, right, bottom in (p, t)) - shared
    return bool(p == t if union == 0 else shared / union > 0.5)


def slow_found(p: Poses, t: Poses, skeleton: Skeleton, limb: Limb, rule: PcpRule) -> bool | None:
    (t1, t2), (p1, p2) = stick_of(t, skeleton, limb), stick_of(p, skeleton, limb)
    if not (is_defined(t1) and is_defined(t2)):
        return None
    if not (is_defined(p1) and is_defined(p2)):
        return False
    length = math.dist(t1, t2)
    if rule == "strict":
        return math.dist(p1, t1) <= length / 2 and math.dist(p2, t2) <= length / 2
    if rule == "mean":
        return (math.dist(p1, t1) + math.dist(p2, t2)) / 2 <= length / 2
    if skeleton is BUFFY10 and slow_match(p, t) is False:
        return False
    if math.dist(p1, t2) < math.dist(p1, t1):
        p1, p2 = p2, p1
    if length == 0:
        return p1 == t1 and p2 == t2
    # Turn the image so that the true stick lies on the x axis.
    angle = -math.atan2(t2[1] - t1[1], t2[0] - t1[0])
    turned = [
        (x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle))
        for x, y in ((p1[0] - t1[0], p1[1] - t1[1]), (p2[0] - t2[0], p2[1] - t2[1]))
    ]
    along, across = (sum(abs(offset[axis]) for offset in turned) / 2 for axis in (0, 1))
    return along < length / 2 and across < length / 2


def slow_pcp(pred: Poses, truth: Poses, skeleton: Skeleton, rule: PcpRule) -> list[float]:
    rates = []
    for limb in skeleton.limbs:
        outcomes = [slow_found(p, t, skeleton, limb, rule) for p, t in zip(pred, truth, strict=True)]
        rates.append(share([outcome for outcome in outcomes if outcome is not None]))
    return rates


RULES = pytest.mark.parametrize("rule", get_args(PcpRule))


# --- All rules -------------------------------------------------------------------------------------------------------


@SKELETONS
@INPUTS
@RULES
def test_pcp_is_its_definition(make: Make, skeleton: Skeleton, rule: PcpRule) -> None:
    pred, truth = make(skeleton)
    np.testing.assert_allclose(pcp.pcp_hits(pred, truth, skeleton, rule).rates(), slow_pcp(pred, truth, skeleton, rule))


@SKELETONS
@RULES
@pytest.mark.parametrize("make", [random_poses, zero_lengths])
def test_the_truth_itself_scores_one(make: Make, skeleton: Skeleton, rule: PcpRule) -> None:
    _, truth = make(skeleton)
    assert (pcp.pcp_hits(truth, truth, skeleton, rule).rates() == 1).all()


@SKELETONS
@RULES
def test_the_order_of_images_does_not_matter(skeleton: Skeleton, rule: PcpRule) -> None:
    pred, truth = with_gaps(skeleton)
    order = np.random.default_rng(5).permutation(len(pred))
    shuffled = pcp.pcp_hits(pred[order], truth[order], skeleton, rule).rates()
    np.testing.assert_array_equal(pcp.pcp_hits(pred, truth, skeleton, rule).rates(), shuffled)


@pytest.mark.parametrize("rule", ["strict", "mean"])
@pytest.mark.parametrize("off", [0.5, 0.501])
def test_half_a_limb_off_is_the_limit(rule: PcpRule, off: float) -> None:
    _, truth = random_poses(LSP14, n=200)
    arm = LSP14.limbs[0]
    start, end = (truth[:, LSP14.index(joint[0])] for joint in (arm.start, arm.end))
    pred = truth.copy()
    for joint in (*arm.start, *arm.end):
        pred[:, LSP14.index(joint)] += off * np.linalg.norm(end - start, axis=-1)[:, None] * np.array([0.6, -0.8])
    assert pcp.pcp_hits(pred, truth, LSP14, rule).rates()[0] == (off == 0.5)


def test_strict_is_the_strictest_rule() -> None:
    pred, truth = random_poses(LSP14, n=400, noise=20)
    strict, mean = (pcp.pcp_hits(pred, truth, LSP14, rule).rates() for rule in ("strict", "mean"))
    assert (strict < mean).all()


def test_unknown_rules_are_refused() -> None:
    pred, truth = random_poses(LSP14, n=3)
    with pytest.raises(ValueError, match="'loose' is unknown; valid: strict, mean, buffy"):
        pcp.pcp_hits(pred, truth, LSP14, "loose").rates()  # type: ignore[arg-type]


# --- Limbs and their names -------------------------------------------------------------------------------------------


def test_kinds_and_names_of_limbs() -> None:
    assert list(pcp.limb_kinds(FLIC10)) == ["upper_arm", "lower_arm", "torso"]
    names = pcp.limb_names(LSP14)
    assert sorted(names) == sorted(
        [f"{side}_{part}_{of}" for side in ("left", "right") for part in ("upper", "lower") for of in ("arm", "leg")]
        + ["torso", "head"]
    )
    for name, limb in zip(names, LSP14.limbs, strict=True):
        if "_" in name:
            assert all(joint.startswith(name.partition("_")[0]) for joint in limb.start + limb.end)


def test_a_limb_is_predicted_if_all_its_joints_are() -> None:
    chosen = np.array([joint not in ("left_elbow", "left_hip") for joint in LSP14.joints])
    lost = np.array(pcp.limb_names(LSP14))[~pcp.limbs_of_joints(chosen, LSP14)]
    assert sorted(lost) == ["left_lower_arm", "left_upper_arm", "left_upper_leg", "torso"]


# --- Buffy's stick rule ----------------------------------------------------------------------------------------------


def test_buffys_rule_measures_in_the_sticks_frame() -> None:
    """Errors along the stick of opposite sign do not cancel, and 0.4 along with 0.4 across is still found."""
    limb = LSP14.limbs[0]
    start, end = LSP14.index(limb.start[0]), LSP14.index(limb.end[0])
    truth = np.zeros((1, 14, 2))
    truth[0, end] = 30, 40

    def found(along: tuple[float, float], across: tuple[float, float]) -> bool:
        pred = truth.copy()
        for joint, a, b in zip((start, end), along, across, strict=True):
            pred[0, joint] += np.array([0.6, 0.8]) * a * 50 + np.array([-0.8, 0.6]) * b * 50
        return bool(pcp.pcp_hits(pred, truth, LSP14, "buffy").rates()[0])

    assert found((0.4, 0.4), (0.4, -0.4))
    assert found((0.45, -0.5), (0.9, 0.0))
    assert not found((0.45, -0.6), (0.0, 0.0))
    assert not found((0.0, 0.0), (0.9, 0.2))


def test_by_buffys_rule_a_stick_may_be_given_from_either_end() -> None:
    _, truth = random_poses(BUFFY10, n=30)
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist")):  # one after the other: an elbow is an end of two
        turned = truth.copy()
        for side in ("left", "right"):
            i, j = BUFFY10.index(f"{side}_{a}"), BUFFY10.index(f"{side}_{b}")
            turned[:, [i, j]] = truth[:, [j, i]]
        kind = "upper_arm" if a == "shoulder" else "lower_arm"
        limbs = [limb.kind == kind for limb in BUFFY10.limbs]
        assert (pcp.pcp_hits(turned, truth, BUFFY10, "buffy").rates()[limbs] == 1).all()
        assert (pcp.pcp_hits(turned, truth, BUFFY10, "strict").rates()[limbs] == 0).all()


# --- Buffy's windows -------------------------------------------------------------------------------------------------


def upright() -> Poses:
    """(1, 10, 2): the window is 90 px high, from head_top at y = 10 to the torso's centre at y = 100, and 100 px wide
    around x = 200."""
    pose = np.full((1, 10, 2), 150.0)
    for joint, point in {"head_top": (200, 10), "chin": (200, 40), "neck": (200, 50), "mid_hip": (200, 150)}.items():
        pose[0, BUFFY10.index(joint)] = point
    return pose


def shifted(x: float, y: float) -> Poses:
    return upright() + np.array([x, y])


def matches(pred: Poses) -> bool:
    return bool(pcp.window_hits(pred, upright(), BUFFY10).hits)


def test_a_window_matches_if_more_than_half_of_the_union_is_shared() -> None:
    """Shifted by s of 100 px the two windows share 100 − s and cover 100 + s: half at s = 33.3."""
    for shift, expected in ((33, True), (34, False), (-33, True), (-34, False)):
        assert matches(shifted(shift, 0)) is expected
    for shift, expected in ((29.9, True), (30.1, False)):  # of 90 px
        assert matches(shifted(0, shift)) is expected
    assert not matches(shifted(0, 30))  # exactly half: the scorer asks for more


def test_a_window_is_wider_than_high_by_the_scorers_factor() -> None:
    """Half the height is half the width and so a quarter of the area; 0.72 of the height, 0.52."""
    for factor, expected in ((0.72, True), (0.70, False)):
        smaller = upright()
        smaller[..., 0] = 200
        smaller[..., 1] = 10 + factor * (upright()[..., 1] - 10)
        assert matches(smaller) is expected


@pytest.mark.parametrize("joint", ["head_top", "mid_hip"])
def test_without_a_window_nobody_matches_and_arms_are_wrong_too(joint: str) -> None:
    pred = upright()
    pred[0, BUFFY10.index(joint)] = np.nan
    assert not matches(pred)
    assert (pcp.pcp_hits(pred, upright(), BUFFY10, "buffy").rates() == 0).all()
    alone = pcp.pcp_hits(pred, upright(), BUFFY10, "buffy", windows=False).rates()
    assert alone.sum() == 5


def test_the_official_numbers() -> None:
    """Four people: all right; two arms wrong; not matched; without a label for the head, so not to be matched."""
    _, truth = random_poses(BUFFY10, n=4, seed=9)
    pred = truth.copy()
    pred[1, BUFFY10.index("left_wrist")] += 1000  # the left lower arm
    pred[1, BUFFY10.index("right_shoulder")] += 1000  # the right upper arm
    pred[2] += 1000
    truth[3, BUFFY10.index("chin")] = np.nan
    hits = pcp.pcp_hits(pred, truth, BUFFY10, "buffy")
    found = pcp.buffy_scores(hits, pcp.window_hits(pred, truth, BUFFY10), BUFFY10)
    kinds = found.pop("limbs_of_detected")
    assert list(found.values()) == pytest.approx([2 / 3, 10 / 12, 10 / 18])
    assert {kind: float(rate) for kind, rate in kinds.items()} == {
        "upper_arm": 3 / 4,
        "lower_arm": 3 / 4,
        "torso": 1,
        "head": 1,
    }
    assert hits.rates().tolist() == pytest.approx([3 / 4, 2 / 4, 2 / 4, 3 / 4, 3 / 4, 2 / 3])


@pytest.mark.parametrize(("shift", "people", "expected"), [(1000, 3, (0, None, 0)), (0, 0, (None, None, None))])
def test_the_official_numbers_where_nobody_is_matched_or_there(
    shift: float, people: int, expected: tuple[float | None, ...]
) -> None:
    _, truth = random_poses(BUFFY10, n=people)
    pred = truth + shift
    hits, windows = pcp.pcp_hits(pred, truth, BUFFY10, "buffy"), pcp.window_hits(pred, truth, BUFFY10)
    found = pcp.buffy_scores(hits, windows, BUFFY10)
    del found["limbs_of_detected"]
    assert [None if math.isnan(value) else value for value in found.values()] == list(expected)


# --- Limbs that were marked, not joints ------------------------------------------------------------------------------

ALONE = Skeleton("one stick", ("a", "b"), (Limb("stick", ("a",), ("b",)),), scale_by=("a", "b"))


def all_sticks(poses: Poses) -> Poses:
    """(N, K, 2) → (N, L, 2, 2) the limbs' ends as the joints have them."""
    return np.array([[stick_of(pose, BUFFY10, limb) for limb in BUFFY10.limbs] for pose in poses])


def test_buffys_rule_goes_by_the_ends_that_were_marked() -> None:
    """Each limb by itself, against a skeleton of nothing but its own two ends."""
    pred, truth = random_poses(BUFFY10, noise=30)
    true = all_sticks(truth)
    marked = true + np.random.default_rng(3).normal(0, 10, true.shape)
    found = pcp.pcp_hits(pred, truth, BUFFY10, "buffy", windows=False, marked=marked)
    assert found.valid.all()
    assert 0.1 < found.hits.mean() < 0.9
    for image, row in enumerate(all_sticks(pred)):
        for place, stick in enumerate(row):
            expected = slow_found(stick, marked[image, place], ALONE, ALONE.limbs[0], "buffy")
            assert found.hits[image, place] == expected
    for rule in ("strict", "mean"):
        with_, without = (pcp.pcp_hits(pred, truth, BUFFY10, rule, marked=m) for m in (marked, None))
        assert (with_.hits == without.hits).all()


def test_marked_sticks_that_are_the_joints_own_change_nothing() -> None:
    pred, truth = random_poses(BUFFY10)
    with_, without = (pcp.pcp_hits(pred, truth, BUFFY10, "buffy", marked=m) for m in (all_sticks(truth), None))
    assert (with_.hits == without.hits).all()
