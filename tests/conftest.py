"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import mini


@pytest.fixture(autouse=True)
def box(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the weights in the box: empty, whatever the package has."""
    from deeppose_cli.checkpoints import pretrained

    folder = tmp_path_factory.getbasetemp() / "no-box"
    monkeypatch.setattr(pretrained, "FOLDER", folder)
    return folder


@pytest.fixture
def pretrained_weights(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the package, which other tests do without."""
    from deeppose_cli.checkpoints import pretrained

    monkeypatch.setattr(pretrained, "FOLDER", Path(pretrained.__file__).parents[1] / "pretrained")


@pytest.fixture(scope="session")
def mini_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root that holds the mini set."""
    return mini.make(tmp_path_factory.mktemp("data"))


@pytest.fixture
def mini_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue knows the mini set, in this process."""
    from deeppose_cli.data.datasets import registry

    monkeypatch.setitem(registry.DATASETS, mini.NAME, mini.MINI)
