"""Which images are measured on: photographs where LSP is prepared, synthetic people otherwise."""

from __future__ import annotations

from benchmarks.result import Options
from deeppose_cli.data.datasets.registry import DATASETS
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.data.loading.datamodules import TrainingData


def lsp_is_prepared(options: Options) -> bool:
    return (options.data_root / "lsp" / "annotations").is_dir()


def training_data(options: Options) -> tuple[DatasetSpec, TrainingData]:
    """The demo set is made where it is absent."""
    chosen = DATASETS["lsp" if lsp_is_prepared(options) else "demo"]
    return chosen, TrainingData.read(chosen, options.data_root)
