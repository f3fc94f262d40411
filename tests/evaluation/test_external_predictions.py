"""Files of external predictions: what is read, and that everything else is one line with what was expected."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.evaluation.external_predictions import external_rows, read_predictions

NAMES = ("a.jpg", "b.jpg", "c.jpg")
JOINTS = ("neck", "hip", "knee", "toe")


def poses() -> np.ndarray:
    values = np.arange(24.0).reshape(3, 4, 2)
    values[1, 2] = np.nan
    return values


def result(image_id: Any, value: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"image_id": image_id, "keypoints": [value, value + 1, 2] * len(JOINTS), **more}


def as_json(folder: Path, content: Any) -> Path:
    path = folder / "them.json"
    path.write_text(json.dumps(content))
    return path


def read(path: Path) -> np.ndarray:
    return read_predictions(path, NAMES, JOINTS, "mine")[0]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_npz(tmp_path: Path, dtype: type) -> None:
    np.savez_compressed(tmp_path / "them.npz", keypoints=poses().astype(dtype), other=np.array(["x"], dtype=object))
    found = read(tmp_path / "them.npz")
    np.testing.assert_array_equal(found, poses())
    assert found.dtype == np.float64


def test_npz_of_whole_numbers(tmp_path: Path) -> None:
    np.savez(tmp_path / "them.npz", keypoints=np.ones((3, 4, 2), int))
    assert (read(tmp_path / "them.npz") == 1).all()


def test_coco_by_number_and_by_name(tmp_path: Path) -> None:
    found = read(as_json(tmp_path, [result("c.jpg", 5), result(0, 7)]))
    assert (found[0, :, 0] == 7).all()
    assert (found[2] == [5, 6]).all()
    assert np.isnan(found[1]).all()


def test_coco_takes_the_highest_score_in_any_order(tmp_path: Path) -> None:
    results = [result(0, 1, score=0.2), result(0, 2, score=0.9), result(0, 3, score=0.5), result(1, 4), result(1, 5)]
    found = read(as_json(tmp_path, results))
    assert (found[0, 0, 0], found[1, 0, 0]) == (2, 4)


def test_scores_of_poses_are_read(tmp_path: Path) -> None:
    results = [result(0, score=0.2), result(0, score=0.9), result(2)]
    _, scores = read_predictions(as_json(tmp_path, results), NAMES, JOINTS)
    assert scores.tolist() == [0.9, 0, 0]
    assert read_predictions(as_json(tmp_path, results[2:]), NAMES, JOINTS)[1] is None
    np.savez(tmp_path / "them.npz", keypoints=poses(), scores=np.array([1, 2, 3]))
    assert read_predictions(tmp_path / "them.npz", NAMES, JOINTS)[1].tolist() == [1, 2, 3]


def test_coco_joint_of_zeros_is_none_and_a_visible_corner_is_not(tmp_path: Path) -> None:
    keypoints = [0, 0, 0, 0, 0, 2, 3, 4, 0, float("nan"), 1, 1]
    found = read(as_json(tmp_path, [{"image_id": 0, "keypoints": keypoints}]))
    assert np.isnan(found[0, 0]).all()
    assert found[0, 1].tolist() == [0, 0]
    assert found[0, 2].tolist() == [3, 4]
    assert np.isnan(found[0, 3, 0])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"keypoints": np.zeros((2, 4, 2))},
            r"shape \(2, 4, 2\); expected \(3, 4, 2\): 3 images.*; the orders: deeppose data list mine",
        ),
        ({"keypoints": np.zeros((3, 4, 3))}, r"shape \(3, 4, 3\); expected \(3, 4, 2\)"),
        ({"keypoints": np.zeros(())}, r"shape \(\); expected"),
        ({"poses": np.zeros((3, 4, 2)), "b": np.zeros(1)}, "no array 'keypoints'; arrays found: poses, b"),
        ({}, "no array 'keypoints'; arrays found: none"),
        ({"keypoints": np.full((3, 4, 2), np.inf)}, r"x of neck is infinite in image 0 \(a.jpg\)"),
        ({"keypoints": np.full((3, 4, 2), np.nan)}, "no prediction for any of the 3 images"),
        ({"keypoints": np.full((3, 4, 2), "1")}, "type <U1; expected numbers"),
        ({"keypoints": np.full((3, 4, 2), 1j)}, "type complex128; expected numbers"),
        ({"keypoints": poses(), "scores": np.ones(2)}, r"scores has shape \(2,\); expected 3 numbers, one an image"),
        ({"keypoints": poses(), "scores": np.array([1, np.nan, 1])}, "scores .* expected 3 numbers"),
        ({"keypoints": np.full((3, 4, 2), None)}, "not an .npz file of plain numbers"),
    ],
)
def test_npz_that_cannot_be_scored(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "them.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DeepPoseError, match=message) as caught:
        read(tmp_path / "them.npz")
    assert str(caught.value).startswith(str(tmp_path / "them.npz"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", ["nothing", "text", "half", "npy", "flipped"])
def test_npz_that_is_damaged(tmp_path: Path, cut: str) -> None:
    path, other = tmp_path / "them.npz", tmp_path / "whole.npz"
    np.savez_compressed(other, keypoints=np.random.default_rng(0).uniform(size=(3, 4, 2)))
    whole = other.read_bytes()
    np.save(tmp_path / "one.npy", poses())
    a, b = len(whole) // 3, len(whole) // 3 + 40
    path.write_bytes(
        {
            "nothing": b"",
            "text": b"x,y\n1,2\n",
            "half": whole[: len(whole) // 2],
            "npy": (tmp_path / "one.npy").read_bytes(),
            "flipped": whole[:a] + bytes(255 - byte for byte in whole[a:b]) + whole[b:],
        }[cut]
    )
    with pytest.raises(DeepPoseError, match=r"not an \.npz file of plain numbers"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"annotations": []}, "holds one dict; expected a list"),
        ([7], "result 0: expected an object with image_id and keypoints"),
        ([{"image_id": 0}], "result 0: expected an object"),
        ([result(0), result(3)], r"result 1: image_id 3 is not in the split; valid: the 0-based number.*\(0 to 2\)"),
        ([result(-1)], "image_id -1 is not in the split"),
        ([result(True)], "image_id True is not in the split"),
        ([result("d.jpg")], "image_id 'd.jpg' is not in the split; valid: .* or an example's name, such as 'a.jpg'"),
        ([result(10**400)], r"image_id 1000.*… \(401 characters\) is not in the split"),
        ([result([0])], r"image_id \[0\] is not in the split"),
        (
            [{"image_id": 0, "keypoints": [1, 2, 3]}],
            "has 3 numbers; expected 12: x, y, v of 4 joints; .*data list mine",
        ),
        ([{"image_id": 0, "keypoints": [0] * 7 + ["1"] * 5}], "keypoints: y of knee is '1'; expected a number"),
        ([{"image_id": 0, "keypoints": [0] * 11 + [True]}], "keypoints: v of toe is True; expected a number"),
        ([{"image_id": 0, "keypoints": None}], "keypoints is None; expected a list of numbers"),
        ([result(0, float("inf"))], r"x of neck is infinite in image 0"),
        ([result(0, 10**400)], "keypoints: x of neck is 1000.*, which is too large"),
        ([result(0, score=10**400)], "score is 1000.*, which is too large"),
        ([], "no prediction for any of the 3 images"),
        ([result(0, score="high")], "score is 'high'; expected a number"),
        ([result(0, score=float("nan"))], "score is nan; expected a number"),
    ],
)
def test_coco_that_cannot_be_scored(tmp_path: Path, content: Any, message: str) -> None:
    path = as_json(tmp_path, content)
    with pytest.raises(DeepPoseError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))


def member(folder: Path, change: str) -> Path:
    """An archive whose keypoints zipfile or NumPy cannot hand out."""
    path = folder / "them.npz"
    if change == "text":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("keypoints.npy", b"1 2 3")
        return path
    np.savez(path, keypoints=poses())
    whole = bytearray(path.read_bytes())
    local, central = whole.index(b"PK\x03\x04"), whole.index(b"PK\x01\x02")
    if change == "encrypted":
        whole[local + 6] |= 1
        whole[central + 8] |= 1
    else:  # a compression method that does not exist
        whole[local + 8] = whole[central + 10] = 77
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("encrypted", "not an .npz file of plain numbers .*encrypted"),
        ("compression", "not an .npz file of plain numbers .*compression"),
        ("text", "keypoints is not an array|not an .npz file of plain numbers"),
    ],
)
def test_npz_whose_member_cannot_be_read(tmp_path: Path, change: str, message: str) -> None:
    path = member(tmp_path, change)
    with pytest.raises(DeepPoseError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))


def test_marks_and_capitals_of_other_systems_are_read(tmp_path: Path) -> None:
    (tmp_path / "them.JSON").write_bytes(b"\xef\xbb\xbf" + json.dumps([result(0, 7)]).encode())
    assert read(tmp_path / "them.JSON")[0, 0, 0] == 7
    np.savez(tmp_path / "them.npz", keypoints=poses())
    (tmp_path / "them.npz").rename(tmp_path / "them.NPZ")
    np.testing.assert_array_equal(read(tmp_path / "them.NPZ"), poses())


def test_an_image_with_several_examples_is_named_once_or_by_example(tmp_path: Path) -> None:
    names = ("x.jpg", "y.jpg", "x.jpg#2", "z.jpg#2")

    def of(*results: dict[str, Any]) -> list[bool]:
        found, _ = read_predictions(as_json(tmp_path, list(results)), names, JOINTS)
        return [not np.isnan(pose).any() for pose in found]

    assert of(result("x.jpg")) == [True, False, False, False]
    assert of(result("x.jpg"), result("x.jpg#2"), result("x.jpg#2"), result(0)) == [True, False, True, False]
    assert of(result("y.jpg"), result("y.jpg")) == [False, True, False, False]
    for others in ([], [result("y.jpg")]):
        with pytest.raises(
            DeepPoseError, match=r"second result for 'x\.jpg'.*valid: .*'x\.jpg#2', or its 0-based number"
        ):
            of(result("x.jpg", score=0.1), *others, result("x.jpg", score=0.9))
    with pytest.raises(DeepPoseError, match=r"'z\.jpg' is not in the split; valid: .*such as 'z\.jpg#2'"):
        of(result("z.jpg"))


def test_images_without_a_prediction_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.arange(3 * 14 * 2.0).reshape(3, 14, 2)
    values[0], values[2, :, 1] = np.nan, np.nan
    path = tmp_path / "them.npz"
    np.savez(path, keypoints=values)
    files = tuple(Path(name) for name in NAMES)
    test = Annotations(LSP14, files, np.zeros((3, 14, 2)), np.full((3, 4), np.nan), NAMES)
    (row,) = external_rows([path], test, "mine")
    assert (row.name, row.images_without_prediction) == ("them.npz", 2)
    assert row.predicted.all()
    assert capsys.readouterr().err == f"{path}: no prediction for 2 of 3 images; counted as wrong\n"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_json_that_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "them.json").write_bytes(content)
    with pytest.raises(DeepPoseError, match="not a JSON file"):
        read(tmp_path / "them.json")


def test_a_name_that_two_examples_share_is_ambiguous(tmp_path: Path) -> None:
    path = as_json(tmp_path, [result("a.jpg")])
    with pytest.raises(DeepPoseError, match=r"2 examples are named 'a\.jpg'; give the 0-based number"):
        read_predictions(path, ("a.jpg", "a.jpg"), JOINTS)


def test_files_that_are_missing_or_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(DeepPoseError, match="no such file"):
        read(tmp_path / "them.npz")
    with pytest.raises(UsageError, match=r"--predictions them.csv: unknown kind of file; valid: .npz, .json"):
        read(Path("them.csv"))
