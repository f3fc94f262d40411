"""LSP, LSPET and FLIC as one set: whose labels, boxes and rows they are."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.box_quality import measure_boxes
from deeppose_cli.cli.app import main
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.skeleton import FLIC10, LSP14, PEOPLE19, Skeleton
from deeppose_cli.data.datasets import flic, lsp, people, registry
from deeppose_cli.data.datasets.release import make_rows, write_dataset
from deeppose_cli.data.datasets.spec import SPLITS, DatasetSpec
from deeppose_cli.data.loading.datamodules import TrainingData
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.evaluation import predict_split
from tests.helpers import flic_archives, lsp_archives
from tests.helpers.lsp_archives import FEW as LSP_FEW

PARTS = (lsp.LSP, flic.FLIC)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with LSP, LSPET and FLIC in miniature."""
    given, data = tmp_path_factory.mktemp("given"), tmp_path_factory.mktemp("data")
    flags = np.random.default_rng(5).random((6, 14)) < 0.7  # LSPET labels some joints
    extension = lsp_archives.labels(6, 1)
    extension[..., 2] = flags
    sources = [
        lsp_archives.write(given / "lsp", LSP_FEW[0], lsp_archives.labels(10)),
        lsp_archives.write(given / "lspet", LSP_FEW[1], extension),
    ]
    lsp_archives.SMALL_SET.prepare(sources, data)
    flic_archives.SMALL_SET.prepare([flic_archives.write(given / "FLIC", flic_archives.few())], data)
    return data


def parts_of(root: Path, split: str) -> tuple[Annotations, Annotations, Annotations]:
    """(LSP's rows, FLIC's, the joined ones). In training LSP's own rows are there three times in a row."""
    whole, upper = (part.read(root)[split] for part in PARTS)
    if split == "train":
        own = [3 if path.parent.name == "lsp" else 1 for path in whole.files]
        assert {*own} == {1, 3}
        whole = whole.take(np.repeat(np.arange(len(whole)), own))
    return whole, upper, people.PEOPLE.read(root)[split]


@pytest.mark.parametrize("split", SPLITS)
def test_rows_and_labels_are_those_of_the_parts(root: Path, split: str) -> None:
    whole, upper, joined = parts_of(root, split)
    assert joined.names == whole.names + upper.names
    assert joined.files == whole.files + upper.files
    assert joined.skeleton is PEOPLE19
    for part, rows in ((whole, slice(0, len(whole))), (upper, slice(len(whole), None))):
        for joint in PEOPLE19.joints:
            found = joined.keypoints[rows, PEOPLE19.index(joint)]
            other_points = ["neck", "left_hip", "right_hip"] if split == "train" else ["neck"]
            if joint in part.skeleton.joints and not (part.skeleton == FLIC10 and joint in other_points):
                np.testing.assert_array_equal(found, part.keypoints[:, part.skeleton.index(joint)])
            else:
                assert np.isnan(found).all(), "not labelled, or another point than in the other sets"


def test_every_point_that_a_part_labels_is_in_the_union_once() -> None:
    assert set(PEOPLE19.joints) > {*LSP14.joints, *FLIC10.joints}
    assert len(set(PEOPLE19.joints)) == len(PEOPLE19) == 19
    assert sorted(PEOPLE19.mirror) == list(range(19))


@pytest.mark.parametrize("split", SPLITS)
def test_initial_boxes_are_those_that_a_model_of_each_part_alone_is_trained_with(root: Path, split: str) -> None:
    whole, upper, joined = parts_of(root, split)
    found = initial_boxes(joined, people.PEOPLE.initial_box)
    expected = [initial_boxes(whole, "own").boxes, initial_boxes(upper, "torso").boxes]
    np.testing.assert_allclose(found.boxes, np.concatenate(expected))


def test_what_is_trained_on_is_no_part_of_any_test(root: Path) -> None:
    data = TrainingData.read(people.PEOPLE, root)
    tests = {name for part in PARTS for name in part.read(root)["test"].names}
    assert tests
    assert not tests & {*data.train.names, *data.validation.names}
    assert set(data.train.names) == {name for part in PARTS for name in part.read(root)["train"].names}
    assert "own" in data.summary


def test_the_truth_in_the_union_scores_whole_on_flic(root: Path) -> None:
    """Through the union and back nothing is lost, the neck included."""
    _, upper, joined = parts_of(root, "test")
    back = predict_split.to_skeleton(joined.keypoints[-len(upper) :], PEOPLE19, FLIC10)
    np.testing.assert_allclose(back, upper.keypoints)


@pytest.mark.parametrize("missing", [("lsp",), ("flic",), ("lsp", "flic")])
def test_what_is_not_prepared_is_named_with_what_to_type(root: Path, tmp_path: Path, missing: tuple[str, ...]) -> None:
    for name in {"lsp", "flic"} - {*missing}:
        (tmp_path / name).symlink_to(root / name)
    with pytest.raises(DeepPoseError) as caught:
        people.PEOPLE.read(tmp_path)
    line = str(caught.value)
    assert line.startswith("people joins lsp and flic: ")
    assert "\n" not in line
    for name in ("lsp", "flic"):
        assert (f"deeppose data prepare {name} --from" in line) == (name in missing)
    assert str(tmp_path) in line


