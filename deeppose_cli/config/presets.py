"""The named presets: ways to train the cascade, and recipes, which also name their data set."""

from __future__ import annotations

from dataclasses import replace

from deeppose_cli.config.schema import Augmentation, Preset, RefinementPreset, StagePreset
from deeppose_cli.core.errors import UsageError

PAPER = Preset(
    name="paper",
    title="every number from the paper; meant for a GPU",
    initial=StagePreset(augmentation=Augmentation(flip=0.5, translate=0.05)),
    refinement=RefinementPreset(crops_per_visit=4),
)
"""Toshev & Szegedy, CVPR 2014, sections 3 and 4. The paper gives no number of epochs (100 is ours) and no extent of the
translated crops (0.05 is ours)."""

_TINY_STAGE = StagePreset(
    network="integral",
    input_size=64,
    head_channels=32,
    batch_size=32,
    max_epochs=20,
    optimizer="adamw",
    learning_rate=0.003,
    weight_decay=0.01,
    schedule="cosine",
    coordinate_loss="l1",
    heatmap_weight=1.0,
    augmentation=Augmentation(flip=0.5, translate=0.05, scale=0.1, rotate=15.0, color=0.2),
)

TINY = Preset(
    name="tiny",
    title="small input, small integral-regression network",
    cost="minutes on two CPU cores",
    initial=_TINY_STAGE,
    refinement=replace(
        RefinementPreset(**vars(_TINY_STAGE)),
        batch_size=128,
        max_epochs=2,
        learning_rate=0.002,
        augmentation=replace(_TINY_STAGE.augmentation, translate=0.0),
        init_weights="previous",
        crops_per_joint=2,
    ),
    square_initial_box=True,
)

SMALL = replace(
    TINY,
    name="small",
    title="the tiny network at 128 px on real photographs",
    cost="an hour and a half on two CPU cores",
    initial=replace(
        TINY.initial,
        input_size=128,
        batch_size=64,
        max_epochs=30,
        learning_rate=0.002,
        augmentation=Augmentation(flip=0.5, translate=0.05, scale=0.15, rotate=40.0, color=0.3),
    ),
    refinement=replace(
        TINY.refinement,
        input_size=96,
        max_epochs=4,
        learning_rate=0.001,
        crops_per_joint=1,
        crops_per_visit=1,
        augmentation=Augmentation(flip=0.5, scale=0.1, rotate=20.0, color=0.3),
    ),
)

MODERN = replace(
    SMALL,
    name="modern",
    title="a backbone made for ImageNet under an integral-regression head, 128 px",
    cost="hours on two CPU cores",
    initial=replace(SMALL.initial, network="backbone", backbone="mobilenet_v1", head_channels=128),
    refinement=replace(
        SMALL.refinement,
        network="backbone",
        backbone="mobilenet_v1",
        head_channels=128,
        input_size=64,
        learning_rate=0.0005,
        displacement_split="validation",
    ),
)

# Recipes: presets with their data. They start from random weights, as the published ones are a file that not everyone
# has; then no block is frozen (`new_config` in training/run_config.py).

LSP_RECIPE = replace(
    MODERN,
    name="lsp",
    title="whole bodies: LSP and LSPET",
    cost="51 minutes on two CPU cores with bfloat16; on a GPU not measured",
    data="lsp",
    initial=replace(MODERN.initial, input_size=192, progressive_size="96:0.4,128:0.75", freeze_blocks=4, max_epochs=60),
    refinement=replace(MODERN.refinement, sigma=1.5, freeze_blocks=4, max_epochs=6),
)
"""σ = 1.5: crops of 72 px of the image in the median, so that 64 px are nearly all that there is to see. The first
stage's 192 px show a whole image of LSP as it is."""

FLIC_RECIPE = replace(
    MODERN,
    name="flic",
    title="upper bodies: FLIC, initial boxes from its torso boxes",
    cost="43 minutes on one CPU core with bfloat16; on a GPU not measured",
    data="flic",
    box="torso",
    initial=replace(MODERN.initial, input_size=192, progressive_size="96:0.4,128:0.75", freeze_blocks=4, max_epochs=60),
    refinement=replace(MODERN.refinement, input_size=96, freeze_blocks=4, max_epochs=8),
)
"""Crops of σ = 1.0 are 107 px of the image in the median: 64 would lose detail, and stage 1 sees 260 px at 192."""

_PEOPLE_STAGE = replace(
    MODERN.initial,
    backbone="movenet_thunder",
    head="pyramid",
    head_channels=0,
    input_size=256,
    batch_size=128,
    max_epochs=18,
    learning_rate=0.0006,
    freeze_blocks=4,
    distill_weight=0.5,
    augmentation=Augmentation(
        flip=0.5,
        translate=0.06,
        scale=0.2,
        rotate=40.0,
        any_angle=0.1,
        label_box=0.4,
        color=0.4,
        gray=0.15,
        gamma=0.5,
        blur=0.2,
        noise=0.2,
        jpeg=0.2,
        erase=0.2,
    ),
)
_PEOPLE_REFINEMENT = RefinementPreset(
    **vars(
        replace(
            _PEOPLE_STAGE,
            batch_size=64,
            input_size=288,
            max_epochs=2,
            learning_rate=0.0002,
            freeze_blocks=11,
            init_weights="previous",
            progressive_size="",
            distill_weight=0.0,
            augmentation=Augmentation(
                flip=0.5,
                translate=0.05,
                scale=0.12,
                rotate=15.0,
                any_angle=0.05,
                color=0.3,
                gray=0.15,
                gamma=0.4,
                blur=0.15,
                noise=0.3,
                jpeg=0.3,
                erase=0.15,
            ),
        )
    ),
    view="person",
    displacement_split="validation",
)
PEOPLE_RECIPE = replace(
    MODERN,
    name="people",
    title="whole and upper bodies, one model: LSP, LSPET, FLIC and MPII; starts from MoveNet Thunder",
    cost="six minutes on an H100, beside people-fast",
    data="people",
    initial=_PEOPLE_STAGE,
    refinement=_PEOPLE_REFINEMENT,
)
PEOPLE_FAST_RECIPE = replace(
    PEOPLE_RECIPE,
    name="people-fast",
    title="the same at 192 px; starts from MoveNet Lightning",
    cost="five minutes on an H100, beside people",
    initial=replace(_PEOPLE_STAGE, backbone="movenet_lightning", input_size=192),
    refinement=replace(_PEOPLE_REFINEMENT, backbone="movenet_lightning", input_size=192),
)

PRESETS = {
    preset.name: preset
    for preset in (PAPER, TINY, SMALL, MODERN, LSP_RECIPE, FLIC_RECIPE, PEOPLE_RECIPE, PEOPLE_FAST_RECIPE)
}
RECIPES = {name: preset for name, preset in PRESETS.items() if preset.data}


def preset_by_name(name: str) -> Preset:
    """Raises UsageError for a name that is no preset."""
    if name not in PRESETS:
        raise UsageError(f"--preset {name}: unknown; valid: {', '.join(PRESETS)}")
    return PRESETS[name]
