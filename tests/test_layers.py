"""The walls of the house: which file may import which."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import deeppose_cli

LAYERS: dict[int, tuple[str, ...]] = {
    0: ("allocator errors terminal", "skeleton presets", "geometry plans"),
    1: (
        "archives backbones bootstrap decoding drawn.canvas drawn.figure folding foreign heads matfile"
        " metrics published samples",
        "calibration losses",
        "download drawn.person drawn.scenery growth matstruct spread sticks weights_document",
        "drawing network torch_metrics weights_file",
        "pretrained",
    ),
    2: (
        "crops films overlay",
        "augment cascade backbone_start detectors",
        "detections engine regressor",
        "assembly boxes matching searching",
        "tracking",
        "onnx_export weights",
    ),
    3: (
        "datamodules.addresses datamodules.cache datamodules.description datamodules.loading datamodules.splits"
        " datamodules.unpacking stages.base",
        "datamodules.buffy datamodules.checking datamodules.datasets datamodules.fetching datamodules.flic"
        " datamodules.lsp datamodules.parse stages.initial stages.refinement",
        "datamodules.base datamodules.demo datamodules.people",
        "datamodules.catalogue",
    ),
    4: (
        "box_files box_report evaluator plotting records sample_views scoring sources",
        "box_source results sample_sheet views",
        "predictor",
        "film_predictor",
    ),
    5: (
        "run_folder",
        "callbacks checkpoints",
        "calibrating export importing models orders previous starts",
        "library runs",
    ),
    6: (
        "cli.flags cli.groups cli.options",
        "cli.data_boxes cli.data_list cli.data_show cli.eval_rows cli.eval_tables cli.training_options",
        "cli.eval_files",
        "cli.calibrate cli.data cli.eval cli.export cli.import_ cli.merge cli.predict cli.presets cli.refine cli.runs"
        " cli.train",
        "cli.app",
    ),
}
"""Layer → its rungs, lowest first. A file imports only from lower rungs; files on one rung do not know each other.
A new file gets a place here."""

MAX_LINES = 400

PACKAGE = Path(deeppose_cli.__file__).parent
RUNGS = [set(rung.split()) for layer in sorted(LAYERS) for rung in LAYERS[layer]]
RUNG_OF = {name: number for number, rung in enumerate(RUNGS) for name in rung}


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE).with_suffix("").parts)


FILES = {name_of(file): file for file in sorted(PACKAGE.rglob("*.py")) if file.name != "__init__.py"}


def imports(source: str) -> set[str]:
    """The package's own files that a source text imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            # Either part may name a file: `from deeppose_cli.cli import options`, `from deeppose_cli.errors import X`.
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name.removeprefix("deeppose_cli.") for name in found} & FILES.keys()


def test_imports_are_found_in_all_their_forms() -> None:
    source = "import deeppose_cli.errors\nfrom deeppose_cli.cli import options as o\nfrom deeppose_cli.runs import x\n"
    assert imports(source + "def f():\n    from deeppose_cli import geometry, __version__\n") == {
        "errors",
        "cli.options",
        "runs",
        "geometry",
    }


def test_no_file_is_on_two_rungs() -> None:
    assert len(RUNG_OF) == sum(map(len, RUNGS))


def test_the_map_is_the_package() -> None:
    assert RUNG_OF.keys() == FILES.keys()


@pytest.mark.parametrize("name", FILES)
def test_imports_lead_down(name: str) -> None:
    own = RUNG_OF[name]
    wrong = {other for other in imports(FILES[name].read_text(encoding="utf-8")) if RUNG_OF[other] >= own}
    assert not wrong, f"{name} imports {wrong}, which are not below it"


@pytest.mark.parametrize("name", FILES)
def test_one_idea_a_file(name: str) -> None:
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_package_files_hold_nothing_but_the_version_opencvs_limits_and_what_programs_import() -> None:
    for file in PACKAGE.rglob("__init__.py"):
        code = [node for node in ast.parse(file.read_text(encoding="utf-8")).body if not isinstance(node, ast.Expr)]
        assert len(code) <= 6 * (file.parent == PACKAGE), f"{file} does something"
