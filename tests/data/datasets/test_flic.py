"""FLIC, FLIC-full and FLIC-plus from archives as they are found, to labels in the project's convention."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
import scipy.io

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.skeleton import FLIC10
from deeppose_cli.data.datasets import flic
from deeppose_cli.evaluation.metrics import observer_centric
from tests.helpers.flic_archives import FEW, SMALL_SET, Record, few, save, write, write_plus
from tests.helpers.lsp_archives import contents, jpeg, packed

OWN, FULL = FEW
REAL = Path(__file__).parents[4] / "shared" / "data"
PLUS = [1, 2, 3, 5, 8, 13, 14, 20]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write(tmp_path / "given" / "FLIC", few())


@pytest.fixture
def full(tmp_path: Path) -> Path:
    return write(tmp_path / "given-full" / "FLIC-full", few(FULL))


@pytest.fixture
def plus(tmp_path: Path) -> Path:
    return write_plus(tmp_path / "plus", PLUS)


def line_of(error: pytest.ExceptionInfo[DeepPoseError]) -> str:
    line = str(error.value)
    assert "\n" not in line
    assert ".new" not in line, "the temporary folder is gone when this is read"
    return line


# ---- reading


def test_points_and_torsos_start_at_zero_and_the_neck_is_the_middle_of_the_shoulders(
    tmp_path: Path, small: Path
) -> None:
    SMALL_SET.prepare([small], tmp_path)
    test = flic.FLIC.read(tmp_path)["test"]
    people = [person for person in few() if person["istest"]]
    assert len(test) == len(people) == 3
    for row, person in enumerate(people):
        coords = np.asarray(person["coords"]) - 1
        for joint, column in [("left_shoulder", 0), ("left_wrist", 2), ("right_elbow", 4), ("left_hip", 6)]:
            np.testing.assert_allclose(test.keypoints[row, FLIC10.index(joint)], coords[:, column])
        for joint, column in [("right_hip", 9), ("nose", 16), ("right_wrist", 5), ("left_elbow", 1)]:
            np.testing.assert_allclose(test.keypoints[row, FLIC10.index(joint)], coords[:, column])
        np.testing.assert_allclose(test.keypoints[row, FLIC10.index("neck")], (coords[:, 0] + coords[:, 3]) / 2)
        assert test.torsos is not None
        cx, cy, w, h = test.torsos[row]
        np.testing.assert_allclose(
            [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], np.asarray(person["torsobox"], float)[0] - 1
        )
    assert test.skeleton is FLIC10
    assert test.labelled.all()
    assert np.isnan(test.boxes).all()


def test_the_splits_are_the_files_own_in_its_order_and_names_are_unique(tmp_path: Path, small: Path) -> None:
    SMALL_SET.prepare([small], tmp_path)
    splits = flic.FLIC.read(tmp_path)
    flic_folder = tmp_path / "flic" / "images" / "FLIC"
    assert tuple(splits) == ("train", "validation", "test")
    assert {name: len(split) for name, split in splits.items()} == {"train": 8, "validation": 1, "test": 3}
    assert splits["test"].names == tuple(str(p["filepath"]) for p in few() if p["istest"])
    for split in splits.values():
        assert [file.name for file in split.files] == [name.partition("#")[0] for name in split.names]
        assert all(file.parent == flic_folder and file.is_file() for file in split.files)
    names = [name for split in splits.values() for name in split.names]
    assert len(set(names)) == 12
    assert [name for name in names if "#" in name] == [f"along-came-polly-00064001.jpg#{i}" for i in (2, 3)]


def test_a_joint_without_a_label_is_nan_and_takes_the_neck_with_it(tmp_path: Path, small: Path) -> None:
    people = few()
    np.asarray(people[2]["coords"])[:, 3] = np.nan
    save(small / "examples.mat", people)
    SMALL_SET.prepare([small], tmp_path)
    test = flic.FLIC.read(tmp_path)["test"]
    assert [FLIC10.joints[i] for i in np.flatnonzero(~test.labelled[0])] == ["neck", "right_shoulder"]


def test_places_that_are_not_used_may_hold_anything(tmp_path: Path, small: Path) -> None:
    people = few()
    np.asarray(people[2]["coords"])[:, [7, 28]] = [[np.inf], [1e9]]
    save(small / "examples.mat", people)
    assert len(flic.read_examples(small / "examples.mat", "x", 12)["coords"]) == 12


def test_scenes_are_frames_of_one_movie_without_a_long_gap() -> None:
    movies = ["b", "a", "a", "b", "a", "a", "a"]
    frames = np.array([100, 1, 501, 100, 1502, 500, 2002.0])
    assert flic.SCENE_GAP == 500
    scenes = flic.scenes(movies, frames)
    groups = {tuple(np.flatnonzero(scenes == number).tolist()) for number in set(scenes)}
    assert groups == {(0, 3), (1, 2, 5), (4, 6)}, "chains count: 1, 500, 501; 1502 is 1001 on"


def test_a_scene_stays_whole_even_where_it_fills_the_validation(tmp_path: Path, small: Path) -> None:
    """Each scene has two training examples or three, and a tenth of the nine is one."""
    people = few()
    for row, person in enumerate(people):
        movie, frame = str(person["moviename"]), 60001 + 2000 * (row // 4) + row % 4 * 300
        person |= {"currframe": np.array([[frame]]), "filepath": f"{movie}-{frame:08d}.jpg"}
        (small / "images" / str(person["filepath"])).write_bytes(jpeg())
    save(small / "examples.mat", people)
    SMALL_SET.prepare([small], tmp_path)
    assert {name: len(split) for name, split in flic.FLIC.read(tmp_path).items()} == {
        "train": 9,
        "validation": 0,
        "test": 3,
    }


# ---- FLIC-full and FLIC-plus


def test_with_both_training_is_plus_and_the_test_stays(tmp_path: Path, small: Path, full: Path, plus: Path) -> None:
    SMALL_SET.prepare([small], tmp_path / "a")
    alone = flic.FLIC.read(tmp_path / "a")
    SMALL_SET.prepare([plus, full, small], tmp_path / "b")
    splits = flic.FLIC.read(tmp_path / "b")
    assert splits["test"].names == alone["test"].names
    np.testing.assert_array_equal(splits["test"].keypoints, alone["test"].keypoints)
    expected = [str(few(FULL)[number - 1]["filepath"]) for number in PLUS]
    used = [file for name in ("train", "validation") for file in splits[name].files]
    assert sorted(file.name for file in used) == sorted(expected)
    assert {file.parent for file in used} == {tmp_path / "b" / "flic" / "images" / "FLIC-full"}
    assert splits["train"].torsos is not None
    assert np.isfinite(splits["train"].torsos).all()


def test_full_alone_is_refused_and_never_trained_on(tmp_path: Path, small: Path, full: Path, plus: Path) -> None:
    data = tmp_path / "data"
    with pytest.raises(DeepPoseError, match=r"FLIC-full has no tr_plus_indices\.mat; give all"):
        SMALL_SET.prepare([small, full], data)
    assert not (data / "flic").exists()
    SMALL_SET.prepare([small], data)
    own = flic.FLIC.read(data)["train"].files
    with pytest.raises(DeepPoseError, match="FLIC-full has no"):
        SMALL_SET.prepare([full], data)
    assert flic.FLIC.read(data)["train"].files == own
    SMALL_SET.prepare([full, plus], data)
    assert flic.FLIC.read(data)["train"].files[0].parts[-2] == "FLIC-full"


def test_the_list_alone_is_refused(tmp_path: Path, small: Path, plus: Path) -> None:
    with pytest.raises(DeepPoseError, match=r"plus: FLIC-full has no examples\.mat; give all"):
        SMALL_SET.prepare([small, plus], tmp_path / "data")


BAD_LISTS: dict[str, tuple[list[float], str]] = {
    "zero": ([1, 0], "record 2, tr_plus_indices is 0; valid: whole numbers, 1 to 20"),
    "beyond": ([21, 1], "record 1, tr_plus_indices is 21; valid"),
    "half": ([1, 2, 2.5], "record 3, tr_plus_indices is 2.5"),
    "NaN": ([np.nan], "record 1, tr_plus_indices is nan"),
    "twice": ([3, 4, 4], "tr_plus_indices has 4 twice"),
    "none": ([], "tr_plus_indices is empty; valid: numbers of examples, 1 to 20"),
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_a_bad_list_is_named(tmp_path: Path, small: Path, full: Path, case: str) -> None:
    numbers, expected = BAD_LISTS[case]
    folder = write_plus(tmp_path / "bad", numbers)
    with pytest.raises(DeepPoseError, match=expected) as caught:
        SMALL_SET.prepare([small, full, folder], tmp_path / "data")
    assert line_of(caught).startswith(f"{folder}: tr_plus_indices.mat: ")
    assert not (tmp_path / "data" / "flic").exists()


# ---- values that cannot be right


def changed(row: int, field: str, value: object) -> Callable[[list[Record]], None]:
    return lambda people: people[row].update({field: value})


def moved(row: int, place: int, axis: int, value: float) -> Callable[[list[Record]], None]:
    def change(people: list[Record]) -> None:
        np.asarray(people[row]["coords"])[axis, place] = value

    return change


def dropped(field: str) -> Callable[[list[Record]], None]:
    return lambda people: [person.pop(field) for person in people] and None


PLAIN = r"valid: the name of a \.jpg in images/"
BAD_VALUES: dict[str, tuple[Callable[[list[Record]], None], str]] = {
    "shape": (changed(4, "coords", np.ones((2, 28))), "record 5, coords: 2×28 of type float64; valid: 2×29 numbers"),
    "infinite": (
        moved(6, 5, 1, -np.inf),
        "record 7, coords right_wrist y is -inf; valid: within ±100000 px, or",
    ),
    "far": (moved(0, 16, 0, 2e5), r"record 1, coords nose x is 200000; valid: within"),
    "half a point": (
        moved(3, 9, 0, np.nan),
        "record 4, coords right_hip x is nan; valid: a number, or NaN for x",
    ),
    "torso NaN": (
        changed(2, "torsobox", np.array([[1, 2, np.nan, 4]])),
        "record 3, torsobox x2 is nan; valid: w",
    ),
    "torso flat": (
        changed(2, "torsobox", np.array([[1, 2, 5, 2.0]])),
        "record 3, torsobox y2 - y1 is 0; valid: a",
    ),
    "torso turned": (
        changed(2, "torsobox", np.array([[9, 2, 5, 4.0]])),
        "torsobox x2 - x1 is -4; valid: above 0",
    ),
    "torso short": (changed(2, "torsobox", np.ones((1, 3))), "record 3, torsobox: 1×3 of type float64; valid: 1×4"),
    "flag": (changed(1, "istrain", np.array([[0.5]])), "record 2, istrain is 0.5; valid: 0 or 1"),
    "flag NaN": (changed(1, "istest", np.array([[np.nan]])), "record 2, istest is nan; valid: 0 or 1"),
    "both": (changed(0, "istest", np.array([[True]])), "record 1, istest is 1; valid: 0 where istrain is 1"),
    "frame": (changed(1, "currframe", np.array([[-1.0]])), r"record 2, currframe is -1; valid: 0 to 10000000"),
    "movie": (changed(1, "moviename", np.array([[1.0]])), "record 2, moviename: 1×1 of type float64; valid: one text"),
    "up": (changed(8, "filepath", "../x.jpg"), rf"record 9, filepath is '\.\./x\.jpg'; {PLAIN}"),
    "absolute": (changed(8, "filepath", "/etc/x.jpg"), rf"record 9, filepath is '/etc/x\.jpg'; {PLAIN}"),
    "folder": (changed(8, "filepath", "a/x.jpg"), PLAIN),
    "Windows": (changed(8, "filepath", "..\\x.jpg"), PLAIN),
    "drive": (changed(8, "filepath", "C:x.jpg"), PLAIN),
    "hidden": (changed(8, "filepath", ".jpg"), PLAIN),
    "lines": (changed(8, "filepath", "a\nb.jpg"), PLAIN),
    "nothing": (changed(8, "filepath", ""), f"record 9, filepath is ''; {PLAIN}"),
    "no image": (changed(8, "filepath", "x.mat"), PLAIN),
    "no field": (dropped("torsobox"), "examples has no field torsobox; found poselet_hit_idx, moviename"),
    "too few": (lambda people: people.pop() and None, "examples has 11 records; valid: 12"),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_a_value_that_cannot_be_right_is_named(tmp_path: Path, small: Path, case: str) -> None:
    data = tmp_path / "data"
    SMALL_SET.prepare([small], data)
    before = contents(data)
    change, expected = BAD_VALUES[case]
    people = few()
    change(people)
    save(small / "examples.mat", people)
    archive = packed(small, tmp_path / "FLIC.zip", "FLIC/")
    with pytest.raises(DeepPoseError, match=expected) as caught:
        SMALL_SET.prepare([archive], data)
    assert line_of(caught).startswith(f"{archive}: FLIC/examples.mat: ")
    assert contents(data) == before


def test_what_is_missing_is_named_with_what_to_type(tmp_path: Path, small: Path) -> None:
    data = tmp_path / "data"
    how = "archive from bensapp.github.io/flic-dataset.html; "
    how += f"type: deeppose data prepare flic --from FLIC.zip --data-root {data}"
    with pytest.raises(DeepPoseError) as caught:
        flic.FLIC.read(data)
    assert line_of(caught) == f"flic is not in {data / 'flic'}; {how}"
    SMALL_SET.prepare([small], data)
    folder = data / "flic" / "images" / "FLIC"
    for frame in (60001, 64001):
        (folder / f"along-came-polly-{frame:08d}.jpg").unlink()
    with pytest.raises(DeepPoseError) as caught:
        flic.FLIC.read(data)
    assert line_of(caught) == (
        f"{folder / 'along-came-polly-00060001.jpg'}: no such file (2 of 10 images missing); {how}"
    )


# ---- preparing


@pytest.mark.parametrize(
    "pack",
    [
        lambda folder, to: folder,
        lambda folder, to: folder.parent,
        lambda folder, to: packed(folder, to / "FLIC.zip", "FLIC/"),
        lambda folder, to: packed(folder, to / "download.zip"),
        lambda folder, to: packed(folder, to / "a.zip", "deep/er/FLIC/"),
        lambda folder, to: packed(folder, to / "FLIC-full.zip", "FLIC-full/FLIC/"),
    ],
)
def test_an_archive_gives_what_its_folder_holds(
    tmp_path: Path, small: Path, pack: Callable[[Path, Path], Path]
) -> None:
    before = contents(small)
    SMALL_SET.prepare([pack(small, tmp_path)], tmp_path / "data")
    there = contents(tmp_path / "data" / "flic")
    images = {name: data for name, data in there.items() if name.startswith("images/")}
    assert images == {f"images/FLIC/{name[7:]}": data for name, data in before.items() if name.startswith("images/")}
    assert contents(small) == before


@pytest.mark.parametrize(
    "pack",
    [
        lambda folder, to: folder,
        lambda folder, to: folder.parent,
        lambda folder, to: packed(folder, to / "FLIC-full.zip"),
        lambda folder, to: packed(folder, to / "a.zip", "x/FLIC_FULL/"),
    ],
)
def test_full_is_known_by_the_name_of_its_folder_or_archive(
    tmp_path: Path, small: Path, full: Path, plus: Path, pack: Callable[[Path, Path], Path]
) -> None:
    SMALL_SET.prepare([small, pack(full, tmp_path), plus], tmp_path / "data")
    assert {part.name for part in (tmp_path / "data" / "flic" / "images").iterdir()} == {"FLIC", "FLIC-full"}


def test_full_under_another_name_says_how_it_is_known(tmp_path: Path, full: Path) -> None:
    archive = packed(full, tmp_path / "download.zip")
    with pytest.raises(DeepPoseError, match="20 records; valid: 12; FLIC-full is recognised by its folder's name"):
        SMALL_SET.prepare([archive], tmp_path / "data")


def in_parts(folder: Path, to: Path) -> list[Path]:
    names = sorted(contents(folder))
    parts = [to / "part1.zip", to / "part2.zip"]
    for part, chosen in zip(parts, (names[:6], names[6:]), strict=True):
        with zipfile.ZipFile(part, "w") as file:
            for name in chosen:
                file.write(folder / name, f"FLIC/{name}")
    return parts


def test_a_set_in_two_archives_is_prepared_from_both(tmp_path: Path, small: Path) -> None:
    first, second = in_parts(small, tmp_path)
    for source, expected in (
        (first, "5 of 10 images of FLIC are missing, the first is "),
        (second, "no examples"),
    ):
        with pytest.raises(DeepPoseError, match=f"{expected}.* at once: --from PART1") as caught:
            SMALL_SET.prepare([source], tmp_path / "data")
        assert str(source) in line_of(caught)
        assert not (tmp_path / "data" / "flic").exists()
    SMALL_SET.prepare([second, first], tmp_path / "data")
    assert sum(map(len, flic.FLIC.read(tmp_path / "data").values())) == 12
    with pytest.raises(DeepPoseError, match="give each archive once"):
        SMALL_SET.prepare([first, second, first], tmp_path / "data")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def archive_of(to: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(to, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return to


BAD_SOURCES: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "another set": (
        lambda small, to: archive_of(to, **{"lsp_dataset/joints.mat": b"x", "lsp_dataset/images/im0001.png": b"x"}),
        r"does not hold FLIC \(FLIC/examples\.mat, FLIC/images/\*\.jpg\), FLIC-full or tr_plus_indices\.mat",
    ),
    "empty archive": (lambda small, to: archive_of(to), "the archive is empty"),
    "empty file": (lambda small, to: to.write_bytes(b""), "the file is empty"),
    "a page": (lambda small, to: to.write_bytes(b"<html>not found</html>"), "a web page, not an archive"),
    "cut": (
        lambda small, to: to.write_bytes(packed(small, to, "FLIC/").read_bytes()[:-200]),
        "neither zip nor tar, or truncated",
    ),
    "a member outside": (
        lambda small, to: archive_of(to, **{"FLIC/examples.mat": b"x", "FLIC/images/../../../x.jpg": b"x"}),
        "points outside the target folder",
    ),
    "labels cut": (
        lambda small, to: (cut(small / "examples.mat"), packed(small, to, "FLIC/")),
        r"FLIC/examples\.mat: not a MATLAB file of versions 5 to 7.2, or damaged",
    ),
    "labels of another set": (
        lambda small, to: (scipy.io.savemat(small / "examples.mat", {"joints": np.ones(3)}), packed(small, to)),
        r"examples\.mat: no variable 'examples'; found 'joints'",
    ),
    "a list of numbers": (
        lambda small, to: (scipy.io.savemat(small / "examples.mat", {"examples": np.ones(3)}), packed(small, to)),
        r"examples\.mat: examples has no field coords; found none",
    ),
    "an image missing": (
        lambda small, to: ((small / "images" / "mr-mrs-smith-ws-00082001.jpg").unlink(), packed(small, to)),
        r"1 of 10 images of FLIC are missing, the first is mr-mrs-smith-ws-00082001\.jpg",
    ),
}


@pytest.mark.parametrize("case", BAD_SOURCES)
def test_a_bad_archive_leaves_the_data_as_it_was(tmp_path: Path, small: Path, case: str) -> None:
    data = tmp_path / "data"
    SMALL_SET.prepare([small], data)
    before = contents(tmp_path / "data")
    make, expected = BAD_SOURCES[case]
    archive = tmp_path / "again.zip"
    make(small, archive)
    with pytest.raises(DeepPoseError, match=expected) as caught:
        SMALL_SET.prepare([archive], data)
    assert str(archive) in line_of(caught)
    assert contents(data) == before
    assert {entry.name for entry in (data / "flic" / "images").iterdir()} == {"FLIC"}


def test_what_macs_and_others_leave_is_not_taken(tmp_path: Path, small: Path) -> None:
    (small / "images" / "._along-came-polly-00060001.jpg").write_bytes(b"x")
    (small / "images" / "Thumbs.db").write_bytes(b"x")
    (small.parent / "__MACOSX" / "FLIC" / "images").mkdir(parents=True)
    (small.parent / "__MACOSX" / "FLIC" / "images" / "a.jpg").write_bytes(b"x")
    SMALL_SET.prepare([small.parent], tmp_path / "data")
    assert len(contents(tmp_path / "data" / "flic")) == 10 + 4


def test_an_image_that_cannot_be_decoded_is_not_the_readers_business(tmp_path: Path, small: Path) -> None:
    image = small / "images" / "along-came-polly-00060001.jpg"
    image.write_bytes(image.read_bytes()[:50])
    SMALL_SET.prepare([small], tmp_path / "data")
    assert sum(map(len, flic.FLIC.read(tmp_path / "data").values())) == 12


def test_damaged_archives_change_nothing_outside_and_give_only_our_error(tmp_path: Path, small: Path) -> None:
    whole = packed(small, tmp_path / "whole.zip", "FLIC/").read_bytes()
    data = tmp_path / "place" / "data"
    archive = tmp_path / "damaged.zip"
    random = Random(8)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(random.choice([1, 3, 30])):
            # Half of the damage where the table of contents lies: names, lengths and places.
            start = len(whole) - 1500 if random.random() < 0.5 else 0
            damaged[random.randrange(start, len(whole))] = random.randrange(256)
        archive.write_bytes(damaged[: random.choice([len(whole), random.randrange(len(whole))])])
        try:
            SMALL_SET.prepare([archive], data)
        except DeepPoseError as error:
            refused += 1
            lines = str(error).splitlines()
        else:
            lines = ["fine"]
            assert sum(map(len, flic.FLIC.read(data).values())) == 12
        assert len(lines) == 1
        outside = {p.relative_to(tmp_path).parts[0] for p in tmp_path.rglob("*")}
        assert outside <= {"given", "whole.zip", "damaged.zip", "place"}
        assert {p.name for p in tmp_path.glob("place/*")} <= {"data"}
        assert {p.name for p in tmp_path.glob("place/data/*")} <= {"flic", ".flic.lock"}
        assert {p.name for p in tmp_path.glob("place/data/flic/images/*")} <= {"FLIC"}
    assert refused > 25


# ---- the original


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    flic.FLIC.prepare([REAL / "FLIC.part2.zip", REAL / "FLIC.part1.zip"], root)
    return root


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the real archives are not here")
def test_the_original_is_read_whole(prepared: Path) -> None:
    splits = flic.FLIC.read(prepared)
    assert len(splits["train"]) + len(splits["validation"]) == 3987
    assert len(splits["test"]) == 1016
    assert len(splits["validation"]) == pytest.approx(399, abs=1)
    files = Counter(file for split in splits.values() for file in split.files)
    assert len(files) == 4552
    names = [name for split in splits.values() for name in split.names]
    assert len(set(names)) == 5003
    assert sum(name.endswith(("#2", "#3")) for name in names) == 451, "examples beyond a frame's first"
    assert all(split.labelled.all() for split in splits.values())
    swapped = sum(
        int((observer_centric(split.keypoints, FLIC10) != split.keypoints).any((1, 2)).sum())
        for split in splits.values()
    )
    assert swapped == 247, "people seen from behind"


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the real archives are not here")
def test_no_validation_frame_is_near_a_training_frame(prepared: Path) -> None:
    """Movie and frame from the images' names, not from the fields that the scenes are made of."""
    splits = flic.FLIC.read(prepared)
    places = {}
    for name in ("train", "validation"):
        movies: dict[str, list[int]] = {}
        for file in splits[name].files:
            movie, _, frame = file.stem.rpartition("-")
            movies.setdefault(movie, []).append(int(frame))
        places[name] = movies
    for movie, frames in places["validation"].items():
        gaps = np.abs(np.subtract.outer(frames, places["train"][movie]))
        assert gaps.min() > flic.SCENE_GAP
    assert len(places["validation"]) >= 20, "from many movies"
