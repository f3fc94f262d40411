"""Boxes of the user's detector, as COCO or CSV, and files that are neither."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deeppose_cli.core.errors import UsageError
from deeppose_cli.core.geometry import Box
from deeppose_cli.detection.box_file import BoxFile

WHOLE = Box.of_image(40, 60)
"""As left, top, width, height: 0, 0, 40, 60."""


def read(folder: Path, name: str, text: str) -> BoxFile:
    file = folder / name
    file.write_text(text)
    return BoxFile(file)


def test_coco_results_by_number_and_by_name(tmp_path: Path) -> None:
    rows = [
        {"image_id": 139, "category_id": 1, "bbox": [0, 0, 40, 60], "score": 0.7},
        {"image_id": 139, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9},
        {"image_id": 139, "category_id": 1, "bbox": [9, 9, 9, 9], "score": 0.1},
        {"image_id": 139, "category_id": 62, "bbox": [9, 9, 9, 9], "score": 0.9},
        {"image_id": "b.jpg", "bbox": [0, 0, 40, 60]},
    ]
    boxes = read(tmp_path, "x.json", json.dumps(rows))
    assert boxes.find(Path("folder/000000000139.jpg")) == [Box.of_left_top(1, 2, 3, 4), WHOLE]
    assert boxes.find(Path("folder/b.jpg")) == [WHOLE]
    assert boxes.find(Path("folder/c.jpg")) == []


def test_coco_annotations_name_their_images_and_categories(tmp_path: Path) -> None:
    document = {
        "images": [{"id": 7, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 5, "name": "person"}],
        "annotations": [
            {"image_id": 7, "category_id": 5, "bbox": [0, 0, 40, 60]},
            {"image_id": 7, "category_id": 1, "bbox": [1, 1, 1, 1]},
        ],
    }
    assert read(tmp_path, "x.json", json.dumps(document)).find(Path("a.png")) == [WHOLE]


@pytest.mark.parametrize(
    "text",
    [
        "image,x,y,w,h\na.png,0,0,40,60\n",
        "File_Name, Left ,top,width,height,score\r\na,0,0,40,60,0.9\r\na,0,0,40,60,0.2\r\n",
        "\ufeffsource,x1,y1,x2,y2,score\nin/a.png,0,0,40,60,\n",
        "filename;xmin;ymin;xmax;ymax\na.png;0;0;40;60\n",
        "image\tleft\ttop\tright\tbottom\na.png\t0\t0\t40\t60\n",
        "x, y, width, height, image\n0, 0, 40, 60, a.png\n",
        "path,x,y,w,h,confidence\nmy\\photos\\a.png,0,0,40,60,0.7\n/elsewhere/a.jpg,0,0,9,9,0.7\na.png,1,1,9,9,0.1\n",
    ],
)
def test_csv(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, "x.csv", text).find(Path("in/a.png")) == [WHOLE]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("x.json", "{", "Expecting"),
        ("x.json", "[" * 100_000, "x.json"),
        ("x.json", "3", "no list"),
        ("x.json", '{"images": []}', "no list"),
        ("x.json", "[3]", "box 0: has no image_id"),
        ("x.json", '[{"image_id": 1, "bbox": [1, 2, 3]}]', "box 0: bbox is not"),
        ("x.json", '[{"image_id": 1, "bbox": [1, 2, 0, 4]}]', "must be positive"),
        ("x.json", '[{"image_id": 1, "bbox": [1, 2, NaN, 4]}]', "must be positive"),
        ("x.csv", "a.png,0,0,40,60\n", "names no image"),
        ("x.csv", "image,x,y,w,h\na.png,0,0,40\n", "line 2: its box or score is no number"),
        ("x.csv", "image,x1,y1,x2,y2\na.png,9,0,4,60\n", "line 2: width and height"),
    ],
)
def test_a_file_without_boxes_is_a_usage_error(tmp_path: Path, name: str, text: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, name, text)
    assert str(caught.value).startswith(f"--box {tmp_path / name}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_in_two_folders_is_not_guessed(tmp_path: Path) -> None:
    boxes = read(tmp_path, "x.csv", "image,x,y,w,h\none/a.png,0,0,40,60\ntwo/a.png,0,0,9,9\n")
    assert boxes.find(Path("a.png")) == []
    assert boxes.find(Path("one/a.png")) == [WHOLE]


def test_crowds_are_left_out_and_a_fifth_number_is_the_score(tmp_path: Path) -> None:
    rows = [
        {"image_id": "a.png", "bbox": [0, 0, 40, 60, 0.9]},
        {"image_id": "a.png", "bbox": [0, 0, 30, 30, 0.1]},
        {"image_id": "a.png", "bbox": [0, 0, 30, 30], "iscrowd": 1},
    ]
    assert read(tmp_path, "x.json", json.dumps(rows)).find(Path("a.png")) == [WHOLE]


def test_boxes_that_are_there_but_not_used_are_counted(tmp_path: Path) -> None:
    rows = [
        {"image_id": "a.png", "bbox": [0, 0, 40, 60], "category_id": 0},
        {"image_id": "a.png", "bbox": [0, 0, 40, 60], "score": 0.4},
    ]
    boxes = read(tmp_path, "x.json", json.dumps(rows))
    with pytest.raises(UsageError, match=r"no box to use: 1 with a score below 0.5, 1 of another category than person"):
        boxes.check([Path("a.png")])


@pytest.mark.parametrize("name", ["x.csv", "x.json"])
def test_shares_of_the_image_are_no_px(tmp_path: Path, name: str) -> None:
    text = "image,x,y,w,h\na.png,0.1,0.2,0.6,0.7\nb.png,0,0,1,1\n"
    if name == "x.json":
        text = json.dumps([{"image_id": "a.png", "bbox": [0.1, 0.2, 0.6, 0.7]}])
    with pytest.raises(UsageError, match="look like shares of the image, all within 0 and 1; valid: px"):
        read(tmp_path, name, text)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        BoxFile(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="no UTF-8 text"):
        BoxFile(tmp_path / "x.csv")


def test_rows_of_other_images_are_counted_and_named(tmp_path: Path) -> None:
    rows = "".join(f"{name},0,0,9,9\n" for name in ("a.png", "b.png", "b.png", "c", "d", "e"))
    boxes = read(tmp_path, "x.csv", "image,x,y,w,h\n" + rows)
    start = f"--box {tmp_path / 'x.csv'}: "
    assert boxes.check([Path(f"in/{name}.png") for name in "abcde"]) is None
    assert (
        boxes.check([Path(f"in/{name}.png") for name in "abd"]) == f"{start}2 row(s) name no image of the input: c, e"
    )
    found = boxes.check([Path("a.png")])
    assert found == f"{start}5 row(s) name no image of the input: b.png, c, d, …"
    with pytest.raises(UsageError, match="has no box for any of these images, such as x"):
        boxes.check([Path("x.png")])
    assert boxes.check([]) is None


def test_another_content_has_another_digest(tmp_path: Path) -> None:
    first, second = (read(tmp_path, f"{x}.csv", f"image,x,y,w,h\na,0,0,{x},9\n") for x in (1, 2))
    assert first.digest != second.digest
