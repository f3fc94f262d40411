"""`deeppose presets`: the named ways to train."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from deeppose_cli.cli.options import JsonOption
from deeppose_cli.config.presets import PRESETS, preset_by_name
from deeppose_cli.config.schema import Preset, StagePreset, parse_schedule, stage_settings
from deeppose_cli.core.errors import UsageError


def presets(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One preset. Default: all.")] = None,
    as_json: JsonOption = False,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print the flags of NAME, for --config of train.")] = False,
    stage: Annotated[
        int, typer.Option("--stage", metavar="N", min=1, help="With --yaml: of this stage; 2 and more for refine.")
    ] = 1,
) -> None:
    """List the presets, the cost of stage 1 with each, and the data of a recipe. --json has every number."""
    if as_yaml:
        if name is None:
            raise UsageError(f"--yaml: needs a NAME; valid: {', '.join(PRESETS)}")
        import yaml

        print(f"# deeppose {'train' if stage == 1 else 'refine'} --config FILE")
        print(yaml.safe_dump(preset_flags(preset_by_name(name), stage), sort_keys=False), end="")
        return
    chosen = [*PRESETS.values()] if name is None else [preset_by_name(name)]
    if as_json:
        import json

        print(json.dumps([asdict(preset) for preset in chosen], indent=2))
        return
    _print_list(chosen)


def preset_flags(preset: Preset, stage: int) -> dict[str, Any]:
    """The flags of `deeppose train` (or `refine`, from stage 2 on) that repeat the preset."""
    kind = preset.initial if stage == 1 else preset.refinement
    flags: dict[str, Any] = {"stage": stage, "preset": preset.name}
    if stage == 1:
        flags |= {name: value for name, value in (("data", preset.data), ("box", preset.box)) if value}
    settings = {**asdict(kind), **asdict(kind.augmentation)}
    # Flags without an effect on this network are errors; random weights are not frozen.
    unused = set() if kind.network == "backbone" else {"backbone", "head", "freeze_blocks"}
    if kind.network == "deeppose":
        unused.add("head_channels")
    if kind.init_weights == "random":
        unused |= {"init_weights", "freeze_blocks"}
    for name, (_, setting) in stage_settings(type(kind)).items():
        if setting.is_flag and name not in unused and settings[name] not in ("", None):
            flags[name] = settings[name]
    return flags


def _print_list(chosen: list[Preset]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table

    console = Console(highlight=False)
    for preset in chosen:
        console.print(f"[bold]{preset.name}[/bold]  {preset.title}", soft_wrap=True)
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, style="dim")
        table.add_column(overflow="fold")
        for label, value in _facts(preset):
            table.add_row(label, value)
        console.print(Padding(table, (0, 0, 0, 2)))
    console.print("\nUse one with: deeppose train --preset NAME; deeppose refine --stage 2 takes the same")


def _facts(preset: Preset) -> list[tuple[str, str]]:
    initial, refinement = preset.initial, preset.refinement
    facts = [
        ("stage 1", f"{initial.input_size} px, {initial.max_epochs} epochs" + _smaller_inputs(initial)),
        ("refinement", f"{refinement.input_size} px, {refinement.max_epochs} epochs"),
        ("cost", preset.cost),
    ]
    if preset.data:
        facts.insert(0, ("recipe", f"--data {preset.data}" + (f" --box {preset.box}" if preset.box else "")))
    return facts


def _smaller_inputs(stage: StagePreset) -> str:
    sizes = [f"{size} px until {until:.0%} of them" for size, until in parse_schedule(stage.progressive_size)]
    return f" ({', '.join(sizes)})" if sizes else ""
