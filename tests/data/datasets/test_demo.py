"""The demo set: made once, whole or not at all, the same everywhere, and readable as LSP."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.datasets import demo
from deeppose_cli.data.datasets.demo import DEMO, Recipe, make
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.data.synthetic.generator import draw_person

SMALL = Recipe(train=20, test=4)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_root = tmp_path_factory.mktemp("data")
    assert make(data_root, SMALL)
    return data_root


def test_says_what_it_is_on_stderr_and_only_when_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = Recipe(train=2, test=1)
    assert make(tmp_path, recipe)
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert f"demo data: 3 synthetic people are now in {tmp_path / 'demo'}; nothing was downloaded" in err
    before = contents(tmp_path / "demo")
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "demo").rglob("*")}
    assert not make(tmp_path, recipe)
    assert capsys.readouterr() == ("", "")
    assert contents(tmp_path / "demo") == before
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "demo").rglob("*")} == times


def small() -> DatasetSpec:
    """The set as it is read, without that a set of another recipe is made in its place."""
    return replace(DEMO, make=None)


def every_keypoint(root: Path) -> dict[str, np.ndarray]:
    parts = small().read(root).values()
    return {name: points for part in parts for name, points in zip(part.names, part.keypoints, strict=True)}


def test_labels_are_those_of_the_drawings(root: Path) -> None:
    drawing = draw_person(np.random.default_rng((SMALL.seed, 5)))
    np.testing.assert_allclose(every_keypoint(root)["im0006.jpg"], drawing.joints, atol=1e-6)
    assert sorted(file.name for file in (root / "demo" / "images").iterdir()) == SMALL.images


def test_images_are_the_drawings(root: Path) -> None:
    """As good as JPEG allows, and red is red."""
    stored = cv2.imread(str(root / "demo" / "images" / "im0003.jpg"), cv2.IMREAD_COLOR_RGB)
    drawn = draw_person(np.random.default_rng((SMALL.seed, 2))).image
    assert stored is not None
    assert stored.shape == drawn.shape
    assert np.abs(stored.astype(float) - drawn).mean() < 6


def test_read_gives_the_three_splits(root: Path) -> None:
    splits = small().read(root)
    assert {name: len(part) for name, part in splits.items()} == {"train": 18, "validation": 2, "test": 4}
    names = [name for part in splits.values() for name in part.names]
    assert len(set(names)) == 24
    assert splits["test"].names == ("im0021.jpg", "im0022.jpg", "im0023.jpg", "im0024.jpg")
    for part in splits.values():
        assert part.skeleton is DEMO.skeleton
        assert part.labelled.all()
        assert np.isnan(part.boxes).all()
        assert all(file.is_file() and file.name == name for file, name in zip(part.files, part.names, strict=True))


def test_read_makes_the_set_where_it_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "RECIPE", Recipe(train=10, test=1))
    assert not demo.is_prepared(tmp_path / "new")
    assert len(DEMO.read(tmp_path / "new")["test"]) == 1
    assert demo.is_prepared(tmp_path / "new")


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_making_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    drawn = []

    def fails_late(rng: np.random.Generator) -> object:
        drawn.append(rng)
        if len(drawn) == 3:
            raise failure
        return draw_person(rng)

    monkeypatch.setattr(demo, "draw_person", fails_late)
    with pytest.raises(failure):
        make(tmp_path, SMALL)
    assert [entry.name for entry in tmp_path.iterdir()] == [".demo.lock"]


def test_a_failed_remaking_keeps_the_old_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, Recipe(train=2, test=1))
    before = contents(tmp_path / "demo")
    monkeypatch.setattr(demo, "draw_person", lambda rng: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make(tmp_path, Recipe(train=3, test=1))
    assert contents(tmp_path / "demo") == before


@pytest.mark.parametrize("key", ["version", "seed", "train"])
def test_a_set_made_from_something_else_is_made_again(tmp_path: Path, key: str) -> None:
    recipe = Recipe(train=2, test=1)
    make(tmp_path, recipe)
    good = contents(tmp_path / "demo")
    marker = tmp_path / "demo" / "demo.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {key: 99}))
    (tmp_path / "demo" / "images" / "im0009.jpg").write_bytes(b"of the other set")
    assert make(tmp_path, recipe)
    assert contents(tmp_path / "demo") == good


@pytest.mark.parametrize("lost", ["dataset.yaml", "images/im0002.jpg"])
def test_a_set_that_lost_a_file_is_made_again(tmp_path: Path, lost: str) -> None:
    recipe = Recipe(train=2, test=1)
    make(tmp_path, recipe)
    (tmp_path / "demo" / lost).unlink()
    assert make(tmp_path, recipe)
    assert (tmp_path / "demo" / lost).is_file()


def test_a_broken_marker_is_no_marker(tmp_path: Path) -> None:
    recipe = Recipe(train=2, test=1)
    make(tmp_path, recipe)
    (tmp_path / "demo" / "demo.json").write_bytes(b"\xff{")
    assert make(tmp_path, recipe)


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.txt").write_text("precious")
    with pytest.raises(DeepPoseError, match=r"demo: not a demo set of this tool"):
        make(tmp_path, SMALL)
    assert contents(tmp_path / "demo") == {"thesis.txt": b"precious"}


def test_a_data_root_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DeepPoseError, match=r"data: cannot be written \(.*\); --data-root takes another"):
        make(tmp_path / "data", SMALL)


def test_of_two_at_once_one_makes_it(tmp_path: Path, root: Path) -> None:
    """The lock is the file's, so threads of one process stand for two processes."""
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(make, tmp_path, SMALL) for _ in range(2)]
    assert sorted(each.result() for each in made) == [False, True]
    assert contents(tmp_path / "demo") == contents(root / "demo")
