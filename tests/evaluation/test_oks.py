"""OKS: equal to pycocotools run by hand on the annotation file and a results file, and to its definition."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.skeleton import FLIC10, LSP14, Skeleton
from deeppose_cli.data.datasets.coco import read_coco, write_coco
from deeppose_cli.evaluation.external_predictions import external_rows
from deeppose_cli.evaluation.oks import NAMES, oks_scores, person_areas
from deeppose_cli.evaluation.scores import ScoredPredictions

COCO17 = Skeleton(
    "coco17",
    (
        *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
        *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"),
        *("left_ankle", "right_ankle"),
    ),
)
SIGMAS = np.array(
    [0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89]
)


def people(skeleton: Skeleton, images: int = 40, each: int = 2, areas: bool = True) -> Annotations:
    """Several people an image, of very different sizes; some joints and some people without a label."""
    rng = np.random.default_rng(0)
    n = images * each
    sizes = rng.uniform(20, 400, (n, 1, 1))
    truth = rng.uniform(0, 300, (n, 1, 2)) + sizes * rng.uniform(0, 1, (n, len(skeleton), 2))
    truth[rng.random(truth.shape[:2]) < 0.2] = np.nan
    truth[5] = np.nan
    files = tuple(Path(f"im{i // each}.png") for i in range(n))
    names = tuple(f"im{i // each}.png#{i % each}" for i in range(n))
    covered = rng.uniform(0.2, 0.6, n) * sizes[:, 0, 0] ** 2
    covered[::7] = np.nan
    return Annotations(
        skeleton, files, truth, np.full((n, 4), np.nan), names, areas=covered.round(6) if areas else None
    )


def noisy(test: Annotations, share: float = 0.05) -> np.ndarray:
    rng = np.random.default_rng(1)
    spread = share * np.sqrt(np.nan_to_num(person_areas(test), posinf=1)) * rng.gamma(1, 1, len(test))
    poses = np.nan_to_num(test.keypoints) + rng.normal(size=test.keypoints.shape) * spread[:, None, None]
    poses[rng.random(poses.shape[:2]) < 0.05] = np.nan
    poses[7] = np.nan
    return poses


def by_hand(annotation_file: Path, results_file: Path, sigmas: np.ndarray | None) -> list[float]:
    truth = COCO(str(annotation_file))
    evaluation = COCOeval(truth, truth.loadRes(str(results_file)), "keypoints")
    if sigmas is not None:
        evaluation.params.kpt_oks_sigmas = sigmas
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats.tolist()


@pytest.mark.parametrize(("skeleton", "sigmas"), [(COCO17, None), (LSP14, "own")], ids=["coco17", "lsp14"])
@pytest.mark.parametrize("areas", [True, False])
def test_it_is_pycocotools_by_hand_on_the_same_files(
    tmp_path: Path, skeleton: Skeleton, sigmas: str | None, areas: bool
) -> None:
    """COCO's own σ are pycocotools' default. The results file names people by their number, for the reader, and by the
    file's image id, for pycocotools."""
    made = people(skeleton, areas=areas)
    file = tmp_path / "test.json"
    write_coco(file, made, Path(), dict.fromkeys(made.files, (700, 700)))
    test = read_coco(file, keep_unlabelled=True).to_annotations(skeleton, Path())
    poses = noisy(test)
    poses[~test.labelled.any(1)] = np.nan
    ours = []
    for i, pose in enumerate(poses):
        if not np.isnan(pose).all():
            triples = [v for x, y in pose for v in ((0, 0, 0) if np.isnan(x) else (x, y, 1))]
            ours.append({"image_id": i, "category_id": 1, "keypoints": triples, "score": float(np.sin(i) + 2)})
    ids = {row["id"]: row["image_id"] for row in json.loads(file.read_text())["annotations"]}
    theirs = [{**result, "image_id": ids[result["image_id"] + 1]} for result in ours]
    (tmp_path / "ours.json").write_text(json.dumps(ours))
    (tmp_path / "theirs.json").write_text(json.dumps(theirs))
    (row,) = external_rows([tmp_path / "ours.json"], test, "mine")
    found = oks_scores(row, test.keypoints, test)
    measured = None if sigmas is None else np.array(skeleton.oks_sigmas)
    expected = by_hand(file, tmp_path / "theirs.json", measured)
    assert [found[name] for name in NAMES] == pytest.approx(expected, abs=1e-6)
    assert 0.2 < found["ap"] < 0.95
    assert len({round(value, 3) for value in expected}) > 5


