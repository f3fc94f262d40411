"""Buffy Stickmen, from sticks whose sides and ends are anyhow to joints in the project's convention."""

from __future__ import annotations

import itertools
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.skeleton import BUFFY10
from deeppose_cli.data.datasets import buffy
from deeppose_cli.data.datasets.check import check_dataset
from deeppose_cli.evaluation import pcp as sticks_module
from tests.helpers.buffy_archives import POSE, moved, record, sticks, write
from tests.helpers.lsp_archives import contents, packed

ARCHIVE = Path(__file__).parents[4] / "shared" / "data" / "buffy_stickmen_train.zip"
EXPECTED = np.array([POSE[joint] for joint in BUFFY10.joints], dtype=float)


def line_of(error: pytest.ExceptionInfo[DeepPoseError]) -> str:
    line = str(error.value)
    assert "\n" not in line
    assert ".new" not in line, "the temporary folder is gone when this is read"
    return line


# ---- sticks to joints


@pytest.mark.parametrize("turned", list(itertools.product([0, 1], repeat=6)))
def test_sides_and_joints_are_right_whatever_the_order_of_the_ends(turned: tuple[int, ...]) -> None:
    ends = sticks(POSE, [i for i in range(6) if turned[i]])
    np.testing.assert_allclose(buffy.to_joints(buffy.to_limbs(ends[None]))[0], EXPECTED)


@pytest.mark.parametrize("degrees", range(0, 360, 15))
def test_people_may_lie_or_hang_head_down(degrees: int) -> None:
    a = np.radians(degrees)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    np.testing.assert_allclose(
        buffy.to_joints(buffy.to_limbs((sticks(POSE) @ turn.T)[None]))[0], EXPECTED @ turn.T, atol=1e-9
    )


points = st.tuples(st.floats(0, 700), st.floats(0, 400)).map(np.array)
shifts = st.tuples(st.floats(-10, 10), st.floats(-10, 10)).map(np.array)


@given(points, points, points, shifts, shifts, st.lists(st.integers(0, 5), unique=True), st.booleans())
def test_the_elbow_is_the_middle_of_the_two_ends_that_lie_closest(
    shoulder: NDArray[np.float64],
    elbow: NDArray[np.float64],
    wrist: NDArray[np.float64],
    one: NDArray[np.float64],
    other: NDArray[np.float64],
    turned: list[int],
    left: bool,
) -> None:
    upper, lower = elbow + one, elbow + other
    gap = np.linalg.norm(upper - lower)
    others = (shoulder - lower, shoulder - wrist, upper - wrist)
    assume(min(np.linalg.norm(difference) for difference in others) > gap + 1e-6)
    ends = sticks(POSE)
    ends[2 if left else 1] = shoulder, upper
    ends[4 if left else 3] = lower, wrist
    for stick in turned:
        ends[stick] = ends[stick, ::-1].copy()
    side = "left" if left else "right"
    expected = EXPECTED.copy()
    for name, place in (("shoulder", shoulder), ("elbow", (upper + lower) / 2), ("wrist", wrist)):
        expected[BUFFY10.index(f"{side}_{name}")] = place
    limbs = buffy.to_limbs(ends[None])
    np.testing.assert_allclose(buffy.to_joints(limbs)[0], expected, atol=1e-9)
    # The limbs keep the ends that were marked, from the body outwards.
    named = dict(zip(sticks_module.limb_names(BUFFY10), limbs[0].tolist(), strict=True))
    assert named[f"{side}_upper_arm"] == [shoulder.tolist(), upper.tolist()]
    assert named[f"{side}_lower_arm"] == [lower.tolist(), wrist.tolist()]
    assert named["head"] == EXPECTED[[BUFFY10.index("chin"), BUFFY10.index("head_top")]].tolist()


# ---- the text


def test_a_record_as_it_stands_in_the_release(tmp_path: Path) -> None:
    file = tmp_path / "buffy_s5e3_sticks.txt"
    # Torso upside down; of the arms only the right lower one begins at the wrist.
    file.write_text(
        "7\r\n 11 91 11 31 \r\n 1.5 31 2 61 \r\n 21 31 21 61 \r\n 2 61 6 71 \r\n 31 71 21 63 \r\n11 26 11 6\r\n\r\n"
    )
    frames, ends = buffy.read_sticks(file, "x")
    assert frames == [7]
    joints = dict(zip(BUFFY10.joints, buffy.to_joints(buffy.to_limbs(ends))[0].tolist(), strict=True))
    assert joints == {
        "right_shoulder": [0.5, 30],
        "right_elbow": [1, 60],
        "right_wrist": [5, 70],
        "left_shoulder": [20, 30],
        "left_elbow": [20, 61],
        "left_wrist": [30, 70],
        "neck": [10, 30],
        "mid_hip": [10, 90],
        "chin": [10, 25],
        "head_top": [10, 5],
    }


