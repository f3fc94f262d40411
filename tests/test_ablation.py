"""The ablation runner, with trainings that only leave their files."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.ablation import BASE, Study, ablate, changes, table
from deeppose_cli.cli.app import main
from tests.helpers.run_configs import write_config

EPOCHS = 3


class Trainings:
    """Notes what is typed, and leaves what `deeppose train` leaves; `stops` after so many epochs, then goes on."""

    def __init__(self, stops: int = EPOCHS) -> None:
        self.typed: list[list[str]] = []
        self.stops = stops

    def __call__(self, arguments: Sequence[str]) -> int:
        self.typed.append(list(arguments))
        flags = dict(zip(arguments[1::2], arguments[2::2], strict=False))
        stage = Path(flags["--runs-root"]) / flags["--run"] / "stage1"
        stage.mkdir(parents=True, exist_ok=True)
        if "--resume" not in arguments:
            write_config(stage, command=shlex.join(["deeppose", *arguments]), preset="modern")
        done = EPOCHS if "--resume" in arguments else self.stops
        score = {"base": 0.5, "l2": 0.4}.get(flags["--run"].split("-")[1], 0.6) + 0.02 * int(flags["--run"][-1])
        rows = [f"{epoch},{score * epoch / EPOCHS},{60 * epoch}" for epoch in range(1, done + 1)]
        (stage / "metrics.csv").write_text("\n".join(["epoch,val_pdj,seconds", *rows, ""]))
        return 0


def study(out: Path, **more: object) -> Study:
    return Study(**{"data": "demo", "epochs": EPOCHS, "seeds": 2, "out": out, "rows": ("l2", "erase"), **more})  # type: ignore[arg-type]


def test_one_change_a_row_and_all_rows_with_a_seed_before_the_next(tmp_path: Path) -> None:
    trainings = Trainings()
    assert ablate(study(tmp_path, more=("--accelerator", "cpu")), trainings, lambda _: None)
    runs = [typed[typed.index("--run") + 1] for typed in trainings.typed]
    assert runs == [f"demo-{row}-{seed}" for seed in (0, 1) for row in ("base", "l2", "erase")]
    base, l2, erase = trainings.typed[:3]
    assert l2[len(base) :] == ["--coordinate-loss", "l2"]
    assert erase[len(base) :] == ["--erase", "0.5"]
    assert "--accelerator" in base


def test_what_is_done_is_not_repeated_and_what_was_stopped_goes_on(tmp_path: Path) -> None:
    assert not ablate(study(tmp_path), Trainings(stops=2), lambda _: None)
    again = Trainings()
    assert ablate(study(tmp_path), again, lambda _: None)
    assert len(again.typed) == 6
    assert all("--resume" in typed for typed in again.typed)
    third = Trainings()
    assert ablate(study(tmp_path), third, lambda _: None)
    assert not third.typed


def test_runs_of_another_budget_are_not_mixed_in(tmp_path: Path) -> None:
    ablate(study(tmp_path), Trainings(), lambda _: None)
    with pytest.raises(ValueError, match=r"--max-epochs 3.*--max-epochs 5.*--out"):
        ablate(study(tmp_path, epochs=5), Trainings(), lambda _: None)


def test_the_table_has_mean_deviation_gain_and_minutes_of_what_is_done(tmp_path: Path) -> None:
    done = study(tmp_path)
    ablate(done, Trainings(), lambda _: None)
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in table(done).splitlines()}
    assert rows[BASE][3:] == ["2", "0.510 ± 0.014", "–", "3.0 |"]  # .50 and .52
    assert rows["l2"][2:] == ["`--coordinate-loss l2`", "2", "0.410 ± 0.014", "-0.100 ± 0.000", "3.0 |"]
    more = {line.split(" | ")[0].strip("| "): line for line in table(study(tmp_path, rows=("wing",))).splitlines()}
    assert more["wing"].endswith("| 0 | – | – | – |")


@pytest.mark.parametrize("start", [None, __file__])
def test_every_row_is_a_line_that_the_command_takes(start: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    """A set that is only scored on is refused after all flags have been looked at."""
    names = [change.name for change in changes(start)]
    assert len(set(names)) == len(names)
    for change in changes(start):
        line = Study("parse", 1, 1, Path("nowhere"), start).arguments(change, 0)
        assert main(line) == 2
        assert "--data parse: for evaluation" in capsys.readouterr().err, line


def test_an_unknown_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="l3: unknown row; valid: base, "):
        study(tmp_path, rows=("l3",)).changes()
