"""Records: the predictions of one image or frame, a line of `predictions.jsonl`, and other formats made of them.

A record is one JSON object: `source`, the image as it was named, and either `error`, why it was skipped, or `image_id`,
`width`, `height`, `overlay` (a file beside the records), `joints`, `people`, and in videos `frame` and `timestamp`
(seconds). Each of the people has

- `track_id`, in videos: the person's number, the same in every frame;
- `box`: the initial box as left, top, width, height;
- `keypoints`: [x, y] of each joint;
- `confidence`: for each joint the probability that it is within 0.2 of the torso, where that was measured;
- `stages`: for each stage its `keypoints`, and the `crop_boxes` that it predicted them from; where these are turned,
  each around its centre, also `crop_angle`, degrees.

Coordinates are px of the image after its EXIF rotation, 0-based, pixel centres at integers. Imports no NumPy.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from deeppose_cli.core.skeleton import Skeleton

if TYPE_CHECKING:
    from deeppose_cli.core.geometry import FloatArray
    from deeppose_cli.media.images import Image
    from deeppose_cli.models.cascade import Person

Record = dict[str, Any]


def image_record(
    source: Path | str, image_id: str, image: Image, overlay: str, people: Iterable[Person], skeleton: Skeleton
) -> Record:
    height, width = image.shape[:2]
    return {
        "source": str(source),
        "image_id": image_id,
        "width": width,
        "height": height,
        "overlay": overlay,
        "joints": list(skeleton.joints),
        "people": [_person_record(person) for person in people],
    }


def error_record(source: Path | str, reason: str) -> Record:
    return {"source": str(source), "error": reason}


def coco_results(record: Record, overlay_folder: str) -> Iterator[dict[str, Any]]:
    """COCO keypoint results, one for each person, and fields that COCO lacks: joint names, boxes, every stage.

    `keypoints` is the last stage's pose: x, y and the confidence of each joint (COCO gives the third number no meaning
    in results); `score` is the mean confidence. Both are 1 where the confidence was not measured.
    """
    for person in record.get("people", ()):
        confidence = person.get("confidence", [1] * len(person["keypoints"]))
        yield {
            "image_id": record["image_id"],
            "category_id": 1,
            "keypoints": _flat(person["keypoints"], confidence),
            "score": round(sum(confidence) / len(confidence), 4),
            "bbox": person["box"],
            "file_name": record["source"],
            **{key: record[key] for key in ("frame", "timestamp") if key in record},
            **({"track_id": person["track_id"]} if "track_id" in person else {}),
            "width": record["width"],
            "height": record["height"],
            "overlay": f"{overlay_folder}/{record['overlay']}" if record["overlay"] else None,
            "joint_names": record["joints"],
            "stages": [{"stage": number, **stage} for number, stage in enumerate(person["stages"], start=1)],
        }


def write_coco(records: Iterable[Record], overlay_folder: str, out: TextIO) -> None:
    """Write one JSON array, a result a line, with one record in memory at a time."""
    separator = "[\n"
    for record in records:
        for result in coco_results(record, overlay_folder):
            out.write(separator + json.dumps(result, allow_nan=False))
            separator = ",\n"
    out.write("[]\n" if separator == "[\n" else "\n]\n")


def write_csv(records: Iterable[Record], out: TextIO) -> None:
    """Write a row for each person: image, frame of a video, the person's number (its track in a video), box, and x, y
    and confidence of every joint of the last stage."""
    writer = csv.writer(out)
    has_header = False
    for record in records:
        for number, person in enumerate(record.get("people", ()), start=1):
            if not has_header:
                joints = [f"{joint}_{field}" for joint in record["joints"] for field in ("x", "y", "confidence")]
                box = ["box_left", "box_top", "box_width", "box_height"]
                writer.writerow(["source", "frame", "person", *box, *joints])
                has_header = True
            row = [record["source"], record.get("frame", ""), person.get("track_id", number), *person["box"]]
            confidence = person.get("confidence", [""] * len(person["keypoints"]))
            writer.writerow([*row, *_flat(person["keypoints"], confidence)])


def _person_record(person: Person) -> Record:
    confidence = person.confidence[-1]
    return {
        **({} if person.track is None else {"track_id": person.track}),
        "box": [round(value, 3) for value in person.initial_box.left_top()],
        "keypoints": person.poses[-1].round(3).tolist(),
        **({} if math.isnan(confidence.sum()) else {"confidence": confidence.round(4).tolist()}),
        "stages": [
            {
                "keypoints": pose.round(3).tolist(),
                "crop_boxes": _left_top_boxes(boxes),
                **({"crop_angle": round(float(angle), 3)} if angle else {}),
            }
            for pose, boxes, angle in zip(person.poses, person.boxes, person.angles, strict=True)
        ],
    }


def _left_top_boxes(boxes: FloatArray) -> Any:
    """Centre boxes (K, 4) as left, top, width, height, as in COCO: the whole image is 0, 0, W, H."""
    corners = boxes.copy()
    corners[:, :2] += 0.5 - boxes[:, 2:] / 2
    return corners.round(3).tolist()


def _flat(keypoints: list[list[float]], confidence: list[Any]) -> list[Any]:
    return [value for (x, y), c in zip(keypoints, confidence, strict=True) for value in (x, y, c)]
