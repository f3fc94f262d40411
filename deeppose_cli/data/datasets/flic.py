"""Frames Labeled In Cinema (FLIC): upper bodies in frames of thirty movies.

On disk, as `deeppose data prepare flic` leaves it:

    <data root>/flic/
        FLIC/       images/<movie>-<frame>.jpg   examples.mat: 5,003 examples in 4,552 frames
        FLIC-full/  images/<movie>-<frame>.jpg   examples.mat: 20,928 examples       (if both were given)
        FLIC-plus/  tr_plus_indices.mat: which examples of FLIC-full to train on

Splits: FLIC's own, `istrain` (3,987) and `istest` (1,016); a tenth of the training examples are validation. A movie is
sampled every ten frames or so, and several people of one frame are several examples: neighbours look alike. So whole
scenes are drawn: an example belongs to the scene of the one before it in its movie if no more than SCENE_GAP frames lie
between them. All thirty movies are in training and test alike, and two frames are in both (one person here, one there).

FLIC-full holds more people of the same scenes, those of the test included. FLIC-plus is the part of it whose scenes are
not in the test (Tompson et al., NIPS 2014). With both in place the training examples are FLIC-plus', all of them
(`isbad` and `isunchecked` ones too, as published); the test stays FLIC's. Without the indices FLIC-full is not trained
on: `prepare` refuses it, and `read` takes FLIC's own training examples.

Converted: MATLAB's 1-based coordinates to 0-based (points and torso boxes). Sides are the person's in the files
already. Of the 29 places for joints ten are kept; the neck is the middle of the shoulders. NaN is a joint without a
label. Torso boxes are [x1 y1 x2 y2] with fractions, so their corners are taken for points of the image plane, not for
the first and last pixel: width = x2 − x1.

Names: the image's, and for the second and third example in a frame, in the file's order, `name.jpg#2`, `name.jpg#3`.

Sources: B. Sapp, B. Taskar: MODEC: Multimodal Decomposable Models for Human Pose Estimation, CVPR 2013; FLIC-plus: J.
Tompson, A. Jain, Y. LeCun, C. Bregler: Joint Training of a Convolutional Network and a Graphical Model for Human Pose
Estimation, NIPS 2014. Terms: the frames belong to the movies' owners; the set was published for research, with the
request to cite the paper. Nothing of it is part of this project.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.progress import Progress
from deeppose_cli.core.skeleton import FLIC10
from deeppose_cli.data.datasets.spec import MAX_COORDINATE, DatasetSpec
from deeppose_cli.data.datasets.splits import split_groups
from deeppose_cli.data.prepare.matfile import read_array
from deeppose_cli.data.prepare.matstruct import Records, read_struct
from deeppose_cli.data.prepare.unpack import Listed, Plan, Unpacked, how_to_prepare, not_there, plan_by_name, put

VALIDATION_SHARE = 0.1
"""Of the training examples."""
SCENE_GAP = 500
"""Frames, some twenty seconds of movie: as long as a camera may look elsewhere and come back."""
MAX_FRAME = 1e7
"""The longest movie has fewer."""

PLACES = {
    "left_shoulder": 0,
    "left_elbow": 1,
    "left_wrist": 2,
    "right_shoulder": 3,
    "right_elbow": 4,
    "right_wrist": 5,
    "left_hip": 6,
    "right_hip": 9,
    "nose": 16,
}
"""Joint → its column in `coords`."""
_NUMBERS = {"coords": (2, 29), "torsobox": (1, 4), "currframe": (1, 1), "istrain": (1, 1), "istest": (1, 1)}
_TEXTS = ("filepath", "moviename")
_INDICES = "tr_plus_indices"
_PLUS = f"FLIC-plus/{_INDICES}.mat"
_NEEDED = re.compile(rf"(?P<base>(?:.*/)?)(?P<rest>images/[^/.][^/]*\.jpg|examples\.mat|{_INDICES}\.mat)")
_FULL = re.compile(r"flic[-_ ]?full", re.IGNORECASE)
_GET = "deeppose data prepare flic --from FLIC.zip"
_GET_PLUS = f"{_GET} --from FLIC-full.zip --from FOLDER (with {_INDICES}.mat)"


@dataclass(frozen=True)
class Release:
    """One of the two sets of examples."""

    name: str
    count: int


RELEASES = (Release("FLIC", 5003), Release("FLIC-full", 20928))


@dataclass(frozen=True)
class Examples:
    """All records of one `examples.mat`, checked, in the project's convention."""

    keypoints: NDArray[np.float64]
    """(N, 10, 2) px in FLIC10's order."""
    torsos: NDArray[np.float64]
    """(N, 4) Box rows, px."""
    images: tuple[str, ...]
    """(N) file names in `images/`."""
    scenes: NDArray[np.intp]
    """(N) examples with the same number are of one scene."""
    train: NDArray[np.bool_]
    test: NDArray[np.bool_]

    def annotations(self, images: Path) -> Annotations:
        """`boxes`: NaN, FLIC has no box of the whole person."""
        seen: Counter[str] = Counter()
        names = []
        for image in self.images:
            seen[image] += 1
            names.append(image if seen[image] == 1 else f"{image}#{seen[image]}")
        files = {image: images / image for image in seen}
        boxes = np.full((len(names), 4), np.nan)
        return Annotations(
            FLIC10, tuple(files[p] for p in self.images), self.keypoints, boxes, tuple(names), self.torsos
        )


