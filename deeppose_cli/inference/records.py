"""What was found in one image, as a line of `predictions.jsonl`, and what other formats make of such lines.

A line is one JSON object: `source`, the image as it was named, and either `error`, why it was skipped, or `image_id`,
`width`, `height`, `overlay` (a file beside the lines), `joints` and `people`. Each of these has

- `id`: in videos, the person's number, which stays;
- `box`: b⁰ as left, top, width, height;
- `keypoints`: [x, y] for each joint;
- `confidence`: for each joint how likely it is within 0.2 of the torso, if that was measured (`calibration.py`);
- `stages`: of each stage its `keypoints`, and the `boxes` where it looked.

Coordinates are px of the image as it is shown, its EXIF rotation applied, 0-based, pixel centres at integers.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

import numpy as np

from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.models.cascade import Person

Record = dict[str, Any]


def image_record(
    source: str, image_id: str, size: tuple[int, int], overlay: str, people: Iterable[Person], skeleton: Skeleton
) -> Record:
    """`size`: (width, height)."""
    return {
        "source": source,
        "image_id": image_id,
        "width": size[0],
        "height": size[1],
        "overlay": overlay,
        "joints": list(skeleton.joints),
        "people": [
            {
                **({} if person.track is None else {"id": person.track}),
                "box": _corner_boxes(np.array(person.initial_box)),
                "keypoints": _rounded(person.poses[-1]),
                **_confidence(person),
                "stages": [
                    {"keypoints": _rounded(pose), "boxes": _corner_boxes(boxes)}
                    for pose, boxes in zip(person.poses, person.boxes, strict=True)
                ],
            }
            for person in people
        ],
    }


def error_record(source: str, reason: str) -> Record:
    return {"source": source, "error": reason}


def to_text(line: Record) -> str:
    """With the line's end."""
    return json.dumps(line, allow_nan=False) + "\n"


def coco_results(line: Record, overlay_folder: str) -> Iterator[dict[str, Any]]:
    """COCO keypoint results, one for each person, plus what COCO has no place for: joint names, boxes, every stage.

    `keypoints` is the last stage's pose, x, y and confidence for each joint (COCO gives the third number no meaning in
    results), `score` the mean confidence. Where there is none, 1 stands in its place.
    """
    for person in line.get("people", ()):
        sure = person.get("confidence", [1] * len(person["keypoints"]))
        yield {
            "image_id": line["image_id"],
            "category_id": 1,
            "keypoints": [v for (x, y), c in zip(person["keypoints"], sure, strict=True) for v in (x, y, c)],
            "score": round(sum(sure) / len(sure), 4),
            "bbox": person["box"],
            "file_name": line["source"],
            **{key: line[key] for key in ("frame", "seconds") if key in line},
            **({"track_id": person["id"]} if "id" in person else {}),
            "width": line["width"],
            "height": line["height"],
            "overlay": f"{overlay_folder}/{line['overlay']}" if line["overlay"] else None,
            "joint_names": line["joints"],
            "stages": [{"stage": number, **said} for number, said in enumerate(person["stages"], start=1)],
        }


def write_coco(lines: Iterable[Record], overlay_folder: str, out: TextIO) -> None:
    """As one JSON array, an element a line; no more than one image is held in memory."""
    between = "[\n"
    for line in lines:
        for result in coco_results(line, overlay_folder):
            out.write(between + json.dumps(result, allow_nan=False))
            between = ",\n"
    out.write("[]\n" if between == "[\n" else "\n]\n")


def write_csv(lines: Iterable[Record], out: TextIO) -> None:
    """One row a person: the image, of videos the frame, the person's number (in a video it stays), the box, and x, y
    and confidence of every joint of the last stage."""
    writer = csv.writer(out)
    header: list[str] | None = None
    for line in lines:
        for number, person in enumerate(line.get("people", ()), start=1):
            if header is None:
                joints = [f"{joint}_{what}" for joint in line["joints"] for what in ("x", "y", "confidence")]
                header = ["source", "frame", "person", "box_left", "box_top", "box_width", "box_height", *joints]
                writer.writerow(header)
            sure = person.get("confidence", [""] * len(person["keypoints"]))
            flat = [v for (x, y), c in zip(person["keypoints"], sure, strict=True) for v in (x, y, c)]
            writer.writerow([line["source"], line.get("frame", ""), person.get("id", number), *person["box"], *flat])


def _confidence(person: Person) -> Record:
    last = person.confidence[-1]
    return {} if np.isnan(last).any() else {"confidence": np.round(last, 4).tolist()}


def _rounded(values: FloatArray) -> Any:
    return np.round(values, 3).tolist()


def _corner_boxes(boxes: FloatArray) -> Any:
    """Centre boxes (..., 4) as left, top, width, height, COCO's way: the whole image is 0, 0, W, H."""
    return _rounded(np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2 + 0.5, boxes[..., 2:]], axis=-1))
