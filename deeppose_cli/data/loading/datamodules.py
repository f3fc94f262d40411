"""The LightningDataModules: any data set that a `DatasetSpec` describes, for stage 1 and for refinement."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from deeppose_cli.config.schema import RefinementPreset, StagePreset
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.progress import Progress
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.data.loading.image_cache import ImageCache
from deeppose_cli.data.loading.samplers import (
    DataPosition,
    EpochSampler,
    EvaluationSampler,
    ResumableLoader,
    quiet_worker,
)
from deeppose_cli.data.loading.shared_memory import SharedMemoryCollate
from deeppose_cli.data.loading.stage_datasets import (
    InitialTrainDataset,
    InitialValDataset,
    RefinementTrainDataset,
    RefinementValDataset,
    join_crops,
)
from deeppose_cli.detection.initial_boxes import InitialBoxes, initial_boxes, training_source
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.models.displacement import Displacement


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The two splits that training may see, with their initial boxes. The test split is not even kept here."""

    train: Annotations
    validation: Annotations
    train_boxes: NDArray[np.float64]
    validation_boxes: NDArray[np.float64]
    unreadable: tuple[str, ...] = ()
    """Images of which not even the size could be read: they are left out."""
    said: str = ""
    """Where the training split's initial boxes come from, and what became of the cache, for the person who trains."""
    cache: ImageCache | None = None
    """Images that are decoded already; none: they are decoded each time."""

    @staticmethod
    def read(
        description: DatasetSpec,
        data_root: Path,
        box: str | None = None,
        progress: Progress | None = None,
        cache: bool = False,
    ) -> TrainingData:
        """Labels and image sizes only; an image is decoded only where a detector has not looked at it yet, or where
        the cache is wanted and does not have it.

        `box`: where b⁰ comes from in evaluation, the description's own if None; training goes by the same.
        """
        description.check_trainable()
        splits = description.read(data_root)
        source = training_source(box or description.initial_box)
        parts, boxes, unreadable = [], [], []
        found: list[InitialBoxes] = []
        for split in ("train", "validation"):
            annotations = splits[split]
            found.append(initial_boxes(annotations, source, data_root / description.name, progress))
            known = ~np.isnan(found[-1].boxes).any(-1)
            unreadable += [annotations.names[row] for row in np.flatnonzero(~known)]
            parts.append(annotations.take(np.flatnonzero(known)))
            boxes.append(found[-1].boxes[known])
            if not len(parts[-1]):
                raise DeepPoseError(f"{description.name}: no readable image in its {split} split")
        images = ImageCache(data_root, parts[0].files + parts[1].files, progress) if cache else None
        said = "\n".join(line for line in (found[0].said(), images.said if images else "") if line)
        return TrainingData(parts[0], parts[1], boxes[0], boxes[1], tuple(unreadable), said, images)

    def image(self, file: Path) -> Image:
        """(H, W, 3) uint8 RGB, not to be written to. Raises DeepPoseError that names a file that cannot be read."""
        return read_image(file) if self.cache is None else self.cache.read(file)


class PoseDataModule(L.LightningDataModule):
    """Loaders over a training and a validation set, resumable at any step, and shared exactly among processes."""

    def __init__(self, data: TrainingData, settings: StagePreset, seed: int, workers: int) -> None:
        super().__init__()
        self.data, self.settings, self.seed, self.workers = data, settings, seed, workers
        self.place = DataPosition()

    def state_dict(self) -> dict[str, Any]:
        return asdict(self.place)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.place.epoch, self.place.position = state_dict["epoch"], state_dict["position"]

    def training_set(self) -> Dataset[Any]:
        raise NotImplementedError

    def validation_set(self) -> Dataset[Any]:
        raise NotImplementedError

    def images_per_step(self) -> int:
        return self.settings.batch_size

    def visits(self) -> int:
        """How often one epoch decodes each image."""
        return 1

    def names(self, rows: list[int]) -> list[str]:
        """What training examples are called, for messages."""
        return [self.data.train.names[row] for row in dict.fromkeys(rows)]

    def validation_names(self, rows: list[int]) -> list[str]:
        return [self.data.validation.names[row] for row in dict.fromkeys(rows)]

    def train_dataloader(self) -> ResumableLoader:
        rank, world = self._place()
        sampler = EpochSampler(len(self.data.train), self.images_per_step(), self.seed, self.visits(), rank, world)
        return ResumableLoader(self.training_set(), sampler, self.place, **self._options(), collate_fn=self.collate())

    def val_dataloader(self) -> DataLoader[Any]:
        rank, world = self._place()
        sampler = EvaluationSampler(len(self.data.validation), self.images_per_step(), rank, world)
        return DataLoader(self.validation_set(), batch_sampler=sampler, **self._options())

    def collate(self) -> Any:
        return None

    def _place(self) -> tuple[int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)

    def _options(self) -> dict[str, Any]:
        return {
            "num_workers": self.workers,
            "worker_init_fn": quiet_worker,
            "persistent_workers": self.workers > 0,
        }


class InitialStageDataModule(PoseDataModule):
    """Stage 1: crops of the whole person."""

    def __init__(self, data: TrainingData, settings: StagePreset, square: bool, seed: int, workers: int) -> None:
        super().__init__(data, settings, seed, workers)
        self.square = square

    def training_set(self) -> InitialTrainDataset:
        data = self.data
        return InitialTrainDataset(data.train, data.train_boxes, self.square, self.settings, self.seed, data.image)

    def validation_set(self) -> InitialValDataset:
        data = self.data
        return InitialValDataset(data.validation, data.validation_boxes, self.square, self.settings, data.image)


class RefinementStageDataModule(PoseDataModule):
    """Stage s ≥ 2: crops around displaced labels to learn from, around the previous stage's poses to validate on."""

    def __init__(
        self,
        data: TrainingData,
        settings: RefinementPreset,
        square: bool,
        sigma: float,
        displacement: Displacement,
        validation_start: NDArray[np.float64],
        seed: int,
        workers: int,
    ) -> None:
        super().__init__(data, settings, seed, workers)
        self.refinement, self.square, self.sigma = settings, square, sigma
        self.displacement, self.validation_start = displacement, validation_start

    def training_set(self) -> RefinementTrainDataset:
        data = self.data
        self.reusing = SharedMemoryCollate(join_crops, "image")
        return RefinementTrainDataset(
            data.train,
            data.train_boxes,
            self.square,
            self.refinement,
            self.sigma,
            self.displacement,
            self.seed,
            self.reusing.reserve,
            data.image,
        )

    def validation_set(self) -> RefinementValDataset:
        data = self.data
        return RefinementValDataset(
            data.validation,
            data.validation_boxes,
            self.square,
            self.refinement,
            self.sigma,
            self.validation_start,
            data.image,
        )

    def visits(self) -> int:
        return -(-self.refinement.crops_per_joint // self.refinement.crops_per_visit)

    def images_per_step(self) -> int:
        """So many images give about `batch_size` crops."""
        return max(
            1, round(self.settings.batch_size / (len(self.data.train.skeleton) * self.refinement.crops_per_visit))
        )

    def collate(self) -> Any:
        return self.reusing
