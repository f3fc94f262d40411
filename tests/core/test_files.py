"""Files are whole or not there; a lock holds for one process, with and without `fcntl`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import lock, remove_leftovers, replacing, write_bytes, write_text

HOLD = """
import sys
from pathlib import Path
from deeppose_cli.core.files import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
WITHOUT_FCNTL = """
import importlib, pkgutil, sys, warnings
sys.modules["fcntl"] = None
warnings.simplefilter("ignore")
import deeppose_cli
from deeppose_cli.checkpoints.run_folder import run_folder
from deeppose_cli.core.errors import DeepPoseError
from pathlib import Path
for module in pkgutil.walk_packages(deeppose_cli.__path__, "deeppose_cli."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
stage = run_folder(Path(sys.argv[1]), "run").stage(1)
for _ in range(2):
    with stage.lock():
        try:
            with stage.lock():
                print("held twice")
        except DeepPoseError as error:
            print(error)
"""


def test_the_folder_is_made_and_the_content_replaced(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.txt"
    write_text(file, "σ")
    write_bytes(file, b"second")
    assert file.read_bytes() == b"second"
    assert [entry.name for entry in file.parent.iterdir()] == ["a.txt"]


def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")

    def stop_halfway() -> None:
        with replacing(file, ".png") as temporary:
            assert temporary.parent == tmp_path
            assert temporary.suffix == ".png"
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_halfway()
    assert file.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = {"a.jpg", ".hidden", ".notes.tmp", "x.12.tmp"}
    for name in (*kept, ".a_pose.jpg.123.tmp", ".stage.npz.77.tmp.npz"):
        (tmp_path / name).touch()
    with replacing(tmp_path / "b.png") as temporary:
        temporary.touch()
        remove_leftovers(tmp_path)
        assert not temporary.exists()  # the names that are removed are those that are written
        temporary.touch()
    (tmp_path / "b.png").unlink()
    assert {file.name for file in tmp_path.iterdir()} == kept


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DeepPoseError, match=r"file/a.txt: cannot be written \(.+\)$"):
        write_text(tmp_path / "file" / "a.txt", "text")
    with (
        pytest.raises(DeepPoseError, match=r"file: cannot be written \(.+\); try --out$"),
        lock(tmp_path / "file" / ".lock", hint="; try --out"),
    ):
        pass


def test_a_lock_excludes_other_processes_and_ends_with_its_own(tmp_path: Path) -> None:
    file = tmp_path / "run" / ".lock"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(DeepPoseError, match=r"^in use$"), lock(file, "in use"):
            pass
    finally:
        other.kill()
        other.communicate()
    with lock(file, "in use"), pytest.raises(DeepPoseError, match=r"^in use$"), lock(file, "in use"):
        pass
    with lock(file, "in use"):  # released after an error inside, too
        pass


@pytest.mark.slow
def test_a_file_system_without_locks_is_said_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import errno
    import fcntl

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    for _ in range(2):
        second = lock(tmp_path / "lock", "in use")
        with lock(tmp_path / "lock", "in use"), pytest.raises(DeepPoseError, match="in use"), second:
            pass
        lines = capsys.readouterr().err.splitlines()
        assert set(lines) == {f"{tmp_path}: this file system has no locks; a plain file keeps others out"}


def test_every_module_imports_and_a_run_is_locked_without_fcntl(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_FCNTL, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("in use by another training; wait for it") == 2
    assert "held twice" not in done.stdout
