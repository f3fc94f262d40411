"""`deeppose`: register the commands, and turn every error into one line and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from deeppose_cli.cli import data, runs
from deeppose_cli.cli.app_page import app_page
from deeppose_cli.cli.eval import evaluate
from deeppose_cli.cli.export import export
from deeppose_cli.cli.groups import HELP_FLAGS, FastHelpGroup, TrainingCommand
from deeppose_cli.cli.import_ import import_
from deeppose_cli.cli.predict import merge, predict
from deeppose_cli.cli.presets import presets
from deeppose_cli.cli.train import refine, train
from deeppose_cli.core.errors import DeepPoseError, one_line
from deeppose_cli.core.version import __version__

PROGRAM = "deeppose"
DEBUG = "--debug"
INTERRUPTED, BROKEN_PIPE = 130, 1
"""Exit codes: what a shell gives for SIGINT; what Typer gives when it is the first to meet a reader that has left."""

app = typer.Typer(
    cls=FastHelpGroup,
    name=PROGRAM,
    help="Human pose estimation by a cascade of regressors (DeepPose, CVPR 2014).",
    epilog="In this order, with no further flag: deeppose train --stage 1; deeppose refine --stage 2; "
    "deeppose eval --metric pdj; deeppose predict image.jpg",
    add_completion=False,
    rich_markup_mode=None,  # plain help: Rich alone would take the half second that help may take
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": [*HELP_FLAGS], "max_content_width": 120},
)
app.command("train", cls=TrainingCommand, short_help="Train stage 1: the whole person in, all joints out.")(train)
app.command("refine", cls=TrainingCommand, short_help="Train stage 2, 3, …: a crop around a joint in.")(refine)
app.command("eval", short_help="Score a run, a weights file or external predictions.")(evaluate)
app.command("predict", short_help="Find people's poses in images and videos.")(predict)
app.command("app", short_help="Open a page in the browser: drop images, see poses.")(app_page)
app.command("merge", short_help="Join the predictions of several machines.")(merge)
app.command("export", short_help="Write a trained cascade to one file.")(export)
app.command("import", short_help="Create a run from an exported weights file.")(import_)
app.command("presets", short_help="List the presets and recipes, and what each costs.")(presets)
app.add_typer(data.app, name="data", cls=FastHelpGroup)
app.add_typer(runs.app, name="runs")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show where an error arose; anywhere on the line.")] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


def _without_debug(arguments: Sequence[str]) -> list[str]:
    """The arguments less --debug, except after `--`, where everything is a file name."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [argument for i, argument in enumerate(arguments) if argument != DEBUG or i > end]


def _describe(error: Exception) -> tuple[str, int]:
    """One line for the user, and the exit code."""
    if isinstance(error, DeepPoseError):
        return one_line(error), error.exit_code
    # The parser's errors have another base class in every other version of Typer, but this method always.
    if hasattr(error, "format_message"):
        command = getattr(getattr(error, "ctx", None), "command_path", PROGRAM)
        message = one_line(" ".join(error.format_message().split())).rstrip(".")
        return f"{message}; see {command} --help", getattr(error, "exit_code", 2)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{one_line(error.filename)}: {error.strerror} ({DEBUG} shows where)", 1
    return f"unexpected {type(error).__name__}: {one_line(' '.join(str(error).split()))} ({DEBUG} shows where)", 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Console entry point; returns the exit code.

    `sys.argv` stays as it was typed: Lightning starts the other processes of a training with it.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    kept = _without_debug(typed)
    try:
        code = get_command(app).main(kept, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has left (`deeppose runs | head -1`). Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if len(kept) < len(typed):
            traceback.print_exc()
        message, code = _describe(error)
        print(f"error: {message}", file=sys.stderr)
    if code == INTERRUPTED:
        print("interrupted", file=sys.stderr)
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
