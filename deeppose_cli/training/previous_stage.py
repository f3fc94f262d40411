"""Errors and validation poses of the stages before a refinement stage.

Measured once and kept in the stage's `previous_stage.npz`, so that a training that continues, and its other processes,
have the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from deeppose_cli.checkpoints.lightning import load_cascade
from deeppose_cli.checkpoints.run_folder import RunFolder
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import replacing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from deeppose_cli.data.loading.datamodules import TrainingData
    from deeppose_cli.models.displacement import Displacement


@dataclass(frozen=True, eq=False)
class PreviousStage:
    """The cascade as it was before the stage."""

    displacement: Displacement
    """Its errors on the images of one split."""
    validation_poses: NDArray[np.float64]
    """(N, K, 2) px, predicted on the validation images."""
    validation_peak_mass: NDArray[np.float64]
    """(N, K) of these poses; NaN where the stage has none."""

    @classmethod
    def measure(cls, run: RunFolder, stages: int, data: TrainingData, square: bool, displacement_split: str) -> Self:
        """Predict with the run's first `stages` stages. `displacement_split`: `train` or `validation`.

        Raises DeepPoseError where the stages cannot be read or have another skeleton than the data set.
        """
        import numpy as np

        from deeppose_cli.evaluation.predict_split import predict_split
        from deeppose_cli.models.cascade import initial_stage_boxes
        from deeppose_cli.models.displacement import Displacement

        cascade = load_cascade(run, stages)
        if cascade.skeleton.joints != data.train.skeleton.joints:
            raise DeepPoseError(
                f"{run.stage(1).best}: has skeleton '{cascade.skeleton.name}', the data set "
                f"'{data.train.skeleton.name}'"
            )
        peak_mass = np.full((cascade.num_stages, len(data.validation), len(cascade.skeleton)), np.nan)
        validation_poses = predict_split(
            cascade, data.validation, data.validation_boxes, outputs={"peak_mass": peak_mass}
        )[-1]
        part, boxes, poses = data.validation, data.validation_boxes, validation_poses
        if displacement_split == "train":
            part, boxes = data.train, data.train_boxes
            poses = predict_split(cascade, part, boxes)[-1]
        displacement = Displacement.measure(poses, part, initial_stage_boxes(boxes, square=square))
        return cls(displacement, validation_poses, peak_mass[-1])

    @classmethod
    def read(cls, file: Path) -> Self:
        """Raises DeepPoseError that names the file."""
        from zipfile import BadZipFile

        import numpy as np

        from deeppose_cli.models.displacement import Displacement

        try:
            with np.load(file) as stored:
                pairs = [tuple((float(x), float(y)) for x, y in stored[key]) for key in ("mean", "std")]
                return cls(Displacement(pairs[0], pairs[1]), stored["validation"], stored["peak_mass"])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise DeepPoseError(f"{file}: not readable ({error}); without this file it is measured again") from None

    def write(self, file: Path) -> None:
        import numpy as np

        with replacing(file, ".npz") as temporary:
            np.savez(
                temporary,
                mean=self.displacement.mean,
                std=self.displacement.std,
                validation=self.validation_poses,
                peak_mass=self.validation_peak_mass,
            )
