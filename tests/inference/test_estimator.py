"""`from deeppose_cli import load`, as in a notebook."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

import deeppose_cli
from deeppose_cli import load
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.inference.estimator import PoseEstimator
from tests.helpers.weights_files import write


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("ours.safetensors"))
    for number, size in enumerate([(40, 60), (90, 50), (64, 64)]):
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        PilImage.fromarray(pixels).save(f"{number}.png")


@pytest.fixture
def estimator() -> PoseEstimator:
    return load("ours.safetensors")


def test_a_pose_has_names_stages_and_its_image(estimator: PoseEstimator) -> None:
    pose = estimator("0.png")
    assert pose.names == estimator.names == LSP14.joints
    assert pose.keypoints.shape == (14, 2)
    assert pose.stages.shape == (2, 14, 2)
    np.testing.assert_array_equal(pose.stages[-1], pose.keypoints)
    assert pose.box == (0, 0, 60, 40)
    assert pose.image.shape == (40, 60, 3)
    assert pose.source == "0.png"
    assert np.isnan(pose.scores).all()  # these weights were never measured
    assert "PoseEstimator ours: 2 stage(s), 14 joints" in repr(estimator)
    assert len(repr(pose)) < 3000


def test_files_pixels_and_pil_images_are_alike(estimator: PoseEstimator) -> None:
    from_file = estimator("1.png")
    with PilImage.open("1.png") as opened:
        for image in (Path("1.png"), np.asarray(opened), opened):
            np.testing.assert_array_equal(estimator(image).keypoints, from_file.keypoints)
    grey = np.full((30, 20), 90, np.uint8)
    np.testing.assert_array_equal(estimator(grey).keypoints, estimator(np.repeat(grey[..., None], 3, 2)).keypoints)


@pytest.mark.parametrize("kind", ["exif", "16 bits", "transparent", "palette"])
def test_a_pil_image_is_read_as_its_file(kind: str, estimator: PoseEstimator) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (30, 20, 4), dtype=np.uint8)
    exif = PilImage.Exif()
    if kind == "exif":
        exif[0x0112] = 6
        image = PilImage.fromarray(pixels[..., :3])
    elif kind == "16 bits":
        image = PilImage.fromarray(pixels[..., 0].astype(np.uint16) * 250)
    elif kind == "transparent":
        image = PilImage.fromarray(pixels)
    else:
        image = PilImage.fromarray(pixels[..., :3]).quantize(16)
        image.info["transparency"] = 3
    image.save("door.png", exif=exif)
    with PilImage.open("door.png") as opened:
        one, other = estimator("door.png").image.astype(int), estimator(opened).image.astype(int)
    assert np.abs(one - other).max() <= 1


def test_a_pose_can_be_pickled(estimator: PoseEstimator) -> None:
    pose = estimator("1.png")
    copied = pickle.loads(pickle.dumps(pose))
    np.testing.assert_array_equal(copied.keypoints, pose.keypoints)
    assert copied.to_coco() == pose.to_coco()


def test_a_batch_is_its_images_one_by_one(estimator: PoseEstimator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deeppose_cli.inference.estimator._BATCH", 2)
    files, boxes = ["0.png", "1.png", "2.png"], [(0, 0, 30, 30), (5, 5, 20, 40), (1, 2, 50, 60)]
    for pose, file, box in zip(estimator.batch(files, boxes), files, boxes, strict=True):
        assert (pose.source, pose.box) == (file, box)
        np.testing.assert_allclose(pose.keypoints, estimator(file, box).keypoints, atol=1e-3)
    assert estimator.batch([]) == []


def test_the_command_gives_the_same_results(estimator: PoseEstimator, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from deeppose_cli.cli.app import main

    assert main(["predict", "2.png", "--weights", "ours.safetensors", "--box", "image", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    ours = estimator("2.png").to_coco()
    assert ours.keys() == result.keys()
    for key in ours.keys() - {"overlay", "keypoints", "stages"}:
        assert ours[key] == result[key], key
    np.testing.assert_allclose(ours["keypoints"], result["keypoints"], atol=2e-3)


def test_stages_and_flip_test(estimator: PoseEstimator) -> None:
    one = load("ours.safetensors", stages=1)("0.png")
    np.testing.assert_allclose(one.keypoints, estimator("0.png").stages[0], atol=1e-3)
    assert not np.allclose(estimator("0.png", flip_test=True).keypoints, estimator("0.png").keypoints)


def test_a_table_and_images_of_it(estimator: PoseEstimator) -> None:
    pose = estimator("0.png")
    table = pose.to_pandas()
    assert table.loc["neck", ["x", "y"]].tolist() == pose.keypoints[LSP14.index("neck")].tolist()
    assert pose.drawn().shape == (320, 480, 3)
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert pose.plot(axes) is axes
    assert axes.images[0].get_array().shape == (320, 480, 3)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda estimator: load("gone.safetensors"), "no such file"),
        (lambda estimator: load("gone"), "gone: no run in lightning_logs and no weights; valid: people"),
        (
            lambda estimator: load("ours.safetensors", stages=3),
            "--stage 3: weights ours has 2 trained stage(s)",
        ),
        (lambda estimator: load("ours.safetensors", box="torso"), "--box torso"),
        (lambda estimator: estimator("gone.png"), "gone.png: cannot be read"),
        (lambda estimator: estimator("https://example.org/a.png"), "https://example.org/a.png: a URL; valid: a file"),
        (lambda estimator: estimator.batch("0.png"), "0.png: one file; valid: a list of images"),
        (lambda estimator: estimator("0.png", (200, 0, 9, 9)), "lies outside of the image (60 × 40 px)"),
        (lambda estimator: estimator(np.zeros((5, 5, 4), np.uint8)), "shape (5, 5, 4); valid: uint8"),
        (lambda estimator: estimator(np.zeros((5, 5, 3))), "type float64"),
        (lambda estimator: estimator(np.zeros((0, 5, 3), np.uint8)), "there are none"),
        (lambda estimator: estimator.batch(["0.png"], []), "0 boxes for 1 images"),
        (lambda estimator: estimator(None), "an image of type NoneType; valid: a file"),
    ],
)
def test_mistakes_are_named(mistake: object, words: str, estimator: PoseEstimator) -> None:
    with pytest.raises(DeepPoseError) as caught:
        mistake(estimator)  # type: ignore[operator]
    assert words in str(caught.value)


def test_pixels_of_another_kind_are_a_mistake_of_use(estimator: PoseEstimator) -> None:
    with pytest.raises(UsageError):
        estimator(np.zeros((5, 5, 3)))


def test_lightning_is_not_imported_and_the_package_alone_imports_nothing() -> None:
    script = """if True:
        import sys
        import deeppose_cli
        print(sorted({"torch", "numpy", "cv2"} & sys.modules.keys()))
        from deeppose_cli import load
        load("ours.safetensors")("0.png")
        print(sorted({"lightning", "torchvision", "matplotlib", "pandas", "typer"} & sys.modules.keys()))
    """
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n[]\n"
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        deeppose_cli.lod  # noqa: B018
