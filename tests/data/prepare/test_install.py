"""From archives to a folder: nothing is in place before it is whole, and what was there stays until then."""

from __future__ import annotations

import signal
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.prepare.install import ExtractionPlan, install, replace_folder, staging


def archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, name)
    return path


def choose(source: Path, names: Sequence[str]) -> Mapping[str, str]:
    """Members `x/1.jpg` belong to the part x."""
    return {name: name for name in names if name.endswith(".jpg")}


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_plan_knows_parts_and_origins(tmp_path: Path) -> None:
    first, second = archive(tmp_path / "1.zip", "a/1.jpg", "b/1.jpg", "c.txt"), archive(tmp_path / "2.zip", "a/2.jpg")
    plan = ExtractionPlan.make([first, second], choose, "images")
    assert plan.parts == ["a", "b"]
    assert plan.origin("a/2.jpg") == f"{second}: a/2.jpg"
    assert (plan.sources("a"), plan.sources("b")) == (f"{first} + {second}", str(first))


def test_a_source_without_content_and_a_file_given_twice_are_refused(tmp_path: Path) -> None:
    first, empty = archive(tmp_path / "1.zip", "a/1.jpg"), archive(tmp_path / "2.zip", "c.txt")
    with pytest.raises(DeepPoseError, match=r"2\.zip: does not hold images$"):
        ExtractionPlan.make([first, empty], choose, "images")
    with pytest.raises(DeepPoseError, match=r"'a/1\.jpg' is in .*1\.zip already; give each archive once"):
        ExtractionPlan.make([first, first], choose, "images")


def test_parts_are_converted_and_replace_their_predecessors(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "set"
    seen: list[tuple[str, int, int]] = []
    for names in (("a/1.jpg", "b/1.jpg"), ("a/2.jpg",)):
        plan = ExtractionPlan.make([archive(tmp_path / "x.zip", *names)], choose, "images")
        install(plan, folder, lambda new: (new / "a" / "labels").touch(), lambda *step: seen.append(step))
    assert names_in(tmp_path / "data") == {".set.lock", "set/a/2.jpg", "set/a/labels", "set/b/1.jpg"}
    assert seen[:2] == [("unpacking", 1, 2), ("unpacking", 2, 2)]


@pytest.mark.parametrize("stop", [DeepPoseError, KeyboardInterrupt])
def test_a_conversion_that_fails_leaves_what_was_there(tmp_path: Path, stop: type[BaseException]) -> None:
    folder = tmp_path / "data" / "set"
    plan = ExtractionPlan.make([archive(tmp_path / "x.zip", "a/1.jpg")], choose, "images")
    install(plan, folder, lambda new: None)

    def fail(new: Path) -> None:
        (new / "a" / "half").touch()
        raise stop

    with pytest.raises(stop):
        install(plan, folder, fail)
    assert names_in(tmp_path / "data") == {".set.lock", "set/a/1.jpg"}


def test_a_killed_process_leaves_the_old_data_and_is_cleaned_after(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "set"
    folder.mkdir(parents=True)
    program = f"""
import os, pathlib, signal
from deeppose_cli.data.prepare.install import staging
with staging(pathlib.Path({str(folder)!r})) as temporary:
    (temporary / "half").write_text("new")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert (folder.parent / ".set.new" / "half").is_file()
    with staging(folder) as temporary:
        assert list(temporary.iterdir()) == []
    assert sorted(entry.name for entry in folder.parent.iterdir()) == [".set.lock", "set"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(DeepPoseError, match=r"file: cannot be written \(.*\); --data-root takes another"),
        staging(tmp_path / "file" / "lsp"),
    ):
        pass


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(tmp_path: Path) -> None:
    (tmp_path / "lsp").mkdir()
    (tmp_path / "lsp" / "file").write_text("old")
    with pytest.raises(DeepPoseError, match="cannot be written"):
        replace_folder(tmp_path / "not there", tmp_path / "lsp")
    assert (tmp_path / "lsp" / "file").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["lsp"]
