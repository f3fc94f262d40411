"""`evaluate` from Python, without the command line; what it computes is tested through `deeppose eval`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import deeppose_cli
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import UsageError
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.datasets import registry
from deeppose_cli.evaluation.evaluate import evaluate
from tests.helpers.memory import dataset
from tests.helpers.wandb_files import wandb_records

N = 4


@pytest.fixture
def predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set `tiny` of a few images, and a file that predicts its labels."""
    files = tuple(tmp_path / f"im{i}.png" for i in range(N))
    for file in files:
        cv2.imwrite(str(file), np.zeros((60, 50, 3), np.uint8))
    poses = np.random.default_rng(0).uniform(5, 45, (N, 14, 2))
    part = Annotations(LSP14, files, poses, np.full((N, 4), np.nan), tuple(file.name for file in files))
    parts = {"train": part, "validation": part, "test": part}
    spec = dataset("tiny", LSP14, lambda root: parts)
    monkeypatch.setattr(registry, "DATASETS", {"tiny": spec})
    monkeypatch.chdir(tmp_path)
    np.savez("them.npz", keypoints=poses)
    return Path("them.npz")


def test_it_is_public() -> None:
    assert deeppose_cli.evaluate is evaluate


def test_it_returns_the_document_and_writes_nothing(predictions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path().rglob("*"))
    result = evaluate(data="tiny", predictions=[str(predictions)])
    assert [row["name"] for row in result.rows] == ["mean pose", "them.npz"]
    assert result.rows is result.document["rows"]
    assert result.rows[1]["pdj"]["mean"] == 1
    assert result.files == ()
    assert sorted(Path().rglob("*")) == before
    assert json.loads(result.to_json()) == result.document
    assert capsys.readouterr().out == ""


def test_with_out_it_writes_the_files(predictions: Path) -> None:
    result = evaluate(data="tiny", predictions=[predictions], out="scores", bootstrap=0)
    assert {file.name for file in result.files} == {"scores.json", "per-image.csv", "pdj.png", "pdj.svg", "poses.png"}
    assert all(file.parent == Path("scores") and file.is_file() for file in result.files)
    assert json.loads(Path("scores/scores.json").read_text()) == result.document


def test_metric_chooses_the_tables(predictions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(data="tiny", predictions=[predictions], metric="pcp").print_tables()
    printed = capsys.readouterr().out
    assert "PCP (strict), %: tiny test, 4 images" in printed
    assert "PDJ" not in printed
    evaluate(data="tiny", predictions=[predictions]).print_tables()
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("PDJ", "PCP", "PCK"))


def test_progress_is_called(predictions: Path) -> None:
    evaluate(data="tiny", predictions=[predictions], progress=lambda task, done, total: None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "--split dev: unknown; valid: train, validation, test"),
        ({"metric": "map"}, "--metric map: unknown; valid: pdj, pcp, pck, pckh, oks, rmse, all"),
        ({"pcp_rule": "loose"}, "--pcp-rule loose: unknown; valid: strict, mean, buffy"),
        ({"centric": "camera"}, "--centric camera: unknown; valid: person, observer"),
        ({"stage": 0}, "--stage 0: valid: all, or the number of a stage"),
        ({"bootstrap": -1}, "--bootstrap -1: too few draws"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        evaluate(**arguments)
    assert message in str(caught.value)


@pytest.mark.slow
def test_scores_go_to_the_loggers_too(predictions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("WANDB_MODE", "offline")
    result = evaluate(data="tiny", predictions=[predictions], out="scores", loggers=("tensorboard", "wandb"), html=True)
    events = EventAccumulator("scores/tensorboard")
    events.Reload()
    (logged,) = events.Scalars("mean pose/pdj/mean")
    assert logged.value == pytest.approx(result.rows[0]["pdj"]["mean"])
    (run,) = Path("scores/wandb").glob("offline-run-*")
    summary = {
        "/".join(item.nested_key) or item.key: item.value_json
        for record in wandb_records(run)
        if record.HasField("summary")
        for item in record.summary.update
    }
    assert float(summary["them.npz/pdj/mean"]) == 1
    assert list(run.glob("files/media/html/report*"))
    assert list(run.glob("files/media/images/pdj*"))


@pytest.mark.parametrize(("logger", "out"), [("mlflow", "scores"), ("wandb", None)])
def test_loggers_that_cannot_be_used_are_named(predictions: Path, logger: str, out: str | None) -> None:
    with pytest.raises(UsageError, match=f"--logger {logger}: "):
        evaluate(data="tiny", predictions=[predictions], out=out, loggers=(logger,))
