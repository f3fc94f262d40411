"""Results survive any stop, and parts merge to the whole."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.inference import image_predictor
from deeppose_cli.inference.image_predictor import PersonFinder, Predictor, predict_images
from deeppose_cli.inference.inputs import plan_jobs
from deeppose_cli.inference.records import Record
from deeppose_cli.inference.sharding import merge, parse_shard
from deeppose_cli.inference.writer import COCO, CSV, LOCK, RECORDS, STATE, Counts, ResultWriter, read_records
from tests.helpers.fakes import FakeCascade

COUNT = 11


class Moody(FakeCascade):
    """Its poses depend on the images that share a batch, and on their places in it."""

    def predict(self, images: Sequence[Any], boxes: Any, /, *, flip_test: bool = False) -> Any:
        result = super().predict(images, boxes, flip_test=flip_test)
        result.poses[...] += 0.1 * len(images) + 0.01 * np.arange(len(images))[:, None, None]
        return result


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(image_predictor, "BATCH_IMAGES", 3)
    monkeypatch.setattr(image_predictor, "single_threaded", lambda _: nullcontext(2))  # two batches at once
    Path("in").mkdir()
    for i in range(COUNT):
        PilImage.fromarray(np.full((20, 30, 3), 10 * i, np.uint8)).save(f"in/{i:02d}.png")
    Path("in/04.png").write_bytes(b"no image")


FILES = [Path(f"in/{i:02d}.png") for i in range(COUNT)]


class Stop(Exception):
    pass


def predict(out: str, *, resume: bool = False, stop: int = 10**9, shard: str = "1/1", **settings: Any) -> None:
    """`stop`: after so many lines of this run."""
    (number, count), left = parse_shard(shard), iter(range(stop))

    def on_record(record: Record) -> None:
        if next(left, None) is None:
            raise Stop

    settings = {"box": "image", "shard": [number, count], **settings}
    with ResultWriter(Path(out), settings, resume=resume) as writer:
        predictor = Predictor(
            cascade=Moody(),  # type: ignore[arg-type]
            finder=PersonFinder("image"),
            writer=writer,
            on_record=on_record,
        )
        predict_images(predictor, plan_jobs(FILES, Path(out))[number - 1 :: count])
        writer.finish()


def contents(folder: str) -> dict[str, bytes]:
    found = {file.name: file.read_bytes() for file in Path(folder).iterdir() if file.name not in (STATE, LOCK)}
    found[COCO] = found.get(COCO, b"").replace(f'"{folder}/'.encode(), b'"whole/')
    return found


@pytest.mark.parametrize("stops", [[0], [1], [4], [5], [9], [2, 2, 2], [0, 2, 1]])
def test_a_run_with_stops_ends_like_one_without(stops: list[int]) -> None:
    predict("whole")
    for number, stop in enumerate(stops):
        with pytest.raises(Stop):
            predict("stopped", resume=number > 0, stop=stop)
    predict("stopped", resume=True)
    assert contents("stopped") == contents("whole")
    predict("stopped", resume=True)  # nothing is left to do
    assert contents("stopped") == contents("whole")


def test_half_a_batch_does_not_count() -> None:
    predict("whole")
    with pytest.raises(Stop):
        predict("stopped", stop=4)
    with Path("stopped", RECORDS).open("ab") as lines:
        lines.write(Path("whole", RECORDS).read_bytes().splitlines(keepends=True)[-1][:-20])
    predict("stopped", resume=True)
    assert contents("stopped") == contents("whole")


SCRIPT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores SIGINT
from pathlib import Path
from deeppose_cli.inference import image_predictor
from tests.inference import test_writer as t
image_predictor.BATCH_IMAGES = 3
class Slow(t.Moody):
    def predict(self, *a, **k):
        time.sleep(0.15)
        return super().predict(*a, **k)
t.Moody = Slow
t.predict("killed", resume=sys.argv[1] == "resume")
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_anywhere_and_resumed(how: signal.Signals) -> None:
    predict("whole")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    started = subprocess.Popen([sys.executable, "-c", SCRIPT, "new"], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (Path("killed", RECORDS).is_file() and Path("killed", RECORDS).stat().st_size):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    started.send_signal(how)
    assert started.wait() != 0
    assert sum(1 for _ in read_records(Path("killed", RECORDS))) < COUNT
    predict("killed", resume=True)
    assert contents("killed") == contents("whole")


def test_an_unfinished_run_is_not_lost_by_mistake() -> None:
    with pytest.raises(Stop):
        predict("out", stop=4)
    before = contents("out")
    with pytest.raises(DeepPoseError, match="--resume goes on with it, --overwrite starts again"):
        predict("out")
    with pytest.raises(DeepPoseError, match="was begun with another box and model; give the same, or --out"):
        predict("out", resume=True, box="face", model="x")
    assert contents("out") == before
    with ResultWriter(Path("out"), {}, overwrite=True):
        assert not Path("out", RECORDS).read_bytes()


def test_a_finished_run_makes_room() -> None:
    predict("out")
    with ResultWriter(Path("out"), {}):
        assert not Path("out", COCO).exists()
        with pytest.raises(DeepPoseError, match="--out out: in use by another run"):
            ResultWriter(Path("out"), {})


def test_results_without_a_state_are_not_added_to() -> None:
    predict("out")
    Path("out", STATE).unlink()
    with pytest.raises(DeepPoseError, match="not the settings of their run"):
        predict("out", resume=True)


@pytest.mark.parametrize("kind", ["file", "below a file"])
def test_an_output_folder_that_cannot_be_is_named(kind: str) -> None:
    Path("taken").touch()
    out = Path("taken") if kind == "file" else Path("taken", "out")
    with pytest.raises(DeepPoseError, match=f"^--out {out}: not a folder that can be written to"):
        ResultWriter(out, {})


def test_the_table_has_a_row_for_each_person() -> None:
    predict("out")
    with Path("out", CSV).open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = {line["source"]: line for line in read_records(Path("out", RECORDS)) if "people" in line}
    assert [row["source"] for row in rows] == list(lines)
    for row in rows:
        (person,) = lines[row["source"]]["people"]
        assert [float(row[f"box_{part}"]) for part in ("left", "top", "width", "height")] == person["box"]
        for joint, (x, y) in zip(LSP14.joints, person["keypoints"], strict=True):
            assert (float(row[f"{joint}_x"]), float(row[f"{joint}_y"])) == (x, y)
            assert row[f"{joint}_confidence"] == ""


# Parts


@pytest.mark.parametrize("of", [1, 2, 3, 20])
def test_parts_merge_to_the_whole_in_its_order(of: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "Moody", FakeCascade)  # batches differ from those of the whole
    predict("whole")
    for number in range(1, of + 1):
        predict(f"part{number}", shard=f"{number}/{of}")
    count = merge([Path(f"part{number}") for number in range(of, 0, -1)], Path("joined"))
    assert count == Counts(images=COUNT - 1, people=COUNT - 1, skipped=1)
    assert contents("joined") == contents("whole")


def test_parts_that_do_not_make_a_whole_are_refused() -> None:
    for number in (1, 2, 3):
        predict(f"part{number}", shard=f"{number}/3")
    predict("other", shard="3/3", box="face")
    predict("again", shard="2/3")
    with pytest.raises(Stop):
        predict("half", shard="3/3", stop=0)

    def refused(*parts: str) -> str:
        with pytest.raises(DeepPoseError) as caught:
            merge([Path(part) for part in parts], Path("joined"))
        assert not Path("joined").exists()
        return str(caught.value)

    assert refused("part1", "part3") == "part 2 of 3 is missing; merge takes the folders of all parts"
    assert refused("part1", "part2", "other").startswith("other: was made in another way than part1")
    assert refused("part1", "part2", "again") == "again: is part 2 of 3, and so is part2"
    assert refused("part1", "part2", "half").startswith("half: is not finished")
    with pytest.raises(UsageError, match="--out part1: is one of the parts"):
        merge([Path("part1"), Path("part2")], Path("part1"))
    assert refused("part1", "in").startswith("in: no results of deeppose predict --shard")


def test_a_line_that_is_no_record_is_named() -> None:
    Path("x.jsonl").write_text(json.dumps({"source": "a"}) + "\n[]\n")
    with pytest.raises(DeepPoseError, match=r"x\.jsonl: line 2 is not one"):
        list(read_records(Path("x.jsonl")))
