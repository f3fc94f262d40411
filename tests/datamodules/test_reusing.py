"""Batches that workers join into memory they use again arrive as if every batch had its own."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from deeppose_cli.datamodules.base import RefinementData, TrainingData
from deeppose_cli.datamodules.datasets import Displacement
from deeppose_cli.presets import TINY
from tests import mini


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_reused_memory_never_changes_a_batch(tmp_path, workers):
    data = TrainingData.read(mini.MINI, mini.make(tmp_path))
    settings = replace(TINY.refinement, draws=8, draws_per_visit=1, batch_size=28, input_size=32)
    displacement = Displacement(((0.0, 0.0),) * 14, ((0.2, 0.2),) * 14)

    def batches(count):
        start = np.zeros_like(data.validation.keypoints)
        loader = RefinementData(data, settings, True, 2.0, displacement, start, 5, count).train_dataloader()
        kept = []
        for batch in loader:
            kept.append(batch)
            time.sleep(0.002)  # the workers run ahead as far as they may
        return kept

    alone, shared = batches(0), batches(workers)
    assert len(alone) == len(shared) > 20 * workers
    for expected, batch in zip(alone, shared, strict=True):
        assert expected.keys() == batch.keys()
        assert all(torch.equal(expected[key].nan_to_num(9), batch[key].nan_to_num(9)) for key in expected)
