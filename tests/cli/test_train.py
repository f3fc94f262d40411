"""`deeppose train` and `deeppose refine`: what is typed wrongly, and the loggers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deeppose_cli.cli.app import main
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.training import train
from tests.helpers import mini

SMALL = ["--input-size", "32", "--batch-size", "13", "--max-epochs", "1", "--workers", "0", "--accelerator", "cpu"]


@pytest.fixture
def places(mini_root: Path, tmp_path: Path, mini_known: None) -> list[str]:
    return ["--data", mini.NAME, "--data-root", str(mini_root), "--runs-root", str(tmp_path / "runs")]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ")
    assert not captured.out
    return lines[0]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["train", "--trainer", "gradient_clip=1"], ["--trainer gradient_clip=1", "gradient_clip_val"]),
        (["train", "--trainer", "max_epochs=3"], ["--trainer max_epochs=3"]),
        (["train", "--trainer", "fast_dev_run"], ["--trainer fast_dev_run", "KEY=VALUE"]),
        (["train", "--logger", "csv,mlflow"], ["--logger mlflow", "tensorboard", "wandb"]),
        (["train", "--stage", "2"], ["--stage 2", "deeppose refine --stage 2"]),
        (["refine", "--stage", "1"], ["--stage 1", "deeppose train --stage 1"]),
        (["train", "--preset", "huge"], ["--preset huge", "paper"]),
        (["train", "--learning-rate", "-0.1"], ["--learning-rate -0.1", "positive"]),
        (["train", "--learning-rate", "nan"], ["--learning-rate nan", "positive"]),
        (["train", "--max-epochs", "0"], ["--max-epochs 0", "positive"]),
        (["train", "--max-epochs", "many"], ["--max-epochs"]),
        (["train", "--checkpoint-steps", "0"], ["--checkpoint-steps"]),
        (["train", "--workers", "-1"], ["--workers"]),
        (["train", "--run", "../away"], ["--run ../away"]),
        (["refine", "--regressor", "both"], ["No such option: --regressor"]),
        (["refine", "--init-weights", "middle"], ["--init-weights middle", "previous"]),
        (
            ["train", "--init-weights", "previous"],
            ["--init-weights previous", "random", "pretrained", "people", "a file"],
        ),
        (["refine", "--sigma", "0"], ["--sigma 0", "positive"]),
        (["train", "--optimizer", "sgd"], ["--optimizer sgd", "adagrad, adamw"]),
        (["train", "--schedule", "step"], ["--schedule step", "constant, cosine"]),
        (["train", "--coordinate-loss", "huber"], ["--coordinate-loss huber", "l1, l2, wing"]),
        (["refine", "--head", "round"], ["--head round", "integral, pyramid, regression"]),
        (["train", "--weight-decay", "-1"], ["--weight-decay -1", "0 or more"]),
        (["train", "--heatmap-weight", "nan"], ["--heatmap-weight nan", "0 or more"]),
        (["refine", "--erase", "1.5"], ["--erase 1.5", "0 to 1"]),
        (["train", "--rotate", "181"], ["--rotate 181", "0 to 180"]),
        (["train", "--color", "2"], ["--color 2", "0 to 1"]),
        (["train", "--freeze-blocks", "-1"], ["--freeze-blocks -1", "0 or more"]),
        (["train", "--preset", "tiny", "--backbone", "resnet18"], ["--backbone resnet18", "tiny", "--preset modern"]),
        (
            ["train", "--preset", "tiny", "--init-weights", "pretrained"],
            ["--init-weights pretrained", "network integral", "--preset modern"],
        ),
        (["train", "--preset", "paper", "--head-channels", "64"], ["--head-channels 64", "paper", "leave it out"]),
        (["train", "--preset", "tiny", "--head-channels", "1"], ["--head-channels 1", "2 or more"]),
        (["refine", "--sigma", "inf"], ["--sigma inf", "finite"]),
        (["train", "--preset", "paper", "--heatmap-weight", "1"], ["--heatmap-weight 1", "paper", "no heatmaps"]),
        (
            ["train", "--preset", "modern", "--head", "regression", "--heatmap-weight", "0.5"],
            ["--heatmap-weight 0.5", "--head regression", "no heatmaps"],
        ),
    ],
)
def test_what_is_typed_wrongly_is_named_in_one_line(
    typed: list[str], words: list[str], places: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*typed, *places]) == 2
    message = one_line(capsys)
    for word in words:
        assert word in message
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and file.name != ".lock"]


@pytest.mark.parametrize("name", ["buffy", "parse"])
def test_a_set_that_is_only_scored_on_is_refused_at_once(name: str, tmp_path: Path) -> None:
    """In a process of its own, as this one has torch already."""
    script = f"""if True:
        import sys
        from deeppose_cli.cli.app import main
        codes = [main([verb, "--data", "{name}"]) for verb in ("train", "refine")]
        print(codes, sorted({{"torch", "lightning"}} & sys.modules.keys()))
    """
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ran.stdout == "[2, 2] []\n"
    refusal = f"error: --data {name}: for evaluation, never trained on here; deeppose eval scores it"
    assert ran.stderr.splitlines() == [refusal] * 2
    assert not list(tmp_path.iterdir())


def test_an_unknown_data_set_is_a_usage_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["train", "--data", "coco", "--runs-root", str(tmp_path)]) == 2
    message = one_line(capsys)
    assert "--data coco" in message
    assert "lsp" in message


def test_refine_before_train_says_what_to_type(places: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["refine", *places]) == 1
    assert "deeppose train --stage 1" in one_line(capsys)


def test_every_number_on_the_line_reaches_the_stored_settings(
    places: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from deeppose_cli.config.presets import MODERN
    from deeppose_cli.config.schema import with_changes

    given: list[dict[str, object]] = []
    monkeypatch.setattr(train, "train_stage", lambda options, *_: given.append(dict(options.settings)))
    typed = {
        "max_epochs": 3, "input_size": 64, "batch_size": 7, "optimizer": "adagrad", "learning_rate": 0.1,
        "weight_decay": 0.0, "schedule": "constant", "coordinate_loss": "wing", "heatmap_weight": 0.0,
        "backbone": "resnet18", "head": "regression", "freeze_blocks": 0, "head_channels": 9, "flip": 0.0,
        "rotate": 0.0, "scale": 0.25, "translate": 0.125, "color": 0.0, "erase": 0.5, "gray": 0.1,
        "gamma": 0.2, "blur": 0.3, "noise": 0.4, "jpeg": 0.6, "init_weights": "pretrained",
    }  # fmt: skip
    line = [word for name, value in typed.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert main(["train", "--preset", "modern", *line, *places]) == 0
    assert given == [typed]
    settings = with_changes(MODERN.initial, given[0])
    for name, value in typed.items():
        holder = settings.augmentation if hasattr(settings.augmentation, name) else settings
        assert getattr(holder, name) == value


@pytest.mark.slow
def test_loggers_leave_their_files_within_the_stage_folder(
    places: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    assert main(["train", *SMALL, *places, "--logger", "csv,tensorboard,wandb"]) == 0
    stage = tmp_path / "runs" / mini.NAME / "stage1"
    assert list((stage / "tensorboard").glob("events.out.tfevents.*"))
    assert list((stage / "wandb").glob("offline-run-*/*.wandb"))
    assert (stage / "metrics.csv").is_file()
    assert {entry.name for entry in tmp_path.iterdir()} == {"runs"}
    assert "anonymous" not in capfd.readouterr().err


def test_without_a_data_set_it_says_which_one_it_takes_and_how_to_take_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:

    trained: list[str] = []
    monkeypatch.setattr(train, "train_stage", lambda options, dataset, console: trained.append(dataset.name))
    assert main(["train", "--runs-root", str(tmp_path)]) == 0
    notice = capsys.readouterr().err
    assert "deeppose data prepare lsp --from lsp_dataset.zip" in notice
    assert main(["train", "--data", "lsp", "--runs-root", str(tmp_path)]) == 0
    assert trained == ["demo", "lsp"]
    assert not capsys.readouterr().err


# ---- recipes


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str, str, int]]:
    """What each training would be: run, data, preset, initial box, input size. Nothing is trained."""
    from deeppose_cli.checkpoints.run_folder import run_folder
    from deeppose_cli.training import run_config

    found: list[tuple[str, str, str, str, int]] = []

    def prepare(options: run_config.TrainOptions, dataset: DatasetSpec, console: object) -> None:
        run = run_folder(options.runs_root, options.run or dataset.name)
        stage = run.stage(options.stage)
        if options.resume:
            config = run_config.resumed_config(stage, options, dataset)
        else:
            config = run_config.new_config(run, stage, options, dataset)
        stage.write_config(config)
        found.append((run.name, config.data, str(config.preset), config.box, config.settings.input_size))

    monkeypatch.setattr(train, "train_stage", prepare)
    return found


def test_a_recipe_brings_its_data_set_its_initial_box_and_the_name_of_its_run(
    planned: list[tuple[str, ...]], tmp_path: Path
) -> None:
    for name in ("lsp", "flic", "people"):
        assert main(["train", "--preset", name, "--runs-root", str(tmp_path)]) == 0
    boxes = {"lsp": "image", "flic": "torso", "people": "own"}
    assert [row[:4] for row in planned] == [(name, name, name, box) for name, box in boxes.items()]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["--preset", "flic", "--data", "lsp"], ("lsp", "lsp", "flic", "image")),
        (["--preset", "flic", "--data", "flic"], ("flic", "flic", "flic", "torso")),
        (["--preset", "flic", "--box", "face"], ("flic", "flic", "flic", "face")),
        (["--data", "lsp", "--box", "own"], ("lsp", "lsp", "small", "own")),
        (["--preset", "flic", "--run", "mine"], ("mine", "flic", "flic", "torso")),
        (["--data", "flic"], ("flic", "flic", "small", "face")),
        (["--data", "people"], ("people", "people", "people", "own")),
        (["--preset", "tiny"], ("demo", "demo", "tiny", "image")),
    ],
)
def test_flags_win_over_what_a_recipe_brings(
    typed: list[str], expected: tuple[str, ...], planned: list[tuple[str, ...]], tmp_path: Path
) -> None:
    """On another data set than its own a recipe is its numbers, without its initial box."""
    assert main(["train", *typed, "--runs-root", str(tmp_path)]) == 0
    assert planned[0][:4] == expected


def test_the_line_that_started_a_training_takes_it_up_again(
    planned: list[tuple[str, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", "--preset", "flic", "--run", "mine", "--input-size", "160", "--runs-root", str(tmp_path)]
    assert main(line) == 0
    assert main([*line, "--resume"]) == 0
    assert main(["train", "--run", "mine", "--resume", "--runs-root", str(tmp_path)]) == 0
    assert planned == [("mine", "flic", "flic", "torso", 160)] * 3
    for other in (["--preset", "lsp"], ["--input-size", "96"], ["--box", "face"], ["--seed", "3"]):
        capsys.readouterr()
        assert main([*line, "--resume", *other]) == 2
        assert one_line(capsys).startswith(f"error: {other[0]}: not with --resume")
    assert len(planned) == 3


def test_starting_again_by_a_recipe_takes_its_data_whatever_the_run_held(
    planned: list[tuple[str, ...]], tmp_path: Path
) -> None:
    typed = ["train", "--run", "mine", "--runs-root", str(tmp_path)]
    assert main([*typed, "--data", "lsp"]) == 0
    assert main([*typed, "--preset", "flic", "--overwrite"]) == 0
    assert main([*typed, "--overwrite"]) == 0
    assert [row[:3] for row in planned] == [
        ("mine", "lsp", "small"),
        ("mine", "flic", "flic"),
        ("mine", "flic", "small"),
    ]


@pytest.mark.parametrize(
    ("preset", "settings", "freeze_blocks", "advised"),
    [
        ("lsp", {}, 0, "--init-weights FILE (mobilenet_v1"),
        ("lsp", {"backbone": "resnet18"}, 0, "--init-weights pretrained"),
        ("people", {}, 0, "--init-weights FILE (movenet_thunder"),
        ("lsp", {"init_weights": __file__}, 4, ""),
        ("lsp", {"init_weights": "random"}, 0, ""),
        ("lsp", {"freeze_blocks": 2}, 2, "--init-weights FILE"),
        ("tiny", {}, 0, ""),
    ],
)
def test_random_values_are_not_frozen_and_one_line_tells_of_better_ones(
    preset: str, settings: dict[str, object], freeze_blocks: int, advised: str, tmp_path: Path
) -> None:
    from deeppose_cli.checkpoints.run_folder import run_folder
    from deeppose_cli.training.run_config import TrainOptions, new_config, starting_advice

    options = TrainOptions(1, preset=preset, settings=settings)
    run = run_folder(tmp_path, "mine")
    config = new_config(run, run.stage(1), options, mini.MINI)
    assert config.settings.freeze_blocks == freeze_blocks
    assert config.settings.init_weights != "random" or not config.settings.distill_weight
    lines = starting_advice(config, options)
    assert len(lines) == bool(advised)
    assert all(line.startswith("initial weights: random") and advised in line for line in lines)
    assert starting_advice(config, replace(options, resume=True)) == []
