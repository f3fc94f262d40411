"""What each part of a recipe is worth: one change a row, the same images seen, on validation images only.

python -m benchmarks.ablation --data lsp --epochs 10 --seeds 3 --init-weights FILE --out DIR [-- FLAG …]

Each row is a `deeppose train` of the modern preset with one change, once for each seed; all first with seed 0, then
with seed 1, and so on. What was trained is kept under `--out`: the same line goes on where it was stopped and repeats
nothing. Flags after `--` go to every training. The test split is never looked at.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev

from benchmarks.program import DEEPPOSE
from deeppose_cli.checkpoints.run_folder import RunFolder
from deeppose_cli.config.presets import MODERN

Run = Callable[[Sequence[str]], int]
"""Arguments of `deeppose` → its exit code."""

BASE = "base"


@dataclass(frozen=True)
class Change:
    """One row: what is different from the preset."""

    name: str
    what: str
    flags: tuple[str, ...] = ()


def changes(start: str | None) -> list[Change]:
    """All rows. `start`: a file of starting values for the base's backbone; None: random ones."""
    rate = MODERN.initial.learning_rate
    found = [
        Change(BASE, "preset modern" + (", start from a file" if start else "")),
        Change("regression", "fully connected head", ("--head", "regression")),
        Change("l2", "L2 of the coordinates", ("--coordinate-loss", "l2")),
        Change("wing", "wing loss", ("--coordinate-loss", "wing")),
        Change("no-heatmaps", "no loss of the heatmaps", ("--heatmap-weight", "0")),
        Change("no-rotation", "no rotation", ("--rotate", "0")),
        Change("no-scale", "no change of scale", ("--scale", "0")),
        Change("no-shift", "no shift", ("--translate", "0")),
        Change("no-flip", "no mirrored copies", ("--flip", "0")),
        Change("no-color", "no change of color", ("--color", "0")),
        Change("erase", "half of the crops lose a patch", ("--erase", "0.5")),
        Change("rate-double", f"learning rate {2 * rate:g}", ("--learning-rate", f"{2 * rate:g}")),
        Change("rate-half", f"learning rate {rate / 2:g}", ("--learning-rate", f"{rate / 2:g}")),
        Change("constant", "constant learning rate", ("--schedule", "constant")),
        Change("no-decay", "no weight decay", ("--weight-decay", "0")),
        Change("size-64", "input of 64 px", ("--input-size", "64")),
        Change("progressive-size", "input of 64 px in the first half", ("--progressive-size", "64:0.5")),
        Change("mixed", "bfloat16 where it serves", ("--precision", "bf16-mixed")),
        Change("float32", "float32 throughout", ("--precision", "32-true")),
    ]
    anew = ("--init-weights", "random", "--freeze-blocks", "0")
    if start:
        found.insert(1, Change("random", "random starting values, nothing frozen", anew))
        found.insert(2, Change("frozen-0", "nothing frozen", ("--freeze-blocks", "0")))
        found.insert(3, Change("frozen-4", "first 4 blocks of the backbone frozen", ("--freeze-blocks", "4")))
    for name, title in (("mobilenet_v3_small", "MobileNetV3-small"), ("resnet18", "ResNet-18")):
        what = f"{title}, random starting values, nothing frozen"
        found.append(Change(name.replace("_", "-"), what, ("--backbone", name, *anew)))
    return found


@dataclass(frozen=True)
class Study:
    """What is trained, and where."""

    data: str
    epochs: int
    seeds: int
    out: Path
    start: str | None = None
    rows: tuple[str, ...] = ()
    """Names of the rows; none: all that differ from the base. The base is always among them."""
    more: tuple[str, ...] = ()
    """Flags of every training."""

    def changes(self) -> list[Change]:
        """Raises ValueError for a name that no row has."""
        known = changes(self.start)
        unknown = [name for name in self.rows if name not in {change.name for change in known}]
        if unknown:
            raise ValueError(f"{unknown[0]}: unknown row; valid: {', '.join(change.name for change in known)}")
        chosen = self.rows or [change.name for change in known if not self._idle(change)]
        return [change for change in known if change.name in (BASE, *chosen)]

    def _idle(self, change: Change) -> bool:
        """Whether a change is what every training has already."""
        every = dict(pairwise(("--precision", "32-true", "--freeze-blocks", "0", *self.more)))
        return all(every.get(flag) == value for flag, value in zip(change.flags[::2], change.flags[1::2], strict=True))

    def folder(self, change: Change, seed: int) -> RunFolder:
        return RunFolder(self.out / f"{self.data}-{change.name}-{seed}")

    def arguments(self, change: Change, seed: int) -> list[str]:
        """Of `deeppose`. A flag that comes twice counts as it comes last: the row's change."""
        start = ("--init-weights", self.start) if self.start else ()
        which = ("--data", self.data, "--preset", MODERN.name, "--run", self.folder(change, seed).name)
        amount = ("--runs-root", str(self.out), "--max-epochs", str(self.epochs), "--seed", str(seed))
        return ["train", *which, *amount, *start, *self.more, *change.flags]


