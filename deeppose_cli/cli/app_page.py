"""`deeppose app`: a page in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deeppose_cli.cli.options import RunsRootOption
from deeppose_cli.config.defaults import RUNS_ROOT


def app_page(
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME|FILE", help="Pretrained weights, a run or a file. Default: people."),
    ] = None,
    host: Annotated[
        str,
        typer.Option("--host", metavar="ADDRESS", help="Address to listen at; 0.0.0.0 opens it to other computers."),
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", metavar="N", min=1, max=65535, help="Default: 7860 or the next free one.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    runs_root: RunsRootOption = RUNS_ROOT,
) -> None:
    """Open a page in the browser: drop images or videos, see the poses stage by stage.

    The page is served on this computer alone, until Ctrl-C. Needs `pip install 'deeppose-cli[app]'`.
    """
    from deeppose_cli.app.server import serve
    from deeppose_cli.core.progress import loading_notice

    with loading_notice("the page"):
        serve(
            model,
            host=host,
            port=port,
            browser=browser,
            runs_root=Path(runs_root),
            on_ready=lambda url: print(f"{url} (Ctrl-C stops)", flush=True),
        )
