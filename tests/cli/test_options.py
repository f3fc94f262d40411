"""Groups of flags as dataclasses, flags of settings, and flags from a YAML file."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from deeppose_cli.cli.app import main
from deeppose_cli.cli.options import flatten_flags
from deeppose_cli.cli.train import OWN_ARGUMENTS, trainer_parameters
from deeppose_cli.config.schema import RefinementPreset
from deeppose_cli.training import train


@dataclass(frozen=True)
class Fruit:
    apples: Annotated[int | None, typer.Option("--apples")] = None
    ripe: Annotated[bool, typer.Option("--ripe")] = False
    names: Annotated[list[str] | None, typer.Option("--name")] = None


def test_a_group_is_typed_flag_by_flag_and_arrives_whole() -> None:
    seen: list[Any] = []
    app = typer.Typer()

    @app.command()
    @flatten_flags()
    def command(*, basket: Annotated[str, typer.Option("--basket")] = "round", fruit: Fruit) -> None:
        seen.append((basket, fruit))

    run = CliRunner().invoke
    assert run(app, ["--apples", "3", "--name", "a", "--name", "b"]).exit_code == 0
    assert run(app, ["--basket", "square", "--ripe"]).exit_code == 0
    assert run(app, ["--apples", "many"]).exit_code == 2
    assert seen == [("round", Fruit(3, False, ["a", "b"])), ("square", Fruit(None, True, None))]


def test_two_flags_of_one_name_are_refused() -> None:
    def command(*, ripe: bool = False, fruit: Fruit) -> None: ...

    with pytest.raises(ValueError, match="ripe"):
        flatten_flags()(command)


def test_settings_are_a_flag_each_and_arrive_as_those_that_were_given() -> None:
    seen: list[Any] = []
    app = typer.Typer()

    @app.command()
    @flatten_flags(RefinementPreset)
    def command(*, settings: dict[str, Any]) -> None:
        seen.append(settings)

    run = CliRunner().invoke
    assert run(app, []).exit_code == 0
    assert run(app, ["--per-joint", "--sigma", "1.5", "--erase", "0"]).exit_code == 0
    assert run(app, ["--shared", "--crops-per-joint", "3"]).exit_code == 0
    assert seen == [{}, {"per_joint": True, "sigma": 1.5, "erase": 0.0}, {"per_joint": False, "crops_per_joint": 3}]
    assert run(app, ["--progressive-size", "96:0.5"]).exit_code == 2, "stage 1 only"


def test_the_trainers_arguments_are_those_of_its_signature() -> None:
    import inspect

    from lightning import Trainer

    assert trainer_parameters() == set(inspect.signature(Trainer).parameters)
    assert set(OWN_ARGUMENTS) <= trainer_parameters()


# ---- --config FILE


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The options of each training that would start."""
    found: list[Any] = []
    monkeypatch.setattr(train, "train_stage", lambda options, *_: found.append(options))
    return found


def test_a_file_has_any_flag_and_flags_on_the_line_win(options: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    content = {
        "data": "demo", "max_epochs": 3, "learning-rate": 1, "devices": 2, "cache": False, "run": "mine",
        "runs_root": str(tmp_path), "trainer": ["gradient_clip_val=1.5"], "seed": None, "overwrite": True,
    }  # fmt: skip
    file.write_text(yaml.safe_dump(content))
    line = ["train", "--config", str(file)]
    assert main(line) == 0
    assert main([*line, "--max-epochs", "5", "--cache", "--run", "other"]) == 0
    first, second = options
    assert first.settings == {"max_epochs": 3, "learning_rate": 1.0}
    assert (first.data, first.run, first.cache, first.overwrite, first.seed) == ("demo", "mine", False, True, None)
    assert (first.runs_root, first.trainer) == (tmp_path, {"devices": 2, "gradient_clip_val": 1.5})
    assert (second.settings["max_epochs"], second.cache, second.run) == (5, True, "other")


@pytest.mark.parametrize("name", ["tiny", "modern", "flic", "paper"])
@pytest.mark.parametrize("stage", [1, 2])
def test_the_file_of_a_preset_trains_the_same_as_the_preset(
    name: str, stage: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from deeppose_cli.checkpoints.run_folder import run_folder
    from deeppose_cli.training.run_config import new_config

    configs = []

    def make_config(options: Any, dataset: Any, console: object) -> None:
        run = run_folder(options.runs_root, "any")
        if options.stage == 2:
            first = new_config(run, run.stage(1), train.TrainOptions(preset=name, overwrite=True), dataset)
            run.stage(1).write_config(first)
            run.stage(1).best.write_bytes(b"weights")
        configs.append(new_config(run, run.stage(stage), options, dataset))

    monkeypatch.setattr(train, "train_stage", make_config)
    command = "train" if stage == 1 else "refine"
    assert main(["presets", name, "--yaml", "--stage", str(stage)]) == 0
    (tmp_path / "preset.yaml").write_text(capsys.readouterr().out)
    roots = ["--runs-root", str(tmp_path)] + (["--data", "lsp"] if stage == 2 else [])
    assert main([command, "--config", str(tmp_path / "preset.yaml"), *roots]) == 0
    assert main([command, "--preset", name, *roots]) == 0
    assert configs[0] == configs[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_epoch: 3", ["max_epoch: unknown", "max_epochs"]),
        ("max_epochs: many", ["max_epochs: 'many': valid: a whole number"]),
        ("max_epochs: 2.5", ["max_epochs: 2.5: valid: a whole number"]),
        ("workers: true", ["workers: True: valid: one value"]),
        ("workers: -1", ["workers: -1: valid: 0 or more"]),
        ("resume: 1", ["resume: 1: valid: true, false"]),
        ("box: [1, 2]", ["box: [1, 2]: valid: one value"]),
        ("trainer: fast", ["trainer: 'fast': valid: a list of texts"]),
        ("- max_epochs", ["must hold lines such as"]),
        ("a: [", ["no YAML"]),
    ],
)
def test_a_fault_of_the_file_is_one_line(
    text: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    assert main(["train", "--config", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"error: --config {file}: ")
    for word in words:
        assert word in lines[0]


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["refine", "--config", str(tmp_path / "none.yaml")]) == 2
    assert (
        capsys.readouterr().err == f"error: --config {tmp_path}/none.yaml: not readable (No such file or directory)\n"
    )


def test_errors_of_the_arguments_and_help_need_no_torch(tmp_path: Path) -> None:
    """In a process of its own, as this one has torch already."""
    (tmp_path / "mine.yaml").write_text("max_epochs: 3\n")
    lines = [
        ["train", "--config", "mine.yaml", "--help"],
        ["train", "--config", "none.yaml"],
        ["train", "--data", "coco"],
        ["train", "--preset", "huge"],
        ["train", "--preset", "tiny", "--input-size", "100"],
        ["train", "--preset", "modern", "--backbone", "vgg"],
        ["train", "--box", "head"],
        ["train", "--trainer", "gradient_clip=1"],
        ["train", "--data", "lsp"],
        ["refine", "--run", "none"],
    ]
    script = f"""if True:
        import sys
        from deeppose_cli.cli.app import main
        codes = [main(line) for line in {lines!r}]
        print(codes, sorted({{"torch", "lightning"}} & sys.modules.keys()))
    """
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ran.stdout.endswith("\n[0, 2, 2, 2, 2, 2, 2, 2, 1, 1] []\n"), ran.stderr
    assert len(ran.stderr.splitlines()) == len(lines) - 1 + 2  # two trainings name the data set that they take
