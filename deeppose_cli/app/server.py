"""The server of the page: on this computer alone by default; nothing is loaded from elsewhere."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from deeppose_cli.app.examples import draw_examples
from deeppose_cli.app.session import estimator, list_models
from deeppose_cli.checkpoints.pretrained import DEFAULT
from deeppose_cli.config.defaults import RUNS_ROOT
from deeppose_cli.core.errors import DeepPoseError, UsageError

LOOPBACK, PORT = "127.0.0.1", 7860
MAX_UPLOAD = 500 * 2**20
"""Bytes."""
INSTALL = "pip install 'deeppose-cli[app]'"
_POLICY = (
    b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob:; "
    b"frame-ancestors 'self'; form-action 'self'; base-uri 'self'"
)


def serve(
    model: str | None = None,
    *,
    host: str = LOOPBACK,
    port: int | None = None,
    browser: bool = True,
    runs_root: str | Path = RUNS_ROOT,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        model: Pretrained weights, a run or a weights file; None: `people`.
        host: The address to listen at; another than the loopback opens the page to other computers.
        port: None: 7860, or the next that is free.
        browser: Open the page in the browser.
        runs_root: Folder that holds one folder for each run.
        on_ready: Is called with the page's address.

    Raises:
        UsageError: For a port or a model that is not usable.
        DeepPoseError: Where Gradio is not installed.
    """
    root, chosen = Path(runs_root), model or DEFAULT
    _free_port(host, port)  # before anything slow
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    # A bad name is an error now, and the first upload need not wait.
    estimator(chosen, "auto", None, root).people(np.zeros((64, 64, 3), np.uint8))
    with tempfile.TemporaryDirectory(prefix="deeppose-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder, "uploads"))
        try:
            from starlette.middleware import Middleware

            from deeppose_cli.app.page import STYLE, THEME, build_page
        except ImportError as error:
            raise DeepPoseError(f"the page needs Gradio ({error.name} is missing); type: {INSTALL}") from None
        results = Path(folder, "results")
        examples = Path(folder, "examples")
        for made in (results, examples):
            made.mkdir()
        models = list_models(root)
        page = build_page(
            models if chosen in models else [chosen, *models], chosen, draw_examples(examples), results, root
        )
        page.queue(default_concurrency_limit=1)
        number = _launch(
            page,
            host,
            port,
            inbrowser=browser,
            allowed_paths=[folder],
            max_file_size=MAX_UPLOAD,
            footer_links=[],
            theme=THEME,
            css=STYLE,
            app_kwargs={"middleware": [Middleware(_OwnServerOnly)]},
        )
        try:
            on_ready(f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{number}")
            page.block_thread()
        finally:
            page.close()


def _launch(page: Any, host: str, port: int | None, **settings: Any) -> int:
    """Start the server, and return its port: another program may take the one that was free a moment ago."""
    for number in range(_free_port(host, port), 2**16):
        try:
            page.launch(
                server_name=host,
                server_port=number,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                **settings,
            )
        except OSError as error:
            if port is not None:
                raise UsageError(f"--port {port}: cannot be used ({error}); valid: a free port") from None
            continue
        return number
    raise UsageError(f"--host {host}: no free port; --port N names one")


def _free_port(host: str, port: int | None) -> int:
    for number in [port] if port is not None else range(PORT, PORT + 100):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, number))
            except (OSError, OverflowError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                continue
            return number
    if port is not None:
        raise UsageError(f"--host {host} --port {port}: cannot be used ({reason}); valid: a free port, or no --port")
    raise UsageError(f"--host {host}: no port from {PORT} to {PORT + 99} can be used ({reason})")


class _OwnServerOnly:
    """Middleware: the browser may load from and send to this server alone."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(
        self, scope: dict[str, Any], receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        async def send_with_policy(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", _POLICY)]
            await send(message)

        await self.app(scope, receive, send_with_policy if scope["type"] == "http" else send)
