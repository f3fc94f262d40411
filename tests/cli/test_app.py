"""The frame around every verb: help without heavy imports, one-line errors, exit codes, --debug."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.main import get_command

import deeppose_cli
from deeppose_cli.cli import app as frame
from deeppose_cli.core.errors import DeepPoseError, UsageError

HEAVY = (
    "torch",
    "torchvision",
    "lightning",
    "torchmetrics",
    "numpy",
    "scipy",
    "cv2",
    "PIL",
    "matplotlib",
    "albumentations",
    "onnxruntime",
)
SLOW = ("pydantic", "rich")
"""Nothing terrible, but 0.2 s each."""


def verbs() -> Iterator[list[str]]:
    """Every command line that has a help page."""

    def walk(command: Any, path: list[str]) -> Iterator[list[str]]:
        yield path
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, [*path, name])

    yield from walk(get_command(frame.app), [])


@pytest.fixture
def verb_that(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Puts the given action in the place of `deeppose runs`."""

    def install(action: Callable[[], None]) -> None:
        monkeypatch.setattr("deeppose_cli.checkpoints.run_folder.list_runs", lambda _root: action())

    return install


def raising(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


def test_the_verbs_of_the_design_are_there() -> None:
    top = {path[0] for path in verbs() if path}
    trained = {"app", "train", "refine", "export", "import", "runs"}
    assert top == {*trained, "eval", "predict", "merge", "presets", "data", "app"}


def test_no_help_page_imports_anything_heavy() -> None:
    pages = [*verbs()]
    code = (
        "import sys, io, json, contextlib\n"
        "from deeppose_cli.cli.app import main\n"
        "pages = io.StringIO()\n"
        "with contextlib.redirect_stdout(pages):\n"
        "    codes = [main([*path, '--help']) for path in json.loads(sys.argv[1])]\n"
        "print(json.dumps([codes, pages.getvalue().count('Usage: deeppose'), sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", code, json.dumps(pages)], capture_output=True, text=True, check=True)
    codes, count, modules = json.loads(done.stdout)
    assert codes == [0] * len(pages)
    assert count == len(pages)
    assert {*HEAVY, *SLOW} & {*modules} == set()


@pytest.mark.parametrize("path", [path for path in verbs() if path], ids=" ".join)
def test_every_flag_has_a_help_text(path: list[str]) -> None:
    command: Any = get_command(frame.app)
    for name in path:
        command = command.commands[name]
    assert command.help
    assert [parameter.name for parameter in command.params if not parameter.help] == []


def test_without_a_verb_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main([]) == 0
    assert "Usage: deeppose" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(["--version"]) == 0
    assert capsys.readouterr().out == f"deeppose {deeppose_cli.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "part", "see"),
    [
        (["trian"], "No such command 'trian'", "see deeppose --help"),
        (["--colour"], "No such option: --colour", "see deeppose --help"),
        (["predict"], "Missing argument", "see deeppose predict --help"),
        (["predict", "x.jpg", "--stage", "two"], "--stage", "see deeppose predict --help"),
        (["runs", "--colour"], "No such option: --colour", "see deeppose runs list --help"),
    ],
)
def test_usage_errors_are_one_line(
    arguments: list[str], part: str, see: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frame.main(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("error: ")
    assert part in err
    assert err.endswith(f"{see}\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DeepPoseError("lsp.zip: the archive is empty"), 1, "lsp.zip: the archive is empty"),
        (UsageError("--stage 7: valid: 1 to 3"), 2, "--stage 7: valid: 1 to 3"),
        (DeepPoseError("two\nlines"), 1, "two\\nlines"),
        (PermissionError(13, "Permission denied", "x/y"), 1, "x/y: Permission denied (--debug shows where)"),
        (KeyError("shape"), 1, "unexpected KeyError: 'shape' (--debug shows where)"),
        (ValueError("first\nsecond"), 1, "unexpected ValueError: first second (--debug shows where)"),
    ],
)
def test_errors_are_one_line(
    error: Exception,
    code: int,
    line: str,
    verb_that: Callable[[Callable[[], None]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    verb_that(raising(error))
    assert frame.main(["runs"]) == code
    assert capsys.readouterr() == ("", f"error: {line}\n")


@pytest.mark.parametrize("arguments", [["--debug", "runs"], ["runs", "--debug"]])
def test_debug_shows_where_wherever_it_stands(
    arguments: list[str], verb_that: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    verb_that(raising(DeepPoseError("no such run")))
    assert frame.main(arguments) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "in action" in err
    assert err.endswith("error: no such run\n")


def test_debug_after_two_dashes_is_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(["runs", "show", "--", "--debug"]) == 2
    assert "--debug: a name of letters" in capsys.readouterr().err


def test_the_command_line_stays_as_it_was_typed(
    verb_that: Callable[[Callable[[], None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning starts the other processes of a training with sys.argv."""
    typed = ["deeppose", "--debug", "runs", "--debug", "--runs-root", "x"]
    monkeypatch.setattr(sys, "argv", [*typed])
    seen: list[list[str]] = []
    monkeypatch.setattr("deeppose_cli.checkpoints.run_folder.list_runs", lambda _root: seen.append([*sys.argv]) or [])
    assert frame.main() == 0
    assert seen == [typed]


def test_control_c_is_one_line(
    verb_that: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    verb_that(raising(KeyboardInterrupt()))
    assert frame.main(["runs"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_leaves_is_no_error() -> None:
    """`deeppose runs | true`: stdout is closed before the first line."""
    code = "import sys; from deeppose_cli.cli.app import main; sys.exit(main(['--version']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == frame.BROKEN_PIPE
    assert error == ""
