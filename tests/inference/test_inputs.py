"""Inputs of the user → files to predict."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from deeppose_cli.core.errors import UsageError
from deeppose_cli.inference.inputs import find_inputs, plan_jobs
from deeppose_cli.inference.sharding import parse_shard


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("in/b.JPG", "in/a.png", "in/c.bmp", "in/deep/d.png", "in/notes.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return tmp_path


def names(*named: str, stdin: bytes | None = None) -> list[str]:
    files, problems = find_inputs(named, None if stdin is None else io.BytesIO(stdin))
    assert problems == []
    return [str(file) for file in files]


def test_folders_give_their_images_in_order_of_name_and_nothing_twice() -> None:
    Path("in/folder.jpg").mkdir()
    assert names("in/c.bmp", "in", "in/../in/a.png") == ["in/c.bmp", "in/a.png", "in/b.JPG"]


def test_patterns_that_no_shell_has_expanded() -> None:
    assert names("in/*.[bJ]*") == ["in/b.JPG", "in/c.bmp"]
    assert names("in/**/*.png") == ["in/a.png", "in/deep/d.png"]
    Path("x[1].png").touch()
    assert names("x[1].png") == ["x[1].png"]  # a file of that name goes first


@pytest.mark.parametrize("stdin", [b"in/c.bmp\nin/a.png\n", b"in/c.bmp\r\n\r\nin/a.png", b"in/c.bmp\0in/a.png\0"])
def test_a_list_on_standard_input(stdin: bytes) -> None:
    assert names("-", stdin=stdin) == ["in/c.bmp", "in/a.png"]


def test_names_of_any_bytes_come_through_a_list() -> None:
    strange = Path("two\nlines \udcff.png")
    assert names("-", stdin=b"two\nlines \xff.png\0") == [str(strange)]


def test_a_list_may_name_folders_and_stand_among_others() -> None:
    assert names("in/deep", "-", stdin=b"in\n") == ["in/deep/d.png", "in/a.png", "in/b.JPG", "in/c.bmp"]


def test_a_list_may_begin_with_a_byte_order_mark() -> None:
    assert names("-", stdin=b"\xef\xbb\xbfin/c.bmp\n") == ["in/c.bmp"]


def test_overlays_and_hidden_copies_in_a_folder_are_no_inputs_but_may_be_named() -> None:
    for name in ("in/a_pose.jpg", "in/b_pose2.jpg", "in/yoga_pose.jpg", "in/._a.png"):
        Path(name).touch()
    assert names("in") == ["in/a.png", "in/b.JPG", "in/c.bmp", "in/yoga_pose.jpg"]
    assert names("in/*_pose*") == ["in/yoga_pose.jpg"]
    assert names("in/a_pose.jpg") == ["in/a_pose.jpg"]
    Path("in/predictions.jsonl").touch()
    assert names("in") == ["in/a.png", "in/b.JPG", "in/c.bmp"]


def test_what_a_folder_leaves_out_is_named() -> None:
    for name in ("in/IMG_1.HEIC", "in/d.gif", "in/e.MTS", "in/f.jfif", "in/g.NEF", "in/h.cr2"):
        Path(name).touch()
    files, problems = find_inputs(["in", "in/g.NEF"])
    assert [Path(file).name for file in files] == ["IMG_1.HEIC", "a.png", "b.JPG", "c.bmp", "d.gif", "e.MTS", "f.jfif"]
    raw = [f"in/{name} is not read; convert it to JPEG or PNG" for name in ("g.NEF: .NEF", "h.cr2: .cr2")]
    assert problems == [*raw, raw[0]]


def test_a_url_is_shown_as_it_was_typed() -> None:
    assert find_inputs(["https://example.org/a.jpg"]) == (
        [],
        ["https://example.org/a.jpg: the URL of an image; download the file first"],
    )


def test_urls_of_videos_are_inputs_and_others_are_named() -> None:
    stream = "rtsp://user:word@camera.example:554/live?channel=1"
    files, problems = find_inputs([stream, "ftp://example.org/a.mp4"])
    assert files == [stream]
    assert [problem.split(";")[0] for problem in problems] == ["ftp://example.org/a.mp4: a URL that is not read"]
    jobs = plan_jobs([stream, "https://example.org/", "-"], Path("out"))
    assert [job.overlay for job in jobs] == ["live_pose.mp4", "example_pose.mp4", "stdin_pose.mp4"]


def test_a_video_on_standard_input_is_one_and_an_image_is_refused() -> None:
    def stdin(data: bytes) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]

    assert find_inputs(["-"], stdin(b"\x1aE\xdf\xa3" + bytes(99))) == (["-"], [])
    assert find_inputs(["-"], stdin(b"in/a.png\n"))[0] == [Path("in/a.png")]
    with pytest.raises(UsageError, match="holds an image"):
        find_inputs(["-"], stdin(b"\xff\xd8\xff\xe0"))


def test_an_empty_list_and_a_folder_of_folders_are_named() -> None:
    (problem,) = find_inputs(["-"], io.BytesIO(b""))[1]
    assert "empty" in problem
    Path("above/below").mkdir(parents=True)
    (problem,) = find_inputs(["above"])[1]
    assert "'above/**/*'" in problem


def test_folders_and_patterns_without_files_are_named() -> None:
    Path("empty").mkdir()
    files, problems = find_inputs(["empty", "in/*.gif", "missing.png"])
    assert files == [Path("missing.png")]  # reported where it is opened, like any that cannot be read
    assert [problem.split(":")[0] for problem in problems] == ["empty", "in/*.gif"]
    assert ".jpg" in problems[0]


def test_no_list_where_there_is_none() -> None:
    with pytest.raises(UsageError, match="-: there is no list"):
        find_inputs(["-"])


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/0", "a/b", "1/2/3", "-1/2", "1/2 "])
def test_other_shards_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--shard .*: valid: i/n"):
        parse_shard(text)
