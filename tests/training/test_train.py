"""Training a stage into its run folder, and what is refused with nothing lost."""

from __future__ import annotations

import io
import math
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from deeppose_cli.checkpoints.run_folder import RunFolder, StageFolder
from deeppose_cli.config.schema import with_changes
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.skeleton import FLIC10
from deeppose_cli.data.loading.datamodules import TrainingData
from deeppose_cli.evaluation import predict_split
from deeppose_cli.models import displacement
from deeppose_cli.training.callbacks import CollapseGuard, MetricsCsv, StopOnNonFiniteLoss
from deeppose_cli.training.run_config import TrainOptions
from deeppose_cli.training.train import announcement, train_stage
from tests.helpers import mini
from tests.helpers.memory import with_rows

TINY = {"input_size": 32, "head_channels": 8, "batch_size": 13, "max_epochs": 2}
BACKBONE = {"network": "backbone", "backbone": "mobilenet_v1"}
REFINE = {**TINY, "batch_size": 182, "max_epochs": 1}


class RecordedConsole(Console):
    """A console that keeps its text."""

    def __init__(self) -> None:
        super().__init__(file=io.StringIO(), width=1000)

    @property
    def text(self) -> str:
        return self.file.getvalue()  # type: ignore[attr-defined]


def options(root: Path, runs: Path, stage: int = 1, **more: Any) -> TrainOptions:
    defaults: dict[str, Any] = {"settings": TINY if stage == 1 else REFINE, "trainer": {"accelerator": "cpu"}}
    if more.get("resume"):
        defaults["settings"] = {}
    return TrainOptions(stage=stage, data_root=root, runs_root=runs, workers=0, **{**defaults, **more})


def train(root: Path, runs: Path, stage: int = 1, description: Any = mini.MINI, **more: Any) -> tuple[StageFolder, str]:
    text = RecordedConsole()
    return train_stage(options(root, runs, stage, **more), description, text), text.text


