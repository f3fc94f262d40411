"""Images of a robot arm of seven joints without sides, labelled in COCO's form."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

JOINTS = ("base", "shoulder", "elbow", "forearm", "wrist", "hand", "tip")
SIZE = 120


def draw(folder: Path, count: int = 40, seed: int = 0, boxes: bool = True) -> Path:
    """Write the images and `annotations.json`; its path."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for number in range(1, count + 1):
        angles = np.cumsum([-np.pi / 2, *rng.normal(0, 0.5, len(JOINTS) - 2)])
        steps = 15 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        points = np.array([SIZE / 2, SIZE - 15]) + np.concatenate([[[0.0, 0.0]], np.cumsum(steps, axis=0)])
        image = np.full((SIZE, SIZE, 3), rng.integers(120, 220, 3), np.uint8)
        cv2.polylines(image, [points.round().astype(np.int32)], False, (40, 40, 40), 4, cv2.LINE_AA)
        for index, (x, y) in enumerate(points.round().astype(int).tolist()):
            cv2.circle(image, (x, y), 4, (0, 30 * index, 255 - 30 * index), -1, cv2.LINE_AA)
        name = f"arm{number:03d}.png"
        cv2.imwrite(str(folder / "images" / name), image)
        keypoints = [value for x, y in points.round(2).tolist() for value in (x, y, 2)]
        low, high = points.min(0) - 8, points.max(0) + 8
        annotation = {"id": number, "image_id": number, "category_id": 3, "keypoints": keypoints, "iscrowd": 0}
        if boxes:
            annotation |= {"bbox": [*low.tolist(), *(high - low).tolist()], "area": float((high - low).prod())}
        images.append({"id": number, "file_name": name, "width": SIZE, "height": SIZE})
        annotations.append(annotation)
    edges = [[i, i + 1] for i in range(1, len(JOINTS))]
    category = {"id": 3, "name": "arm", "keypoints": list(JOINTS), "skeleton": edges}
    document = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder / "annotations.json"
