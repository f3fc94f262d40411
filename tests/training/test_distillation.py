"""Distillation: the initial network's heatmaps are labels of the joints that have none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from deeppose_cli.config.presets import TINY
from deeppose_cli.config.schema import to_primitives
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.models.heads import to_shares
from deeppose_cli.training.lightning_modules import InitialStageModule
from deeppose_cli.training.losses import distillation_loss


def module(weight: float) -> InitialStageModule:
    torch.manual_seed(0)
    settings = replace(TINY.initial, distill_weight=weight)
    built = InitialStageModule(LSP14.to_mapping(), to_primitives(settings), True, 0)
    built.keep_teacher(["neck", "head_top", "another"])
    return built


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    image = torch.randint(0, 256, (3, 64, 64, 3), generator=generator).float()
    target = torch.rand((3, len(LSP14), 2), generator=generator) - 0.5
    target[:, LSP14.index("neck")] = torch.nan
    target[:, LSP14.index("left_knee")] = torch.nan
    return {"image": image, "target": target}


def test_the_loss_is_the_teachers_cross_entropy_times_its_peak_mass() -> None:
    """A teacher of one cell: its peak mass is 1, and the entropy is that of the cell."""
    teacher = torch.full((1, 2, 8, 8), -50.0)
    teacher[0, 0, 2, 3], teacher[0, 1, 5, 5] = 50.0, 50.0
    logits = torch.randn((1, 2, 8, 8), generator=torch.Generator().manual_seed(0))
    shares = to_shares(logits)
    both = distillation_loss(logits, teacher, torch.tensor([[True, True]]))
    torch.testing.assert_close(both, -(shares[0, 0, 2, 3].log() + shares[0, 1, 5, 5].log()))
    one = distillation_loss(logits, teacher, torch.tensor([[False, True]]))
    torch.testing.assert_close(one, -shares[0, 1, 5, 5].log())


def test_only_joints_without_a_label_that_the_teacher_has_are_taught() -> None:
    """The neck is taught; the knee has no label and no teacher, the head top a label."""
    taught, plain, example = module(0.5), module(0.0), batch()
    loss, without = taught.batch_loss(example), plain.batch_loss(example)
    assert loss > without
    with torch.no_grad():
        assert taught.teacher is not None
        logits = taught.regressor(example["image"]).logits
        teacher = taught.teacher.eval().outputs(example["image"])
    assert logits is not None
    neck = torch.zeros((3, len(LSP14)), dtype=torch.bool)
    neck[:, LSP14.index("neck")] = True
    torch.testing.assert_close(loss - without, 0.5 * distillation_loss(logits, teacher, neck), rtol=1e-3, atol=1e-3)


def test_the_teacher_stays_as_it_was_and_travels_in_the_checkpoint() -> None:
    taught = module(0.5)
    loss = taught.batch_loss(batch())
    loss.backward()
    assert taught.teacher is not None
    assert all(parameter.grad is None for parameter in taught.teacher.parameters())
    other = module(0.5)
    other.load_state_dict(taught.state_dict())
    torch.testing.assert_close(other.taught_joints, taught.taught_joints)
    assert int(taught.taught_joints.sum()) == 2
    with pytest.raises(RuntimeError, match="teacher"):
        module(0.0).load_state_dict(taught.state_dict())
