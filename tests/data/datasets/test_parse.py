"""Image Parse, whole or in parts, from its archives to labels in the project's convention."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.datasets import parse
from deeppose_cli.data.datasets.check import check_dataset
from tests.helpers.lsp_archives import contents, packed
from tests.helpers.parse_archives import ALL, SMALL_SET, TEST, TRAIN, labels, write

ARCHIVE = Path(__file__).parents[4] / "shared" / "data" / "people_train.zip"
ROWS = [
    *("left ankle", "left knee", "left hip", "right hip", "right knee", "right ankle"),
    *("left wrist", "left elbow", "left shoulder", "right shoulder", "right elbow", "right wrist"),
    *("neck", "head top"),
]
"""Of `ptsAll`; the sides are the image's."""


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return write(tmp_path / "whole")


def line_of(error: pytest.ExceptionInfo[DeepPoseError]) -> str:
    line = str(error.value)
    assert "\n" not in line
    assert ".new" not in line, "the temporary folder is gone when this is read"
    return line


def sizes(data: Path) -> list[int]:
    return [len(split) for split in parse.PARSE.read(data).values()]


def assert_labels(split: Annotations, numbers: range) -> None:
    """Of these images, by number: joint by joint, the image's left being the person's right."""
    assert split.names == tuple(f"im{number:04d}.jpg" for number in numbers)
    assert all(file.name == name and file.is_file() for file, name in zip(split.files, split.names, strict=True))
    stored = labels(numbers)
    other = {"left": "right", "right": "left"}
    for row, joint in enumerate(ROWS):
        side, _, rest = joint.partition(" ")
        name = f"{other[side]}_{rest}" if side in other else joint.replace(" ", "_")
        np.testing.assert_allclose(split.keypoints[:, LSP14.index(name)], stored[row].T - 1)
    assert np.isnan(split.boxes).all()


# ---- reading


def test_joints_have_the_persons_sides_and_start_at_zero(tmp_path: Path, whole: Path) -> None:
    SMALL_SET.prepare([whole], tmp_path / "data")
    splits = parse.PARSE.read(tmp_path / "data")
    assert list(splits) == ["train", "validation", "test"]
    assert_labels(splits["train"], TRAIN)
    assert_labels(splits["test"], TEST)
    assert len(splits["validation"]) == 0


def test_a_single_record_and_whole_numbers_are_read(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "labels.mat", {"ptsAll": np.full((14, 2), 3, np.uint8)})
    np.testing.assert_array_equal(parse.read_labels(tmp_path / "labels.mat", "x"), np.full((1, 14, 2), 2.0))


def changed(record: int, row: int, axis: int, to: float) -> dict[str, object]:
    stored = labels()
    stored[row, axis, record] = to
    return {"ptsAll": stored}


