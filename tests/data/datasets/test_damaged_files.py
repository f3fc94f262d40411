"""Damaged files of labels, damaged `dataset.yaml`: a line of error or a whole set, and nothing written elsewhere.

`DEEPPOSE_FUZZ=10000 pytest tests/data/datasets/test_damaged_files.py` tries 10,000 files.
"""

from __future__ import annotations

import copy
import csv
import json
import os
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.datasets.own import add_dataset
from deeppose_cli.data.datasets.registry import get_dataset, list_datasets
from tests.helpers import label_formats, robot_arm

KINDS = 5
COUNT = int(os.environ.get("DEEPPOSE_FUZZ", "300"))
many = settings(max_examples=-(-COUNT // KINDS), deadline=None, database=None, suppress_health_check=list(HealthCheck))
TEXTS = (
    *("../x", "/x.png", "a\\b", "C:x", "a\nb", "\0", "\x1b[2J", "\ud800", "é", " ", "a" * 300, "../" * 40),
    *("nan", "inf", "-1", "0", "1e400", "true", "box", "own", "face", "x", "y", "base", "0 0 0", '"', ",", "!!int ''"),
)
WORDS = st.sampled_from(TEXTS) | st.text(max_size=5) | st.floats().map(str) | st.integers().map(str)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.lists(st.integers(-2, 9), max_size=8),
    st.lists(WORDS, max_size=3), st.dictionaries(st.text(max_size=3) | st.integers(-1, 2), st.integers(), max_size=2),
)  # fmt: skip


def damage_values(data: st.DataObject, document: Any) -> Any:
    """The document with one to three values replaced, removed or repeated, at any depth."""
    document = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        place = document
        while isinstance(place, dict | list) and place:
            key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
            if isinstance(place[key], dict | list) and place[key] and data.draw(st.integers(0, 9)) < 9:
                place = place[key]
                continue
            how = data.draw(st.sampled_from(["replace"] * 6 + ["remove", "repeat"]))
            if how == "remove":
                del place[key]
            elif how == "repeat" and isinstance(place, list):
                place.append(place[key])
            else:
                place[key] = data.draw(VALUES)
            break
    return document


def damage_bytes(data: st.DataObject, content: bytes) -> bytes:
    """The content, sometimes cut, or with a few bytes more or others."""
    if data.draw(st.integers(0, 3)) < 3:
        return content
    cut = data.draw(st.integers(0, len(content)))
    rest = data.draw(st.sampled_from([b"", content[cut:], content[cut + 1 :], content]))
    return content[:cut] + data.draw(st.binary(max_size=3)) + rest


def state(folder: Path, without: Path | None = None) -> dict[Path, Any]:
    """Everything below a folder: bytes of files, targets of links."""
    found: dict[Path, Any] = {}
    for path in folder.rglob("*"):
        if without is None or not path.is_relative_to(without):
            found[path] = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


def attempt(folder: Path, file: Path) -> None:
    """Add the set; check that a failure is one line and changes nothing, and that a set can be read."""
    root = folder / "data"
    outside, before = state(folder, root), state(root / "arm")
    try:
        add_dataset("arm", [file], overwrite=True, data_root=root)
    except DeepPoseError as error:
        check_line(error)
        assert state(root / "arm") == before
    else:
        splits = get_dataset("arm", root).read(root)
        assert len(splits["train"])
        assert len(splits["validation"])
        sources = {path.resolve() for path in outside if not path.is_symlink()}
        assert all(path.resolve() in sources for path in (root / "arm" / "images").rglob("*.*"))
    assert state(folder, root) == outside
    assert {path.name for path in root.glob("*")} <= {"arm", ".arm.lock"}


def check_line(error: DeepPoseError) -> None:
    text = str(error)
    assert text
    assert text.isprintable(), repr(text)
    assert len(text) < 1500


@many
@given(data=st.data())
def test_coco(tmp_path: Path, data: st.DataObject) -> None:
    good = tmp_path / "good" / "annotations.json"
    if not good.exists():
        robot_arm.draw(good.parent, 6)
    document = damage_values(data, json.loads(good.read_text()))
    file = good.with_name("damaged.json")
    file.write_bytes(damage_bytes(data, json.dumps(document).encode()))
    attempt(tmp_path, file)


@many
@given(data=st.data())
def test_csv(tmp_path: Path, data: st.DataObject) -> None:
    good = tmp_path / "good" / "CollectedData_Ann.csv"
    if not good.exists():
        label_formats.deeplabcut(good.parent, 6, columns=3)
    with good.open(newline="") as stream:
        rows = damage_values(data, list(csv.reader(stream)))
    file = good.with_name("damaged.csv")
    rows = [[str(cell) for cell in (row if isinstance(row, list) else [row])] for row in rows]
    with file.open("w", newline="", encoding="utf-8", errors="surrogatepass") as stream:
        csv.writer(stream, escapechar="\\").writerows(rows)
    file.write_bytes(damage_bytes(data, file.read_bytes()))
    attempt(tmp_path, file)


@many
@given(data=st.data())
def test_data_yaml(tmp_path: Path, data: st.DataObject) -> None:
    good = yolo(tmp_path)
    file = good.with_name("damaged.yaml")
    file.write_bytes(damage_yaml(data, good))
    attempt(tmp_path, file)


def yolo(tmp_path: Path) -> Path:
    """The data.yaml of a set that is written once for all examples of a test."""
    good = tmp_path / "good" / "data.yaml"
    if not good.exists():
        label_formats.yolo(good.parent, 6)
    return good


def damage_yaml(data: st.DataObject, good: Path) -> bytes:
    text = yaml.safe_dump(damage_values(data, yaml.safe_load(good.read_text())), allow_unicode=data.draw(st.booleans()))
    return damage_bytes(data, text.encode(errors="surrogatepass"))


@many
@given(data=st.data())
def test_label_txt(tmp_path: Path, data: st.DataObject) -> None:
    good = yolo(tmp_path)
    file = good.parent / "labels" / "train" / "arm001.txt"
    before = file.read_bytes()
    lines = damage_values(data, [line.split() for line in before.decode().splitlines() * 2])
    text = "\n".join(" ".join(map(str, line)) if isinstance(line, list) else str(line) for line in lines)
    try:
        file.write_bytes(damage_bytes(data, text.encode(errors="surrogatepass")))
        attempt(tmp_path, good)
    finally:
        file.write_bytes(before)


@many
@given(data=st.data())
def test_dataset_yaml(tmp_path: Path, data: st.DataObject) -> None:
    root, good = tmp_path / "data", tmp_path / "good.yaml"
    if not good.exists():
        add_dataset("arm", [robot_arm.draw(tmp_path / "drawn", 6)], data_root=root)
        good.write_bytes((root / "arm" / "dataset.yaml").read_bytes())
    (root / "arm" / "dataset.yaml").write_bytes(damage_yaml(data, good))
    before = state(tmp_path)
    try:
        assert "arm" in list_datasets(root)
        assert len(get_dataset("arm", root).read(root)) == 3
    except DeepPoseError as error:
        check_line(error)
    assert state(tmp_path) == before
