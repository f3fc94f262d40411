"""A sheet of examples of a data set: initial boxes, network inputs, augmented copies, refinement crops."""

from __future__ import annotations

from pathlib import Path

from deeppose_cli.checkpoints.run_folder import resolve_run
from deeppose_cli.config.defaults import DATA_ROOT, RUNS_ROOT
from deeppose_cli.config.presets import preset_by_name
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.files import replacing
from deeppose_cli.core.progress import loading_notice
from deeppose_cli.data.datasets.registry import get_dataset, trained_box
from deeppose_cli.detection.initial_boxes import usual_source

DPI = 200
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
    spec = get_dataset(name, data_root, "NAME")
    if run is not None and preset is not None:
        raise UsageError(f"--preset {preset}: not with --run, which goes by the run's own settings")
    if run is None and stage is not None and stage > 2:
        raise UsageError(f"--stage {stage}: valid: 1, 2; later ones start from another stage's poses: add --run NAME")
    settings, folder = preset_by_name(preset or spec.preset), None if run is None else resolve_run(runs_root, run)
    with loading_notice("libraries"):
        from deeppose_cli.data.preview import columns, sheet

    if folder is None:
        stages = columns.preset_stages(settings, spec, stage)
        trained_with, stage_box = f"preset {settings.name}", settings.box_on(spec.name)
    else:
        stages = columns.run_stages(folder, spec, stage)
        trained_with, stage_box = f"run {folder.name}", trained_box(folder.data_name, folder.initial_box, spec)
    splits = {key: part for key, part in spec.read(data_root).items() if len(part)}
    chosen = split or next(iter(splits), "")
    if chosen not in splits:
        raise UsageError(f"--split {chosen}: {name} has no images in it; valid: {', '.join(splits)}")
    source = box or usual_source(stage_box or spec.initial_box, chosen, spec.evaluation_only)
    examples = columns.choose_examples(splits[chosen], source, data_root / name, count, seed)
    title = f"{name}, {chosen}: {trained_with}, initial box {source}, seed {seed}"
    labels = [splits[chosen].names[row] for row in examples.rows]
    figure = sheet.draw_sheet(labels, columns.stage_columns(examples, stages, seed, folder), title)
    target = out or data_root / SHEETS / f"{name}-{chosen}{f'-stage{stage}' if stage else ''}.png"
    try:
        with replacing(target) as temporary:
            figure.savefig(temporary, dpi=DPI, format="png")
    except DeepPoseError as error:
        raise DeepPoseError(f"--out {error}") from None
    return target
