"""Images in, overlays and COCO results out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

from deeppose_cli.checkpoints.onnx_cascade import OnnxStage
from deeppose_cli.checkpoints.weights_file import load_weights
from deeppose_cli.core.geometry import Box, denormalise
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.detection.person_finder import PersonFinder
from deeppose_cli.evaluation.external_predictions import read_predictions
from deeppose_cli.inference import image_predictor
from deeppose_cli.inference.image_predictor import Predictor, predict_images, single_threaded
from deeppose_cli.inference.inputs import find_inputs, plan_jobs
from deeppose_cli.inference.records import Record
from deeppose_cli.inference.writer import ResultWriter
from deeppose_cli.media.images import read_image
from deeppose_cli.models.cascade import Cascade, Stage
from tests.helpers.fakes import RIGHT, FakeCascade
from tests.helpers.weights_files import write


def image(path: Path, width: int = 40, height: int = 60, exif_orientation: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, (height, width, 3), np.uint8)
    exif = PilImage.Exif()
    if exif_orientation:
        exif[0x0112] = exif_orientation
    PilImage.fromarray(pixels).save(path, exif=exif)
    return path


def run(
    files: list[Path], out: Path, box: str = "image", cascade: FakeCascade | None = None
) -> tuple[list[Record], list[dict]]:
    """The records, and the COCO results."""
    records: list[Record] = []
    with ResultWriter(out, {}) as writer:
        predictor = Predictor(
            cascade=cascade or FakeCascade(),  # type: ignore[arg-type]
            finder=PersonFinder(box),
            writer=writer,
            on_record=records.append,
        )
        predict_images(predictor, plan_jobs(files, out))
        path = writer.finish()
    return records, [] if path is None else json.loads(path.read_text())


def failed(records: list[Record]) -> dict[str, str]:
    return {record["source"]: record["error"] for record in records if "error" in record}


def test_mistakes_are_found_without_torch() -> None:
    code = "import sys, deeppose_cli.inference.pipeline; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Inputs


@pytest.mark.timeout(60)
def test_of_hostile_files_in_a_folder_the_good_are_done_and_each_bad_one_is_named_once(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    good = {"good.png", "two\nlines.png", "emoji \U0001f600.png", "no text \udcff.png", "small.png"}
    for name in good:
        image(folder / name)
    image(folder / "small.png", 1, 1)
    (folder / "cut.png").write_bytes((folder / "good.png").read_bytes()[:500])
    (folder / "empty.jpg").touch()
    (folder / "document.jpg").write_bytes(b"%PDF-1.4\n" + bytes(100))
    os.mkfifo(folder / "pipe.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "folder.png").mkdir()
    files, problems = find_inputs([folder])
    assert problems == []
    records, document = run(files, tmp_path / "out")
    assert {result["image_id"] for result in document} == good
    bad = [Path(source).name for source in failed(records)]
    assert sorted(bad) == ["cut.png", "document.jpg", "empty.jpg", "gone.png", "loop.png", "pipe.png"]


def test_overlays_collide_neither_with_each_other_nor_with_an_input(tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = [tmp_path / "a/x.jpg", tmp_path / "b/x.jpg", tmp_path / "b/X.png", out / "y.jpg", out / "y_pose.jpg"]
    folded = [str(out / job.overlay).casefold() for job in plan_jobs(files, out)]
    assert len({*folded}) == len(files)
    assert not {*folded} & {str(file).casefold() for file in files}


def test_an_image_is_called_by_its_name_unless_two_share_it() -> None:
    jobs = plan_jobs([Path("a/x.jpg"), Path("b/x.jpg"), Path("a/z.jpg")], Path("out"))
    assert [job.image_id for job in jobs] == ["a/x.jpg", "b/x.jpg", "z.jpg"]


# Boxes


@pytest.mark.parametrize("spec", ["40,0,9,9", "0,60,9,9", "-10,0,9,9", "0,-10,9,9"])
def test_a_box_beside_the_image_is_reported(spec: str, tmp_path: Path) -> None:
    records, document = run([image(tmp_path / "x.png")], tmp_path / "out", spec)
    assert "40 × 60 px" in records[0]["error"]
    assert document == []


# Results


def test_results_hold_every_stage_and_the_names(tmp_path: Path) -> None:
    _, document = run([image(tmp_path / "x.png")], tmp_path / "out", "4,8,20,40")
    (result,) = document
    pose = denormalise(FakeCascade().normalized_pose, np.array(Box(13.5, 27.5, 20, 40)))
    assert np.allclose(result["stages"][0]["keypoints"], pose, atol=1e-3)
    assert np.allclose(result["stages"][1]["keypoints"], pose + RIGHT, atol=1e-3)
    assert np.allclose(np.reshape(result["keypoints"], (-1, 3))[:, :2], pose + RIGHT, atol=1e-3)
    assert result["bbox"] == [4, 8, 20, 40]
    assert result["stages"][1]["crop_boxes"] == [[4, 8, 20, 40]] * len(LSP14)
    assert result["joint_names"] == list(LSP14.joints)
    assert (result["image_id"], result["width"], result["height"]) == ("x.png", 40, 60)
    assert Path(result["overlay"]).is_file()


def test_results_can_be_scored_like_anyones(tmp_path: Path) -> None:
    names = ["im2.png", "im1.png"]
    run([image(tmp_path / name) for name in sorted(names)], tmp_path / "out")
    poses, _ = read_predictions(tmp_path / "out" / "predictions.json", names, LSP14.joints)
    expected = denormalise(FakeCascade().normalized_pose, np.array(Box.of_image(40, 60))) + RIGHT
    assert np.allclose(poses, expected, atol=1e-3)


def test_one_bad_image_among_good_ones_is_skipped(tmp_path: Path) -> None:
    good = [image(tmp_path / name) for name in ("a.png", "d.png")]
    truncated, missing = image(tmp_path / "b.jpg", 300, 300), tmp_path / "c.jpg"
    truncated.write_bytes(truncated.read_bytes()[:-2000])
    records, document = run([good[0], truncated, missing, good[1]], tmp_path / "out")
    assert [result["image_id"] for result in document] == ["a.png", "d.png"]
    failures = failed(records)
    assert failures.keys() == {str(truncated), str(missing)}
    assert "truncated" in failures[str(truncated)]
    assert all(reason.startswith(source) for source, reason in failures.items())
    assert [record["source"] for record in records] == [str(file) for file in (good[0], truncated, missing, good[1])]


def test_images_are_turned_as_the_camera_asks(tmp_path: Path) -> None:
    _, (result,) = run([image(tmp_path / "x.jpg", 40, 60, exif_orientation=6)], tmp_path / "out")
    assert (result["width"], result["height"]) == (60, 40)


def test_nothing_of_the_inputs_changes(tmp_path: Path) -> None:
    files = [image(tmp_path / "x.jpg"), image(tmp_path / "x_pose.jpg")]
    before = [file.read_bytes() for file in files]
    run(files, tmp_path)
    assert [file.read_bytes() for file in files] == before


def test_batches_are_bounded_in_images_and_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_predictor, "BATCH_IMAGES", 3)
    monkeypatch.setattr(image_predictor, "BATCH_PIXELS", 5000)
    small = [image(tmp_path / f"{i}.png") for i in range(4)]
    large = image(tmp_path / "large.png", 100, 100)
    cascade = FakeCascade()
    last = image(tmp_path / "last.png")
    _, document = run([*small, large, last], tmp_path / "out", cascade=cascade)
    assert [len(batch) for batch in cascade.batches] == [3, 2, 1]
    assert len(document) == 6


# Overlays


def test_small_images_are_enlarged_for_viewing_and_large_ones_are_not(tmp_path: Path) -> None:
    files = [image(tmp_path / "small.png", 40, 60), image(tmp_path / "large.png", 700, 500)]
    _, document = run(files, tmp_path / "out")
    shapes = [read_image(Path(result["overlay"])).shape for result in document]
    assert shapes == [(480, 320, 3), (500, 700, 3)]


# Threads


def test_torch_has_one_thread_for_each_batch_and_all_of_them_afterwards(tmp_path: Path) -> None:
    write(tmp_path / "ours.safetensors")
    cascade = load_weights(tmp_path / "ours.safetensors", device="cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with single_threaded(cascade) as at_once:
            assert (at_once, torch.get_num_threads()) == (3, 1)
        assert torch.get_num_threads() == 3
        onnx = Cascade(LSP14, [Stage(OnnxStage.__new__(OnnxStage), 32)], square_initial_box=True)
        with single_threaded(onnx) as at_once:
            assert (at_once, torch.get_num_threads()) == (1, 3)
    finally:
        torch.set_num_threads(before)
