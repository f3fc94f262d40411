"""`deeppose calibrate`: confidences for a run that was trained before there were any, or imported."""

from __future__ import annotations

from deeppose_cli.cli.options import DataRootOption, RunOption, RunsRootOption
from deeppose_cli.config.defaults import DATA_ROOT, RUNS_ROOT


def calibrate(
    run: RunOption = None,
    runs_root: RunsRootOption = RUNS_ROOT,
    data_root: DataRootOption = DATA_ROOT,
) -> None:
    """Measure on validation images how often a joint is right, by how sure its map is; each training ends with it."""
    from deeppose_cli.checkpoints.run_folder import resolve_run
    from deeppose_cli.data.datasets.registry import description
    from deeppose_cli.training.calibrate import calibrate_run

    folder = resolve_run(runs_root, run)
    found = calibrate_run(folder, description(folder.data_name), data_root)
    for number, values in enumerate(found, start=1):
        said = (
            "no confidence: its network has no maps, or there are too few images"
            if values is None
            else f"confidence = 1 / (1 + exp(-({values.slope:.3f} logit(mass) + {values.offset:.3f})))"
        )
        print(f"{folder.name}, stage {number}: {said}")
