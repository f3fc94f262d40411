"""DeepPose: human pose estimation by a cascade of deep regressors (Toshev & Szegedy, CVPR 2014)."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from deeppose_cli.core.version import __version__ as __version__

if TYPE_CHECKING:
    from deeppose_cli.data.datasets.own import add_dataset
    from deeppose_cli.data.datasets.registry import prepare
    from deeppose_cli.data.loading.keypoint_data import (
        BuffyDataModule,
        FLICDataModule,
        KeypointDataModule,
        LSPDataModule,
        ParseDataModule,
    )
    from deeppose_cli.evaluation.evaluate import evaluate
    from deeppose_cli.exporting.exporter import export
    from deeppose_cli.inference.estimator import Pose, PoseEstimator, load
    from deeppose_cli.inference.pipeline import predict
    from deeppose_cli.inference.pose_predictor import PosePredictor
    from deeppose_cli.training.run_config import TrainOptions
    from deeppose_cli.training.stages import initial_stage, refinement_stage
    from deeppose_cli.training.train import refine, train

_MODULES = {
    "BuffyDataModule": "data.loading.keypoint_data",
    "FLICDataModule": "data.loading.keypoint_data",
    "KeypointDataModule": "data.loading.keypoint_data",
    "LSPDataModule": "data.loading.keypoint_data",
    "ParseDataModule": "data.loading.keypoint_data",
    "Pose": "inference.estimator",
    "PoseEstimator": "inference.estimator",
    "PosePredictor": "inference.pose_predictor",
    "TrainOptions": "training.run_config",
    "add_dataset": "data.datasets.own",
    "evaluate": "evaluation.evaluate",
    "export": "exporting.exporter",
    "initial_stage": "training.stages",
    "load": "inference.estimator",
    "predict": "inference.pipeline",
    "prepare": "data.datasets.registry",
    "refine": "training.train",
    "refinement_stage": "training.stages",
    "train": "training.train",
}
"""Each public name and the module that defines it, imported at the first use: `deeppose --help` needs none of them."""

__all__ = [
    "BuffyDataModule",
    "FLICDataModule",
    "KeypointDataModule",
    "LSPDataModule",
    "ParseDataModule",
    "Pose",
    "PoseEstimator",
    "PosePredictor",
    "TrainOptions",
    "add_dataset",
    "evaluate",
    "export",
    "initial_stage",
    "load",
    "predict",
    "prepare",
    "refine",
    "refinement_stage",
    "train",
]

# OpenCV reads these when it is first imported, so they are set before any import. It decodes no image of more than 2²⁸
# pixels (its own limit is 2³⁰, which some kilobytes can claim to hold); `media/images.py` alone reports bad files.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**28))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name in _MODULES:
        return getattr(import_module(f"deeppose_cli.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
