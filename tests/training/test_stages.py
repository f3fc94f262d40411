"""Stages trained by Lightning's own Trainer: the same run folder, the same scores, the user's callbacks and loggers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger

from deeppose_cli import KeypointDataModule, evaluate, initial_stage, load, refinement_stage
from deeppose_cli.checkpoints.lightning import load_cascade
from deeppose_cli.checkpoints.run_folder import RunFolder
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.skeleton import LSP14, Skeleton
from deeppose_cli.data.datasets.release import make_rows, write_dataset
from deeppose_cli.data.datasets.splits import in_splits
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.evaluation.metrics import mean_rate, pdj
from deeppose_cli.evaluation.predict_split import predict_split
from tests.helpers import mini

TINY = {"input_size": 32, "head_channels": 8, "batch_size": 13}
REFINE = {**TINY, "batch_size": 182}


class Counter(Callback):
    """A callback of the user's."""

    def __init__(self) -> None:
        self.epochs = 0

    def on_train_epoch_end(self, *_: Any) -> None:
        self.epochs += 1


def trainer(tmp_path: Path, epochs: int = 2, **more: Any) -> L.Trainer:
    return L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **{"logger": False, "enable_checkpointing": False, **more},
    )


@pytest.fixture(scope="module")
def runs(mini_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs root with both stages of a cascade."""
    runs = tmp_path_factory.mktemp("runs")
    data, counter = KeypointDataModule(mini_root / mini.NAME), Counter()
    logger = CSVLogger(runs / "mine")
    module = initial_stage(data, settings=TINY, runs_root=runs)
    trainer(runs, logger=logger, callbacks=[counter]).fit(module, data)
    assert counter.epochs == 2
    assert "val_pdj" in Path(logger.log_dir, "metrics.csv").read_text()
    trainer(runs, epochs=1).fit(refinement_stage(data, settings=REFINE, runs_root=runs), data)
    return runs


pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
"""Lightning's own advice to users, which `train()` hides."""


def test_the_run_is_finished_and_every_command_reads_it(runs: Path, mini_root: Path) -> None:
    run = RunFolder(runs / mini.NAME)
    assert [(stage.is_finished, stage.epochs) for stage in run.stages] == [(True, 2), (True, 1)]
    assert [len(stage.history()) for stage in run.stages] == [2, 1]
    scores = evaluate(run=mini.NAME, data=mini.NAME, data_root=mini_root, runs_root=runs, bootstrap=0)
    assert [row["name"] for row in scores.rows] == ["mean pose", "stage 1", "stage 2"]
    model = load(mini.NAME, runs_root=runs, box="image")
    assert model(np.zeros((40, 30, 3), np.uint8)).stages.shape == (2, 14, 2)


@pytest.mark.parametrize("number", [1, 2])
def test_test_scores_are_those_of_the_cascade(number: int, runs: Path, mini_root: Path, tmp_path: Path) -> None:
    run = RunFolder(runs / mini.NAME)
    data = KeypointDataModule(mini_root / mini.NAME)
    make = initial_stage if number == 1 else refinement_stage
    module = make(data, settings=TINY if number == 1 else REFINE, runs_root=runs, overwrite=True)
    best = str(run.stage(number).best)
    (found,) = trainer(tmp_path).test(module, data, ckpt_path=best, verbose=False, weights_only=True)
    test = mini.MINI.read(mini_root)["test"]
    poses = predict_split(load_cascade(run, number, device="cpu"), test, initial_boxes(test, "image").boxes)[-1]
    expected = float(mean_rate(pdj(poses, test.keypoints, test.skeleton)))
    assert found["test_pdj"] == pytest.approx(expected, abs=1e-6)
    assert run.stage(number).is_finished  # a test overwrites nothing


def test_a_stage_is_tested_on_a_set_with_other_joints(runs: Path, mini_root: Path, tmp_path: Path) -> None:
    joints = tuple(joint for joint in LSP14.joints[::-1] if joint != "neck")
    skeleton = Skeleton("other", joints, mirror_pairs=LSP14.mirror_pairs, scale_by=LSP14.scale_by)
    test = mini.MINI.read(mini_root)["test"]
    spec = replace(mini.MINI, name="other", skeleton=skeleton)
    order = [LSP14.index(joint) for joint in joints]
    folder = tmp_path / "other"
    (folder / "images").mkdir(parents=True)
    for file in test.files:
        (folder / "images" / file.name).write_bytes(file.read_bytes())
    rows = make_rows(skeleton, [file.name for file in test.files], test.keypoints[:, order])
    write_dataset(spec, in_splits(rows, train=range(0), validation=range(0), test=range(len(test))), folder)

    data = KeypointDataModule(mini_root / mini.NAME)
    module = initial_stage(data, settings=TINY, runs_root=runs, overwrite=True)
    best = str(RunFolder(runs / mini.NAME).stage(1).best)
    (found,) = trainer(tmp_path).test(
        module, KeypointDataModule(folder), ckpt_path=best, verbose=False, weights_only=True
    )
    poses = predict_split(
        load_cascade(RunFolder(runs / mini.NAME), 1, device="cpu"), test, initial_boxes(test, "image").boxes
    )[-1]
    truth = test.keypoints.copy()
    truth[:, LSP14.index("neck")] = np.nan
    assert found["test_pdj"] == pytest.approx(float(mean_rate(pdj(poses, truth, LSP14))), abs=1e-6)


def test_the_initial_boxes_are_those_of_the_preset(mini_root: Path, tmp_path: Path) -> None:
    data = KeypointDataModule(mini_root / mini.NAME)
    from deeppose_cli.config.presets import TINY as preset

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(preset), "box_on", lambda self, name: "joints")
        module = initial_stage(data, settings=TINY, runs_root=tmp_path)
    assert module.build_loaders.box == "joints"
    train = mini.MINI.read(mini_root)["train"]
    np.testing.assert_array_equal(data.read("joints").train_boxes, initial_boxes(train, "joints").boxes)


def test_mistakes_are_one_line(runs: Path, mini_root: Path, tmp_path: Path) -> None:
    data = KeypointDataModule(mini_root / mini.NAME)
    with pytest.raises(DeepPoseError, match="holds a training already"):
        initial_stage(data, runs_root=runs)
    with pytest.raises(UsageError, match="folder nothing: unknown"):
        KeypointDataModule(mini_root / "nothing")
    with pytest.raises(DeepPoseError, match="stage 1 is not trained"):
        refinement_stage(data, stage=3, run="fresh", runs_root=tmp_path)
    with pytest.raises(UsageError, match="the module is no stage of a cascade"):
        trainer(tmp_path).fit(BoringModel(), data)
