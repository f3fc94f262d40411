"""Archives by strangers: what is refused, what an error says, and that nothing half-done is ever in place."""

from __future__ import annotations

import io
import os
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.prepare import archives
from deeppose_cli.data.prepare.archives import choose_members, replace_folder, staging, unpack

CONTENT = {"a/one.txt": b"one" * 40, "two.bin": bytes(range(256))}


def make_zip(path: Path, content: dict[str, bytes] = CONTENT) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


def make_tar(path: Path, mode: str, content: dict[str, bytes] = CONTENT) -> Path:
    with tarfile.open(path, mode) as file:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def make_folder(path: Path) -> Path:
    for name, data in CONTENT.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def everything(source: Path, names: Sequence[str]) -> Mapping[str, str]:
    return {name: (name,) for name in names}


def list_members(source: Path) -> list[str]:
    return [member for _, member in choose_members([source], everything, "files").values()]


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: make_zip(folder / "x.zip"),
        lambda folder: make_tar(folder / "x.tar", "w"),
        lambda folder: make_tar(folder / "x.tgz", "w:gz"),
        lambda folder: make_tar(folder / "x.tar.bz2", "w:bz2"),
        lambda folder: make_tar(folder / "x.tar.xz", "w:xz"),
        lambda folder: make_tar(folder / "dotted.tar", "w", {f"./{name}": data for name, data in CONTENT.items()}),
        lambda folder: make_zip(folder / "named.tar.gz"),  # the bytes decide, not the name
        lambda folder: make_folder(folder / "x"),
    ],
)
def test_every_kind_of_source_gives_the_same_files(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    source = make(tmp_path)
    assert sorted(list_members(source)) == sorted(CONTENT)
    unpack({"er/2": (source, "two.bin")}, tmp_path / "deep")
    assert (tmp_path / "deep" / "er" / "2").read_bytes() == CONTENT["two.bin"]
    assert [p.name for p in (tmp_path / "deep").rglob("*") if p.is_file()] == ["2"]


def test_a_tar_that_holds_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip").read_bytes()
    assert list_members(make_tar(tmp_path / "x.tar", "w", {"inner.zip": inner})) == ["inner.zip"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "C:/x", "c:x", "a\\..\\x", "\\x", ".."])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_that_would_leave_the_target_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    content = {"good.txt": b"x", name: b"x"}
    source = make_zip(tmp_path / "s", content) if kind == "zip" else make_tar(tmp_path / "s", "w:gz", content)
    with pytest.raises(DeepPoseError, match="outside the target") as caught:
        list_members(source)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as file:
        info = tarfile.TarInfo("joints.mat")
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info)
    with pytest.raises(DeepPoseError, match=r"x\.tar: member 'joints\.mat' is a link or a device"):
        list_members(tmp_path / "x.tar")


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("joints.mat")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(DeepPoseError, match="link or a device"):
        list_members(tmp_path / "x.zip")


def encrypted(path: Path) -> None:
    data = bytearray(make_zip(path).read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(signature) + flags] |= 1
    path.write_bytes(data)


BAD_SOURCES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file or folder"),
    "empty": (lambda path: path.write_bytes(b""), "the file is empty"),
    "web page": (lambda path: path.write_text("\n<!DOCTYPE html><html>Log in</html>"), "web page"),
    "other bytes": (lambda path: path.write_bytes(b"Rar!\x1a\x07" + bytes(600)), "neither zip nor tar"),
    "truncated zip": (lambda path: path.write_bytes(make_zip(path).read_bytes()[:-40]), "truncated"),
    "truncated tar.gz": (lambda path: path.write_bytes(make_tar(path, "w:gz").read_bytes()[:60]), "truncated"),
    "encrypted zip": (encrypted, "encrypted"),
    "zip of nothing": (lambda path: make_zip(path, {}), "empty"),
    "tar of nothing": (lambda path: make_tar(path, "w:gz", {}), "empty"),
    "folder of nothing": (lambda path: path.mkdir(), "empty"),
}


@pytest.mark.parametrize("case", BAD_SOURCES)
def test_a_bad_source_is_one_line_that_names_it(tmp_path: Path, case: str) -> None:
    make, expected = BAD_SOURCES[case]
    path = tmp_path / "source.zip"
    make(path)
    with pytest.raises(DeepPoseError, match=expected) as caught:
        list_members(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_declared_sizes_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_zip(tmp_path / "x.zip", {"a": bytes(600), "b": bytes(600)})
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 1000)
    with pytest.raises(DeepPoseError, match="too large when unpacked, at 'b': 600 bytes, 1200 with all before it"):
        list_members(source)
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 500)
    with pytest.raises(DeepPoseError, match="too large when unpacked, at 'a': 600 bytes"):
        list_members(source)
    with pytest.raises(DeepPoseError, match="too large when unpacked, at 'a': 600 bytes"):
        list_members(make_tar(tmp_path / "x.tgz", "w:gz", {"a": bytes(600)}))


