"""The labels of `robot_arm`, in the formats of other tools."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.helpers import robot_arm


def read(annotations: Path) -> dict[str, list[tuple[float, float]]]:
    """Image → its labels."""
    document = json.loads(annotations.read_text())
    points = {row["image_id"]: row["keypoints"] for row in document["annotations"]}
    return {
        image["file_name"]: list(zip(points[image["id"]][0::3], points[image["id"]][1::3], strict=True))
        for image in document["images"]
    }


def deeplabcut(folder: Path, count: int = 12, videos: Sequence[str] = ("left", "right"), columns: int = 3) -> Path:
    """A project of DeepLabCut with one table for all videos; its path. `columns`: of the index."""
    labels = read(robot_arm.draw(folder / "drawn", count))
    rows = [
        [head, *[""] * (columns - 1), *(cell for joint in robot_arm.JOINTS for cell in cells(joint))]
        for head, cells in (
            ("scorer", lambda joint: ("Ann", "Ann")),
            ("bodyparts", lambda joint: (joint, joint)),
            ("coords", lambda joint: ("x", "y")),
        )
    ]
    for number, (name, points) in enumerate(labels.items()):
        video = videos[number % len(videos)]
        path = ("labeled-data", video, f"img{number:04d}.png")
        (folder.joinpath(*path[:2])).mkdir(parents=True, exist_ok=True)
        (folder / "drawn" / "images" / name).rename(folder.joinpath(*path))
        index = path if columns == 3 else ["/".join(path)]
        rows.append([*index, *(str(value) for point in points for value in point)])
    return write_rows(folder / "CollectedData_Ann.csv", rows)


def write_rows(file: Path, rows: Sequence[Sequence[str]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return file


def yolo(folder: Path, count: int = 12, numbers: int = 3, kpt_names: bool = True) -> Path:
    """A YOLO-pose set of `count` training images and a third as many for validation; its `data.yaml`."""
    size = robot_arm.SIZE
    for split, many in (("train", count), ("val", count // 3)):
        labels = read(robot_arm.draw(folder / "drawn" / split, many, seed=len(split)))
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        for name, points in labels.items():
            (folder / "drawn" / split / "images" / name).rename(folder / "images" / split / name)
            line = ["0", "0.5", "0.5", "0.9", "0.8"]
            for x, y in points:
                line += [f"{x / size:.6f}", f"{y / size:.6f}", *(["2"] if numbers == 3 else [])]
            (folder / "labels" / split / name).with_suffix(".txt").write_text(" ".join(line) + "\n")
    values = {
        "path": ".",
        "train": "images/train",
        "val": "images/val",
        "test": None,
        "kpt_shape": [len(robot_arm.JOINTS), numbers],
        "flip_idx": [0, 1, 2, 3, 4, 6, 5],
        "names": {0: "arm"},
    }
    if kpt_names:
        values["kpt_names"] = {0: list(robot_arm.JOINTS)}
    (folder / "data.yaml").write_text(yaml.safe_dump(values))
    return folder / "data.yaml"
