"""Flags that several commands share, flags as dataclasses, and flags from a YAML file. Imports nothing heavy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from deeppose_cli.config.presets import PRESETS, RECIPES
from deeppose_cli.config.schema import StagePreset, stage_settings
from deeppose_cli.core.errors import UsageError

SEED = 0

DataOption = Annotated[
    str | None,
    typer.Option("--data", metavar="NAME", help="Data set. Default: the run's own; demo where there is no run."),
]
DataRootOption = Annotated[
    Path, typer.Option("--data-root", metavar="DIR", help="Folder that holds one folder for each data set.")
]
RunsRootOption = Annotated[
    Path, typer.Option("--runs-root", metavar="DIR", help="Folder that holds one folder for each run.")
]
RunOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="NAME",
        help="Run. Default: in train the data set's name, in predict the newest finished run on real images, else the "
        "newest run.",
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="NAME|FILE",
        help="In place of a run: people or people-fast, which come with deeppose, or a file of deeppose export. "
        "Default where there is no such run: people.",
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help=f"One of {', '.join(PRESETS)}. Default: the data set's own. {', '.join(RECIPES)} are recipes: train then "
        "takes their data set and initial box too. `deeppose presets` describes each.",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of every random draw.")]
FlipTestOption = Annotated[
    bool,
    typer.Option(
        "--flip-test", help="Average each stage's prediction with that for the mirrored image; twice the time."
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout; everything else goes to stderr.")
]


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="YAML file with any of these flags, such as `max_epochs: 20`; flags on the line win. "
        "`deeppose presets NAME --yaml` prints one.",
    ),
]


def read_flags(file: Path, ctx: typer.Context) -> dict[str, Any]:
    """Values for the command's parameters from a YAML file; keys are the flags, with `_` or `-`.

    Raises UsageError, one line that names the file, for an unknown key or a value of another type.
    """
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {file}: not readable ({getattr(error, 'strerror', None) or error})") from None
    except yaml.YAMLError as error:
        raise UsageError(f"--config {file}: no YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise UsageError(f"--config {file}: must hold lines such as `max_epochs: 20`")
    known = {
        name: hint for name, hint in getattr(ctx.command.callback, "__annotations__", {}).items() if name != "config"
    }
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise UsageError(f"--config {file}: {key}: unknown; valid: {', '.join(sorted(known))}")
        try:
            values[name] = None if value is None else _as_typed(value, known[name])
        except ValueError as error:
            raise UsageError(f"--config {file}: {key}: {value!r}: {error}") from None
    return values


def _as_typed(value: Any, annotation: Any) -> Any:
    """A YAML value as a flag's type; the parser, which checks too, needs 0.3 s for its first value.

    Raises ValueError, one line, for a value of another type.
    """
    hint, option = get_args(annotation)[:2]
    kind = get_args(hint)[0] if isinstance(hint, UnionType) else hint
    if get_origin(kind) is list:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ValueError("valid: a list of texts")
        return value
    if kind is bool:
        if not isinstance(value, bool):
            raise ValueError("valid: true, false")
        return value
    if isinstance(value, bool | list | dict):
        raise ValueError("valid: one value")
    if kind not in (int, float):
        return str(value)
    try:
        number = kind(str(value))
    except ValueError:
        raise ValueError(f"valid: {'a whole number' if kind is int else 'a number'}") from None
    if option.min is not None and number < option.min:
        raise ValueError(f"valid: {option.min} or more")
    return number


def flatten_flags(settings: type[StagePreset] = StagePreset) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn groups of flags among a command's parameters into single flags.

    A parameter whose type is a dataclass becomes a flag for each field, annotated as Typer expects. The parameter
    `settings` becomes a flag for each setting of a stage, and gets a dict of those that were given. All parameters
    become keyword-only. Raises ValueError where two flags have one name.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        groups: dict[str, Any] = {}
        single: dict[str, tuple[Any, Any]] = {}  # name: annotation, default
        settings_names: list[str] = []
        hints = get_type_hints(command, include_extras=True)

        def add(name: str, annotation: Any, default: Any) -> None:
            if name in single:
                raise ValueError(f"two flags are called {name}")
            single[name] = (annotation, default)

        for name, parameter in inspect.signature(command).parameters.items():
            kind = hints[name]
            if name == "settings":
                for key, annotation in _setting_flags(settings).items():
                    settings_names.append(key)
                    add(key, annotation, None)
            elif is_dataclass(kind):
                groups[name] = kind
                within = get_type_hints(kind, include_extras=True)
                for each in fields(kind):
                    default = inspect.Parameter.empty if each.default is MISSING else each.default
                    add(each.name, within[each.name], default)
            else:
                add(name, kind, parameter.default)

        @wraps(command)
        def flat(**given: Any) -> None:
            chosen = {name: given.pop(name) for name in settings_names}
            made = {
                name: kind(**{each.name: given.pop(each.name) for each in fields(kind)})
                for name, kind in groups.items()
            }
            if settings_names:
                made["settings"] = {name: value for name, value in chosen.items() if value is not None}
            command(**given, **made)

        keyword = inspect.Parameter.KEYWORD_ONLY
        flat.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(name, keyword, default=default, annotation=annotation)
                for name, (annotation, default) in single.items()
            ]
        )
        flat.__annotations__ = {name: annotation for name, (annotation, _) in single.items()}
        return flat

    return decorate


def _setting_flags(kind: type[StagePreset]) -> dict[str, Any]:
    """Annotation of an optional flag for each setting of a stage; without it the preset decides."""
    found: dict[str, Any] = {}
    for name, (plain, setting) in stage_settings(kind).items():
        if setting.is_flag:
            option = typer.Option(
                setting.flag or f"--{name.replace('_', '-')}",
                metavar=None if plain is bool else setting.metavar,
                help=setting.help,
                rich_help_panel=setting.panel,
            )
            found[name] = Annotated[plain | None, option]
    return found
