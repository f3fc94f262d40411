"""Flags that belong together, as a dataclass: one field a flag."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def flatten_flags(verb: Callable[..., None]) -> Callable[..., None]:
    """Typer makes a flag of each parameter of a verb. Here a parameter whose type is a dataclass stands for all of its
    fields, each annotated as Typer wants it, in their order. All parameters become keyword-only.

    Raises ValueError where two of the flags have one name.
    """
    groups: dict[str, Any] = {}
    parameters = []
    hints = get_type_hints(verb, include_extras=True)
    for name, parameter in inspect.signature(verb).parameters.items():
        kind = hints[name]
        if not is_dataclass(kind):
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=kind))
            continue
        groups[name] = kind
        within = get_type_hints(kind, include_extras=True)
        for field in fields(kind):
            default = parameter.empty if field.default is MISSING else field.default
            parameters.append(
                inspect.Parameter(field.name, parameter.KEYWORD_ONLY, default=default, annotation=within[field.name])
            )

    @wraps(verb)
    def flat(**given: Any) -> None:
        made = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind)}) for name, kind in groups.items()
        }
        verb(**given, **made)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat
