"""The rows of the scores document, their intervals, joints that a model does not predict, the table of images."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deeppose_cli.core.skeleton import BUFFY10, FLIC10, LSP14, Skeleton
from deeppose_cli.evaluation import metrics, pcp, predict_split, scores
from deeppose_cli.evaluation.scores import ScoredPredictions
from tests.helpers.poses import INPUTS, SKELETONS, Make, random_poses, with_gaps


@pytest.mark.parametrize("skeleton", [LSP14, FLIC10])
def test_a_row_holds_every_metric_by_kind(skeleton: Skeleton) -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(0, 100, (50, len(skeleton), 2))
    pred = truth + rng.normal(0, 10, truth.shape)
    row = scores.scores(ScoredPredictions.of_all("stage 1", pred), truth, skeleton, "mean", 0.1)
    kinds = list(skeleton.joint_kinds)
    limbs = ["upper_arm", "lower_arm", *(["upper_leg", "lower_leg"] if skeleton is LSP14 else []), "torso"]
    limbs += ["head"] if skeleton is LSP14 else []
    heads = ["pckh"] if skeleton is LSP14 else []
    assert list(row) == ["name", "joints_scored", "pdj", "pcp", "pck", *heads, "rmse", "curve"]
    assert list(row["pdj"]["joints"]) == list(row["pck"]["joints"]) == kinds
    assert list(row["pcp"]["limbs"]) == limbs
    assert list(row["curve"]) == ["thresholds", *kinds]
    assert row["curve"]["thresholds"][20] == row["pdj"]["threshold"] == 0.2
    assert {kind: row["curve"][kind][20] for kind in kinds} == row["pdj"]["joints"]

    elbows = metrics.pdj(pred, truth, skeleton)[[skeleton.index("left_elbow"), skeleton.index("right_elbow")]]
    assert row["pdj"]["joints"]["elbow"] == pytest.approx(elbows.mean(), abs=1e-6)
    weights = [len(skeleton.joint_kinds[kind]) for kind in kinds]
    for part in ("pdj", "pck"):
        mean = np.average(list(row[part]["joints"].values()), weights=weights)
        assert row[part]["mean"] == pytest.approx(mean, abs=2e-6)
    curves = np.array([row["curve"][kind] for kind in kinds])
    areas = (curves[:, 1:] + curves[:, :-1]).mean(1) / 2
    assert row["pdj"]["auc"] == pytest.approx(np.average(areas, weights=weights), abs=2e-6)
    arms_legs = [row["pcp"]["limbs"][kind] for kind in limbs if kind[:5] in ("upper", "lower")]
    assert row["pcp"]["mean_arms_legs"] == pytest.approx(np.mean(arms_legs), abs=2e-6)
    assert row["pcp"]["mean"] == pytest.approx(np.mean(list(row["pcp"]["limbs"].values())), abs=2e-6)
    assert (row["pcp"]["rule"], row["pck"]["alpha"]) == ("mean", 0.1)


def test_where_nothing_is_labelled_the_row_holds_null() -> None:
    truth = np.random.default_rng(0).uniform(0, 100, (3, 14, 2))
    truth[:, [LSP14.index("left_wrist"), LSP14.index("right_wrist")]] = np.nan
    row = scores.scores(ScoredPredictions.of_all("x", truth), truth, LSP14)
    row = json.loads(json.dumps(row, allow_nan=False))
    assert row["pdj"]["joints"]["wrist"] is None
    assert row["pcp"]["limbs"]["lower_arm"] is None
    assert row["pdj"]["mean"] == row["pcp"]["mean_arms_legs"] == 1
    assert row["curve"]["wrist"] == [None] * 51


def test_joints_and_limbs_one_by_one() -> None:
    pred, truth = with_gaps(LSP14)
    row = scores.scores(ScoredPredictions.of_all("x", pred), truth, LSP14)
    for part in ("pdj", "pck"):
        joints = row[part]["per_joint"]
        assert tuple(joints) == LSP14.joints
        elbows = (joints["left_elbow"] + joints["right_elbow"]) / 2
        assert elbows == pytest.approx(row[part]["joints"]["elbow"], abs=1e-6)
        assert np.mean(list(joints.values())) == pytest.approx(row[part]["mean"], abs=1e-6)
    limbs = row["pcp"]["per_limb"]
    assert len(limbs) == 10
    both = (limbs["left_lower_leg"] + limbs["right_lower_leg"]) / 2
    assert both == pytest.approx(row["pcp"]["limbs"]["lower_leg"], abs=1e-6)
    assert limbs["head"] == row["pcp"]["limbs"]["head"]


# --- Joints that a model does not predict -----------------------------------------------------------------------------


def row_of_other_skeleton(source: Skeleton, target: Skeleton, n: int = 40) -> tuple[ScoredPredictions, np.ndarray]:
    pred, truth = random_poses(target, n)
    predicted = predict_split.shared_joints(source, target)
    return ScoredPredictions("x", np.where(predicted[:, None], pred, np.nan), predicted), truth


def test_joints_and_limbs_that_the_model_does_not_predict_are_left_out() -> None:
    row, truth = row_of_other_skeleton(FLIC10, LSP14)
    found = scores.scores(row, truth, LSP14, draws=100)
    unknown = {"knee", "ankle", "head_top"}
    assert {kind for kind, rate in found["pdj"]["joints"].items() if rate is None} == unknown
    assert {kind for kind, rate in found["pck"]["joints"].items() if rate is None} == unknown
    assert {kind for kind, ends in found["pdj"]["interval"]["joints"].items() if ends is None} == unknown
    assert {kind for kind, rates in found["curve"].items() if None in rates} == unknown
    assert {kind for kind, rate in found["pcp"]["limbs"].items() if rate is None} == {"upper_leg", "lower_leg", "head"}
    assert set(LSP14.joints) - set(found["joints_scored"]) == {
        f"{side}_{kind}" for side in ("left", "right") for kind in ("knee", "ankle")
    } | {"head_top"}
    rates = metrics.pdj(row.poses, truth, LSP14)[row.predicted]
    assert found["pdj"]["mean"] == pytest.approx(rates.mean(), abs=1e-6)
    arms = [found["pcp"]["limbs"][kind] for kind in ("upper_arm", "lower_arm")]
    assert found["pcp"]["mean_arms_legs"] == pytest.approx(np.mean(arms), abs=1e-6)


def test_external_predictions_without_a_joint_are_wrong_there() -> None:
    row, truth = row_of_other_skeleton(FLIC10, LSP14)
    found = scores.scores(ScoredPredictions.of_all("x", row.poses), truth, LSP14)
    assert found["pdj"]["joints"]["knee"] == found["pcp"]["limbs"]["upper_leg"] == 0
    assert found["joints_scored"] == list(LSP14.joints)


def test_the_true_torso_is_the_unit_even_where_the_model_predicts_none() -> None:
    _, truth = random_poses(LSP14)
    predicted = np.array([joint not in LSP14.scale_by for joint in LSP14.joints])
    found = scores.scores(ScoredPredictions("x", np.where(predicted[:, None], truth, np.nan), predicted), truth, LSP14)
    assert found["pdj"]["mean"] == found["pck"]["mean"] == 1


def test_the_table_of_images_leaves_unknown_joints_empty(tmp_path: Path) -> None:
    row, truth = row_of_other_skeleton(FLIC10, LSP14, n=3)
    scores.write_per_image(tmp_path / "t.csv", ("a", "b", "c"), [row], truth, LSP14)
    with (tmp_path / "t.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert {cell[joint] for cell in cells for joint in ("left_knee", "head_top")} == {""}
    assert all(cell["left_elbow"] not in ("", "inf") for cell in cells)
    errors = metrics.torso_errors(row.poses, truth, LSP14)[:, row.predicted]
    shares = (errors <= 0.2).mean(1)
    assert [float(cell["pdj"]) for cell in cells] == pytest.approx(list(shares), abs=1e-4)


# --- Buffy's scorer --------------------------------------------------------------------------------------------------


def test_confidences_are_compared_with_what_is_detected_of_the_joints_that_count() -> None:
    """All confidences are .75, and half of the joints are detected. The left ankle is nowhere labelled."""
    truth, n = random_poses(LSP14, 20)[1], LSP14.index("left_ankle")
    poses = truth.copy()
    poses[::2] += 1e4
    truth[:, n] = np.nan
    row = ScoredPredictions("stage 1", poses, np.ones(14, bool), confidence=np.full((20, 14), 0.75))
    found = scores.scores(row, truth, LSP14)["confidence"]
    assert found == {"error": pytest.approx(0.25), "bins": [[0.75, 0.5, 20 * 13]]}
    assert "confidence" not in scores.scores(ScoredPredictions.of_all("x", poses), truth, LSP14)


def test_the_official_numbers_are_in_rows_by_buffys_rule_on_buffy_only() -> None:
    pred, truth = random_poses(BUFFY10, n=50)
    found = scores.scores(ScoredPredictions.of_all("x", pred), truth, BUFFY10, "buffy")["pcp"]
    official = found["buffy_official"]
    assert list(official) == ["detection_rate", "pcp_of_detected", "total", "limbs_of_detected"]
    of_detected = official["limbs_of_detected"]
    assert list(of_detected) == list(found["limbs"])
    # Nobody's stick is found who is not matched, and every stick is labelled.
    for kind, share in found["limbs"].items():
        assert share == pytest.approx(official["detection_rate"] * of_detected[kind], abs=1e-5)
    assert official["total"] == pytest.approx(official["detection_rate"] * official["pcp_of_detected"], abs=1e-5)
    assert official["total"] == pytest.approx(np.mean(list(found["per_limb"].values())), abs=1e-5)
    assert "buffy_official" not in scores.scores(ScoredPredictions.of_all("x", pred), truth, BUFFY10, "strict")["pcp"]
    pred, truth = random_poses(LSP14)
    assert "buffy_official" not in scores.scores(ScoredPredictions.of_all("x", pred), truth, LSP14, "buffy")["pcp"]


def test_a_model_without_a_head_is_scored_by_the_stick_rule_alone() -> None:
    row, truth = row_of_other_skeleton(FLIC10, BUFFY10)
    found = scores.scores(row, truth, BUFFY10, "buffy")["pcp"]
    assert "buffy_official" not in found
    assert found["limbs"]["head"] is None
    alone = pcp.pcp_hits(row.poses, truth, BUFFY10, "buffy", windows=False).rates()
    assert found["limbs"]["lower_arm"] == pytest.approx(alone[2:4].mean(), abs=1e-6)
    assert found["limbs"]["lower_arm"] > 0


# --- Intervals -------------------------------------------------------------------------------------------------------


def draw_weights(images: int, draws: int, seed: int) -> np.ndarray:
    """(D, N) how often each image is taken in each draw: the sums of columns that hold one image each."""
    return scores.resampled_sums(np.eye(images), draws, seed)


@pytest.mark.parametrize("at_a_time", [1, 60 * 7, 10**9])
def test_draws_are_of_images_with_replacement_and_the_same_for_a_seed(
    at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = draw_weights(60, 200, 3)
    monkeypatch.setattr(scores, "_WEIGHTS_IN_MEMORY", at_a_time)
    weights = draw_weights(60, 200, 3)
    np.testing.assert_array_equal(weights, expected)
    assert weights.shape == (200, 60)
    assert (weights.sum(1) == 60).all()
    # How often an image is taken: nearly Poisson with mean 1; never in 1/e of the draws.
    assert (weights == 0).mean() == pytest.approx(np.exp(-1), abs=0.02)
    assert np.abs(weights.mean(0) - 1).max() < 5 * np.sqrt(1 / 200)
    assert (draw_weights(60, 200, 4) != weights).any()


def test_sums_give_the_score_of_the_images_of_each_draw() -> None:
    """Against the metric on images repeated as they were drawn."""
    pred, truth = with_gaps(LSP14)
    counts = metrics.pdj_hits(pred, truth, LSP14, 0.2)
    sums = scores.resampled_sums(np.concatenate(counts, axis=1), 50, 1)
    found = metrics.rate(sums[:, :14], sums[:, 14:])
    for draw, weights in enumerate(draw_weights(len(pred), 50, 1)):
        rows = np.repeat(np.arange(len(pred)), weights.astype(int))
        np.testing.assert_array_equal(found[draw], metrics.pdj(pred[rows], truth[rows], LSP14, 0.2))


def test_an_interval_is_the_middle_of_the_draws() -> None:
    values = np.random.default_rng(0).permutation(np.arange(1001.0))
    assert scores.interval(values) == pytest.approx((25, 975))
    assert scores.interval(np.append(values, [np.nan] * 7)) == pytest.approx((25, 975))
    assert scores.interval(values, level=0.5) == pytest.approx((250, 750))
    assert scores.interval(np.full(5, np.nan)) is None


def width_of(images: int, rate: float = 0.3, seed: int = 0) -> tuple[float, float, float]:
    hits = np.zeros((images, 1))
    hits[: round(rate * images)] = 1
    ends = scores.interval(scores.resampled_sums(hits, 1000, seed)[:, 0] / images)
    assert ends is not None
    return hits.mean(), *ends


@pytest.mark.parametrize("images", [100, 400, 6400])
def test_the_interval_of_a_share_is_the_binomials(images: int) -> None:
    """1.96 standard errors either way, hence half as wide for four times the images."""
    value, low, high = width_of(images)
    assert low < value < high
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.3 * 0.7 / images), rel=0.1)


def test_it_covers_the_true_rate_about_as_often_as_its_level() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        hits = (rng.random((150, 1)) < 0.6).astype(float)
        ends = scores.interval(scores.resampled_sums(hits, 300, seed)[:, 0] / 150)
        assert ends is not None
        covered += ends[0] <= 0.6 <= ends[1]
    assert 0.89 <= covered / 200 <= 0.99


def test_no_images() -> None:
    assert scores.resampled_sums(np.zeros((0, 3)), 10, 0).tolist() == [[0, 0, 0]] * 10


def leaves(part: dict[str, Any]) -> dict[tuple[str, ...], Any]:
    """Values by where they stand, less facts and what has no interval."""
    found: dict[tuple[str, ...], Any] = {}
    for key, value in part.items():
        if key in ("joints", "limbs"):
            found |= {(key, kind): rate for kind, rate in value.items()}
        elif key.startswith(("mean", "auc")):
            found[key,] = value
    return found


@SKELETONS
@INPUTS
def test_every_value_has_an_interval_around_it(make: Make, skeleton: Skeleton) -> None:
    pred, truth = make(skeleton)
    row = scores.scores(ScoredPredictions.of_all("x", pred), truth, skeleton, draws=200, seed=1)
    plain = scores.scores(ScoredPredictions.of_all("x", pred), truth, skeleton)
    for part in row.keys() & {"pdj", "pcp", "pck", "pckh", "rmse"}:
        interval = row[part].pop("interval")
        assert (interval["level"], interval["draws"]) == (0.95, 200)
        ends = leaves(interval)
        values = {key: value for key, value in leaves(row[part]).items() if key in ends}
        assert values.keys() == ends.keys()
        for key, value in values.items():
            if value is None or len(pred) < 2:
                assert ends[key] is None
            else:
                assert 0 <= ends[key][0] <= value <= ends[key][1] <= (np.inf if part == "rmse" else 1)
    assert row == plain


def test_an_interval_is_that_of_the_scores_of_images_drawn_again() -> None:
    """Every score, computed again for each draw."""
    pred, truth = with_gaps(LSP14)
    row = scores.scores(ScoredPredictions.of_all("x", pred), truth, LSP14, draws=100, seed=5)
    again = []
    for weights in scores.resampled_sums(np.eye(len(pred)), 100, 5):
        images = np.repeat(np.arange(len(pred)), weights.astype(int))
        again.append(scores.scores(ScoredPredictions.of_all("x", pred[images]), truth[images], LSP14))
    for part in ("pdj", "pcp", "pck", "pckh", "rmse"):
        for key, ends in leaves(row[part]["interval"]).items():
            values = [leaves(other[part])[key] for other in again]
            assert ends == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=2e-6)


def test_the_seed_decides_the_interval() -> None:
    pred, truth = random_poses(LSP14)
    ends = [
        scores.scores(ScoredPredictions.of_all("x", pred), truth, LSP14, draws=100, seed=seed)["pdj"]["interval"]
        for seed in (1, 1, 2)
    ]
    assert ends[0] == ends[1] != ends[2]


def test_one_labelled_image_has_no_interval() -> None:
    pred, truth = random_poses(LSP14, n=20)
    truth[1:, LSP14.index("neck")] = np.nan
    found = scores.scores(ScoredPredictions.of_all("x", pred), truth, LSP14, draws=100)
    for part in ("pdj", "pck"):
        assert found[part]["joints"]["neck"] is not None
        assert found[part]["interval"]["joints"]["neck"] is None
        assert found[part]["interval"]["mean"] is not None
    assert found["pcp"]["interval"]["limbs"]["head"] is None


# --- Single images ---------------------------------------------------------------------------------------------------


def test_the_table_of_images_marks_joints_not_labelled_and_not_predicted(tmp_path: Path) -> None:
    truth = np.random.default_rng(0).uniform(0, 100, (3, 14, 2))
    pred = truth.copy()
    a, b = LSP14.scale_index
    pred[0, 0] += (truth[0, a] - truth[0, b]) / 2
    truth[1, 5], pred[1, 6] = np.nan, np.nan
    truth[2, a] = np.nan
    scores.write_per_image(
        tmp_path / "t.csv",
        ("p", "q,r", "s"),
        [ScoredPredictions.of_all("one", pred), ScoredPredictions.of_all("two", truth)],
        truth,
        LSP14,
    )
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["row"]) for row in rows[:4]] == [
        ("p", "one"),
        ("q,r", "one"),
        ("s", "one"),
        ("p", "two"),
    ]
    assert rows[0]["right_ankle"] == "0.5000"
    assert rows[0]["pdj"] == f"{13 / 14:.4f}"
    assert (rows[1]["left_ankle"], rows[1]["right_wrist"], rows[1]["pdj"]) == ("", "inf", f"{12 / 13:.4f}")
    assert rows[2]["pdj"] == rows[2]["neck"] == ""


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 7, 40])
def test_best_median_and_worst_are_that(n: int) -> None:
    rng = np.random.default_rng(n)
    truth = rng.uniform(0, 100, (n + 1, 14, 2))
    pred = truth + rng.uniform(0, 60, (n + 1, 1, 1))
    truth[n] = np.nan  # cannot be ranked
    picks = scores.best_median_worst(ScoredPredictions.of_all("x", pred), truth, LSP14, count=2)
    rank = scores.per_image_pdj(ScoredPredictions.of_all("x", pred), truth, LSP14)
    chosen = [i for images in picks.values() for i in images]
    assert len(chosen) == len(set(chosen)) == min(n, 6)
    assert n not in chosen
    assert rank[picks["best"][0]] == np.nanmax(rank)
    if "worst" in picks:
        assert rank[picks["worst"][-1]] == np.nanmin(rank)
    if n == 40:
        assert list(picks) == ["best", "median", "worst"]
        assert all(np.mean(rank[:n] >= rank[i]) > 0.4 or rank[i] == np.median(rank[:n]) for i in picks["median"])
        errors = metrics.torso_errors(pred, truth, LSP14)[:n].clip(max=2).mean(1)
        order = np.argsort(errors)  # one shift for all joints: the share detected falls with the error
        assert {int(i) for i in order[18:22]} >= set(picks["median"]) or len(set(rank[:n])) < 5
