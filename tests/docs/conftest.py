"""A folder in which the programs and commands of the documentation can run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import deeppose_cli
from deeppose_cli.checkpoints import pretrained
from deeppose_cli.config.presets import PEOPLE_FAST_RECIPE, PRESETS, TINY
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.datasets import demo, registry
from deeppose_cli.data.synthetic.generator import draw_person
from deeppose_cli.training import train

IMAGES = ("photo.jpg", "image.jpg", "a.jpg", "b.jpg", "photos/one.jpg", "photos/two.jpg")


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of synthetic people, by the names that the documentation uses."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "photos").mkdir()
    people = [draw_person(np.random.default_rng([3, i])).image[..., ::-1] for i in range(len(IMAGES))]
    for name, image in zip(IMAGES, people, strict=True):
        cv2.imwrite(str(folder / name), image)
    same_size = [cv2.resize(image, (160, 200)) for image in people[:2]]
    cv2.imwrite(str(folder / "group.jpg"), np.hstack(same_size))
    rows = ("photos/one.jpg,10,10,80,100,0.9", "photos/two.jpg,5,5,90,110,0.8")
    (folder / "boxes.csv").write_text("\n".join(("image,x,y,w,h,score", *rows)), encoding="utf-8")
    write_climbers(folder)
    return folder


def write_climbers(folder: Path) -> None:
    """`people.json`: eight joints of twelve synthetic people in `photos/`."""
    joints = [f"{side}_{joint}" for joint in ("wrist", "elbow", "knee", "ankle") for side in ("left", "right")]
    columns = [LSP14.index(joint) for joint in joints]
    images, annotations = [], []
    for number in range(1, 13):
        drawn, name = draw_person(np.random.default_rng([4, number])), f"climber{number:02d}.jpg"
        cv2.imwrite(str(folder / "photos" / name), drawn.image[..., ::-1])
        height, width = drawn.image.shape[:2]
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        keypoints = [value for x, y in drawn.joints[columns].round(1).tolist() for value in (x, y, 2)]
        person = {"id": number, "image_id": number, "category_id": 1, "bbox": [0, 0, width, height]}
        annotations.append({**person, "keypoints": keypoints})
    category = {"id": 1, "name": "climber", "keypoints": joints, "skeleton": [[1, 3], [2, 4], [5, 7], [6, 8]]}
    document = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "people.json").write_text(json.dumps(document), encoding="utf-8")


@pytest.fixture
def workplace(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder: the images, pretrained weights as they ship, few synthetic people, trainings of 2 epochs."""
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretrained, "FOLDER", Path(deeppose_cli.__file__).parent / "pretrained")
    monkeypatch.setattr(demo, "RECIPE", demo.Recipe(train=40, test=6))
    for preset, epochs in ((TINY, 2), (PEOPLE_FAST_RECIPE, 1)):
        quick = {
            "initial": replace(preset.initial, max_epochs=epochs),
            "refinement": replace(preset.refinement, max_epochs=1),
        }
        monkeypatch.setitem(PRESETS, preset.name, replace(preset, **quick))
    monkeypatch.setattr(train, "default_workers", lambda: 0)
    before = dict(registry.DATASETS)
    yield tmp_path
    registry.DATASETS.clear()
    registry.DATASETS.update(before)