def read_examples(file: Path, shown: str | None = None, expected: int | None = None) -> Examples:
    """`examples.mat` of FLIC or FLIC-full. With `expected`, the number of its records must be that.

    Raises DeepPoseError, one line that calls the file `shown` and names the record and field of a value that cannot be
    right.
    """
    shown = shown or str(file)
    records = read_struct(file, "examples", _NUMBERS, _TEXTS, shown)
    if not records.count or (expected is not None and records.count != expected):
        valid = "at least 1" if expected is None else f"{expected}; FLIC-full is told from FLIC by its folder's name"
        raise DeepPoseError(f"{shown}: examples has {records.count} records; valid: {valid}")
    _check(records, shown)
    points = {joint: records.numbers["coords"][..., place] - 1 for joint, place in PLACES.items()}
    points["neck"] = (points["left_shoulder"] + points["right_shoulder"]) / 2
    x1, y1, x2, y2 = records.numbers["torsobox"][:, 0].T - 1
    return Examples(
        keypoints=np.stack([points[joint] for joint in FLIC10.joints], axis=1),
        torsos=np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=1),
        images=records.texts["filepath"],
        scenes=scenes(records.texts["moviename"], records.numbers["currframe"].ravel()),
        train=records.numbers["istrain"].ravel() == 1,
        test=records.numbers["istest"].ravel() == 1,
    )


def scenes(movies: Sequence[str], frames: NDArray[np.float64]) -> NDArray[np.intp]:
    """(N) the number of each example's scene: frames of one movie with gaps of at most SCENE_GAP."""
    movie = np.unique(np.asarray(movies), return_inverse=True)[1]
    order = np.lexsort((frames, movie))
    begins = (np.diff(movie[order]) != 0) | (np.diff(frames[order]) > SCENE_GAP)
    numbers = np.empty(len(order), dtype=np.intp)
    numbers[order] = np.concatenate([[0], np.cumsum(begins)])
    return numbers


def read(data_root: Path, releases: Sequence[Release] = RELEASES) -> dict[str, Annotations]:
    """{"train", "validation", "test"}. No image is decoded; that each is there is checked.

    Raises DeepPoseError where the set, an image or a label is missing or cannot be right.
    """
    own, full = releases
    folder = data_root / "flic"
    examples = _read_release(folder / own.name, own, data_root)
    everyone = examples.annotations(folder / own.name / "images")
    test = everyone.take(np.flatnonzero(examples.test))
    rows = np.flatnonzero(examples.train)
    if (folder / full.name).is_dir() and (folder / _PLUS).is_file():
        examples = _read_release(folder / full.name, full, data_root)
        everyone = examples.annotations(folder / full.name / "images")
        rows = read_indices(folder / _PLUS, full.count)
    train, validation = split_groups(examples.scenes[rows], VALIDATION_SHARE)
    return {"train": everyone.take(rows[train]), "validation": everyone.take(rows[validation]), "test": test}


