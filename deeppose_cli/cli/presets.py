"""`deeppose presets`: the ways to train that have a name."""

from __future__ import annotations

from dataclasses import asdict

from deeppose_cli.cli.options import JsonOption
from deeppose_cli.config.presets import PRESETS
from deeppose_cli.config.progressive_resizing import parse_schedule
from deeppose_cli.config.schema import Preset, StagePreset


def presets(as_json: JsonOption = False) -> None:
    """List the presets, what stage 1 costs by each, and the data that a recipe brings. --json has every number."""
    if as_json:
        import json

        print(json.dumps([asdict(preset) for preset in PRESETS.values()], indent=2))
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table

    console = Console(highlight=False)
    for preset in PRESETS.values():
        console.print(f"[bold]{preset.name}[/bold]  {preset.title}", soft_wrap=True)
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, style="dim")
        table.add_column(overflow="fold")
        for label, value in _facts(preset):
            table.add_row(label, value)
        console.print(Padding(table, (0, 0, 0, 2)))
    console.print("\nNAME for: deeppose train --preset NAME; deeppose refine --stage 2 goes by the same")


def _facts(preset: Preset) -> list[tuple[str, str]]:
    initial, refinement = preset.initial, preset.refinement
    facts = [
        ("stage 1", f"{initial.input_size} px, {initial.max_epochs} epochs" + _growth(initial)),
        ("refinement", f"{refinement.input_size} px, {refinement.max_epochs} epochs"),
        ("cost", preset.cost),
    ]
    if preset.data:
        facts.insert(0, ("recipe", f"--data {preset.data}" + (f" --box {preset.box}" if preset.box else "")))
    return facts


def _growth(stage: StagePreset) -> str:
    steps = [f"{size} px until {until:g} of them" for size, until in parse_schedule(stage.progressive_size)]
    return f" ({', '.join(steps)})" if steps else ""
