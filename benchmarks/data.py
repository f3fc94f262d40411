"""Which pictures are measured on: photographs where LSP is prepared, drawn people otherwise."""

from __future__ import annotations

from benchmarks.result import Options
from deeppose_cli.data.datasets.registry import CATALOGUE
from deeppose_cli.data.datasets.spec import DataDescription
from deeppose_cli.data.loading.datamodules import TrainingData


def lsp_is_prepared(options: Options) -> bool:
    return (options.data_root / "lsp" / "lsp").is_dir()


def training_data(options: Options) -> tuple[DataDescription, TrainingData]:
    """The demo set is made where it is absent."""
    chosen = CATALOGUE["lsp" if lsp_is_prepared(options) else "demo"]
    return chosen, TrainingData.read(chosen, options.data_root)