GOOD = record(12, sticks(POSE)) + record(15, sticks(POSE)) + record(9, sticks(POSE))
LINES = GOOD.split("\n")


def changed(line: int, to: str | None) -> bytes:
    """GOOD with its line (from 1) replaced, or left out."""
    return "\n".join([*LINES[: line - 1], *([] if to is None else [to]), *LINES[line:]]).encode()


BAD_TEXTS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "holds no record"),
    "only blanks": (b" \n\n\t\n", "holds no record"),
    "five sticks": (changed(14, None), r"record 2 \(frame 15\), line 14, head: '9'; valid: four numbers"),
    "seven sticks": (
        changed(14, LINES[13] + "\n" + LINES[13]),
        r"record 3, line 15: '140.0 .*'; valid: the number of a fr",
    ),
    "three numbers": (changed(10, " 1 2 3 "), r"record 2 \(frame 15\), line 10, left upper arm: '1 2 3'"),
    "five numbers": (changed(2, " 1 2 3 4 5"), r"record 1 \(frame 12\), line 2, torso: '1 2 3 4 5'"),
    "an empty line": (changed(4, ""), r"record 1 \(frame 12\), line 8, head: '15'"),
    "letters": (changed(5, "1 2 x 4"), r"line 5, left lower arm: '1 2 x 4'"),
    "not a number": (changed(6, "1 2 nan 4"), r"line 6, right lower arm: '1 2 nan 4'"),
    "infinite": (changed(6, "1 2 -inf 4"), "line 6, right lower arm: '1 2 -inf 4'"),
    "huge": (changed(7, "1 2 1e9 4"), r"line 7, head: '1 2 1e9 4'; valid: .*within ±100000 px"),
    "many digits": (changed(7, f"1 2 {'9' * 5000} 4"), r"line 7, head: '1 2 9{56}'"),
    "an underscore": (changed(7, "1 2 1_0 4"), "line 7, head: '1 2 1_0 4'"),
    "other digits": (changed(7, "1 2 ٣ 4"), r"line 7, head: '1 2 \\\\xd9\\\\xa3 4'"),
    "bytes": (changed(3, "?").replace(b"?", b"\xff\xfe"), r"line 3, left upper arm: '\\\\xff\\\\xfe'"),
    "UTF-16": (GOOD.encode("utf-16"), "record 1, line 1"),
    "a file's name": (changed(8, "000015.jpg"), "record 2, line 8: '000015.jpg'; valid: the number of a frame, alone"),
    "a negative frame": (changed(8, "-15"), "record 2, line 8: '-15'"),
    "a frame twice": (changed(15, "12"), "record 3, line 15: '12'; valid: .* each frame once"),
    "cut off": (GOOD[:-15].encode(), r"record 3 \(frame 9\), line 21, head: '140\.0 61'"),
    "lines missing": ("\n".join(LINES[:18]).encode(), r"record 3 \(frame 9\): the file ends before left lower arm"),
    "FLIC's": (b"MATLAB 5.0 MAT-file", "record 1, line 1: 'MATLAB 5.0 MAT-file'"),
}


@pytest.mark.parametrize("case", BAD_TEXTS)
def test_text_that_cannot_be_right_is_named(tmp_path: Path, case: str) -> None:
    data, expected = BAD_TEXTS[case]
    file = tmp_path / "buffy_s5e3_sticks.txt"
    file.write_bytes(data)
    with pytest.raises(DeepPoseError, match=expected) as caught:
        buffy.read_sticks(file, "a.zip: sticks.txt")
    assert line_of(caught).startswith("a.zip: sticks.txt: ")
    assert len(line_of(caught)) < 400


