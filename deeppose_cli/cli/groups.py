"""Command groups and commands with quick, plain help pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

from deeppose_cli.cli.options import read_flags

HELP_FLAGS = ("-h", "--help")


class FastHelpGroup(TyperGroup):
    """A group whose unused help flag is False, not None: Typer would import pydantic, 0.3 s, to convert None."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option


class DefaultListGroup(FastHelpGroup):
    """A group that runs `list` without a subcommand, so that the flags of `list` can follow the group's name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in HELP_FLAGS):
            args = ["list", *args]
        return super().parse_args(ctx, args)


class TrainingCommand(TyperCommand):
    """A command with `--config FILE`, whose flags are listed under the headings of their `rich_help_panel`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the file's values as the defaults of the flags: flags on the line win."""
        # Typer's own eager options would import pydantic, 0.3 s, before the help page.
        if not {*HELP_FLAGS} & {*args}:
            for arg, following in zip(args, [*args, ""][1:], strict=True):
                name, equals, value = arg.partition("=")
                if name == "--config" and (value or following):
                    ctx.default_map = read_flags(Path(value if equals else following), ctx)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                panels.setdefault(getattr(param, "rich_help_panel", None) or "What", []).append(record)
        for panel, records in panels.items():
            with formatter.section(panel):
                formatter.write_dl(records)
