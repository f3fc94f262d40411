"""PDJ as a torchmetrics class: batch by batch and process by process it is the pure function."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from deeppose_cli.core.skeleton import BUFFY10, LSP14, Skeleton
from deeppose_cli.evaluation import metrics
from deeppose_cli.training.metrics import PDJ
from tests.helpers.poses import INPUTS, Make, Poses, random_poses, with_gaps

CASES: dict[str, tuple[Callable[[], PDJ], Skeleton, Callable[[Poses, Poses], float]]] = {
    "lsp14": (
        lambda: PDJ(LSP14, 0.3),
        LSP14,
        lambda pred, truth: float(metrics.mean_rate(metrics.pdj(pred, truth, LSP14, 0.3))),
    ),
    "buffy10": (
        lambda: PDJ(BUFFY10),
        BUFFY10,
        lambda pred, truth: float(metrics.mean_rate(metrics.pdj(pred, truth, BUFFY10, 0.2))),
    ),
}


@INPUTS
@pytest.mark.parametrize("case", CASES)
def test_batches_and_processes_add_up_to_the_function(make: Make, case: str) -> None:
    build, skeleton, expected = CASES[case]
    pred, truth = make(skeleton)
    parts = [build(), build()]
    for part in parts:  # a process may have no image at all
        part.update(torch.zeros(0, len(skeleton), 2), torch.zeros(0, len(skeleton), 2))
    for i in range(0, len(pred), 7):
        parts[i % 2].update(torch.tensor(pred[i : i + 7]), torch.tensor(truth[i : i + 7]))
    parts[0].merge_state(parts[1])
    assert float(parts[0].compute()) == pytest.approx(expected(pred, truth), nan_ok=True)


@pytest.mark.parametrize("case", CASES)
def test_it_can_be_logged_reset_and_pickled(case: str) -> None:
    build, skeleton, expected = CASES[case]
    pred, truth = (poses.astype(np.float32) for poses in random_poses(skeleton))
    metric = build()
    value = metric(torch.tensor(pred), torch.tensor(truth))
    assert value.shape == ()
    assert float(value) == pytest.approx(expected(pred, truth))
    assert float(pickle.loads(pickle.dumps(metric)).compute()) == float(value)
    metric.reset()
    assert float(metric(torch.tensor(truth), torch.tensor(truth))) == 1


def _process(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = []
    for build, skeleton, _ in CASES.values():
        pred, truth = with_gaps(skeleton)
        metric = build()
        rows = slice(0, 41) if rank == 0 else slice(41, None)
        metric.update(torch.tensor(pred[rows]), torch.tensor(truth[rows]))
        found.append(float(metric.compute()))
    distributed.destroy_process_group()
    np.save(Path(folder, f"{rank}.npy"), found)


@pytest.mark.slow
def test_two_processes_say_what_one_says(tmp_path: Path) -> None:
    multiprocessing.spawn(_process, (str(tmp_path),), nprocs=2)
    expected = [score(*with_gaps(skeleton)) for _, skeleton, score in CASES.values()]
    for rank in (0, 1):
        assert np.load(tmp_path / f"{rank}.npy").tolist() == pytest.approx(expected)