def test_a_file_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffy, "MAX_BYTES", len(GOOD) - 1)
    (tmp_path / "sticks.txt").write_text(GOOD)
    with pytest.raises(DeepPoseError, match=rf"larger than {len(GOOD) - 1} bytes"):
        buffy.read_sticks(tmp_path / "sticks.txt", "x")


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, put in or taken out; or the end cut off."""
    text = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(0, max(len(text), 1)))
        match rng.integers(0, 4):
            case 0:
                text[at : at + 1] = bytes([rng.integers(0, 256)])
            case 1:
                text[at:at] = rng.choice([b"\n", b" ", b"-", b"e9", b"\x00", b"1\n", b"\xc3"])
            case 2:
                del text[at : at + int(rng.integers(1, 40))]
            case 3:
                del text[at:]
    return bytes(text)


def test_damaged_text_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "sticks.txt"
    rng = np.random.default_rng(0)
    refused = []
    for _ in range(1500):
        file.write_bytes(damaged(GOOD.encode(), rng))
        try:
            joints = buffy.to_joints(buffy.to_limbs(buffy.read_sticks(file, "X")[1]))
            assert np.isfinite(joints).all()
        except DeepPoseError as error:
            refused.append(str(error))
    assert 800 < len(refused) < 1500
    assert all(line.startswith("X: ") and "\n" not in line for line in refused)


# ---- preparing and reading

SMALL_SET = buffy.buffy_dataset({"train": {3: 3, 4: 2}, "test": {2: 2, 5: 2, 6: 1}})
"""By split, episode and number of records, as in `small`."""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write(tmp_path / "small", {4: [8, 3], 3: [8, 11, 2], 6: [1], 5: [20, 21]})


def test_splits_are_by_episode_and_then_as_the_file_has_them(tmp_path: Path, small: Path) -> None:
    SMALL_SET.prepare([small], tmp_path / "data")
    splits = buffy.BUFFY.read(tmp_path / "data")
    assert list(splits) == ["train", "validation", "test"]
    assert splits["train"].names == tuple(
        f"s5e{episode}/{frame:06d}.jpg" for episode, frame in ((3, 8), (3, 11), (3, 2), (4, 8), (4, 3))
    )
    assert splits["test"].names == ("s5e5/000020.jpg", "s5e5/000021.jpg", "s5e6/000001.jpg")
    assert splits["validation"].names == ()
    shifts = np.array([8, 11, 2, 8, 3])[:, None, None]
    np.testing.assert_allclose(splits["train"].keypoints, EXPECTED + shifts)
    for split in splits.values():
        assert split.skeleton is BUFFY10
        assert np.isnan(split.boxes).all()
        assert [file.relative_to(tmp_path / "data" / "buffy" / "images").as_posix() for file in split.files] == list(
            split.names
        )
        assert all(file.is_file() for file in split.files)


@pytest.mark.parametrize(
    "pack",
    [
        lambda folder, to: folder,
        lambda folder, to: packed(folder, to / "a.zip"),
        lambda folder, to: packed(folder, to / "a.zip", "deep/er/buffy_stickmen_v3.01/"),
        lambda folder, to: tarred(folder, to / "a.tgz"),
    ],
)
def test_an_archive_gives_what_its_folder_holds(
    tmp_path: Path, small: Path, pack: Callable[[Path, Path], Path]
) -> None:
    (small / "images" / "buffy_s5e3_original" / "._000008.jpg").write_bytes(b"left by a Mac")
    (small / "images" / "buffy_s5e3_overlay").mkdir()
    (small / "images" / "buffy_s5e3_overlay" / "000008.jpg").write_bytes(b"drawn")
    before = contents(small)
    SMALL_SET.prepare([pack(small, tmp_path)], tmp_path / "data")
    there = contents(tmp_path / "data" / "buffy")
    assert len(there) == 4 + 8
    for episode, frame in ((3, 8), (5, 21)):
        source = before[f"images/buffy_s5e{episode}_original/{frame:06d}.jpg"]
        assert there[f"images/s5e{episode}/{frame:06d}.jpg"] == source
    assert there["annotations/train.json"]
    assert contents(small) == before


def tarred(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, "buffy_stickmen_v3.01")
    return archive


def test_episodes_may_come_one_after_the_other_and_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    SMALL_SET.prepare([write(tmp_path / "a", {2: [5, 6]})], data)
    assert {name: len(split) for name, split in buffy.BUFFY.read(data).items()} == {
        "train": 0,
        "validation": 0,
        "test": 2,
    }
    SMALL_SET.prepare([write(tmp_path / "b", {3: [5, 1, 4]})], data)
    assert {name: len(split) for name, split in buffy.BUFFY.read(data).items()} == {
        "train": 3,
        "validation": 0,
        "test": 2,
    }
    SMALL_SET.prepare([write(tmp_path / "c", {2: [7, 4]})], data)
    splits = buffy.BUFFY.read(data)
    assert (splits["train"].names, splits["test"].names) == (
        ("s5e3/000005.jpg", "s5e3/000001.jpg", "s5e3/000004.jpg"),
        ("s5e2/000007.jpg", "s5e2/000004.jpg"),
    )


def test_labels_and_images_may_come_in_two_sources(tmp_path: Path, small: Path) -> None:
    parts = []
    for name in ("data", "images"):
        parts.append(tmp_path / f"{name}.zip")
        packed(small / name, parts[-1], f"{name}/")
    with pytest.raises(DeepPoseError, match="--from PART1 --from PART2") as caught:
        SMALL_SET.prepare(parts[:1], tmp_path / "data")
    assert str(parts[0]) in line_of(caught)
    with pytest.raises(DeepPoseError, match=r"s5e3 has no buffy_s5e3_sticks\.txt"):
        SMALL_SET.prepare(parts[1:], tmp_path / "data")
    SMALL_SET.prepare(parts, tmp_path / "data")
    assert len(buffy.BUFFY.read(tmp_path / "data")["train"]) == 5


def shorten(folder: Path, episode: int, records: int) -> None:
    """Cut the sticks file of an extracted archive after so many records."""
    file = folder / "data" / f"buffy_s5e{episode}_sticks.txt"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[: 7 * records]))


BAD_SETS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no sticks": (lambda f: (f / "data/buffy_s5e4_sticks.txt").unlink(), "s5e4 has no buffy_s5e4_sticks"),
    "bad sticks": (
        lambda f: (f / "data/buffy_s5e3_sticks.txt").write_bytes(changed(5, "1 2 x 4")),
        r"again\.zip: data/buffy_s5e3_sticks\.txt: record 1 \(frame 12\), line 5, left lower arm: '1 2 x 4'",
    ),
    "an image missing": (
        lambda f: (f / "images/buffy_s5e3_original/000011.jpg").unlink(),
        r"1 of 3 images of s5e3 are missing, the first is 000011\.jpg",
    ),
    "cut off between two records": (
        lambda f: (f / "data/buffy_s5e3_sticks.txt").write_text(record(8, moved(0))),
        r"again\.zip: data/buffy_s5e3_sticks\.txt: has 1 records; valid: 3; copy it again",
    ),
    "cut off, and its images too": (
        lambda f: (shorten(f, 3, 2), (f / "images/buffy_s5e3_original/000002.jpg").unlink()),
        r"again\.zip: data/buffy_s5e3_sticks\.txt: has 2 records; valid: 3; copy it again",
    ),
    "a record too many": (
        lambda f: (f / "data/buffy_s5e6_sticks.txt").write_text(record(1, moved(0)) + record(2, moved(0))),
        r"buffy_s5e6_sticks\.txt: has 2 records; valid: 1; copy it again",
    ),
    "another set": (
        lambda f: [path.rename(f / f"_{path.name}") for path in list(f.iterdir())],
        r"again\.zip: does not hold an episode of Buffy",
    ),
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
    assert {entry.name for entry in (data / "buffy" / "images").iterdir()} == {"s5e3", "s5e4", "s5e5", "s5e6"}


def test_what_is_no_archive_is_refused(tmp_path: Path, small: Path) -> None:
    data = tmp_path / "data"
    for name, content in (("empty.zip", b""), ("page.zip", b"<html>"), ("noise.zip", bytes(range(256)))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DeepPoseError, match=name):
            SMALL_SET.prepare([tmp_path / name], data)
    zipfile.ZipFile(tmp_path / "none.zip", "w").close()
    with pytest.raises(DeepPoseError, match=r"none\.zip: the archive is empty"):
        SMALL_SET.prepare([tmp_path / "none.zip"], data)
    archive = packed(small, tmp_path / "a.zip")
    with pytest.raises(DeepPoseError, match="give each archive once"):
        SMALL_SET.prepare([archive, archive], data)
    assert not data.exists() or not contents(data)


def test_a_damaged_archive_writes_nothing_but_whole_episodes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    inside = tmp_path / "inside"
    inside.mkdir()
    good = packed(write(tmp_path / "s", {3: [1, 2, 3], 2: [3, 4]}), tmp_path / "good.zip").read_bytes()
    before = contents(tmp_path)
    refused: list[str] = []
    left_behind: list[str] = []
    for number in range(200):
        (inside / "a.zip").write_bytes(damaged(good, rng))
        data = inside / f"data{number}"
        try:
            SMALL_SET.prepare([inside / "a.zip"], data)
            assert {part.name for part in (data / "buffy" / "images").iterdir()} <= {"s5e2", "s5e3"}
            buffy.BUFFY.read(data)
        except DeepPoseError as error:
            refused.append(str(error))
            left_behind += set(contents(data)) - {".buffy.lock"}
    assert not left_behind
    assert 80 < len(refused) < 200
    assert all("\n" not in line for line in refused)
    assert {name: data for name, data in contents(tmp_path).items() if not name.startswith("inside/")} == before


def test_what_is_missing_is_named_with_what_to_type(tmp_path: Path, small: Path) -> None:
    data = tmp_path / "data"
    with pytest.raises(DeepPoseError) as caught:
        buffy.BUFFY.read(data)
    assert line_of(caught) == (
        f"buffy is not in {data / 'buffy'}; archive from www.robots.ox.ac.uk/~vgg/data/stickmen; "
        f"type: deeppose data prepare buffy --from ARCHIVE --data-root {data}"
    )
    SMALL_SET.prepare([small], data)
    (data / "buffy" / "images" / "s5e3" / "000002.jpg").unlink()
    with pytest.raises(DeepPoseError, match=r"s5e3/000002\.jpg: no such file \(1 of 8 images missing\); .* type: deep"):
        buffy.BUFFY.read(data)


def test_a_miniature_is_not_the_release(tmp_path: Path, small: Path) -> None:
    with pytest.raises(DeepPoseError, match=r"buffy_s5e3_sticks\.txt: has 3 records; valid: 376; copy it again"):
        buffy.BUFFY.prepare([small], tmp_path / "data")


def test_what_is_not_here_is_told_by_split(tmp_path: Path, small: Path) -> None:
    data = tmp_path / "data"
    SMALL_SET.prepare([write(tmp_path / "a", {3: [5, 1, 4], 5: [1, 2]})], data)
    assert buffy.BUFFY.absent(data) == ("train: not here: images/s5e4", "test: not here: images/s5e2, images/s5e6")
    SMALL_SET.prepare([small], data)
    assert buffy.BUFFY.absent(data) == ("test: not here: images/s5e2",)
    SMALL_SET.prepare([write(tmp_path / "b", {2: [1, 2]})], data)
    assert buffy.BUFFY.absent(data) == ()
    assert check_dataset("buffy", data_root=data)["notes"] == []


# ---- the original


@pytest.mark.real
@pytest.mark.skipif(not ARCHIVE.is_file(), reason="the real archive is not here")
def test_the_training_episodes_of_the_original(tmp_path: Path) -> None:
    buffy.BUFFY.prepare([ARCHIVE], tmp_path)
    splits = buffy.BUFFY.read(tmp_path)
    train = splits["train"]
    assert {name: len(split) for name, split in splits.items()} == {"train": 472, "validation": 0, "test": 0}
    assert [sum(name.startswith(f"s5e{episode}/") for name in train.names) for episode in (3, 4)] == [376, 96]
    assert len(set(train.names)) == 472
    assert train.labelled.all()
    at = {joint: train.keypoints[:, i] for i, joint in enumerate(BUFFY10.joints)}
    # Everybody faces the camera; but for seven frames everybody's chin is lower than the head's top.
    assert (at["right_shoulder"][:, 0] < at["left_shoulder"][:, 0]).all()
    assert (at["chin"][:, 1] < at["head_top"][:, 1]).sum() <= 7
    assert (at["neck"][:, 1] > at["mid_hip"][:, 1]).sum() == 4
    shoulders = (at["right_shoulder"] + at["left_shoulder"]) / 2
    assert (np.linalg.norm(at["neck"] - shoulders, axis=1) < np.linalg.norm(at["mid_hip"] - shoulders, axis=1)).all()
    # The first record of episode 3, by hand.
    assert train.names[0] == "s5e3/004508.jpg"
    np.testing.assert_allclose(at["right_elbow"][0], [(309.7 + 320.1) / 2 - 1, (160.1 + 192.7) / 2 - 1])
    np.testing.assert_allclose(at["right_wrist"][0], [370.3, 206.1])
