"""Which folder may import which, and how long a file may be."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import deeppose_cli

LAYERS = (
    "cli",
    "training",
    "evaluation exporting app",
    "inference data",
    "checkpoints detection visualization",
    "models",
    "config media",
    "core",
)
"""Folders, highest first. A folder imports itself and folders of lower lines; folders of one line do not import each
other. A new file needs no entry here. `exporting`, because `deeppose_cli.export` is a function."""
FORBIDDEN = {"inference": {"data", "training"}}
DATA_FOLDERS = ("preview", "loading", "datasets", "prepare synthetic")
"""The same inside `data/`."""

MAX_LINES = 400

PACKAGE = Path(deeppose_cli.__file__).parent
FILES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts): file
    for file in sorted(PACKAGE.rglob("*.py"))
    if file.name != "__init__.py"
}


def imports(source: str) -> set[str]:
    """The files of the package that a source text imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            # Either part may name a file: `from deeppose_cli.cli import options`, `from deeppose_cli.core.x import Y`.
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name.removeprefix("deeppose_cli.") for name in found} & FILES.keys()


IMPORTS = {name: imports(file.read_text(encoding="utf-8")) for name, file in FILES.items()}


def rank_of(lines: tuple[str, ...]) -> dict[str, int]:
    return {folder: rank for rank, line in enumerate(lines) for folder in line.split()}


def test_imports_are_found_in_all_their_forms() -> None:
    source = "import deeppose_cli.core.errors\nfrom deeppose_cli.cli import options as o\n"
    source += "def f():\n    from deeppose_cli.core import geometry, __version__\n"
    assert imports(source) == {"core.errors", "cli.options", "core.geometry"}


def test_every_folder_has_a_layer() -> None:
    assert {name.split(".")[0] for name in FILES} == rank_of(LAYERS).keys()
    assert {name.split(".")[1] for name in FILES if name.startswith("data.")} == rank_of(DATA_FOLDERS).keys()


@pytest.mark.parametrize("name", FILES)
def test_imports_lead_down(name: str) -> None:
    rank, inner = rank_of(LAYERS), rank_of(DATA_FOLDERS)
    own, *rest = name.split(".")
    for other in IMPORTS[name]:
        folder, *below = other.split(".")
        assert folder == own or rank[folder] > rank[own], f"{name} imports {other}, which is not below it"
        assert folder not in FORBIDDEN.get(own, ()), f"{name} must not import {other}"
        if own == folder == "data":
            assert below[0] == rest[0] or inner[below[0]] > inner[rest[0]], f"{name} imports {other}"


def test_no_file_imports_itself_in_a_circle() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' → '.join(error.args[1])}")


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_not_too_long(name: str) -> None:
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_package_files_hold_nothing_but_the_version_opencvs_limits_and_what_programs_import() -> None:
    for file in PACKAGE.rglob("__init__.py"):
        code = [node for node in ast.parse(file.read_text(encoding="utf-8")).body if not isinstance(node, ast.Expr)]
        assert len(code) <= 8 * (file.parent == PACKAGE), f"{file} does something"
