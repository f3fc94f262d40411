"""DeepPose: human pose estimation by a cascade of deep regressors (Toshev & Szegedy, CVPR 2014)."""

import os

__version__ = "0.1.0"

# OpenCV reads both when it is first imported, wherever that is: so they stand before all imports. Of pictures larger
# than 2²⁸ pixels it decodes none (its own limit is 2³⁰; some kilobytes can claim to hold as many), and of bad files
# only `decoding.py` tells.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**28))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
