"""Default numbers that are not part of a preset, each with its source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DATA_ROOT = Path("data")
"""Folder of the data sets, without --data-root."""
RUNS_ROOT = Path("lightning_logs")
"""Folder of the runs, without --runs-root."""
CHECKPOINT_SECONDS = 60.0
"""How often last.ckpt is written within an epoch."""
PDJ_THRESHOLD = 0.2
"""Fraction of the torso at which the single PDJ number is read (paper, section 4.1)."""
DEFAULT_DATA_PRESET = "small"
"""Preset of a data set that names none."""
DIAMETER_BOUNDS = (0.1, 0.6)
"""Bounds of a predicted pose's diameter, in units of b⁰'s longer side. In LSP's training images the true torso spans
0.16 to 0.40 of the image in 98 of 100 cases; the bounds leave room on both sides."""
BOX_DIAMETER_BOUNDS = (0.1, 1.5)
"""The same where the diameter is the diagonal of the pose's box, which is up to √2 of a square b⁰'s side."""
ERROR_CORE = 0.5
"""A few gross errors (left taken for right) stretch the standard deviation of a stage's errors: 1.4826 · median
absolute deviation is 0.53 of it on LSP's validation images and 0.51 on the demo's. A refinement stage trains with the
whole deviation, as its crops are drawn with it, and predicts with this share of it."""
PEAK_REACH = 2
"""Cells around a heatmap's peak that count, on each side. On LSP's validation images a network of 96 px had PDJ@0.2
.646 with 1, .650 with 2, .650 with 3, .621 with 5, .578 with all cells."""
TORSO_SHARE = 0.36
"""Torso over the longer side of the labelled joints' box, median of LSP's training images: the diameter of a
*training* pose without labelled opposing torso joints."""
COLLAPSE_RATIO = 0.1
"""Predictions that vary less than this share of the labels' variation are reported as a collapse."""
REFINEMENT_COLLAPSE_RATIO = 0.02
"""The same for a refinement stage's corrections."""
SPLIT_SEED = 2014
"""Seed of the train/validation split: the same for everyone, whatever --seed is."""


@dataclass(frozen=True)
class Placement:
    """Person's box from the box of a body part, in units of the part's height: the fixed factor and shift of the
    paper's initial box (section 4). Not shifted sideways, as mirrored images are trained on too."""

    dy: float
    """From the part's centre down to the person's box's centre."""
    width: float
    height: float


BOX_SOURCES = ("image", "own", "face", "torso", "person", "auto", "joints")
"""Sources of an initial box besides x,y,w,h; `detection/initial_boxes.py` explains each."""
FACE_PLACEMENT = Placement(dy=2.31, width=5.37, height=4.77)
TORSO_PLACEMENT = Placement(dy=0.17, width=2.47, height=2.43)
"""Both learned on FLIC's training examples, so that they hold all labelled joints of 95 of 100 people; `python -m
benchmarks.box_quality flic` learns them again."""
MIN_CONFIDENCE = 0.3
"""Of prediction: a detected person whose joints have a lower mean is left out; joints with less are drawn faint. Of 188
labelled people detected in training images of MPII, 99 of 100 have .59 or more; detections in textures at most .23."""
FACE_SURE = 4.0
"""Votes with which `--box auto` takes a face for a person's."""
FACE_ABOVE_TORSO = 0.9
"""From the centre of FLIC's torso box up to that of the face, in heights of the torso box: the median of its training
examples. The face's height is 0.47 of them."""
FACE_TOLERANCE = 0.5
"""A detected face is taken for a torso box's if its centre is off by at most so many heights of the torso box …"""
FACE_SIZES = (0.25, 1.0)
"""… and its own height is within these."""
Metric = Literal["pdj", "pcp", "pck", "pckh", "oks", "rmse", "all"]
Split = Literal["train", "validation", "test"]
Centric = Literal["person", "observer"]
"""Whose left and right: the person's own, or those of an observer of the image."""
PcpRule = Literal["strict", "mean", "buffy"]
EVALUATION_BATCH_SIZE = 32
"""Images in memory at a time while a data set is predicted."""
BOOTSTRAP_DRAWS = 1000
"""Draws of images for an interval: its ends then vary by about a fiftieth of its length."""
LEAST_BOOTSTRAP_DRAWS = 100
"""Fewer have hardly anything outside of the middle 95 %."""
LABEL_BOX_SCALE = 1.7
"""Largest side of a training box drawn around the labels, in sides of their tight square."""
BLUR_SIGMA = (0.5, 2.0)
"""Standard deviation of a training crop's blur, px of the network's input."""
NOISE_STD = (0.01, 0.08)
"""The same of its noise, as a share of the range of pixel values."""
JPEG_QUALITY = (25, 85)
"""Quality of its JPEG compression, of 100."""
ERASED_AREA = (0.02, 0.3)
"""Share of it that an erased patch covers. Zhong et al., AAAI 2020, go up to 0.4, where not every shape fits."""
ERASED_ASPECT = (0.3, 1 / 0.3)
"""Width of an erased patch over its height (Zhong et al., AAAI 2020)."""
NETWORKS = ("deeppose", "integral", "backbone")
TORCHVISION_BACKBONES = ("mobilenet_v3_small", "mobilenet_v3_large", "resnet18", "resnet50")
"""Backbones with weights that torchvision can download."""
TIMM = "timm/"
"""Prefix of timm's models among the backbones."""
BACKBONES = ("mobilenet_v1", "movenet_lightning", "movenet_thunder", *TORCHVISION_BACKBONES)
OPTIMIZERS = ("adagrad", "adamw")
SCHEDULES = ("constant", "cosine")
COORDINATE_LOSSES = ("l1", "l2", "wing")
VIEWS = ("joint", "person")
PERSON_SIGMA = 1.3
"""σ of a crop of the whole person: its side in units of the upright pose's box."""
HEADS = ("integral", "pyramid", "regression")
SCORE_LOGGERS = ("tensorboard", "wandb")
"""Where `eval` can log scores beside its files."""
