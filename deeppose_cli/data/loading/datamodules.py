"""The LightningDataModules of stage 1 and of refinement, for any data set that a `DatasetSpec` describes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from deeppose_cli.config.schema import RefinementPreset, StagePreset
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.progress import Progress
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.data.loading import stage_datasets
from deeppose_cli.data.loading.image_cache import ImageCache
from deeppose_cli.data.loading.samplers import (
    DataPosition,
    EpochSampler,
    EvaluationSampler,
    ResumableLoader,
    SampleKey,
    start_worker,
)
from deeppose_cli.data.loading.shared_memory import SharedMemoryCollate
from deeppose_cli.detection.initial_boxes import InitialBoxes, initial_boxes, training_source
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.models.displacement import Displacement

EXAMPLES = 256
"""Training images whose crops give a network's batch normalizations their statistics."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The two splits that training may use, with their initial boxes. The test split is not even kept here."""

    train: Annotations
    validation: Annotations
    train_boxes: NDArray[np.float64]
    validation_boxes: NDArray[np.float64]
    unreadable: tuple[str, ...] = ()
    """Images of which not even the size could be read: they are left out."""
    summary: str = ""
    """The source of the training split's initial boxes, and what became of the cache: lines for the user."""
    cache: ImageCache | None = None
    """Decoded images; None: images are decoded each time."""

    @staticmethod
    def read(
        spec: DatasetSpec,
        data_root: Path,
        box: str | None = None,
        progress: Progress | None = None,
        cache: bool = False,
    ) -> TrainingData:
        """Read labels and image sizes; images are decoded only for a detector that has not searched them before.

        `box`: the source of b⁰ in evaluation, by default the data set's own; training follows it. Raises DeepPoseError
        where a split has no readable image.
        """
        spec.check_trainable()
        splits = spec.read(data_root)
        source = training_source(box or spec.initial_box)
        parts, boxes, unreadable = [], [], []
        found: list[InitialBoxes] = []
        for split in ("train", "validation"):
            annotations = splits[split]
            found.append(initial_boxes(annotations, source, data_root / spec.name, progress))
            readable = ~np.isnan(found[-1].boxes).any(-1)
            unreadable += [annotations.names[row] for row in np.flatnonzero(~readable)]
            parts.append(annotations.take(np.flatnonzero(readable)))
            boxes.append(found[-1].boxes[readable])
            if not len(parts[-1]):
                raise DeepPoseError(f"{spec.name}: no readable image in its {split} split")
        images = ImageCache(data_root, parts[0].files + parts[1].files) if cache else None
        summary = "\n".join(line for line in (found[0].summary(), images.summary if images else "") if line)
        return TrainingData(parts[0], parts[1], boxes[0], boxes[1], tuple(unreadable), summary, images)

    def image(self, file: Path) -> Image:
        """(H, W, 3) uint8 RGB, not to be written to. Raises DeepPoseError that names a file that cannot be read."""
        return read_image(file) if self.cache is None else self.cache.read(file)


class PoseDataModule(L.LightningDataModule):
    """Loaders over a training and a validation set, resumable at any step, and shared exactly among processes."""

    def __init__(self, data: TrainingData, settings: StagePreset, seed: int, workers: int) -> None:
        super().__init__()
        self.data, self.settings, self.seed, self.workers = data, settings, seed, workers
        self.position = DataPosition()

    def state_dict(self) -> dict[str, Any]:
        return asdict(self.position)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.position.epoch, self.position.position = state_dict["epoch"], state_dict["position"]

    def training_set(self) -> Dataset[Any]:
        raise NotImplementedError

    def validation_set(self) -> Dataset[Any]:
        raise NotImplementedError

    def images_per_step(self) -> int:
        return self.settings.batch_size

    def repeats(self) -> int:
        """How often one epoch decodes each image."""
        return 1

    def collate(self) -> Any:
        return None

    def names(self, rows: list[int]) -> list[str]:
        """Names of training images, for messages."""
        return [self.data.train.names[row] for row in dict.fromkeys(rows)]

    def validation_names(self, rows: list[int]) -> list[str]:
        return [self.data.validation.names[row] for row in dict.fromkeys(rows)]

    def example_crops(self) -> Tensor:
        """Some of the training crops, (M, size, size, 3) uint8, prepared in this process."""
        rows = np.random.default_rng(self.seed).permutation(len(self.data.train))[:EXAMPLES]
        dataset = self.training_set()
        crops = [dataset[SampleKey(0, int(row), 0)]["image"] for row in rows]
        return torch.from_numpy(np.concatenate([crop.reshape(-1, *crop.shape[-3:]) for crop in crops]))

    def train_dataloader(self) -> ResumableLoader:
        dataset = self.training_set()
        sampler = EpochSampler(
            len(self.data.train), self.images_per_step(), self.seed, self.repeats(), *self._rank_and_world()
        )
        return ResumableLoader(dataset, sampler, self.position, **self._options(), collate_fn=self.collate())

    def val_dataloader(self) -> DataLoader[Any]:
        sampler = EvaluationSampler(len(self.data.validation), self.images_per_step(), *self._rank_and_world())
        return DataLoader(self.validation_set(), batch_sampler=sampler, **self._options())

    def _rank_and_world(self) -> tuple[int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)

    def _options(self) -> dict[str, Any]:
        return {
            "num_workers": self.workers,
            "worker_init_fn": start_worker,
            "persistent_workers": self.workers > 0,
        }


