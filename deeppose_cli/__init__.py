"""DeepPose: human pose estimation by a cascade of deep regressors (Toshev & Szegedy, CVPR 2014)."""

import os
from typing import TYPE_CHECKING, Any

from deeppose_cli.core.version import __version__ as __version__

if TYPE_CHECKING:
    from deeppose_cli.inference.estimator import Pose, PoseEstimator, load

__all__ = ["Pose", "PoseEstimator", "load"]


# OpenCV reads them when it is first imported, wherever that is: so they stand before all imports. Of images larger
# than 2²⁸ pixels it decodes none (its own limit is 2³⁰; some kilobytes can claim to hold as many), and of bad files
# only `decoding.py` tells.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**28))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def __getattr__(name: str) -> Any:
    """What a program asks for is imported only then: the command's help page needs none of it."""
    if name in __all__:
        from deeppose_cli.inference import estimator

        return getattr(estimator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