@dataclass(frozen=True)
class Outcome:
    """Of one training: after the last epoch, which nobody chose by its score."""

    pdj: float
    minutes: float


def outcome(run: RunFolder, epochs: int) -> Outcome | None:
    """None where the training is not done."""
    rows = run.stage(1).history()
    if not rows or int(rows[-1]["epoch"]) < epochs:
        return None
    return Outcome(float(rows[-1]["val_pdj"]), float(rows[-1]["seconds"]) / 60)


def train(study: Study, change: Change, seed: int, run: Run) -> bool:
    """Trains a row with a seed, unless that is done; goes on with what was stopped. Whether it is done now.

    Raises ValueError where the folder holds the training of another line.
    """
    folder, arguments = study.folder(change, seed), study.arguments(change, seed)
    stage = folder.stage(1)
    if stage.config_file.is_file():
        wanted, found = shlex.join(["deeppose", *arguments]), stage.read_config().command
        if found != wanted:
            raise ValueError(f"{stage.path}: was trained by '{found}', not by '{wanted}'; --out takes another folder")
        if outcome(folder, study.epochs) is None:
            run([*arguments, "--resume"])
    else:
        run(arguments)
    return outcome(folder, study.epochs) is not None


def table(study: Study) -> str:
    """Markdown: a row a change, validation PDJ@0.2 with its standard deviation over seeds, as far as trained."""
    lines = [
        "| row | what is different | flags | seeds | PDJ@0.2 | against base | minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    base: dict[int, float] = {}
    for change in study.changes():
        found = {seed: outcome(study.folder(change, seed), study.epochs) for seed in range(study.seeds)}
        scores = {seed: done.pdj for seed, done in found.items() if done}
        if change.name == BASE:
            base = scores
        # Seed by seed, so that rows with fewer seeds are compared with their like.
        gains = [score - base[seed] for seed, score in scores.items() if seed in base and change.name != BASE]
        minutes = f"{mean(done.minutes for done in found.values() if done):.1f}" if scores else "–"
        cells = (
            change.name,
            change.what,
            f"`{shlex.join(change.flags)}`" if change.flags else "",
            str(len(scores)),
            _spread(list(scores.values()), ".3f"),
            _spread(gains, "+.3f"),
            minutes,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: Sequence[float], form: str) -> str:
    if not values:
        return "–"
    return f"{mean(values):{form}}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def run_command(arguments: Sequence[str]) -> int:
    # `config.yaml` keeps the line as it was typed, from sys.argv: the program's own name is no part of it.
    return subprocess.run([*DEEPPOSE, *arguments]).returncode


def ablate(study: Study, run: Run, say: Callable[[str], None]) -> bool:
    """Trains what is not done yet. Whether all is done; a row that fails does not stop the others."""
    complete = True
    for seed in range(study.seeds):
        for change in study.changes():
            say(f"{change.name}, seed {seed}: deeppose {shlex.join(study.arguments(change, seed))}")
            if not train(study, change, seed, run):
                say(f"{change.name}, seed {seed}: not done")
                complete = False
    return complete


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", required=True, metavar="NAME", help="data set, by its training and validation split")
    parser.add_argument("--epochs", type=int, required=True, metavar="N", help="of every training")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each row; default: 3")
    parser.add_argument("--init-weights", metavar="FILE", help="starting values of the backbone; default: random ones")
    parser.add_argument("--rows", default="", metavar="LIST", help="names with commas between; default: all")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the runs")
    parser.add_argument("--table", action="store_true", help="train nothing; print what there is")
    parser.add_argument("more", nargs="*", metavar="FLAG", help="after --: flags of every training")
    given = parser.parse_args(arguments)
    rows = tuple(name for name in given.rows.split(",") if name)
    study = Study(given.data, given.epochs, given.seeds, given.out, given.start, rows, tuple(given.more))
    try:
        if given.epochs < 1 or given.seeds < 1:
            raise ValueError("--epochs and --seeds: valid: 1 or more")
        study.changes()
        complete = True
        if not given.table:
            complete = ablate(study, run_command, lambda line: print(line, file=sys.stderr, flush=True))
    except ValueError as error:
        parser.error(str(error))
    print(table(study))
    return int(not complete)


if __name__ == "__main__":
    sys.exit(main())
