"""What a measurement gives, and how two things are measured in turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Options:
    """Options of every measurement."""

    data_root: Path = Path("data")
    rounds: int = 5
    say: Callable[[str], None] = print
    """Where progress goes, line by line."""


@dataclass(frozen=True)
class Result:
    """One row of the table."""

    what: str
    ours: str
    target: str
    met: bool | None = None
    """None: not measured."""
    bare: str = "–"
    ratio: str = "–"
    notes: tuple[str, ...] = ()
    """What was counted; printed under the table."""


@dataclass(frozen=True)
class Comparison:
    """Medians over the rounds. `ratio` is that of the rounds' own ratios."""

    ours: float
    bare: float
    ratio: float
    lowest: float
    highest: float


def in_turns(
    name: str, ours: Callable[[], float], bare: Callable[[], float], options: Options, unit: str
) -> Comparison:
    """Calls `ours`, `bare`, `ours`, `bare`, …; each returns one figure."""
    pairs = []
    for number in range(1, options.rounds + 1):
        a, b = ours(), bare()
        pairs.append((a, b))
        options.say(f"{name} {number}/{options.rounds}: ours {a:.4g} {unit}, bare {b:.4g} {unit}, ratio {a / b:.3f}")
    ratios = [a / b for a, b in pairs]
    return Comparison(
        median(a for a, _ in pairs), median(b for _, b in pairs), median(ratios), min(ratios), max(ratios)
    )
