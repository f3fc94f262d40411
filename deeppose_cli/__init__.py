"""DeepPose: human pose estimation by a cascade of deep regressors (Toshev & Szegedy, CVPR 2014)."""

__version__ = "0.1.0"
