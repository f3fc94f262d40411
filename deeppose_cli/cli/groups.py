"""Two kinds of command groups: one with a quick help page, and one that has a verb for when none is typed."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

HELP_FLAGS = ("-h", "--help")


class FastHelpGroup(TyperGroup):
    """A group whose unused help flag is False, not None: Typer would import pydantic, 0.3 s, to convert None."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option


class DefaultListGroup(FastHelpGroup):
    """A group in which `list` is meant where no verb is typed, so that its flags can follow the group's name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in HELP_FLAGS):
            args = ["list", *args]
        return super().parse_args(ctx, args)
