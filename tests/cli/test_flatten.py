"""Groups of flags as dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from deeppose_cli.cli.flatten import flatten_flags
from deeppose_cli.cli.training_options import StageFlags
from deeppose_cli.config.schema import Augmentation, RefinementPreset


@dataclass(frozen=True)
class Fruit:
    apples: Annotated[int | None, typer.Option("--apples")] = None
    ripe: Annotated[bool, typer.Option("--ripe")] = False
    names: Annotated[list[str] | None, typer.Option("--name")] = None


def test_a_group_is_typed_flag_by_flag_and_arrives_whole() -> None:
    seen: list[Any] = []
    app = typer.Typer()

    @app.command()
    @flatten_flags
    def verb(*, basket: Annotated[str, typer.Option("--basket")] = "round", fruit: Fruit) -> None:
        seen.append((basket, fruit))

    run = CliRunner().invoke
    assert run(app, ["--apples", "3", "--name", "a", "--name", "b"]).exit_code == 0
    assert run(app, ["--basket", "square", "--ripe"]).exit_code == 0
    assert run(app, ["--apples", "many"]).exit_code == 2
    assert seen == [("round", Fruit(3, False, ["a", "b"])), ("square", Fruit(None, True, None))]


def test_two_flags_of_one_name_are_refused() -> None:
    def verb(*, ripe: bool = False, fruit: Fruit) -> None: ...

    with pytest.raises(ValueError, match="ripe"):
        flatten_flags(verb)


def test_every_stage_flag_is_a_setting() -> None:
    settings = {field.name for kind in (RefinementPreset, Augmentation) for field in fields(kind)}
    assert {field.name for field in fields(StageFlags)} <= settings
