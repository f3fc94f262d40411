"""LSP and LSPET from archives as they are found in the wild, to labels in the project's convention."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.datasets import lsp
from deeppose_cli.data.datasets.splits import SPLITS
from tests.helpers.lsp_archives import FEW, SMALL_SET, contents, labels, packed, write

LSP, LSPET = FEW
FILES = {"dataset.yaml", *(f"annotations/{split}.json" for split in SPLITS)}
"""Of a prepared set, besides the images."""
REAL = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write(tmp_path / "small", LSP, labels(LSP.count))


@pytest.fixture
def extension(tmp_path: Path) -> Path:
    joints = labels(LSPET.count, seed=1)
    joints[..., 2] = 1
    joints[0, 3] = 0, -26.1, 0
    joints[1, :, 2] = 0
    return write(tmp_path / "extension", LSPET, joints)


def line_of(error: pytest.ExceptionInfo[DeepPoseError]) -> str:
    line = str(error.value)
    assert "\n" not in line
    assert ".new" not in line, "the temporary folder is gone when this is read"
    return line


# ---- reading


def test_coordinates_start_at_zero_and_every_joint_of_lsp_is_labelled(tmp_path: Path, small: Path) -> None:
    joints = labels(LSP.count)
    joints[:, ::2, 2] = 1  # occluded
    SMALL_SET.prepare([write(tmp_path / "flags", LSP, joints)], tmp_path / "data")
    splits = lsp.LSP.read(tmp_path / "data")
    assert {name: len(split) for name, split in splits.items()} == {"train": 4, "validation": 1, "test": 5}
    assert splits["test"].names == ("im0006.jpg", "im0007.jpg", "im0008.jpg", "im0009.jpg", "im0010.jpg")
    np.testing.assert_allclose(splits["test"].keypoints, joints[5:, :, :2] - 1, atol=1e-6)
    assert all(split.labelled.all() and np.isnan(split.boxes).all() for split in splits.values())
    assert sorted(splits["train"].names + splits["validation"].names) == [f"im{i:04d}.jpg" for i in range(1, 6)]


def test_the_extension_is_training_and_its_placeholders_are_not_labels(
    tmp_path: Path, small: Path, extension: Path
) -> None:
    SMALL_SET.prepare([small, extension], tmp_path / "data")
    splits = lsp.LSP.read(tmp_path / "data")
    assert (len(splits["validation"]), len(splits["test"])) == (1, 5)
    added = splits["train"].take(range(4, 10))
    assert added.names[0] == "im00001.jpg"
    assert not added.labelled[0, 3]
    assert added.labelled[0].sum() == 13
    assert np.isnan(added.boxes[1]).all(), "no label, no box"

    points = np.delete(added.keypoints[0], 3, axis=0)
    cx, cy, w, h = added.boxes[0]
    assert w == h == pytest.approx(lsp.EXTENSION_MARGIN * np.ptp(points, axis=0).max(), abs=1e-5)
    assert (cx, cy) == pytest.approx(tuple((points.min(0) + points.max(0)) / 2), abs=1e-5)


@pytest.mark.parametrize("layout", [(2, 1, 0), (1, 2, 0)])
def test_both_layouts_are_read(tmp_path: Path, layout: tuple[int, int, int]) -> None:
    joints = labels(3)
    file = tmp_path / "joints.mat"
    scipy.io.savemat(file, {"joints": joints.transpose(layout)})
    np.testing.assert_allclose(lsp.read_joints(file, "x", 3), joints - [1, 1, 0])


def test_whole_numbers_and_a_single_record_are_read(tmp_path: Path) -> None:
    file = tmp_path / "joints.mat"
    scipy.io.savemat(file, {"joints": np.ones((14, 3), np.uint8)})
    np.testing.assert_array_equal(lsp.read_joints(file, "x", 1), np.tile([0.0, 0.0, 1.0], (1, 14, 1)))


def changed(record: int, joint: int, value: int, to: float) -> dict[str, object]:
    joints = labels(5)
    joints[record, joint, value] = to
    return {"joints": joints.transpose(2, 1, 0)}


BAD_VALUES: dict[str, tuple[dict[str, object], str]] = {
    "no joints": ({"ptsAll": np.ones(3)}, "no variable 'joints'; found 'ptsAll'"),
    "FLIC's": ({"joints": np.ones((2, 29, 5))}, r"shape \(2, 29, 5\)"),
    "flat": ({"joints": np.ones((1, 7))}, r"shape \(1, 7\)"),
    "none": ({"joints": np.ones((3, 14, 0))}, "0 records"),
    "other count": ({"joints": np.ones((3, 14, 4))}, "4 records; valid: 5"),
    "too many axes": ({"joints": np.ones((3, 14, 5, 2))}, "shape"),
    "text": ({"joints": "hello"}, "joints is text"),
    "NaN": (changed(2, 12, 0, np.nan), "record 3, neck x is nan; valid: within"),
    "infinite": (changed(0, 0, 1, -np.inf), "record 1, right_ankle y is -inf"),
    "flag": (changed(4, 13, 2, 0.5), "record 5, flag of head_top is 0.5; valid: 0 or 1"),
    "far away": (changed(1, 7, 1, 1e6), "record 2, right_elbow y is 1e\\+06; valid: within"),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_a_value_that_cannot_be_right_is_named(tmp_path: Path, case: str) -> None:
    variables, expected = BAD_VALUES[case]
    scipy.io.savemat(tmp_path / "joints.mat", variables)
    with pytest.raises(DeepPoseError, match=expected) as caught:
        lsp.read_joints(tmp_path / "joints.mat", "a.zip: joints.mat", 5)
    assert line_of(caught).startswith("a.zip: joints.mat: ")


def test_what_is_missing_is_named_with_what_to_type(tmp_path: Path, small: Path) -> None:
    data = tmp_path / "data"
    with pytest.raises(DeepPoseError) as caught:
        lsp.LSP.read(data)
    assert line_of(caught) == (
        f"lsp is not in {data / 'lsp'}; archives from sam.johnson.io/research/lsp.html and lspet.html; "
        "type: deeppose data prepare lsp "
        f"--from lsp_dataset.zip [--from lspet_dataset.zip] --data-root {data}; without --from it is downloaded"
    )
    SMALL_SET.prepare([small], data)
    for row in (3, 7):
        (data / "lsp" / "images" / "lsp" / f"{LSP.stem(row)}.jpg").unlink()
    with pytest.raises(
        DeepPoseError, match=r"images/lsp/im0004\.jpg: no such file \(2 of 10 images missing\); archives .*; type: deep"
    ):
        lsp.LSP.read(data)
    labels_file = data / "lsp" / "annotations" / "test.json"
    for damage in (b"", b"PK", labels_file.read_bytes()[:-30]):
        labels_file.write_bytes(damage)
        with pytest.raises(DeepPoseError, match=r"annotations/test\.json: not a JSON file \(.*\)") as caught:
            lsp.LSP.read(data)
        line_of(caught)
    SMALL_SET.prepare([small], data)
    assert len(lsp.LSP.read(data)["test"]) == 5
    (data / "lsp" / "dataset.yaml").unlink()
    with pytest.raises(DeepPoseError, match=r"lsp is not in"):
        lsp.LSP.read(data)


# ---- preparing


@pytest.mark.parametrize(
    "pack",
    [
        lambda folder, to: folder,
        lambda folder, to: packed(folder, to / "a.zip"),
        lambda folder, to: packed(folder, to / "a.zip", "lsp_dataset/"),
        lambda folder, to: packed(folder, to / "a.zip", "deep/er/lsp_dataset/"),
        lambda folder, to: tarred(folder, to / "a.tar.gz"),
    ],
)
def test_an_archive_gives_what_its_folder_holds(
    tmp_path: Path, small: Path, pack: Callable[[Path, Path], Path]
) -> None:
    before = contents(small)
    SMALL_SET.prepare([pack(small, tmp_path)], tmp_path / "data")
    there = contents(tmp_path / "data" / "lsp")
    assert len(lsp.LSP.read(tmp_path / "data")["test"]) == 5
    images = {name: data for name, data in there.items() if name.startswith("images/")}
    assert images == {f"images/lsp/{name[7:]}": data for name, data in before.items() if name.startswith("images/")}
    assert there.keys() - images.keys() == FILES
    assert contents(small) == before


def tarred(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, "lsp_dataset")
    return archive


def in_parts(folder: Path, to: Path) -> tuple[Path, Path]:
    """joints.mat and the first half of the images; the rest."""
    names = sorted(contents(folder))
    parts = (to / "part1.zip", to / "part2.zip")
    images = [name for name in names if name.startswith("images/")]
    second = set(images[len(images) // 2 :])
    for part, chosen in zip(parts, ([n for n in names if n not in second], sorted(second)), strict=True):
        with zipfile.ZipFile(part, "w") as file:
            for name in chosen:
                file.write(folder / name, name)
    return parts


def test_a_release_in_two_archives_is_prepared_from_both(tmp_path: Path, small: Path, extension: Path) -> None:
    first, second = in_parts(extension, tmp_path)
    for given_sources in ([second], [first]):
        with pytest.raises(DeepPoseError, match="at once: --from PART1 --from PART2") as caught:
            SMALL_SET.prepare(given_sources, tmp_path / "data")
        assert str(given_sources[0]) in line_of(caught)
        assert not (tmp_path / "data" / "lsp").exists()
    SMALL_SET.prepare([second, packed(small, tmp_path / "a.zip"), first], tmp_path / "data")
    assert len(lsp.LSP.read(tmp_path / "data")["train"]) == 4 + 6


def test_one_folder_may_hold_both_and_other_things(tmp_path: Path, small: Path, extension: Path) -> None:
    (tmp_path / "README.md").write_text("of something else")
    (small / "images" / "._im0001.jpg").write_bytes(b"left by a Mac")
    (small / "visualized").mkdir()
    (small / "visualized" / "im0001.jpg").write_bytes(b"drawn")
    SMALL_SET.prepare([tmp_path], tmp_path / "data")
    there = contents(tmp_path / "data" / "lsp")
    assert len(there) == 10 + 6 + len(FILES)
    assert not [name for name in there if "visualized" in name or "._" in name]


def overwrite(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data) and None


BAD_SETS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no labels": (lambda folder: (folder / "joints.mat").unlink(), "lsp has no joints.mat"),
    "damaged labels": (overwrite("joints.mat", b"MATLAB 5.0"), "joints.mat: not a MATLAB file"),
    "labels of another set": (
        lambda folder: scipy.io.savemat(folder / "joints.mat", {"joints": np.ones((14, 3, 6))}),
        "joints has 6 records; valid: 10",
    ),
    "an image missing": (
        lambda folder: (folder / "images" / "im0003.jpg").unlink(),
        r"1 of 10 images of lsp are missing, the first is im0003\.jpg",
    ),
    "another set": (lambda folder: (folder / "images").rename(folder / "people_all"), "does not hold LSP"),
}


@pytest.mark.parametrize("case", BAD_SETS)
def test_a_bad_archive_leaves_the_data_as_it_was(tmp_path: Path, small: Path, case: str) -> None:
    data = tmp_path / "data"
    SMALL_SET.prepare([small], data)
    before = contents(data)
    spoil, expected = BAD_SETS[case]
    spoil(small)
    archive = packed(small, tmp_path / "again.zip")
    with pytest.raises(DeepPoseError, match=expected) as caught:
        SMALL_SET.prepare([archive], data)
    assert str(archive) in line_of(caught)
    assert contents(data) == before
    assert {entry.name for entry in (data / "lsp").iterdir()} == {"dataset.yaml", "annotations", "images"}


def test_something_else_is_not_taken_for_lsp(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "people.zip", "w") as file:
        file.writestr("people_all/im0001.jpg", b"x")
        file.writestr("people_all/labels.mat", b"x")
    with pytest.raises(DeepPoseError, match=r"people\.zip: does not hold LSP .* or LSPET"):
        SMALL_SET.prepare([tmp_path / "people.zip"], tmp_path / "data")


def test_an_archive_given_twice_is_refused(tmp_path: Path, small: Path) -> None:
    archive = packed(small, tmp_path / "a.zip")
    with pytest.raises(DeepPoseError, match="give each archive once"):
        SMALL_SET.prepare([archive, archive], tmp_path / "data")


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_stopped_half_way_the_old_data_stays(tmp_path: Path, small: Path, stop: type[BaseException]) -> None:
    data = tmp_path / "data"
    SMALL_SET.prepare([small], data)
    before = contents(data)

    def progress(what: str, done: int, total: int) -> None:
        assert total == 11
        assert len(list(data.glob(".lsp.new/images/lsp/**/*.*"))) >= done, "the new files come beside the old ones"
        if done == 6:
            raise stop

    with pytest.raises(stop):
        SMALL_SET.prepare([small], data, progress)
    assert contents(data) == before
    assert {entry.name for entry in (data / "lsp").iterdir()} == {"dataset.yaml", "annotations", "images"}


def test_preparing_again_replaces_one_release_and_keeps_the_other(tmp_path: Path, small: Path, extension: Path) -> None:
    data = tmp_path / "data"
    SMALL_SET.prepare([small, extension], data)
    (data / "lsp" / "images" / "lsp" / "left over").write_text("old")
    (data / "lsp" / "images" / "lspet" / "kept").write_text("old")
    newer = write(tmp_path / "newer", LSP, labels(LSP.count, seed=9))
    SMALL_SET.prepare([newer], data)
    there = contents(data / "lsp")
    assert "images/lsp/left over" not in there
    assert "images/lspet/kept" in there
    np.testing.assert_allclose(
        lsp.LSP.read(data)["test"].keypoints, labels(LSP.count, seed=9)[5:, :, :2] - 1, atol=1e-6
    )
    assert len(lsp.LSP.read(data)["train"]) == 4 + 6


def test_a_data_root_that_cannot_be_written(tmp_path: Path, small: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DeepPoseError, match=r"data: cannot be written \(.*\); --data-root takes another"):
        SMALL_SET.prepare([small], tmp_path / "data")


# ---- the originals


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    names = ("lsp_dataset.zip", "lspet_dataset.part2.zip", "lspet_dataset.part1.zip")
    lsp.LSP.prepare([REAL / name for name in names], root)
    return root


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the real archives are not here")
def test_the_originals_are_read_whole(prepared: Path) -> None:
    splits = lsp.LSP.read(prepared)
    assert {name: len(split) for name, split in splits.items()} == {"train": 10800, "validation": 200, "test": 1000}
    assert all(splits[name].labelled.all() for name in ("validation", "test"))
    added = splits["train"].take(range(800, 10800))
    assert added.labelled.all(1).sum() == 3945
    assert added.labelled.sum(1).min() == 4
    assert np.isfinite(added.boxes).all()
    assert added.names == tuple(f"im{i:05d}.jpg" for i in range(1, 10001))
    # Two facts of the originals, which hold at these rows alone.
    legs = splits["test"].keypoints[184]
    assert splits["test"].names[184] == "im1185.jpg"
    assert np.linalg.norm(legs[0] - legs[1]) == 0


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the real archives are not here")
def test_every_label_of_the_originals_but_a_few_is_in_its_image(prepared: Path) -> None:
    """Wrong numbering, swapped axes or a wrong base would put thousands outside."""
    from deeppose_cli.media.images import image_size

    test = lsp.LSP.read(prepared)["test"]
    sizes = np.array([image_size(file) for file in test.files])[:, None]
    assert ((test.keypoints >= -0.5) & (test.keypoints <= sizes - 0.5)).all()