def refused(root: Path, runs: Path, stage: int = 1, description: Any = mini.MINI, **more: Any) -> str:
    with pytest.raises(DeepPoseError) as caught:
        train(root, runs, stage, description, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def weights(folder: StageFolder, which: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(getattr(folder, which), weights_only=True)["state_dict"]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def trained(mini_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A runs root with two trained stages, and what was text meanwhile."""
    runs = tmp_path_factory.mktemp("trained")
    return runs, [train(mini_root, runs, stage)[1] for stage in (1, 2)]


@pytest.fixture
def runs(trained: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(trained[0], tmp_path / "runs"))


def test_decoded_images_are_kept_beside_the_data_set_unless_told_not_to(tmp_path: Path) -> None:
    root = mini.make(tmp_path / "data")
    brief = {"settings": {**TINY, "max_epochs": 1}}
    plain, text = train(root, tmp_path / "runs", run="plain", cache=False, **brief)
    folder = root / mini.NAME / ".cache"
    assert not folder.exists()
    assert ".cache" not in text
    kept, text = train(root, tmp_path / "runs", run="kept", **brief)
    assert [file for file in folder.rglob("*") if file.is_file()]
    assert str(folder) in text
    assert same(weights(plain), weights(kept))


@pytest.mark.parametrize(("flip", "pairs"), [(0.5, ()), (0.0, ()), (0.5, None)])
def test_one_line_where_mirrored_copies_swap_no_joints(
    flip: float, pairs: tuple[()] | None, trained: tuple[Path, list[str]], mini_root: Path
) -> None:
    folder = stage_of(trained[0], 1)
    stored = folder.read_config()
    config = replace(stored, settings=with_changes(stored.settings, {"flip": flip}))
    data = TrainingData.read(mini.MINI, mini_root)
    skeleton = replace(data.train.skeleton, mirror_pairs=pairs)
    data = replace(data, train=replace(data.train, skeleton=skeleton))
    lines = [line for line in announcement(folder, config, data) if "no mirror pairs" in line]
    assert len(lines) == (1 if flip and pairs == () else 0)
    if pairs == ():
        assert skeleton.mirror == tuple(range(len(skeleton)))


def stage_of(runs: Path, number: int) -> StageFolder:
    return RunFolder(runs / mini.NAME).stage(number)


def test_a_run_folder_holds_what_the_design_says(trained: tuple[Path, list[str]]) -> None:
    first, second = (stage_of(trained[0], number) for number in (1, 2))
    for folder, epochs in ((first, 2), (second, 1)):
        config = folder.read_config()
        assert config.data == "mini"
        assert config.settings.input_size == 32
        rows = folder.history()
        assert tuple(rows[0]) == MetricsCsv.COLUMNS
        assert [row["epoch"] for row in rows] == [str(1 + epoch) for epoch in range(epochs)]
        steps = [int(row["step"]) for row in rows]
        assert steps == [steps[0] * (1 + epoch) for epoch in range(epochs)]
        for which in ("best", "last"):
            assert all(value.isfinite().all() for value in weights(folder, which).values())
        assert not list(folder.path.rglob("*.tmp*"))
    assert not first.previous_stage.exists()
    with np.load(second.previous_stage) as start:
        shapes = {key: start[key].shape for key in start}
    assert shapes == {"mean": (14, 2), "std": (14, 2), "validation": (7, 14, 2), "peak_mass": (7, 14)}
    kept = torch.load(second.best, weights_only=True)["hyper_parameters"]
    with np.load(second.previous_stage) as start:
        np.testing.assert_array_equal(kept["displacement_mean"], start["mean"])


def test_the_report_says_what_a_stage_gained(
    trained: tuple[Path, list[str]], mini_root: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deeppose_cli.evaluation.metrics import mean_rate, pdj

    folder = stage_of(trained[0], 2)
    validation = mini.MINI.read(mini_root)["validation"]
    with np.load(folder.previous_stage) as start:
        before = float(mean_rate(pdj(start["validation"], validation.keypoints, validation.skeleton)))
    after = max(float(row["val_pdj"]) for row in folder.history())
    text = trained[1][1]
    assert (f"gained {100 * (after - before):+.1f} points" if after > before else "gained nothing") in text
    assert f"{after:.1%} on validation images, {before:.1%} before it" in text


def test_refine_before_train_names_the_command(mini_root: Path, tmp_path: Path) -> None:
    text = refused(mini_root, tmp_path, 2)
    assert "deeppose train --stage 1" in text
    assert not contents(tmp_path)


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({}, "--overwrite"),
        ({"resume": True, "preset": "paper"}, "--preset"),
        ({"resume": True, "settings": {"learning_rate": 1.0}}, "--learning-rate"),
        ({"resume": True, "settings": {"rotate": 90.0}}, "--rotate"),
        ({"resume": True, "description": replace(mini.MINI, name="other"), "run": "mini"}, "--data other"),
        ({"overwrite": True, "preset": "huge"}, "--preset huge"),
        ({"overwrite": True, "settings": {"input_size": 7}}, ""),
        ({"overwrite": True, "root": "nowhere"}, ""),
        (
            {"overwrite": True, "stage": 2, "settings": {**REFINE, "freeze_blocks": 1, **BACKBONE}},
            "--freeze-blocks 1: ",
        ),
        ({"overwrite": True, "settings": {**TINY, **BACKBONE, "init_weights": __file__}}, "--init-weights "),
    ],
)
def test_what_is_refused_changes_nothing(mini_root: Path, runs: Path, more: dict[str, Any], word: str) -> None:
    before = contents(runs)
    root = Path(more.pop("root")) if "root" in more else mini_root
    with pytest.raises((DeepPoseError, OSError)) as caught:
        train(root, runs, **more)
    assert word in str(caught.value)
    assert contents(runs) == before


@pytest.mark.parametrize(("stage", "more"), [(1, {}), (1, {"resume": True}), (2, {})])
def test_a_set_that_is_only_scored_on_leaves_no_trace(
    mini_root: Path, tmp_path: Path, stage: int, more: dict[str, Any]
) -> None:
    scored = replace(mini.MINI, evaluation_only=True)
    text = refused(mini_root, tmp_path / "runs", stage, description=scored, **more)
    assert text == f"--data {mini.NAME}: for evaluation, never trained on here; deeppose eval scores it"
    assert not (tmp_path / "runs").exists()


def test_flags_that_a_training_was_started_with_may_be_given_again(mini_root: Path, tmp_path: Path) -> None:
    flags = {**TINY, "rotate": 5.0}
    train(mini_root, tmp_path, settings=flags)
    train(mini_root, tmp_path, resume=True, settings=flags)


def test_a_training_without_validation_keeps_its_last_weights(mini_root: Path, tmp_path: Path) -> None:
    train(mini_root, tmp_path, trainer={"limit_val_batches": 0})
    assert same(weights(stage_of(tmp_path, 1), "best"), weights(stage_of(tmp_path, 1)))


def test_a_stage_that_sees_the_whole_person_is_scored_as_the_cascade_predicts(mini_root: Path, runs: Path) -> None:
    """Its validation score is that of the merged poses, which the cascade predicts from the run and from a file."""
    from deeppose_cli import export
    from deeppose_cli.checkpoints.lightning import load_cascade
    from deeppose_cli.checkpoints.weights_file import load_weights
    from deeppose_cli.evaluation.metrics import mean_rate, pdj

    settings = {**TINY, "view": "person", "max_epochs": 1, "heatmap_weight": 1.0}
    folder, text = train(mini_root, runs, 2, overwrite=True, settings=settings)
    assert "σ 1.3, the whole person" in text
    data = TrainingData.read(mini.MINI, mini_root)
    cascade = load_cascade(folder_run := RunFolder(runs / mini.NAME), device="cpu")
    poses = predict_split.predict_split(cascade, data.validation, data.validation_boxes)
    score = float(mean_rate(pdj(poses[-1], data.validation.keypoints, data.validation.skeleton)))
    assert float(folder.history()[-1]["val_pdj"]) == pytest.approx(score, abs=1e-4)
    assert not np.array_equal(poses[0], poses[1])
    file = runs / "person.safetensors"
    export(run=folder_run.name, out=file, runs_root=runs)
    again = predict_split.predict_split(load_weights(file, device="cpu"), data.validation, data.validation_boxes)
    assert np.mean(np.abs(again - poses) < 0.5) > 0.95, "half precision changes little"


@pytest.mark.parametrize("more", [{"per_joint": True}, {"crops_per_joint": 3}])
def test_settings_of_crops_around_joints_are_refused_for_the_whole_person(
    mini_root: Path, runs: Path, more: dict[str, Any]
) -> None:
    text = refused(mini_root, runs, 2, overwrite=True, settings={**TINY, "view": "person", **more})
    assert next(iter(more)).replace("_", "-") in text
    assert "valid: --view joint" in text


def test_a_refinement_stage_has_the_network_of_stage_1(mini_root: Path, tmp_path: Path) -> None:
    odd = {**TINY, **BACKBONE, "backbone": "mobilenet_v3_small", "max_epochs": 1}
    train(mini_root, tmp_path, settings=odd)
    folder, text = train(mini_root, tmp_path, 2, settings={"input_size": 32, "batch_size": 182, "max_epochs": 1})
    settings = folder.read_config().settings
    assert {key: getattr(settings, key) for key in ("network", "backbone", "head_channels")} == {
        key: odd[key] for key in ("network", "backbone", "head_channels")
    }
    count = len({name.rpartition(".")[0] for name in weights(folder)})
    assert f"{count} of {count} layers" in text


def test_there_is_nothing_to_resume_where_nothing_was_started(mini_root: Path, tmp_path: Path) -> None:
    assert "nothing to resume" in refused(mini_root, tmp_path, resume=True)


def test_overwriting_a_stage_removes_those_that_refined_it(mini_root: Path, runs: Path) -> None:
    old = weights(stage_of(runs, 1))
    train(mini_root, runs, overwrite=True, seed=5, settings={**TINY, "max_epochs": 1})
    assert not same(old, weights(stage_of(runs, 1)))
    assert stage_of(runs, 1).read_config().seed == 5
    second = stage_of(runs, 2)
    assert not any(file.exists() for file in (second.best, second.last, second.previous_stage, second.config_file))


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "weights only", "another skeleton"])
def test_a_bad_last_checkpoint_is_named_and_the_best_one_stays(mini_root: Path, runs: Path, damage: str) -> None:
    folder = stage_of(runs, 1)
    if damage == "truncated":
        folder.last.write_bytes(folder.last.read_bytes()[:5000])
    elif damage == "garbage":
        folder.last.write_bytes(b"no checkpoint" * 100)
    elif damage == "empty":
        folder.last.write_bytes(b"")
    elif damage == "weights only":
        shutil.copy(folder.best, folder.last)
    else:
        state = torch.load(folder.last, weights_only=True)
        state["hyper_parameters"]["skeleton"] = FLIC10.to_mapping()
        torch.save(state, folder.last)
    before = contents(runs)
    assert str(folder.last) in refused(mini_root, runs, resume=True)
    assert contents(runs) == before


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def test_code_in_a_checkpoint_is_not_run(mini_root: Path, runs: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    best = stage_of(runs, 1).best
    best.write_bytes(pickle.dumps({"hyper_parameters": {}, "state_dict": Trap(sprung)}))
    assert str(best) in refused(mini_root, runs, 2, overwrite=True)
    torch.save({"hyper_parameters": {}, "state_dict": Trap(sprung)}, best)
    assert str(best) in refused(mini_root, runs, 2, overwrite=True)
    assert not sprung.exists()


def test_a_checkpoint_of_another_skeleton_is_refused(mini_root: Path, runs: Path) -> None:
    from deeppose_cli.training.lightning_modules import InitialStageModule

    best = stage_of(runs, 1).best
    kept = torch.load(best, weights_only=True)["hyper_parameters"]
    other = InitialStageModule(FLIC10.to_mapping(), kept["settings"], True, 0)
    torch.save({"hyper_parameters": {**kept, "skeleton": FLIC10.to_mapping()}, "state_dict": other.state_dict()}, best)
    text = refused(mini_root, runs, 2, overwrite=True)
    assert "flic10" in text
    assert str(best) in text


def test_a_folder_that_cannot_be_written_is_named(mini_root: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    assert str(tmp_path / "runs" / "mini") in refused(mini_root, tmp_path / "runs")


def test_a_folder_in_use_is_left_alone(mini_root: Path, runs: Path) -> None:
    with stage_of(runs, 1).lock():
        before = contents(runs)
        assert "in use by another training" in refused(mini_root, runs, overwrite=True)
        assert contents(runs) == before


class Stop(Exception):
    """The power goes off."""


@pytest.mark.slow
@pytest.mark.parametrize(("step", "progressive_size"), [(2, ""), (3, ""), (4, ""), (3, "32:0.4"), (4, "32:0.4")])
def test_stopped_anywhere_and_taken_up_again_the_training_ends_the_same(
    mini_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, progressive_size: str
) -> None:
    """2: the first step of the second epoch; 4: the first of the third, the last epoch. With growth the first epoch has
    smaller inputs."""
    more = {
        "settings": {
            **TINY,
            "max_epochs": 3,
            "input_size": 64 if progressive_size else 32,
            "progressive_size": progressive_size,
        }
    }
    whole, _ = train(mini_root, tmp_path / "whole", **more)

    def stop(self: Any, trainer: Any, *_: Any) -> None:
        if trainer.global_step == step:
            raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(StopOnNonFiniteLoss, "on_train_batch_start", stop)
        patched.setattr(StopOnNonFiniteLoss, "on_before_backward", lambda *_: None)
        with pytest.raises(Stop):
            train(mini_root, tmp_path / "broken", checkpoint_steps=1, **more)
    broken, _ = train(mini_root, tmp_path / "broken", resume=True)
    assert same(weights(whole), weights(broken))
    assert same(weights(whole, "best"), weights(broken, "best"))
    columns = ("epoch", "step", "val_pdj", "val_diversity", "learning_rate", "input_size")
    assert [row["input_size"] for row in whole.history()] == (["32", "64", "64"] if progressive_size else ["32"] * 3)
    assert [[row[c] for c in columns] for row in whole.history()] == [
        [row[c] for c in columns] for row in broken.history()
    ]


def test_a_stopped_refinement_taken_up_again_ends_the_same(
    runs: Path, mini_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its displacements are drawn anew in every epoch."""
    whole_runs = Path(shutil.copytree(runs, tmp_path / "whole"))
    more = {"settings": {**REFINE, "max_epochs": 2}, "overwrite": True}
    whole, _ = train(mini_root, whole_runs, 2, **more)
    first_step = int(whole.history()[0]["step"])

    def stop(self: Any, trainer: Any, *_: Any) -> None:
        if trainer.global_step == first_step + 1:
            raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(StopOnNonFiniteLoss, "on_train_batch_start", stop)
        patched.setattr(StopOnNonFiniteLoss, "on_before_backward", lambda *_: None)
        with pytest.raises(Stop):
            train(mini_root, runs, 2, checkpoint_steps=1, **more)
    broken, _ = train(mini_root, runs, 2, resume=True)
    assert same(weights(whole), weights(broken))
    assert [row["val_pdj"] for row in whole.history()] == [row["val_pdj"] for row in broken.history()]


def test_the_best_of_a_growing_training_is_of_its_last_size(
    mini_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However well it did on smaller inputs before."""
    scores = iter([0.9, 0.8, 0.1, 0.3, 0.2])
    monkeypatch.setattr("deeppose_cli.training.metrics.PDJ.compute", lambda self: torch.tensor(next(scores)))
    growing = {**TINY, "max_epochs": 5, "input_size": 64, "progressive_size": "32:0.4"}
    folder, text = train(mini_root, tmp_path / "runs", settings=growing)
    assert torch.load(folder.best, weights_only=True)["epoch"] == 3
    assert folder.best_pdj() == pytest.approx(0.3)
    assert "PDJ@0.2 30.0% on validation images" in text


@pytest.mark.parametrize(("step", "size"), [(5, 32), (7, 64)])
def test_a_network_stopped_while_its_inputs_were_small_answers_at_that_size(
    mini_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, size: int
) -> None:
    """Two steps an epoch; the first two of five epochs are at 32 px."""
    from deeppose_cli.checkpoints.lightning import load_cascade

    def stop(self: Any, trainer: Any, *_: Any) -> None:
        if trainer.global_step == step:
            raise Stop

    monkeypatch.setattr(StopOnNonFiniteLoss, "on_train_batch_start", stop)
    monkeypatch.setattr(StopOnNonFiniteLoss, "on_before_backward", lambda *_: None)
    with pytest.raises(Stop):
        train(mini_root, tmp_path, settings={**TINY, "max_epochs": 5, "input_size": 64, "progressive_size": "32:0.4"})
    assert load_cascade(RunFolder(tmp_path / mini.NAME)).stages[0].input_size == size


def test_resuming_a_finished_training_changes_no_weight(mini_root: Path, runs: Path) -> None:
    before = weights(stage_of(runs, 1))
    train(mini_root, runs, resume=True)
    assert same(before, weights(stage_of(runs, 1)))


def poisoned(row: int, value: float) -> Any:
    """The mini set with one label that no loss can bear."""

    def read(root: Path) -> dict[str, Annotations]:
        splits = mini.MINI.read(root)
        keypoints = splits["train"].keypoints.copy()
        keypoints[row, 6] = value
        return {**splits, "train": replace(splits["train"], keypoints=keypoints)}

    return with_rows(mini.MINI, read)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(mini_root: Path, runs: Path) -> None:
    still = {**TINY, "flip": 0.0, "rotate": 0.0, "scale": 0.0, "translate": 0.0, "color": 0.0}
    folder = stage_of(runs, 1)
    text = refused(mini_root, runs, description=poisoned(4, math.inf), overwrite=True, settings=still)
    assert "loss is inf" in text or "loss is nan" in text
    assert "p04.png" in text or "more" in text
    assert "try a lower --learning-rate" in text
    if folder.last.is_file():
        assert all(value.isfinite().all() for value in weights(folder).values())
        assert str(folder.last) in text
    else:
        assert "nothing was saved yet" in text


def test_unreadable_training_images_are_counted_and_named(mini_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(mini_root, root)
    file = root / mini.NAME / "images" / "p05.png"
    file.write_bytes(file.read_bytes()[:300])  # its size can still be read
    _, text = train(root, tmp_path / "runs", settings={**TINY, "max_epochs": 1})
    assert "1 image(s) could not be read" in text
    assert text.count("p05.png") == 1


@pytest.mark.parametrize(("split", "rows"), [("train", range(26)), ("validation", range(26, 33))])
def test_statistics_for_refinement_come_from_the_split_asked_for_and_none_from_test_images(
    split: str, rows: range, mini_root: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deeppose_cli.data.loading import stage_datasets
    from deeppose_cli.media import images

    opened: list[str] = []

    def spy(path: Path, **flags: Any) -> Any:
        opened.append(path.name)
        return images.read_image(path, **flags)

    monkeypatch.setattr(predict_split, "read_image", spy)
    monkeypatch.setattr(stage_datasets, "read_image", spy)
    measured: list[int] = []
    original = displacement.Displacement.measure

    def measure(predicted: Any, annotations: Annotations, first: Any) -> Any:
        measured.extend(int(name[1:3]) for name in annotations.names)
        return original(predicted, annotations, first)

    monkeypatch.setattr(displacement.Displacement, "measure", staticmethod(measure))
    train(mini_root, runs, 2, overwrite=True, settings={**REFINE, "displacement_split": split})
    assert measured == list(rows)
    assert set(rows) <= {int(name[1:3]) for name in opened} <= set(range(33)), "test images are 33 to 37"


class Watched:
    """What CollapseGuard asks of a Trainer."""

    is_global_zero = True

    def __init__(self, spread: float) -> None:
        self.callback_metrics = {"val_diversity": torch.tensor(spread)}


@pytest.mark.parametrize(
    ("spreads", "warned"),
    [
        ([0.02, 0.03], True),
        ([0.02], False),
        ([0.02, 0.5, 0.02], False),
        ([0.5, 0.02, 0.01], True),
        ([math.nan, math.nan], False),
    ],
)
def test_collapse_is_called_by_name_after_two_validations(spreads: list[float], warned: bool) -> None:
    text = RecordedConsole()
    guard = CollapseGuard(text)
    for spread in spreads:
        guard.on_validation_end(Watched(spread), None)  # type: ignore[arg-type]
    assert ("collapse to the mean pose" in text.text) == warned


def test_corrections_may_vary_less_than_poses() -> None:
    """A stage 2 that gained 0.02 on FLIC's validation images varied by 7 % of its labels."""
    for spread, warned in ((0.07, False), (0.004, True)):
        text = RecordedConsole()
        guard = CollapseGuard(text, refining=True)
        for _ in range(3):
            guard.on_validation_end(Watched(spread), None)  # type: ignore[arg-type]
        assert ("collapse to the mean correction" in text.text) == warned


def test_a_network_that_learns_nothing_is_reported_as_collapsed(mini_root: Path, tmp_path: Path) -> None:
    _, text = train(mini_root, tmp_path, settings={**TINY, "learning_rate": 1e-9, "max_epochs": 2})
    spread = [float(row["val_diversity"]) for row in stage_of(tmp_path, 1).history()]
    assert ("collapse to the mean pose" in text) == all(value < 0.1 for value in spread)


def test_a_usage_error_is_one(mini_root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--run"):
        train(mini_root, tmp_path, run="../away")


@pytest.fixture(scope="module")
def exported(trained: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained run as a weights file."""
    from deeppose_cli import export

    file = tmp_path_factory.mktemp("exported") / "mini.safetensors"
    export(run=mini.NAME, out=file, runs_root=trained[0])
    return file


def test_the_record_of_a_run_counts_its_images(exported: Path) -> None:
    from deeppose_cli.checkpoints.weights_file import read_header

    records = read_header(exported).metadata.records
    assert [(record.data, record.num_train_images, record.epochs) for record in records] == [
        ("mini", 26, 2),
        ("mini", 26, 1),
    ]


@pytest.mark.parametrize("stage", [1, 2])
def test_a_training_goes_on_from_a_weights_file(mini_root: Path, runs: Path, exported: Path, stage: int) -> None:
    """At a learning rate of almost nothing it ends where it began."""
    old = weights(stage_of(runs, stage), "best")
    own = {
        **(TINY if stage == 1 else REFINE),
        "learning_rate": 1e-12,
        "weight_decay": 0.0,
        "init_weights": str(exported),
    }
    folder, text = train(mini_root, runs, stage, overwrite=True, settings={**own, "max_epochs": 1})
    layers = len({name.rpartition(".")[0] for name in old})
    assert f"stage {stage}: starts from {exported}, stage {stage}: {layers} of {layers} layers" in text
    assert "for 14 of 14 joints" in text
    new = weights(folder)
    learned = [name for name in old if "running" not in name and "num_batches" not in name]
    for name in learned:
        torch.testing.assert_close(new[name], old[name], rtol=1e-3, atol=1e-5, msg=name)


def test_a_stage_that_the_file_lacks_starts_from_its_first(
    mini_root: Path, trained: tuple[Path, list[str]], runs: Path, tmp_path: Path
) -> None:
    from deeppose_cli import export

    file = tmp_path / "one.safetensors"
    export(run=mini.NAME, stages=1, out=file, runs_root=trained[0])
    _, text = train(mini_root, runs, 2, overwrite=True, settings={**REFINE, "init_weights": str(file)})
    assert f"stage 2: starts from {file}, stage 1: " in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"head_channels": 16}, "no layer fits network integral, input 32 px"),
        ({**BACKBONE, "head_channels": 16}, "mobilenet_v1"),
    ],
)
def test_a_start_of_which_nothing_fits_changes_nothing(
    mini_root: Path, runs: Path, exported: Path, more: dict[str, Any], words: str
) -> None:
    before = contents(runs)
    text = refused(mini_root, runs, overwrite=True, settings={**TINY, "init_weights": str(exported), **more})
    assert f"--init-weights {exported}, stage 1: no layer fits network" in text
    assert words in text
    assert contents(runs) == before


def test_a_start_that_is_damaged_or_meant_for_a_backbone_changes_nothing(
    mini_root: Path, runs: Path, exported: Path, tmp_path: Path
) -> None:
    before = contents(runs)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(exported.read_bytes()[:-1])
    text = refused(mini_root, runs, overwrite=True, settings={**TINY, "init_weights": str(damaged)})
    assert f"--init-weights {damaged}: no weights file of deeppose" in text
    text = refused(mini_root, runs, overwrite=True, settings={**TINY, "init_weights": "pretrained"})
    assert "network integral has no backbone" in text
    text = refused(mini_root, runs, overwrite=True, settings={**TINY, "init_weights": "people-fast"})
    assert "--init-weights people-fast: not in this installation" in text
    assert contents(runs) == before


def test_a_training_is_taken_up_again_without_the_file_it_began_from(
    mini_root: Path, tmp_path: Path, exported: Path
) -> None:
    start = Path(shutil.copy(exported, tmp_path / "start.safetensors"))
    folder, _ = train(mini_root, tmp_path, settings={**TINY, "init_weights": str(start)})
    start.unlink()
    _, text = train(mini_root, tmp_path, resume=True)
    assert "starts from" not in text
    assert folder.read_config().settings.init_weights == str(start)


def test_each_training_measures_its_confidence_and_a_file_carries_it(
    trained: tuple[Path, list[str]], tmp_path: Path, mini_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deeppose_cli import export
    from deeppose_cli.checkpoints.lightning import load_cascade
    from deeppose_cli.checkpoints.weights_file import load_weights
    from deeppose_cli.core.progress import progress_bar
    from deeppose_cli.data.loading.datamodules import TrainingData
    from deeppose_cli.exporting.importer import import_cascade
    from deeppose_cli.training.train import calibrate_stages

    run = RunFolder(Path(shutil.copytree(trained[0], tmp_path / "runs")) / mini.NAME)
    kept = [stage.calibration.read_text() for stage in run.stages]
    for stage in run.stages:
        stage.calibration.unlink()
    assert [stage.calibration for stage in load_cascade(run, device="cpu").stages] == [None, None]
    with progress_bar() as progress:
        data = TrainingData.read(mini.MINI, mini_root, run.initial_box, progress)
    found = calibrate_stages(run, data, 2)
    assert None not in found
    assert [stage.calibration.read_text() for stage in run.stages] == kept

    export(run=mini.NAME, out=tmp_path / "kept.safetensors", runs_root=tmp_path / "runs")
    assert [stage.calibration for stage in load_weights(tmp_path / "kept.safetensors").stages] == found
    other = RunFolder(tmp_path / "runs" / "imported")
    import_cascade(tmp_path / "kept.safetensors", other)
    assert [stage.calibration for stage in load_cascade(other).stages] == found

    shutil.copy(run.stage(1).best, run.stage(2).best)  # another network: what was measured is not its own
    from deeppose_cli.checkpoints.lightning import read_calibration

    assert read_calibration(run.stage(2)) is None
    run.stage(1).calibration.write_text("{")
    with pytest.raises(DeepPoseError, match=r"calibration\.json: not readable .* may be deleted"):
        load_cascade(run, 1)
