"""The LightningModules in a real Trainer, on batches made by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from deeppose_cli.config.schema import Augmentation, RefinementPreset, StagePreset, to_primitives
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.models.heads import HeadOutput
from deeppose_cli.training.lightning_modules import (
    Batch,
    InitialStageModule,
    RefinementStageModule,
    StageLightningModule,
)

SIZE = 32
SMALL = {
    "network": "integral",
    "input_size": SIZE,
    "head_channels": 4,
    "optimizer": "adamw",
    "learning_rate": 0.01,
    "weight_decay": 0.1,
    "coordinate_loss": "l1",
    "augmentation": Augmentation(),
}
ZEROS = [[0.0, 0.0]] * 14
ONES = [[1.0, 1.0]] * 14

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:You defined a `validation_step` but have no",
    "ignore:.*LeafSpec",
    "ignore:.*training_step. returned .None",
)


def initial(**more: Any) -> InitialStageModule:
    torch.manual_seed(0)
    return InitialStageModule(LSP14.to_mapping(), to_primitives(StagePreset(**{**SMALL, **more})), True, 0)


def refinement(**more: Any) -> RefinementStageModule:
    torch.manual_seed(0)
    return RefinementStageModule(
        LSP14.to_mapping(), to_primitives(RefinementPreset(**{**SMALL, **more})), 2, 1.5, ZEROS, ONES, True, 0
    )


def pixels(count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(count).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8))


def whole_bodies(count: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return {"image": pixels(count), "target": torch.rand(count, 14, 2, generator=generator) * 0.8 - 0.4}


def joint_crops(joints: list[int]) -> Batch:
    generator = torch.Generator().manual_seed(2)
    return {
        "image": pixels(len(joints)),
        "joint_index": torch.tensor(joints, dtype=torch.long),
        "target": torch.rand(len(joints), 14, 2, generator=generator) * 0.8 - 0.4,
    }


class Losses(L.Callback):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append(float(outputs["loss"]))


def fit(
    module: StageLightningModule, batches: list[Batch], steps: int | None = None, watch: L.Callback | None = None
) -> list[float]:
    """Trains on the batches over and over; the loss of every step."""
    losses = Losses()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=(steps or len(batches)) // len(batches),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        callbacks=[losses, *([watch] if watch else [])],
    )
    trainer.fit(module, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return losses.seen


def state(module: StageLightningModule) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.regressor.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("optimizer", ["adamw", "adagrad"])
@pytest.mark.parametrize("kind", ["initial", "shared", "per-joint", "no crops"])
def test_a_batch_without_labels_moves_no_weight(optimizer: str, kind: str) -> None:
    """Not by weight decay, nor by an optimiser's momentum, nor by the statistics of a normalisation."""
    if kind == "initial":
        module, good = initial(optimizer=optimizer), whole_bodies()
    else:
        module, good = refinement(optimizer=optimizer, per_joint=kind == "per-joint"), joint_crops([0, 0, 3, 3, 13, 13])
    empty = {key: value.clone() for key, value in good.items()}
    empty["target"][:] = math.nan
    if kind == "no crops":
        empty = {key: value[:0] for key, value in empty.items()}
    before = state(module)
    assert fit(module, [empty]) == [0.0]
    assert same(before, state(module))

    seen: list[dict[str, torch.Tensor]] = []

    class Watch(L.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            seen.append(state(module))

    losses = fit(module, [good, empty, good], 3, watch=Watch())
    assert [loss == 0 for loss in losses] == [False, True, False]
    assert not same(before, seen[0])
    assert same(seen[0], seen[1])
    assert not same(seen[1], seen[2])
    assert all(value.isfinite().all() for value in seen[2].values())


def test_only_labelled_joints_are_learned_and_the_loss_is_their_mean() -> None:
    batch = whole_bodies(2)
    batch["target"][0, 3:] = math.nan
    batch["target"][1] = math.nan
    module = initial(coordinate_loss="l2", learning_rate=1e-9, weight_decay=0.0)
    with torch.no_grad():
        expected = (module.train().regressor(batch["image"])[0][0, :3] - batch["target"][0, :3]).square().sum() / 3
    assert fit(initial(coordinate_loss="l2"), [batch])[0] == pytest.approx(float(expected), rel=1e-4)


class Dice(InitialStageModule):
    """Keeps a random number that each step would draw."""

    def batch_loss(self, batch: Batch) -> torch.Tensor:
        self.rolled = [*getattr(self, "rolled", []), torch.rand(()).item()]
        return super().batch_loss(batch)


def test_what_dropout_draws_is_a_function_of_seed_and_step() -> None:
    def roll(seed: int, disturbance: int) -> list[float]:
        module = Dice(LSP14.to_mapping(), to_primitives(StagePreset(**SMALL)), True, seed)
        torch.manual_seed(disturbance)
        fit(module, [whole_bodies()], steps=4)
        return module.rolled

    one = roll(0, 1)
    assert one == roll(0, 2)
    assert len(set(one)) == 4
    assert not set(one) & set(roll(1, 1))


@pytest.mark.parametrize("per_joint", [False, True])
@pytest.mark.parametrize("optimizer", ["adamw", "adagrad"])
def test_refinement_learns_a_fixed_batch(per_joint: bool, optimizer: str) -> None:
    batch = joint_crops([0, 0, 1, 1, 13, 13])
    module = refinement(
        per_joint=per_joint, optimizer=optimizer, learning_rate=0.02, weight_decay=0.0, heatmap_weight=1.0
    )
    losses = fit(module, [batch], steps=30)
    assert losses[-1] < 0.8 * losses[0]
    assert min(losses[-5:]) < min(losses[:5])


def test_stage_one_learns_a_fixed_batch_with_the_warm_up() -> None:
    losses = fit(initial(schedule="cosine"), [whole_bodies()], steps=40)
    assert losses[-1] < 0.8 * losses[0]


def test_per_joint_only_the_networks_of_the_joints_at_hand_learn() -> None:
    module = refinement(per_joint=True, weight_decay=0.0)
    before = state(module)
    fit(module, [joint_crops([2, 2, 7, 7])])
    after = state(module)
    moved = {int(name.split(".")[1]) for name in before if not torch.equal(before[name], after[name])}
    assert moved == {2, 7}


def test_a_crop_teaches_only_the_joint_it_is_meant_for() -> None:
    batch = joint_crops([4, 9, 2])
    batch["target"][1, 9] = torch.tensor([0.9, 0.0])  # it counts wherever it is
    batch["target"][2, 2] = math.nan
    module = refinement()
    assert int(module.count_labels(batch)) == 2
    answer = torch.zeros(3, 14, 2, requires_grad=True)
    module.regressor.forward = lambda _: HeadOutput(answer)  # type: ignore[method-assign]
    module.batch_loss(batch).backward()
    expected = torch.zeros(3, 14, dtype=torch.bool)
    expected[0, 4] = expected[1, 9] = True
    assert torch.equal(answer.grad.abs().sum(-1) > 0, expected)  # type: ignore[union-attr]


def test_validation_counts_unlabelled_fillers_nowhere() -> None:
    batch = whole_bodies(4)
    box = torch.tensor([[50.0, 60.0, 100.0, 120.0]]).repeat(4, 1).double()
    truth = batch["target"].double() * box[:, None, 2:] + box[:, None, :2]
    scores = []
    for fillers in (0, 3):
        module = initial().eval()
        labels, norm = truth.clone(), batch["target"].clone()
        if fillers:
            labels = torch.cat([labels, torch.full((fillers, 14, 2), math.nan).double()])
            norm = torch.cat([norm, torch.full((fillers, 14, 2), math.nan)])
        full = {
            "image": torch.cat([batch["image"], batch["image"][:fillers]]),
            "target": norm,
            "keypoints": labels,
            "box": torch.cat([box, box[:fillers]]),
        }
        with torch.no_grad():
            module.validation_step(full, 0)
        scores.append((float(module.pdj.compute()), float(module.diversity.compute())))
    assert scores[0] == pytest.approx(scores[1])
    assert math.isfinite(scores[0][1])


@pytest.mark.parametrize("make", [initial, refinement])
def test_a_checkpoint_reloads_without_running_code(make: Any, tmp_path: Path) -> None:
    module = make()
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    kept = torch.load(tmp_path / "a.ckpt", weights_only=True)
    again = type(module)(**kept["hyper_parameters"])
    again.load_state_dict(kept["state_dict"])
    assert again.settings == module.settings
    assert same(state(module), state(again))
    assert dict(again.hparams) == dict(module.hparams)
