"""`deeppose_cli.predict`, as in a program."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

import deeppose_cli
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.inference.pipeline import PredictionListener
from deeppose_cli.inference.records import Record
from deeppose_cli.inference.writer import Counts
from tests.helpers.weights_files import write


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("ours.safetensors"))
    for name in ("a.png", "b.png"):
        PilImage.fromarray(np.full((40, 30, 3), 90, np.uint8)).save(name)


class Calls(PredictionListener):
    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def on_model(self, line: str) -> None:
        self.calls.append(("model", line))

    def on_message(self, message: str) -> None:
        self.calls.append(("message", message))

    def on_start(self, total: int, done: int) -> None:
        self.calls.append(("start", (total, done)))

    def on_record(self, record: Record) -> None:
        self.calls.append(("record", record["source"]))


def test_one_image_by_its_name(capfd: pytest.CaptureFixture[str]) -> None:
    summary = deeppose_cli.predict("a.png", weights="ours.safetensors", box="image")
    assert (summary.images, summary.people, summary.images_without_people, summary.skipped) == (1, 1, 0, 0)
    assert summary.folder == Path("predictions")
    assert [file.name for file in summary.files] == ["predictions.json", "predictions.csv", "predictions.jsonl"]
    (result,) = json.loads(summary.files[0].read_text())
    assert (result["file_name"], len(result["stages"])) == ("a.png", 2)
    assert Path(result["overlay"]).is_file()
    assert capfd.readouterr() == ("", "")  # a program prints for itself


def test_calls_come_in_order_and_the_counts_with_them() -> None:
    Path("boxes.csv").write_text("image,x,y,w,h\na.png,0,0,9,9\na.png,9,9,9,9\nc.png,0,0,9,9\n")
    listener = Calls()
    summary = deeppose_cli.predict(
        ["a.png", "b.png", "gone.png", "*.gif"], weights=Path("ours.safetensors"), box="boxes.csv", listener=listener
    )
    assert listener.calls == [
        ("model", "model: weights ours.safetensors (2 stages); a run: --run NAME"),
        ("message", "--box boxes.csv: 1 row(s) name no image of the input: c.png"),
        ("message", "skipped: *.gif: no file matches this pattern"),
        ("start", (3, 0)),
        ("record", "a.png"),
        ("record", "b.png"),
        ("record", "gone.png"),
        ("message", "skipped: gone.png: cannot be read (No such file or directory)"),
    ]
    assert (summary.images, summary.people, summary.images_without_people, summary.skipped) == (2, 2, 1, 2)
    assert str(summary) == "2 images, 2 people, 1 image without people (try --box image), 2 skipped"


def test_a_resumed_run_counts_all_of_it() -> None:
    options: dict[str, Any] = {"weights": "ours.safetensors", "box": "image", "overlays": False}
    deeppose_cli.predict("a.png", **options)
    listener = Calls()
    summary = deeppose_cli.predict(["a.png", "b.png"], **options, resume=True, listener=listener)
    assert ("message", "1 image(s) are done already") in listener.calls
    assert ("start", (2, 1)) in listener.calls
    assert summary.images == 2


def test_a_list_of_names_and_one_stage() -> None:
    summary = deeppose_cli.predict(
        "-", weights="ours.safetensors", stage=1, box="image", stdin=io.BytesIO(b"b.png\na.png\n")
    )
    results = json.loads(summary.files[0].read_text())
    assert [(result["file_name"], len(result["stages"])) for result in results] == [("b.png", 1), ("a.png", 1)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_shards_are_all_of_the_input_and_share_nothing(count: int) -> None:
    options: dict[str, Any] = {"weights": "ours.safetensors", "box": "image", "overlays": False}
    found = []
    for number in range(1, count + 1):
        predicted = deeppose_cli.predict(["a.png", "b.png"], **options, shard=f"{number}/{count}", out=str(number))
        found += [json.loads(line)["source"] for line in predicted.files[-1].read_text().splitlines()]
        assert predicted.images <= -(-2 // count)
    assert sorted(found) == ["a.png", "b.png"]


def test_a_missing_image_leaves_no_folder() -> None:
    summary = deeppose_cli.predict("gone.png", weights="ours.safetensors")
    assert (summary.images, summary.skipped, summary.files) == (0, 1, ())
    assert not summary.folder.exists()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"weights": "nope"}, UsageError, "--weights nope: no such file"),
        ({"weights": "ours.safetensors", "run": "x"}, UsageError, "exclude each other"),
        ({"weights": "ours.safetensors", "stage": 3}, UsageError, "--stage 3: weights ours has 2 trained"),
        ({"weights": "ours.safetensors", "box": "gone.csv"}, UsageError, "--box gone.csv: cannot be read"),
        ({"weights": "ours.safetensors", "box": "c.csv"}, UsageError, "has no box for any of these images"),
        ({"weights": "ours.safetensors", "shard": "2/1"}, UsageError, "--shard 2/1"),
        ({"weights": "ours.safetensors", "resume": True, "overwrite": True}, UsageError, "exclude each other"),
        ({"weights": "ours.safetensors", "out": "a.png"}, DeepPoseError, "--out a.png: not a folder"),
        ({}, DeepPoseError, "no finished run on real images in lightning_logs"),
    ],
)
def test_mistakes_are_found_before_anything_is_loaded(
    arguments: dict[str, Any], error: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deeppose_cli.checkpoints.model_source.TrainedModel.load", None)
    Path("c.csv").write_text("image,x,y,w,h\nc.png,0,0,9,9\n")
    with pytest.raises(error, match=words):
        deeppose_cli.predict("a.png", **arguments)


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        (Counts(), "0 images, 0 people"),
        (Counts(images=1200, people=1), "1,200 images, 1 person"),
        (Counts(videos=1, frames=24, people=2), "1 video (24 frames), 2 people"),
        (
            Counts(images=3, videos=2, frames=1, images_without_people=3),
            "3 images, 2 videos (1 frame), 0 people, 3 images",
        ),
    ],
)
def test_the_counts_in_words(counts: Counts, text: str) -> None:
    assert str(counts).startswith(text)
