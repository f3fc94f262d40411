"""Label files of these tests are whole or refused by SciPy: a process of its own for each would only take time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import scipy.io

from deeppose_cli.data.prepare import matlab


@pytest.fixture(autouse=True)
def read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(file: Path, name: str) -> tuple[list[str], Any]:
        try:
            return [found for found, *_ in scipy.io.whosmat(file)], scipy.io.loadmat(file).get(name)
        except Exception as error:
            raise ValueError(str(error)) from error

    monkeypatch.setattr(matlab, "_read_apart", read)