class InitialStageDataModule(PoseDataModule):
    """Stage 1: crops of the whole person."""

    def __init__(self, data: TrainingData, settings: StagePreset, square: bool, seed: int, workers: int) -> None:
        super().__init__(data, settings, seed, workers)
        self.square = square

    def training_set(self) -> stage_datasets.InitialTrainDataset:
        d = self.data
        return stage_datasets.InitialTrainDataset(
            d.train, d.train_boxes, self.square, self.settings, self.seed, read=d.image
        )

    def validation_set(self) -> stage_datasets.InitialValDataset:
        d = self.data
        return stage_datasets.InitialValDataset(
            d.validation, d.validation_boxes, self.square, self.settings, read=d.image
        )


class PersonStageDataModule(PoseDataModule):
    """Stage s ≥ 2 that sees the whole person: trains on crops placed by displaced labels, validates on crops placed by
    the previous stage's poses."""

    def __init__(
        self,
        data: TrainingData,
        settings: RefinementPreset,
        square: bool,
        sigma: float,
        displacement: Displacement,
        validation_poses: NDArray[np.float64],
        validation_peak_mass: NDArray[np.float64],
        seed: int,
        workers: int,
    ) -> None:
        """Shape: validation_poses (N, K, 2) px, validation_peak_mass (N, K) of the previous stage."""
        super().__init__(data, settings, seed, workers)
        self.refinement, self.square, self.sigma, self.displacement = settings, square, sigma, displacement
        self.validation_output = validation_poses, validation_peak_mass

    def training_set(self) -> stage_datasets.PersonTrainDataset:
        d, common = self.data, (self.square, self.refinement, self.sigma)
        return stage_datasets.PersonTrainDataset(
            d.train, d.train_boxes, *common, self.displacement, self.seed, read=d.image
        )

    def validation_set(self) -> stage_datasets.PersonValDataset:
        d, common = self.data, (self.square, self.refinement, self.sigma)
        return stage_datasets.PersonValDataset(
            d.validation, d.validation_boxes, *common, *self.validation_output, read=d.image
        )


class RefinementStageDataModule(PoseDataModule):
    """Stage s ≥ 2: trains on crops around displaced labels, validates on crops around the previous stage's poses."""

    def __init__(
        self,
        data: TrainingData,
        settings: RefinementPreset,
        square: bool,
        sigma: float,
        displacement: Displacement,
        validation_poses: NDArray[np.float64],
        seed: int,
        workers: int,
    ) -> None:
        """Shape: validation_poses (N, K, 2) px of the previous stage on the validation split."""
        super().__init__(data, settings, seed, workers)
        self.refinement, self.square, self.sigma = settings, square, sigma
        self.displacement, self.validation_poses = displacement, validation_poses

    def training_set(self) -> stage_datasets.RefinementTrainDataset:
        d, common = self.data, (self.square, self.refinement, self.sigma)
        self.shared = SharedMemoryCollate(stage_datasets.join_crops, "image")
        return stage_datasets.RefinementTrainDataset(
            d.train, d.train_boxes, *common, self.displacement, self.seed, self.shared.reserve, d.image
        )

    def validation_set(self) -> stage_datasets.RefinementValDataset:
        d, common = self.data, (self.square, self.refinement, self.sigma)
        return stage_datasets.RefinementValDataset(
            d.validation, d.validation_boxes, *common, self.validation_poses, d.image
        )

    def repeats(self) -> int:
        return -(-self.refinement.crops_per_joint // self.refinement.crops_per_visit)

    def images_per_step(self) -> int:
        """So many images give about `batch_size` crops."""
        crops_per_image = len(self.data.train.skeleton) * self.refinement.crops_per_visit
        return max(1, round(self.settings.batch_size / crops_per_image))

    def collate(self) -> Any:
        return self.shared