def read_indices(file: Path, count: int, shown: str | None = None) -> NDArray[np.intp]:
    """FLIC-plus: (M) rows of FLIC-full's `count` examples, 0-based, ascending. Raises DeepPoseError."""
    shown = shown or str(file)
    values = read_array(file, _INDICES, shown).ravel().astype(np.float64)
    if not len(values):
        raise DeepPoseError(f"{shown}: {_INDICES} is empty; valid: numbers of examples, 1 to {count}")
    bad = ~((values >= 1) & (values <= count) & (values == np.floor(values)))
    if bad.any():
        at = int(np.argmax(bad))
        raise DeepPoseError(
            f"{shown}: record {at + 1}, {_INDICES} is {values[at]:g}; valid: whole numbers, 1 to {count}"
        )
    rows, times = np.unique(values.astype(np.intp) - 1, return_counts=True)
    if (times > 1).any():
        raise DeepPoseError(f"{shown}: {_INDICES} has {rows[np.argmax(times > 1)] + 1} twice; valid: each example once")
    return rows


def prepare(
    sources: Sequence[Path],
    data_root: Path,
    progress: Progress | None = None,
    releases: Sequence[Release] = RELEASES,
) -> tuple[str, ...]:
    """Put FLIC, and FLIC-full with FLIC-plus, from archives or extracted folders into `<data root>/flic`.

    Any of them may come in several sources, and a source may hold several. FLIC-full is known by its folder's or
    archive's name; other leading folders do not matter. Everything is unpacked beside its place and checked before
    anything is replaced; on any failure what was there stays. Gives the names of the folders that are new. Raises
    DeepPoseError, one line, for sources that do not hold a release whole, and UsageError where none is given.
    """
    if not sources:
        raise UsageError(f"--from: flic needs its archives; type: {how_to_prepare(_GET, data_root)}")
    folder = data_root / "flic"

    def validate(unpacked: Unpacked) -> None:
        for release in releases:
            if (unpacked.folder / release.name).is_dir():
                _validate(unpacked, release)
        _validate_plus(unpacked, folder, releases[1])

    return put(sources, folder, _plan, validate, progress)


def _check(records: Records, shown: str) -> None:
    """Values as in the file. Raises DeepPoseError that names the first record and field that cannot be right."""

    def refuse(bad: NDArray[np.bool_], field: str, found: NDArray[Any], valid: str, parts: Sequence[Any] = ()) -> None:
        """`found` (N, …) is what the error quotes where `bad`; `parts` names the places along its further axes."""
        if not bad.any():
            return
        record, *where = np.argwhere(bad)[0]
        value = found[(record, *where)]
        what = " ".join(names[i] for names, i in zip(parts, where, strict=True))
        quoted = repr(str(value))[:100] if isinstance(value, str) else f"{value:g}"
        raise DeepPoseError(
            f"{shown}: record {record + 1}, field {field}: {f'{what} is ' if what else ''}{quoted}; valid: {valid}"
        )

    near = f"within ±{MAX_COORDINATE:.0f} px"
    joints = (list(PLACES), "xy")
    coords = records.numbers["coords"][..., list(PLACES.values())].transpose(0, 2, 1)  # (N, 9, 2)
    missing = np.isnan(coords)
    refuse(~missing & ~(np.abs(coords) <= MAX_COORDINATE), "coords", coords, f"{near}, or NaN", joints)
    refuse(missing & ~missing.all(-1, keepdims=True), "coords", coords, "a number, or NaN for x and y", joints)
    torsos = records.numbers["torsobox"][:, 0]
    refuse(~(np.abs(torsos) <= MAX_COORDINATE), "torsobox", torsos, near, [("x1", "y1", "x2", "y2")])
    extents = torsos[:, 2:] - torsos[:, :2]
    refuse(extents <= 0, "torsobox", extents, "above 0", [("x2 - x1", "y2 - y1")])
    train, test = (records.numbers[name].ravel() for name in ("istrain", "istest"))
    for name, flags in (("istrain", train), ("istest", test)):
        refuse((flags != 0) & (flags != 1), name, flags, "0 or 1")
    refuse((train == 1) & (test == 1), "istest", test, "0 where istrain is 1")
    frames = records.numbers["currframe"].ravel()
    refuse(~((frames >= 0) & (frames < MAX_FRAME)), "currframe", frames, f"0 to {MAX_FRAME:.0f}")
    images = np.array(records.texts["filepath"], dtype=object)
    strange = np.array([not _is_plain(name) for name in images])
    refuse(strange, "filepath", images, "the name of a .jpg in images/")


def _is_plain(name: str) -> bool:
    """Whether an image's name leads nowhere but into its own folder, on any system."""
    return name.endswith(".jpg") and name.isprintable() and name[0] != "." and not set(name) & set("/\\:")


