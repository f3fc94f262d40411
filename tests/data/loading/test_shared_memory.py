"""Batches that workers join into memory they use again arrive as if every batch had its own."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from deeppose_cli.config.presets import TINY
from deeppose_cli.data.loading import shared_memory
from deeppose_cli.data.loading.datamodules import RefinementStageDataModule, TrainingData
from deeppose_cli.data.loading.shared_memory import SharedMemoryCollate
from deeppose_cli.data.loading.stage_datasets import join_crops
from deeppose_cli.models.displacement import Displacement
from tests.helpers import mini


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_reused_memory_never_changes_a_batch(tmp_path, workers):
    data = TrainingData.read(mini.MINI, mini.make(tmp_path))
    settings = replace(TINY.refinement, crops_per_joint=8, crops_per_visit=1, batch_size=28, input_size=32)
    displacement = Displacement(((0.0, 0.0),) * 14, ((0.2, 0.2),) * 14)

    def batches(count):
        start = np.zeros_like(data.validation.keypoints)
        loader = RefinementStageDataModule(data, settings, True, 2.0, displacement, start, 5, count).train_dataloader()
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


def test_what_is_cut_in_place_arrives_whole_even_where_the_place_is_too_small(monkeypatch):
    """Batches of growing and shrinking size: each is what its examples were when they were made."""
    monkeypatch.setattr(shared_memory, "get_worker_info", lambda: "in a worker")
    collate, rng = SharedMemoryCollate(join_crops, "image"), np.random.default_rng(0)
    in_place = 0
    for sizes in ([3, 4], [3, 3], [4, 4], [2, 5], [9, 1, 1], [1, 30, 2], [3, 3], [30, 4], [1], [5, 2]):
        examples, expected = [], []
        for size in sizes:
            pixels = rng.integers(0, 256, (size, 6, 6, 3), dtype=np.uint8)
            room = collate.reserve(pixels.shape)
            in_place += room is not None
            if room is not None:
                room[:] = pixels
            examples.append({"image": pixels.copy() if room is None else room, "joint_index": np.arange(size)})
            expected.append(pixels)
        batch = collate(examples)
        np.testing.assert_array_equal(batch["image"].numpy(), np.concatenate(expected))
        assert len(batch["joint_index"]) == sum(sizes)
    assert in_place > 5