def test_mpii_joins_where_it_is_there(root: Path, tmp_path: Path) -> None:
    """By its own joint names, from either folder, three times in training."""
    skeleton = Skeleton("mpii", ("right_hip", "left_shoulder", "thorax", "upper_neck", "head_top"))
    (tmp_path / "mpii-sample/images").mkdir(parents=True)
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"mpii-sample/images/{i}.png"), np.full((40, 50, 3), 90, np.uint8))
    labels = np.random.default_rng(0).uniform(5, 35, (3, 5, 2)).round(3)
    boxes = np.tile([25.0, 20.0, 40.0, 36.0], (3, 1))
    rows = make_rows(skeleton, [f"{i}.png" for i in range(3)], labels, boxes=boxes)
    splits = {"train": rows.take([0, 1]), "validation": rows.take([2]), "test": rows.take([])}
    write_dataset(DatasetSpec("mpii-sample", "MPII", skeleton), splits, tmp_path / "mpii-sample")
    for name in ("lsp", "flic"):
        (tmp_path / name).symlink_to(root / name)
    joined, without = people.PEOPLE.read(tmp_path), people.PEOPLE.read(root)
    assert len(joined["train"]) == len(without["train"]) + 3 * 2
    assert len(joined["validation"]) == len(without["validation"]) + 1
    assert len(joined["test"]) == len(without["test"])
    found = joined["validation"].keypoints[-1]
    np.testing.assert_allclose(found[PEOPLE19.index("neck")], labels[2, 3])
    np.testing.assert_allclose(found[PEOPLE19.index("right_hip")], labels[2, 0])
    assert np.isfinite(found).all(-1).sum() == 4, "the thorax has no place in PEOPLE19"


# ---- the commands


def test_preparing_it_is_preparing_its_parts(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "prepare", "people", "--data-root", str(root)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"people is in {root / 'lsp'} and {root / 'flic'}: train 26,")
    assert not (root / "people").exists()
    assert main(["data", "prepare", "people", "--data-root", str(tmp_path)]) == 1
    assert "deeppose data prepare flic --from" in capsys.readouterr().err
    assert main(["data", "prepare", "people", "--from", "x.zip", "--data-root", str(tmp_path)]) == 2
    assert "--from x.zip: people has no archives" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_it_is_here_where_both_parts_are(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lsp").symlink_to(root / "lsp")
    for data, here in ((root, True), (tmp_path, False)):
        assert main(["data", "list", "people", "--json", "--data-root", str(data)]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["is_prepared"] is here
        assert not facts["problem"]


def test_it_is_checked_and_its_initial_boxes_are_reported(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "people", "--json", "--data-root", str(root)]) == 0
    report = json.loads(capsys.readouterr().out)
    train = report["splits"]["train"]
    assert train["joints"]["nose"] == pytest.approx(8 / 26, abs=1e-6)
    assert report["problems"] == []
    assert measure_boxes("people", ["own"], data_root=root)["learned"].keys() == {"torso"}


@pytest.mark.parametrize(
    ("trained", "box", "scored", "expected"),
    [
        ("people", "own", "people", "own"),
        ("people", "own", "lsp", "image"),
        ("people", "own", "flic", "torso"),
        ("people", "own", "parse", "image"),
        ("people", "own", "buffy", "face"),
        ("people", "face", "flic", "face"),
        ("people", "person", "lsp", "image"),
        ("flic", "torso", "flic", "torso"),
        ("lsp", "image", "flic", "face"),
        ("gone", "own", "flic", "face"),
    ],
)
def test_each_set_is_scored_from_the_boxes_that_the_model_expects(
    trained: str, box: str, scored: str, expected: str
) -> None:
    assert registry.trained_box(trained, box, registry.DATASETS[scored]) == expected


@pytest.mark.slow
def test_it_is_trained_refined_and_scored_on_its_parts(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    common = ["--preset", "tiny", "--input-size", "32", "--max-epochs", "1", "--workers", "0", "--accelerator", "cpu"]
    places = ["--data-root", str(root)]
    assert main(["train", "--data", "people", *common, *places]) == 0
    assert "initial box: own" in capsys.readouterr().err
    assert main(["refine", "--stage", "2", *common, *places]) == 0
    for flags, box, joints in ((["--data", "lsp"], "image", 14), (["--data", "flic"], "torso", 10), ([], "own", 19)):
        capsys.readouterr()
        assert main(["eval", "--json", "--bootstrap", "0", *flags, *places]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["box"] == box
        rows = {row["name"]: row["joints_scored"] for row in document["rows"]}
        assert [len(rows[stage]) for stage in ("stage 1", "stage 2")] == [joints] * 2
    assert main(["data", "show", "people", "--count", "2", *places, "--out", "sheet.png"]) == 0
    image = next((root / "flic").rglob("*.jpg"))
    assert main(["predict", str(image)]) == 0
