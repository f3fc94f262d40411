"""Videos in, annotated videos and a record for each frame out; damaged ones are named."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from deeppose_cli.detection.person_finder import PersonFinder
from deeppose_cli.inference.image_predictor import Predictor
from deeppose_cli.inference.inputs import find_inputs, plan_jobs
from deeppose_cli.inference.records import Record
from deeppose_cli.inference.sharding import merge
from deeppose_cli.inference.video_predictor import predict_video
from deeppose_cli.inference.writer import CSV, LOCK, RECORDS, STATE, Counts, ResultWriter, read_records
from deeppose_cli.media.video import open_video
from tests.helpers.fakes import FakeCascade
from tests.helpers.videos import FRAMES, write_video


def predict(source: Path, writer: ResultWriter, box: str = "image", **more: Any) -> None:
    (job,) = plan_jobs([source], writer.folder)
    predictor = Predictor(cascade=FakeCascade(), finder=PersonFinder(box), writer=writer, **more)  # type: ignore[arg-type]
    predict_video(predictor, job)


def run(source: Path, out: Path, box: str = "image", **more: Any) -> list[Record]:
    records: list[Record] = []
    with ResultWriter(out, {}) as writer:
        predict(source, writer, box, on_record=records.append, **more)
        writer.finish()
    return records


@pytest.mark.parametrize("size", [(97, 63), (16, 9), (33, 480)])
def test_videos_of_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    assert len(run(write_video(tmp_path / "a.mp4", 3, size), tmp_path / "out")) == 3
    assert (tmp_path / "out" / "a_pose.mp4").is_file()


def test_every_frame_has_its_record_and_the_annotated_video_all_frames(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4")
    records = run(source, tmp_path / "out", "image")
    lines = list(read_records(tmp_path / "out" / RECORDS))
    assert records == lines
    assert [(line["frame"], line["timestamp"]) for line in lines] == [(i, i / 10) for i in range(FRAMES)]
    assert [person["track_id"] for line in lines for person in line["people"]] == [1] * FRAMES
    with open_video(tmp_path / "out" / "a_pose.mp4") as annotated:
        assert (sum(1 for _ in annotated), annotated.rate) == (FRAMES, 10)
    coco = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert len({result["image_id"] for result in coco}) == FRAMES
    assert [(r["frame"], r["track_id"]) for r in coco] == [(i, 1) for i in range(FRAMES)]
    with (tmp_path / "out" / CSV).open() as table:
        assert [row["frame"] for row in csv.DictReader(table)] == [str(i) for i in range(FRAMES)]


def test_a_persons_next_box_comes_from_the_last_pose(tmp_path: Path) -> None:
    lines = run(write_video(tmp_path / "a.mp4"), tmp_path / "out", "10,10,30,40")
    assert lines[0]["people"][0]["box"] == [10, 10, 30, 40]
    boxes, next_box = [line["people"][0]["box"] for line in lines], PersonFinder("10,10,30,40").next_box
    for line, box in zip(lines, boxes[1:], strict=False):
        expected = next_box(np.array(line["people"][0]["keypoints"])).left_top()
        np.testing.assert_allclose(box, expected, atol=0.01)


def test_at_most_so_many_frames_and_no_video_without_a_style(tmp_path: Path) -> None:
    assert len(run(write_video(tmp_path / "a.mp4"), tmp_path / "out", frames=5, style=None)) == 5
    assert not list((tmp_path / "out").glob("*.mp4"))


@pytest.mark.parametrize(
    ("data", "reason"), [(b"no video", "not a video"), (b"", "not a video"), (None, "not a file; expected a video")]
)
def test_a_file_that_is_no_video_is_named(tmp_path: Path, data: bytes | None, reason: str) -> None:
    source = tmp_path / "a.mp4"
    if data is not None:
        source.write_bytes(data)
    (line,) = run(source, tmp_path / "out")
    assert str(source) in line["error"]
    assert reason in line["error"]
    assert not list((tmp_path / "out").glob("*.mp4"))


def test_a_video_that_ends_early_is_done_as_far_as_it_goes_and_named(tmp_path: Path) -> None:
    source = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 64))
    for i in range(50):
        writer.write(np.full((64, 96, 3), 5 * i, np.uint8))
    writer.release()
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    *lines, last = run(source, tmp_path / "out")
    assert 10 < len(lines) < 40
    assert last["error"] == f"{source}: ends after {len(lines)} of 50 frames"


def test_a_stopped_video_begins_again_and_counts_once(tmp_path: Path) -> None:
    source, out = write_video(tmp_path / "a.mp4"), tmp_path / "out"
    expected = run(source, tmp_path / "whole")

    def stop(line: Record) -> None:
        if line["frame"] == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), ResultWriter(out, {}) as results:
        predict(source, results, on_record=stop)
    assert sorted(file.name for file in out.iterdir()) == [STATE, LOCK, RECORDS]
    with ResultWriter(out, {}, resume=True) as results:
        assert results.done == set()
        predict(source, results)
        results.finish()
        assert results.counts == Counts(videos=1, frames=FRAMES, people=1)
    assert list(read_records(out / RECORDS)) == expected


def test_parts_with_videos_merge_in_the_order_of_the_input(tmp_path: Path) -> None:
    files = [write_video(tmp_path / f"{name}.mp4", frames=3) for name in "abc"]
    for number in (1, 2):
        with ResultWriter(tmp_path / str(number), {"shard": [number, 2]}) as results:
            for source in files[number - 1 :: 2]:
                predict(source, results)
            results.finish()
    counts = merge([tmp_path / "2", tmp_path / "1"], tmp_path / "out")
    assert counts == Counts(videos=3, frames=9, people=3)
    found = [(line["source"], line["frame"]) for line in read_records(tmp_path / "out" / RECORDS)]
    assert found == [(str(file), frame) for file in files for frame in range(3)]
    assert len(list((tmp_path / "out").glob("*_pose.mp4"))) == 3


class Camera:
    """Shows 4 frames, then Ctrl-C is pressed."""

    def __init__(self, *_: Any) -> None:
        self.frames = 0

    def isOpened(self) -> bool:
        return True

    def get(self, _: int) -> float:
        return 0.0

    def release(self) -> None:
        pass

    def read(self) -> tuple[bool, np.ndarray]:
        self.frames += 1
        if self.frames > 4:
            raise KeyboardInterrupt
        return True, np.full((48, 64, 3), 99, np.uint8)


def test_a_camera_is_watched_until_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    assert find_inputs(["0"]) == ([Path("0")], [])
    lines = run(Path("0"), tmp_path / "out")
    assert [line["frame"] for line in lines] == [0, 1, 2, 3]
    assert (tmp_path / "out" / "0_pose.mp4").is_file()


def test_a_camera_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = run(Path("97"), tmp_path / "out")
    assert line["error"] == "97: no camera has this number"
