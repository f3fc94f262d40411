"""Trainings as processes: killed and taken up again, and spread over two."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from deeppose_cli.checkpoints.lightning import load_cascade
from deeppose_cli.checkpoints.run_folder import resolve_run
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.evaluation.metrics import mean_rate, pdj
from deeppose_cli.evaluation.predict_split import predict_split
from tests.helpers import mini

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
SMALL = ["--input-size", "32", "--batch-size", "4", "--max-epochs", "3", "--workers", "1"]
LIMIT = 240


def command(root: Path, runs: Path, *arguments: str) -> list[str]:
    verb, *rest = arguments
    return [
        *(sys.executable, "-m", "tests.helpers.mini", verb, "--data", mini.NAME),
        *("--data-root", str(root), "--runs-root", str(runs), *rest),
    ]


def run(root: Path, runs: Path, *arguments: str) -> str:
    done = subprocess.run(
        command(root, runs, *arguments), cwd=PROJECT, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def kill_in_mid_epoch(root: Path, runs: Path, stage: int, *arguments: str) -> None:
    """`kill -9` as soon as the training has saved a state, which it does in the middle of epochs only."""
    last = runs / mini.NAME / f"stage{stage}" / "checkpoints" / "last.ckpt"
    process = subprocess.Popen(
        command(root, runs, *arguments), cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + LIMIT
        while not last.is_file() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        assert process.poll() is None, "the training ended before it could be killed"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def weights(runs: Path, stage: int, which: str = "last") -> dict[str, torch.Tensor]:
    file = runs / mini.NAME / f"stage{stage}" / "checkpoints" / f"{which}.ckpt"
    return torch.load(file, weights_only=True)["state_dict"]


def assert_same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_killed_training_taken_up_again_ends_as_if_it_had_never_stopped(mini_root: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    steps = ["--checkpoint-steps", "2"]
    run(mini_root, whole, "train", *SMALL)
    kill_in_mid_epoch(mini_root, broken, 1, "train", *SMALL, *steps)
    state = torch.load(broken / mini.NAME / "stage1" / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["global_step"] % 6, "the kill fell on an epoch's end: nothing would be shown"
    run(mini_root, broken, "train", "--resume")
    assert_same_weights(weights(whole, 1), weights(broken, 1))
    assert_same_weights(weights(whole, 1, "best"), weights(broken, 1, "best"))


def test_two_processes_train_and_score_what_one_process_scores(mini_root: Path, tmp_path: Path) -> None:
    run(mini_root, tmp_path, "train", *SMALL, "--accelerator", "cpu", "--devices", "2", "--strategy", "ddp")
    found = resolve_run(tmp_path, mini.NAME)
    rows = found.stage(1).history()
    assert [int(row["step"]) for row in rows] == [6, 12, 18]
    validation = mini.MINI.read(mini_root)["validation"]
    poses = predict_split(load_cascade(found, device="cpu"), validation, initial_boxes(validation).boxes)[-1]
    alone = mean_rate(pdj(poses, validation.keypoints, validation.skeleton))
    best = max(float(row["val_pdj"]) for row in rows)
    np.testing.assert_allclose(best, alone, atol=1e-6)
