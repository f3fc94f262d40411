"""COCO's average precision and recall of poses, computed by pycocotools.

The object keypoint similarity (OKS) of a predicted and a true pose is the mean over the labelled joints of
exp(−d² / (2 · area · (2σ)²)): d the distance in px, area the person's in px² (`Annotations.areas`), σ the joint's
(`Skeleton.oks_sigmas`). Every labelled person has one prediction here, from a known initial box.
"""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.annotations import BOX_AREA_SHARE, Annotations, labelled
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.evaluation.metrics import extent
from deeppose_cli.evaluation.scores import ScoredPredictions

NAMES = ("ap", "ap_50", "ap_75", "ap_medium", "ap_large", "ar", "ar_50", "ar_75", "ar_medium", "ar_large")
"""The ten numbers of pycocotools' summary, in its order. 50, 75: at this OKS in percent, not the mean over .5 to .95.
Medium: areas of 32² to 96² px, large: above."""


def oks_scores(row: ScoredPredictions, truth: FloatArray, test: Annotations) -> dict[str, float | None]:
    """Score poses against the truth (N, K, 2) px of the people of `test`; None where no person counts.

    People of one image file are matched as pycocotools does it, best score first (`person_scores`). A joint that the
    model does not predict is left out; one that is missing in this image lies at (0, 0), as in COCO's files. A person
    without any predicted joint has no prediction; one without a label is left out together with its prediction.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = np.where(row.predicted[:, None], truth, np.nan)
    missing, has_label = ~labelled(row.poses), labelled(truth)
    poses = np.where(missing[..., None], 0, row.poses)
    numbers = {file: number for number, file in enumerate(dict.fromkeys(test.files), 1)}
    areas, person_scores = person_areas(test), row.person_scores()
    people, predictions = [], []
    for i in np.flatnonzero(has_label.any(1)).tolist():
        record: dict[str, Any] = {"id": i + 1, "image_id": numbers[test.files[i]], "category_id": 1}
        facts = {"iscrowd": 0, "bbox": [0] * 4, "num_keypoints": int(has_label[i].sum()), "area": float(areas[i])}
        people.append(record | facts | {"keypoints": _triples(np.nan_to_num(truth[i]), has_label[i])})
        if not missing[i].all():
            facts = {"score": float(person_scores[i]), "area": float(np.ptp(poses[i], axis=0).prod())}
            predictions.append(record | facts | {"keypoints": _triples(poses[i], ~missing[i])})

    with redirect_stdout(StringIO()):  # pycocotools prints its progress
        files = COCO(), COCO()
        for file, annotations in zip(files, (people, predictions), strict=True):
            file.dataset = {"images": [{"id": n} for n in numbers.values()], "categories": [{"id": 1}]}
            file.dataset["annotations"] = annotations
            file.createIndex()
        evaluation = COCOeval(*files, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(test.skeleton.oks_sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = zip(NAMES, evaluation.stats.tolist(), strict=True)
    return {name: None if value < 0 else round(value, 6) for name, value in values}


def person_areas(test: Annotations) -> NDArray[np.float64]:
    """(N) px²: the labelled areas; `BOX_AREA_SHARE` of the labelled joints' box where there is none."""
    left, top, right, bottom = extent(test.keypoints)
    boxes = BOX_AREA_SHARE * (right - left) * (bottom - top)
    return boxes if test.areas is None else np.where(np.isnan(test.areas), boxes, test.areas)


def _triples(pose: FloatArray, shown: NDArray[np.bool_]) -> list[float]:
    """COCO's x, y, v of each joint."""
    return np.column_stack([pose, 2 * shown]).ravel().tolist()
