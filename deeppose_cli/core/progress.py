"""Progress and notices for the person who waits at a terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deeppose_cli.core.errors import DeepPoseError

Progress = Callable[[str, int, int], None]
"""(activity, done, total; 0: unknown): called after each step."""


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on stderr that starts with the first step and goes with the last; none where stderr is a file."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    bar = Bar(console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task("", total=None)

    def show(what: str, done: int, total: int) -> None:
        # Not earlier: a data set that is drawn at first use shows a bar of its own until then.
        bar.start()
        bar.update(task, description=what, completed=done, total=total or None)

    try:
        yield show
    finally:
        bar.stop()


@contextmanager
def loading_notice(what: str, delay: float = 1.0) -> Iterator[None]:
    """Print "loading WHAT …" on stderr if the block takes longer than `delay` seconds; only at a terminal."""
    timer = threading.Timer(delay, report, [f"loading {what} …"])
    timer.daemon = True
    if sys.stderr.isatty():
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def report(message: str) -> None:
    """Print one line on stderr."""
    print(message, file=sys.stderr)


def report_skipped(error: DeepPoseError) -> None:
    report(f"skipped: {error}")