def test_damage_behind_a_good_table_of_contents_is_found(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "x.zip", {"a": os.urandom(500)})
    data = bytearray(source.read_bytes())
    data[200] ^= 0xFF
    source.write_bytes(data)
    with pytest.raises(DeepPoseError, match=r"x\.zip: cannot be read: truncated or damaged"):
        unpack({"a": (source, "a")}, tmp_path)


def test_an_error_of_the_caller_is_not_taken_for_damage(tmp_path: Path) -> None:
    def progress(*_: object) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        unpack({"2": (make_zip(tmp_path / "x.zip"), "two.bin")}, tmp_path, progress)


def test_a_source_that_changed_after_it_was_listed(tmp_path: Path) -> None:
    with pytest.raises(DeepPoseError, match=r"'three\.bin' has gone"):
        unpack({"3": (make_tar(tmp_path / "x.tar", "w"), "three.bin")}, tmp_path)


def test_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DeepPoseError, match=r"file/2: cannot be written"):
        unpack({"file/2": (make_zip(tmp_path / "x.zip"), "two.bin")}, tmp_path)


@st.composite
def damages(draw: st.DrawFn, whole: bytes) -> bytes:
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(1, len(data)))] if draw(st.booleans()) else data)


def _small(kind: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        return (make_zip(path) if kind == "zip" else make_tar(path, kind)).read_bytes()


@pytest.mark.parametrize("kind", ["zip", "w", "w:gz"])
def test_damaged_archives_give_nothing_but_our_error_and_write_only_the_target(kind: str) -> None:
    whole = _small(kind)

    @settings(max_examples=80, deadline=None)
    @given(damages(whole))
    def run(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "source").write_bytes(data)
            try:
                names = list_members(root / "source")
                unpack({str(i): (root / "source", name) for i, name in enumerate(set(names))}, root / "out")
            except DeepPoseError as error:
                lines = str(error).splitlines()
            else:
                lines = []
            assert len(lines) <= 1
            assert {entry.name for entry in root.iterdir()} <= {"source", "out"}

    run()


# ---- several sources, and the data set's folder


def images(source: Path, names: Sequence[str]) -> Mapping[str, str]:
    """Members `x/1.jpg` belong to the part x."""
    return {name: (name,) for name in names if name.endswith(".jpg")}


def test_members_are_chosen_from_several_sources(tmp_path: Path) -> None:
    first = make_zip(tmp_path / "1.zip", {"a/1.jpg": b"1", "b/1.jpg": b"2", "c.txt": b"3"})
    second = make_zip(tmp_path / "2.zip", {"a/2.jpg": b"4"})
    members = choose_members([first, second], images, "images")
    assert members == {"a/1.jpg": (first, "a/1.jpg"), "b/1.jpg": (first, "b/1.jpg"), "a/2.jpg": (second, "a/2.jpg")}
    steps: list[tuple[str, int, int]] = []
    unpack(members, tmp_path / "out", lambda *step: steps.append(step))
    assert {path.read_bytes() for path in (tmp_path / "out").rglob("*.jpg")} == {b"1", b"2", b"4"}
    assert steps == [("unpacking", 1, 3), ("unpacking", 2, 3), ("unpacking", 3, 3)]


def test_a_source_without_content_and_a_file_given_twice_are_refused(tmp_path: Path) -> None:
    first, empty = make_zip(tmp_path / "1.zip", {"a/1.jpg": b"1"}), make_zip(tmp_path / "2.zip", {"c.txt": b"1"})
    with pytest.raises(DeepPoseError, match=r"2\.zip: does not hold images$"):
        choose_members([first, empty], images, "images")
    with pytest.raises(DeepPoseError, match=r"'a/1\.jpg' is in .*1\.zip already; give each archive once"):
        choose_members([first, first], images, "images")


def test_a_killed_process_leaves_the_old_data_and_is_cleaned_after(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "set"
    folder.mkdir(parents=True)
    program = f"""
import os, pathlib, signal
from deeppose_cli.data.prepare.archives import staging
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