def test_coco_joints_have_cocos_sigmas_and_others_their_own_or_the_default() -> None:
    np.testing.assert_allclose(COCO17.oks_sigmas, SIGMAS / 10)
    own = Skeleton("mine", ("nose", "LElbow", "knee", "tip", "tail"), sigmas={"tip": 0.03, "nose": 0.05})
    assert own.oks_sigmas == (0.05, 0.072, 0.1, 0.03, 0.1)


def test_one_person_an_image_is_right_where_the_similarity_reaches_the_threshold() -> None:
    """All scores are 1, and each person is alone: AR at a threshold is the share of people whose OKS reaches it."""
    test = people(FLIC10, images=60, each=1)
    poses = noisy(test)
    found = oks_scores(ScoredPredictions.of_all("x", poses), test.keypoints, test)
    similarities = []
    for i in range(len(test)):
        terms = []
        for joint, sigma in enumerate(FLIC10.oks_sigmas):
            if not np.isnan(test.keypoints[i, joint]).any():
                guess = (0, 0) if np.isnan(poses[i, joint]).any() else poses[i, joint]
                d = math.dist(guess, test.keypoints[i, joint])
                terms.append(math.exp(-(d**2) / (2 * person_areas(test)[i] * (2 * sigma) ** 2)))
        if terms:
            similarities.append(0 if np.isnan(poses[i]).all() else sum(terms) / len(terms))
    for name, threshold in (("ar_50", 0.5), ("ar_75", 0.75)):
        assert found[name] == pytest.approx(np.mean(np.array(similarities) >= threshold), abs=1e-6)
    assert 0.3 < found["ar_75"] < found["ar_50"] < 1


def test_joints_that_the_model_does_not_predict_are_left_out() -> None:
    test = people(LSP14)
    predicted = np.array([joint != "neck" for joint in LSP14.joints])
    row = ScoredPredictions("x", np.where(predicted[:, None], test.keypoints, np.nan), predicted)
    without_label = np.isnan(row.poses).any(-1) & ~np.isnan(test.keypoints).any(-1) & predicted
    assert not without_label.any()
    assert oks_scores(row, test.keypoints, test)["ap"] == 1


def test_where_nobody_is_labelled_or_predicted_there_is_no_score_or_none_is_found() -> None:
    test = people(LSP14)
    nothing = np.full_like(test.keypoints, np.nan)
    assert oks_scores(ScoredPredictions.of_all("x", nothing), test.keypoints, test)["ap"] == 0
    assert set(oks_scores(ScoredPredictions.of_all("x", noisy(test)), nothing, test).values()) == {None}


def test_the_score_of_a_person_is_the_files_or_the_mean_confidence_or_one() -> None:
    poses = np.zeros((2, 3, 2))
    confidence = np.array([[0.5, np.nan, 1], [np.nan] * 3])
    row = ScoredPredictions("x", poses, np.ones(3, bool), confidence=confidence)
    assert row.person_scores().tolist() == [0.75, 0]
    assert ScoredPredictions.of_all("x", poses).person_scores().tolist() == [1, 1]
    row.scores = np.array([3.0, 4.0])
    assert row.person_scores().tolist() == [3, 4]


def test_confident_poses_count_first() -> None:
    """The same poses, half of them right: the wrong ones cost precision only where they are the more confident."""
    test = people(LSP14, each=1)
    poses = np.nan_to_num(test.keypoints)
    poses[::2] += 1000
    right = np.arange(len(test)) % 2
    found = [
        oks_scores(ScoredPredictions("x", poses, np.ones(14, bool), scores=scores), test.keypoints, test)["ap"]
        for scores in (right.astype(float), 1.0 - right)
    ]
    assert found[0] > 0.45 > 0.3 > found[1]
