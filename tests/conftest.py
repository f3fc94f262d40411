"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import mini


@pytest.fixture(scope="session")
def mini_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root that holds the mini set."""
    return mini.make(tmp_path_factory.mktemp("data"))


@pytest.fixture
def mini_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue knows the mini set, in this process."""
    from deeppose_cli.datamodules import catalogue

    monkeypatch.setitem(catalogue.CATALOGUE, mini.NAME, mini.MINI)
