"""What a user of TensorBoard and Weights & Biases sees, read back from their files; also after a stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from deeppose_cli.checkpoints.run_folder import StageFolder
from deeppose_cli.training import train
from deeppose_cli.training.run_config import TrainOptions
from deeppose_cli.training.trackers import Trackers
from tests.helpers import mini
from tests.helpers.wandb_files import wandb_records
from tests.training.test_train import RecordedConsole

pytestmark = pytest.mark.slow
EPOCHS = 3


class StoppedError(Exception):
    pass


@pytest.fixture(scope="module")
def stage(mini_root: Path, tmp_path_factory: pytest.TempPathFactory) -> StageFolder:
    """Stopped in the second epoch, and continued without naming the loggers."""
    from lightning.pytorch.callbacks import Callback

    runs = tmp_path_factory.mktemp("runs")

    class Stop(Callback):
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 2:
                raise StoppedError

    def options(**more: Any) -> TrainOptions:
        settings = {"max_epochs": EPOCHS, "batch_size": 8, "input_size": 64}
        trainer = {"accelerator": "cpu"}
        return TrainOptions(
            1,
            data_root=mini_root,
            runs_root=runs,
            preset="small",
            settings=settings,
            workers=0,
            trainer=trainer,
            **more,
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setattr("deeppose_cli.training.callbacks.CollapseGuard", lambda *_, **__: Stop())
        with pytest.raises(StoppedError):
            train.train_stage(options(loggers=("csv", "wandb", "tensorboard")), mini.MINI, RecordedConsole())
        assert wandb.run is None, "the next training would write into this run"
        patch.undo()
        patch.setenv("WANDB_MODE", "offline")
        folder = train.train_stage(options(resume=True), mini.MINI, RecordedConsole())
    return folder


def test_the_loggers_and_the_run_are_kept(stage: StageFolder) -> None:
    kept = json.loads(stage.loggers.read_text())
    assert sorted(kept["names"]) == ["tensorboard", "wandb"]
    ids = {record.run.run_id for record in wandb_records(stage.path / "wandb") if record.HasField("run")}
    assert ids == {kept["wandb_id"]}


def test_wandb_has_every_epoch_the_examples_and_the_best_weights(stage: StageFolder) -> None:
    records = wandb_records(stage.path / "wandb")
    keys = {item.key or item.nested_key[0] for r in records if r.HasField("history") for item in r.history.item}
    assert {"train_loss", "val_pdj", "val_pdj_elbow", "val_pdj_wrist", "examples"} <= keys
    assert any(key.startswith("lr-") for key in keys)
    epochs = {
        json.loads(item.value_json)
        for r in records
        if r.HasField("history") and any(i.key == "val_pdj" or "val_pdj" in i.nested_key for i in r.history.item)
        for item in r.history.item
        if item.key == "epoch" or "epoch" in item.nested_key
    }
    assert epochs == set(range(EPOCHS))
    assert any(r.HasField("artifact") and r.artifact.type == "model" for r in records)
    config = {item.key for r in records if r.HasField("run") for item in r.run.config.update}
    assert {"settings", "data", "skeleton"} <= config


def test_tensorboard_has_every_epoch_the_examples_and_the_settings(stage: StageFolder) -> None:
    events = EventAccumulator(str(stage.path / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    assert len(events.Scalars("val_pdj")) == EPOCHS
    assert {"val_pdj_elbow", "val_pdj_wrist", "train_loss"} <= set(events.Tags()["scalars"])
    assert any(tag.startswith("lr-") for tag in events.Tags()["scalars"])
    assert events.Tags()["images"]


def test_a_damaged_state_is_no_hindrance(stage: StageFolder, tmp_path: Path) -> None:
    folder = StageFolder(tmp_path, 1)
    folder.loggers.write_text("{")
    assert Trackers.of(folder, TrainOptions(1, resume=True, loggers=("wandb",))).names == ("wandb",)