BAD_VALUES: dict[str, tuple[dict[str, object], str]] = {
    "LSP's": ({"joints": np.ones((3, 14, 5))}, "no variable 'ptsAll'; found 'joints'"),
    "other axes": ({"ptsAll": np.ones((11, 14, 2))}, r"shape \(11, 14, 2\); valid: \(14, 2, N\)"),
    "with flags": ({"ptsAll": np.ones((14, 3, 11))}, r"shape \(14, 3, 11\)"),
    "26 joints": ({"ptsAll": np.ones((26, 2, 11))}, r"shape \(26, 2, 11\)"),
    "too many axes": ({"ptsAll": np.ones((14, 2, 11, 2))}, "shape"),
    "flat": ({"ptsAll": np.ones((14, 1))}, r"shape \(14, 1\)"),
    "text": ({"ptsAll": "hello"}, "ptsAll is text"),
    "NaN": (changed(2, 8, 0, np.nan), r"record 3, left_shoulder \(row 9\) x is nan; valid: within"),
    "infinite": (changed(0, 13, 1, -np.inf), r"record 1, head_top \(row 14\) y is -inf"),
    "far away": (changed(10, 0, 1, 1e9), r"record 11, left_ankle \(row 1\) y is 1e\+09; valid: within ±100000 px"),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_a_value_that_cannot_be_right_is_named(tmp_path: Path, case: str) -> None:
    variables, expected = BAD_VALUES[case]
    scipy.io.savemat(tmp_path / "labels.mat", variables)
    with pytest.raises(DeepPoseError, match=expected) as caught:
        parse.read_labels(tmp_path / "labels.mat", "a.zip: labels.mat")
    assert line_of(caught).startswith("a.zip: labels.mat: ")


def test_what_is_missing_is_named_with_what_to_type(tmp_path: Path, whole: Path) -> None:
    data = tmp_path / "data"
    with pytest.raises(DeepPoseError) as caught:
        parse.PARSE.read(data)
    assert line_of(caught) == (
        f"parse is not in {data / 'parse'}; people.zip from Deva Ramanan's page of the NIPS 2006 paper "
        "(www.ics.uci.edu/~dramanan); "
        f"type: deeppose data prepare parse --from people.zip --data-root {data}; "
        "without --from it is downloaded"
    )
    SMALL_SET.prepare([whole], data)
    for number in (6, 9):
        (data / "parse" / "images" / "test" / f"im{number:04d}.jpg").unlink()
    with pytest.raises(DeepPoseError, match=r"im0006\.jpg: no such file \(2 of 11 images missing\); .* type: deep"):
        parse.PARSE.read(data)


# ---- parts


def test_one_part_leaves_the_other_split_empty(tmp_path: Path) -> None:
    for name, numbers, expected in (("train", TRAIN, [4, 0, 0]), ("test", TEST, [0, 0, 7])):
        data = tmp_path / f"data of {name}"
        SMALL_SET.prepare([write(tmp_path / name, numbers)], data)
        assert sizes(data) == expected
        assert_labels(parse.PARSE.read(data)[name], numbers)


def test_two_parts_in_one_command_or_one_after_the_other(tmp_path: Path) -> None:
    archives = [
        packed(write(tmp_path / name, numbers), tmp_path / f"{name}.zip")
        for name, numbers in (("train", TRAIN), ("test", TEST))
    ]
    SMALL_SET.prepare(archives, tmp_path / "at once")
    for archive in reversed(archives):
        SMALL_SET.prepare([archive], tmp_path / "after another")
    SMALL_SET.prepare([archives[0]], tmp_path / "after another")
    for data in (tmp_path / "at once", tmp_path / "after another"):
        splits = parse.PARSE.read(data)
        assert_labels(splits["train"], TRAIN)
        assert_labels(splits["test"], TEST)


@pytest.mark.parametrize(("images", "split"), [(TRAIN, "train"), (TEST, "test")])
def test_a_part_may_come_with_the_labels_of_all(tmp_path: Path, images: range, split: str) -> None:
    data = tmp_path / "data"
    SMALL_SET.prepare([write(tmp_path / "part", images, records=ALL)], data)
    splits = parse.PARSE.read(data)
    assert_labels(splits[split], images)
    assert sum(map(len, splits.values())) == len(images)


def test_the_whole_set_counts_beside_a_part(tmp_path: Path, whole: Path) -> None:
    data = tmp_path / "data"
    for source in (write(tmp_path / "part", TEST), whole, tmp_path / "part"):
        SMALL_SET.prepare([source], data)
    assert sizes(data) == [4, 0, 7]


def test_what_is_not_here_is_told_by_split(tmp_path: Path, whole: Path) -> None:
    data = tmp_path / "data"
    SMALL_SET.prepare([write(tmp_path / "train", TRAIN)], data)
    assert check_dataset("parse", data_root=data)["notes"] == ["test: not here: images/test"]
    SMALL_SET.prepare([whole], data)
    assert check_dataset("parse", data_root=data)["notes"] == []


# ---- preparing


@pytest.mark.parametrize(
    "pack",
    [
        lambda folder, to: folder,
        lambda folder, to: folder / "people_all",
        lambda folder, to: packed(folder, to / "a.zip"),
        lambda folder, to: packed(folder / "people_all", to / "a.zip"),
        lambda folder, to: packed(folder, to / "a.zip", "deep/er/"),
    ],
)
def test_an_archive_gives_what_its_folder_holds(
    tmp_path: Path, whole: Path, pack: Callable[[Path, Path], Path]
) -> None:
    before = contents(whole)
    (whole / "people_all" / "im0012.jpg").write_bytes(b"not one of the eleven")
    (whole / "people_all" / "._im0001.jpg").write_bytes(b"left by a Mac")
    (whole / "drawn").mkdir()
    (whole / "drawn" / "im0001.jpg").write_bytes(b"no labels beside it")
    SMALL_SET.prepare([pack(whole, tmp_path)], tmp_path / "data")
    there = contents(tmp_path / "data" / "parse")
    del before["people_all/labels.mat"]
    images = {name: data for name, data in there.items() if name.startswith("images/")}
    assert {Path(name).name: data for name, data in images.items()} == {Path(n).name: d for n, d in before.items()}
    assert {name.split("/")[1] for name in images} == {"train", "test"}


BAD_SETS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no labels": (lambda folder: (folder / "labels.mat").unlink(), "does not hold Image Parse"),
    "cut labels": (
        lambda folder: (folder / "labels.mat").write_bytes((folder / "labels.mat").read_bytes()[:-200]),
        r"people_all/labels\.mat: not a MATLAB file of versions 5 to 7.2, or damaged \(.*\); copy it again",
    ),
    "empty labels": (lambda folder: (folder / "labels.mat").write_bytes(b""), "labels.mat: not a MATLAB file"),
    "other count": (
        lambda folder: scipy.io.savemat(folder / "labels.mat", {"ptsAll": labels(range(1, 6))}),
        r"ptsAll has 5 records; valid: 11 \(all\)",
    ),
    "no records": (
        lambda folder: scipy.io.savemat(folder / "labels.mat", {"ptsAll": np.ones((14, 2, 0))}),
        "ptsAll has 0 records",
    ),
    "bad value": (
        lambda folder: scipy.io.savemat(folder / "labels.mat", changed(1, 1, 0, np.inf)),
        r"record 2, left_knee \(row 2\) x is inf",
    ),
    "an image missing": (
        lambda folder: (folder / "im0007.jpg").unlink(),
        r"1 of 7 images of test are missing, the first is im0007\.jpg",
    ),
    "no image": (
        lambda folder: [file.rename(file.with_suffix(".png")) for file in folder.glob("*.jpg")],
        r"(4 of 4 images of train|7 of 7 images of test) are missing, the first is im000",
    ),
}