def _read_release(folder: Path, release: Release, data_root: Path) -> Examples:
    if not folder.is_dir():
        raise DeepPoseError(f"{release.name} is not in {folder.parent}; type: {how_to_prepare(_GET, data_root)}")
    file = folder / "examples.mat"
    if not file.is_file():
        raise DeepPoseError(f"{file}: no such file; type: {how_to_prepare(_GET, data_root)}")
    examples = read_examples(file, expected=release.count)
    if missing := sorted({*not_there(folder / "images", examples.images)}):
        raise DeepPoseError(
            f"{folder / 'images' / missing[0]}: no such file ({len(missing)} of {len(set(examples.images))} images "
            f"missing); type: {how_to_prepare(_GET, data_root)}"
        )
    return examples


def _plan(listed: Listed, temporary: Path) -> Plan:
    # A folder that was given itself does not show in its members' names, which must tell FLIC from FLIC-full.
    named = [(source, [f"{source.resolve().stem}/{name}" for name in names]) for source, names in listed]
    plan = plan_by_name(_place, f"FLIC (FLIC/examples.mat, FLIC/images/*.jpg), FLIC-full or {_INDICES}.mat")
    return {
        source: {name.partition("/")[2]: target for name, target in targets.items()}
        for source, targets in plan(named, temporary).items()
    }


def _place(name: str) -> str | None:
    """Where a member belongs below the set's folder; None: nowhere."""
    match = _NEEDED.fullmatch(name)
    if match is None or "__MACOSX" in match["base"]:
        return None
    if match["rest"] == f"{_INDICES}.mat":
        return _PLUS
    # The innermost folder that is called after either of them says which.
    own, full = (release.name for release in RELEASES)
    folder = next((part for part in reversed(match["base"].split("/")) if own.lower() in part.lower()), own)
    return f"{full if _FULL.search(folder) else own}/{match['rest']}"


def _validate(unpacked: Unpacked, release: Release) -> None:
    """Raises DeepPoseError, naming the sources, where the unpacked release is not whole."""
    folder = unpacked.folder / release.name
    sources = unpacked.sources(folder)
    together = "a set that comes in several archives needs all of them at once: --from PART1 --from PART2"
    labels = folder / "examples.mat"
    if not labels.is_file():
        raise DeepPoseError(f"{sources}: {release.name} has no examples.mat; {together}")
    examples = read_examples(labels, unpacked.shown(labels), release.count)
    if missing := sorted({*not_there(folder / "images", examples.images)}):
        raise DeepPoseError(
            f"{sources}: {len(missing)} of {len(set(examples.images))} {release.name} images are missing, "
            f"the first is images/{missing[0]}; {together}"
        )


def _validate_plus(unpacked: Unpacked, folder: Path, full: Release) -> None:
    """FLIC-full and FLIC-plus, each new or in `folder` already, are of use together only."""
    new_full, new_plus = (unpacked.folder / full.name).is_dir(), (unpacked.folder / _PLUS).is_file()
    if new_full and not new_plus and not (folder / _PLUS).is_file():
        raise DeepPoseError(
            f"{unpacked.sources(unpacked.folder / full.name)}: {full.name} holds the test's scenes too and is "
            f"trained on only by FLIC-plus' list; type: {_GET_PLUS}"
        )
    if new_plus:
        file = unpacked.folder / _PLUS
        if not new_full and not (folder / full.name).is_dir():
            raise DeepPoseError(
                f"{unpacked.shown(file)}: lists examples of {full.name}, which is not here; type: {_GET_PLUS}"
            )
        read_indices(file, full.count, unpacked.shown(file))


FLIC = DatasetSpec(
    name="flic",
    title="Frames Labeled In Cinema: 5,003 upper bodies in movie frames; trains on FLIC-plus where it is given",
    skeleton=FLIC10,
    preset="small",
    sigma=1.0,
    initial_box="face",
    conventions="1-based in the files (inferred), 0-based here; sides are the person's; ten of 29 joints; neck: "
    "mid-shoulder",
    how_to_get=f"archive from bensapp.github.io/flic-dataset.html; type: {_GET}",
    read=read,
    image_order="as in examples.mat: test: those with istest; train and validation share those with istrain; the "
    "second example in an image is named IMAGE.jpg#2, the third #3",
)
