"""Data sets as LightningDataModules, for programs that use Lightning's Trainer themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from deeppose_cli.config.defaults import DATA_ROOT
from deeppose_cli.core.errors import UsageError
from deeppose_cli.data.datasets.registry import get_dataset, trained_box
from deeppose_cli.data.loading.datamodules import PoseDataModule, TrainingData
from deeppose_cli.detection.initial_boxes import initial_boxes


class KeypointDataModule(L.LightningDataModule):
    """A prepared data set, as crops for a stage made by `initial_stage` or `refinement_stage`.

    The training split is for `Trainer.fit`, the validation split for `.fit` and `.validate`, the test split for
    `.test`; of Image Parse and Buffy, where no test split is prepared, the training split is. It resumes in the middle
    of an epoch.
    """

    def __init__(self, folder: str | Path, *, box: str | None = None, workers: int = 0, cache: bool = False) -> None:
        """
        Args:
            folder: The data set's, such as `data/climbing`.
            box: Source of the initial boxes; None: the data set's own.
            workers: Processes that cut crops.
            cache: Keep decoded images in the folder.

        Raises:
            UsageError: Where no data set is in the folder.
        """
        super().__init__()
        path = Path(folder)
        self.dataset = get_dataset(path.name, path.parent, "folder")
        self.data_root, self.box, self.workers, self.cache = path.parent, box, workers, cache
        self.training_data: TrainingData | None = None
        self._source: str | None = None
        self._loaders: PoseDataModule | None = None
        self._built_by: Any = None
        self._test_loaders: PoseDataModule | None = None

    def read(self, box: str | None = None) -> TrainingData:
        """The training and validation splits with their initial boxes, from `box` where the module has no source.

        Raises DeepPoseError as the command does.
        """
        source = self.box or box or self.dataset.initial_box
        if self.training_data is None or source != self._source:
            self.training_data = TrainingData.read(self.dataset, self.data_root, source, cache=self.cache)
            self._source = source
        return self.training_data

    def setup(self, stage: str) -> None:
        build = getattr(getattr(self.trainer, "lightning_module", None), "build_loaders", None)
        if build is None:
            raise UsageError(
                "the module is no stage of a cascade; valid: one made by initial_stage or refinement_stage"
            )
        if stage == "test":
            box = trained_box(build.data_name, build.box, self.dataset)
            self._test_loaders = build(self._test_data(box), self.workers)
        elif self._loaders is None or build is not self._built_by:
            self._loaders, self._built_by = build(self.read(build.box), self.workers), build
        for loaders in (self._loaders, self._test_loaders):
            if loaders is not None:
                loaders.trainer = self.trainer

    def _test_data(self, box: str) -> TrainingData:
        """The test split in the place of the validation split, with initial boxes from `box` where the module has no
        source."""
        splits = self.dataset.read(self.data_root)
        test = splits["test"]
        if not len(test) and self.dataset.evaluation_only:
            test = splits["train"]
        if not len(test):
            raise UsageError(f"{self.dataset.name} has no test split")
        boxes = initial_boxes(test, self.box or box, self.data_root / self.dataset.name).boxes
        return TrainingData(test.take([]), test, boxes[:0], boxes)

    def train_dataloader(self) -> Any:
        return self._of_fit().train_dataloader()

    def val_dataloader(self) -> DataLoader[Any]:
        return self._of_fit().val_dataloader()

    def test_dataloader(self) -> DataLoader[Any]:
        assert self._test_loaders is not None, "setup comes first"
        return self._test_loaders.val_dataloader()

    def names(self, rows: list[int]) -> list[str]:
        """Names of training images, for messages."""
        return self._of_fit().names(rows)

    def state_dict(self) -> dict[str, Any]:
        return self._loaders.state_dict() if self._loaders is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self._loaders is not None:  # a test needs no place in the training images
            self._loaders.load_state_dict(state_dict)

    def _of_fit(self) -> PoseDataModule:
        assert self._loaders is not None, "setup comes first"
        return self._loaders


class LSPDataModule(KeypointDataModule):
    """Leeds Sports Pose, with its extended training set where prepared."""

    def __init__(self, data_root: str | Path = DATA_ROOT, **options: Any) -> None:
        super().__init__(Path(data_root, "lsp"), **options)


class FLICDataModule(KeypointDataModule):
    """FLIC: upper bodies in movies."""

    def __init__(self, data_root: str | Path = DATA_ROOT, **options: Any) -> None:
        super().__init__(Path(data_root, "flic"), **options)


class BuffyDataModule(KeypointDataModule):
    """Buffy Stickmen, for `.test` only."""

    def __init__(self, data_root: str | Path = DATA_ROOT, **options: Any) -> None:
        super().__init__(Path(data_root, "buffy"), **options)


class ParseDataModule(KeypointDataModule):
    """Image Parse, for `.test` only."""

    def __init__(self, data_root: str | Path = DATA_ROOT, **options: Any) -> None:
        super().__init__(Path(data_root, "parse"), **options)
