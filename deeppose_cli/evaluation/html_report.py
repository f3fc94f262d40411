"""One self-contained page of an evaluation: tables, curves, confidence, and the images with their errors.

The page is `report.html` beside this file with the data put in; it loads nothing, so it can be read without a network.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.evaluation.scores import ScoredPredictions, joint_errors
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.visualization.drawing import SIDE_COLORS, joint_side

TEMPLATE = Path(__file__).with_name("report.html")
MAX_IMAGES = 1500
"""Images in the page, those with the largest errors: with more it would be too large to send by mail."""
SIDE, QUALITY = 200, 70
"""px of the longer side of an image in the page, and its JPEG quality."""
MARGIN = 0.35
"""Around the labelled joints, in longer sides of their box."""
MISSED = 9.99
"""Stands for the error of a joint that was not predicted."""


def build_report(
    document: Mapping[str, Any],
    headings: Mapping[str, tuple[str, Mapping[str, str]]],
    test: Annotations,
    rows: Sequence[ScoredPredictions],
    truth: FloatArray,
) -> str:
    """The page as text.

    `document`: that of scores.json. `headings`: by metric its title and, by score, the titles of its means. `truth`:
    (N, K, 2) px.
    """
    errors = [joint_errors(row, truth, test.skeleton) for row in rows]
    chosen = _largest_errors(errors[-1])
    split = f"{document['data']} {document['split']}"
    data = {
        "title": f"Scores: {split}",
        "facts": _facts(document),
        "scores": document,
        "metrics": [
            {"name": name, "title": title, "means": {key: " ".join(text.split()) for key, text in means.items()}}
            for name, (title, means) in headings.items()
        ],
        "joints": list(test.skeleton.joints),
        "sides": [joint_side(joint) for joint in test.skeleton.joints],
        "colors": {side: f"rgb{color}" for side, color in SIDE_COLORS.items()},
        "limbs": _limbs(test.skeleton),
        "left_out": len(test) - len(chosen),
        "images": [_image(i, test, rows, truth, errors) for i in chosen],
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    # Within a script element only "</" could end it early.
    return TEMPLATE.read_text(encoding="utf-8").replace("__DATA__", text.replace("</", "<\\/"), 1)


def _facts(document: Mapping[str, Any]) -> str:
    model = next((f"{kind} {document[kind]}" for kind in ("run", "weights") if document.get(kind)), "")
    box = f"initial box: {document['box']}" if "box" in document else ""
    centric = "observer-centric" if document["centric"] == "observer" else "person-centric"
    parts = [model, f"{document['images']:,} images", box, centric, "flip test" if document.get("flip_test") else ""]
    return " · ".join(part for part in parts if part)


def _largest_errors(errors: FloatArray) -> list[int]:
    """Numbers of the images in the page, in the split's order."""
    known = np.where(np.isnan(errors), 0.0, np.minimum(errors, MISSED))
    worst = np.argsort(-known.mean(1), kind="stable")[:MAX_IMAGES]
    return sorted(int(i) for i in worst)


def _image(
    i: int, test: Annotations, rows: Sequence[ScoredPredictions], truth: FloatArray, errors: Sequence[FloatArray]
) -> dict[str, Any]:
    """One image of the page: the part around the person, and coordinates in px of that part."""
    try:
        image = read_image(test.files[i])
    except DeepPoseError:  # reported when the model ran
        image = None
    left, top, right, bottom = _part(truth[i], image)
    scale = SIDE / max(right - left, bottom - top)
    size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    jpeg = ""
    if image is not None:
        small = cv2.resize(image[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
        data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
        jpeg = base64.b64encode(data.tobytes()).decode()

    def points(pose: FloatArray) -> list[list[float] | None]:
        moved = (pose - (left, top) + 0.5) * scale - 0.5
        return [None if np.isnan(point).any() else [round(float(v), 1) for v in point] for point in moved]

    return {
        "name": test.names[i],
        "size": size,
        "jpeg": jpeg,
        "truth": points(truth[i]),
        "poses": [points(row.poses[i]) for row in rows],
        "errors": [
            [None if np.isnan(value) else round(min(float(value), MISSED), 3) for value in row[i]] for row in errors
        ],
    }


def _part(pose: FloatArray, image: Image | None) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of the image that is shown."""
    known = pose[~np.isnan(pose).any(-1)]
    height, width = (1, 1) if image is None else image.shape[:2]
    if not len(known):
        return 0, 0, width, height
    low, high = known.min(0), known.max(0)
    margin = MARGIN * max(float((high - low).max()), 8.0)
    if image is None:
        width, height = (int(value) for value in high + margin + 1)
    left, top = (max(0, int(value)) for value in low - margin)
    right, bottom = (int(value) + 1 for value in high + margin)
    left, top = min(left, width - 1), min(top, height - 1)
    return left, top, max(min(right, width), left + 1), max(min(bottom, height), top + 1)


def _limbs(skeleton: Skeleton) -> list[tuple[int, int, str]]:
    """Start, end and side of the limbs between two joints."""
    number = skeleton.joints.index
    return [
        (number(limb.start[0]), number(limb.end[0]), joint_side(limb.end[0]))
        for limb in skeleton.limbs
        if len(limb.start) == len(limb.end) == 1
    ]