@pytest.mark.parametrize("case", BAD_SETS)
def test_a_bad_archive_leaves_the_data_as_it_was(tmp_path: Path, whole: Path, case: str) -> None:
    data = tmp_path / "data"
    SMALL_SET.prepare([whole], data)
    before = contents(data)
    spoil, expected = BAD_SETS[case]
    spoil(whole / "people_all")
    archive = packed(whole, tmp_path / "again.zip")
    with pytest.raises(DeepPoseError, match=expected) as caught:
        SMALL_SET.prepare([archive], data)
    assert str(archive) in line_of(caught)
    assert contents(data) == before
    assert {entry.name for entry in (data / "parse" / "images").iterdir()} == {"train", "test"}


def test_what_is_no_archive_of_this_set_is_refused(tmp_path: Path, whole: Path) -> None:
    data = tmp_path / "data"
    with zipfile.ZipFile(tmp_path / "lsp.zip", "w") as file:
        file.writestr("images/im0001.jpg", b"x")
        file.writestr("joints.mat", b"x")
    zipfile.ZipFile(tmp_path / "none.zip", "w").close()
    (tmp_path / "empty.zip").write_bytes(b"")
    for name, expected in (("lsp", "does not hold Image Parse"), ("none", "archive is empty"), ("empty", "is empty")):
        with pytest.raises(DeepPoseError, match=rf"{name}\.zip: .*{expected}"):
            SMALL_SET.prepare([tmp_path / f"{name}.zip"], data)
    archive = packed(whole, tmp_path / "a.zip")
    with pytest.raises(DeepPoseError, match="give each archive once"):
        SMALL_SET.prepare([archive, archive], data)
    assert not data.exists() or not contents(data)


# ---- the original


@pytest.mark.real
@pytest.mark.skipif(not ARCHIVE.is_file(), reason="the real archive is not here")
def test_the_training_part_of_the_original(tmp_path: Path) -> None:
    from deeppose_cli.media.images import image_size

    parse.PARSE.prepare([ARCHIVE], tmp_path)
    splits = parse.PARSE.read(tmp_path)
    assert {name: len(split) for name, split in splits.items()} == {"train": 100, "validation": 0, "test": 0}
    train = splits["train"]
    assert (train.names[0], train.names[-1]) == ("im0001.jpg", "im0100.jpg")
    assert train.labelled.all()
    # People face the camera: the person's right shoulder is on the left.
    right, left = (train.keypoints[:, LSP14.index(f"{side}_shoulder"), 0] for side in ("right", "left"))
    assert (right < left).mean() == pytest.approx(0.95)
    # Wrong numbering or swapped axes would put thousands outside.
    size = np.array([image_size(file) for file in train.files])[:, None]
    assert ((train.keypoints < -0.5) | (train.keypoints > size - 0.5)).any(-1).sum() == 1
    neck, head = train.keypoints[:, 12], train.keypoints[:, 13]
    assert (head[:, 1] < neck[:, 1]).mean() > 0.9
