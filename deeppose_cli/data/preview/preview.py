"""A sheet of examples of a data set: initial boxes, network inputs, augmented copies, refinement crops."""

from __future__ import annotations

from pathlib import Path

from deeppose_cli.checkpoints.run_folder import resolve_run
from deeppose_cli.config.defaults import DATA_ROOT, RUNS_ROOT
from deeppose_cli.config.presets import preset_by_name
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.files import replacing
from deeppose_cli.core.progress import loading_notice
from deeppose_cli.data.datasets.registry import get_dataset
from deeppose_cli.detection.initial_boxes import usual_source

SHEETS = "sheets"
"""Folder below the data root for sheets without a place of their own."""


def preview(
    name: str,
    *,
    split: str | None = None,
    stage: int | None = None,
    count: int = 6,
    run: str | None = None,
    preset: str | None = None,
    box: str | None = None,
    out: Path | None = None,
    seed: int = 0,
    data_root: Path = DATA_ROOT,
    runs_root: Path = RUNS_ROOT,
) -> Path:
    """Draw a sheet of `count` random examples as a PNG file, and return its path.

    By the settings of a preset or of a run; a run's stages also place the refinement crops. `split`: default the first
    that has images. `stage`: that stage's inputs only. `box`: source of the initial box, default the data set's. Images
    that cannot be read are reported on stderr and left out. Raises UsageError, and DeepPoseError where no image can be
    read or the file cannot be written.
    """
    if out is not None and out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: must end in .png")
    spec = get_dataset(name, "NAME")
    if run is not None and preset is not None:
        raise UsageError(f"--preset {preset}: not with --run, which goes by the run's own settings")
    if run is None and stage is not None and stage > 2:
        raise UsageError(f"--stage {stage}: valid: 1, 2; later ones start from another stage's poses: add --run NAME")
    chosen_preset = preset_by_name(preset or spec.preset)
    with loading_notice("libraries"):
        from deeppose_cli.data.preview import content

    if run is None:
        settings = content.settings_of_preset(spec, stage, chosen_preset, seed)
    else:
        settings = content.settings_of_run(spec, stage, resolve_run(runs_root, run), seed)
    chosen, annotations = content.choose_split(spec, data_root, split)
    source = box or usual_source(settings.box or spec.initial_box, chosen, spec.evaluation_only)
    examples = content.choose_examples(annotations, source, data_root / name, count, seed)
    title = f"{name}, {chosen}: {settings.source}, initial box {source}, seed {seed}"
    figure = content.draw(examples, settings, title, seed)
    target = out or data_root / SHEETS / f"{name}-{chosen}{f'-stage{stage}' if stage else ''}.png"
    try:
        with replacing(target) as temporary:
            figure.savefig(temporary, dpi=content.DPI, format="png")
    except DeepPoseError as error:
        raise DeepPoseError(f"--out {error}") from None
    return target
