"""`deeppose runs` and `deeppose runs show`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from deeppose_cli.checkpoints import pretrained
from deeppose_cli.cli.app import main
from tests.helpers.run_configs import write_config
from tests.helpers.weights_files import write


def write_stage(run: str, number: int, scores: list[str], *, changed: int, data: str = "demo") -> Path:
    folder = Path("lightning_logs", run, f"stage{number}")
    write_config(folder, data=data)
    rows = [f"{epoch},{epoch * 10},{score}" for epoch, score in enumerate(scores, 1)]
    (folder / "metrics.csv").write_text("\n".join(["epoch,step,val_pdj", *rows]) + "\n")
    (folder / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    for file in (folder / "config.yaml", folder / "checkpoints" / "best.ckpt"):
        os.utime(file, (changed, changed))
    return folder


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def test_no_run_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    assert capsys.readouterr().out == "no run in lightning_logs; type: deeppose train --stage 1\n"


def test_runs_come_newest_first_with_their_best_score(capsys: pytest.CaptureFixture[str]) -> None:
    write_stage("old", 1, ["0.1", "0.3"], changed=1_000)
    write_stage("new", 1, ["0.5", "0.4", "nan"], changed=2_000)
    write_stage("new", 2, [], changed=3_000)
    assert main(["runs", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["new", "old"]
    assert [(stage["epochs"], stage["best_val_pdj"]) for stage in rows[0]["stages"]] == [(3, 0.5), (0, None)]
    assert rows[1]["stages"][0] == {
        "stage": 1,
        "data": "demo",
        "preset": "tiny",
        "epochs": 2,
        "max_epochs": 20,
        "best_val_pdj": 0.3,
        "trained": True,
    }
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["3 of 20" in lines[1], "50.0" in lines[1], "none yet" in lines[2], lines[3].split()[0]] == [True] * 3 + [
        "old"
    ]


def test_a_damaged_run_hides_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    write_stage("good", 1, ["0.3"], changed=1_000)
    (write_stage("bad", 1, ["0.3"], changed=2_000) / "config.yaml").write_text("[")
    assert main(["runs"]) == 0
    out = capsys.readouterr().out
    assert "not readable" in out
    assert "30.0" in out


def test_a_bad_key_of_a_configuration_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_stage("odd", 1, ["0.3"], changed=1_000)
    text = (folder / "config.yaml").read_text()
    for change, problem in (
        (text + "speed: 3\n", "unknown 'speed'"),
        (text.replace("data: demo\n", ""), "data is missing"),
        (text.replace("max_epochs: 20", "max_epochs: many"), "max_epochs is 'many'"),
    ):
        (folder / "config.yaml").write_text(change)
        assert main(["runs", "--json"]) == 0
        stage = json.loads(capsys.readouterr().out)[0]["stages"][0]
        expected = f"lightning_logs/odd/stage1/config.yaml: not the configuration of a training ({problem}"
        assert stage["problem"].startswith(expected)


def test_another_root(capsys: pytest.CaptureFixture[str]) -> None:
    write_stage("good", 1, ["0.3"], changed=1_000)
    Path("lightning_logs").rename("elsewhere")
    assert main(["runs", "--runs-root", "elsewhere"]) == 0
    assert "good" in capsys.readouterr().out


def test_show_prints_every_stages_settings(capsys: pytest.CaptureFixture[str]) -> None:
    write_stage("lsp", 1, ["0.3"], changed=1_000, data="lsp")
    write_stage("lsp", 2, ["0.3"], changed=2_000, data="lsp")
    assert main(["runs", "show", "lsp"]) == 0
    out = capsys.readouterr().out
    assert out.count("max_epochs: 20") == 2
    assert "stage2/config.yaml" in out


def test_show_of_an_unknown_run_names_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    write_stage("lsp", 1, ["0.3"], changed=1_000)
    assert main(["runs", "show", "demo"]) == 1
    assert capsys.readouterr().err == "error: demo: no such run in lightning_logs; runs: lsp\n"


def test_the_pretrained_weights_are_listed_below(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    write(tmp_path / "people.safetensors")
    (tmp_path / "people-fast.safetensors").write_bytes(b"")
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "pretrained: --weights people: 2 stage(s), trained on mini"
    assert "people-fast.safetensors: not a weights file" in lines[2]
    assert main(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
