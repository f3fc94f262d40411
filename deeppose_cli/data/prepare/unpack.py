"""From archives to a place under the data root: unpacked beside it, checked, then swapped in whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from deeppose_cli.config.defaults import DATA_ROOT
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.progress import Progress
from deeppose_cli.data.prepare.archives import list_members, replace_folder, staging, unpack

Plan = dict[Path, dict[str, Path]]
"""Which member of which source goes where."""
Listed = Sequence[tuple[Path, Sequence[str]]]
"""The sources, each with the names of its members."""


@dataclass(frozen=True)
class Unpacked:
    """What lies in the temporary folder, and where it came from."""

    folder: Path
    plan: Plan

    def shown(self, file: Path) -> str:
        """What an error calls an unpacked file: the source and the member, as the user knows them."""
        for source, targets in self.plan.items():
            for name, target in targets.items():
                if target == file:
                    return f"{source}: {name}"
        return str(file)

    def sources(self, folder: Path) -> str:
        """The sources that put something into a folder."""
        return " + ".join(
            sorted(
                {
                    str(source)
                    for source, targets in self.plan.items()
                    for target in targets.values()
                    if folder in target.parents
                }
            )
        )


def put(
    sources: Sequence[Path],
    folder: Path,
    plan: Callable[[Listed, Path], Plan],
    validate: Callable[[Unpacked], None],
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Put what `plan` chooses of the sources into `folder`; the names of the subfolders that are new there.

    `plan` is given the listed sources and a temporary folder, and names a target below it for every member that is
    needed: `<temporary>/<subfolder>/…`. `validate` raises DeepPoseError for what is not whole. Only then each subfolder
    takes the place of its predecessor; on any failure what was there stays.
    """
    listed = [(source, [member.name for member in list_members(source)]) for source in sources]
    with staging(folder) as temporary:
        chosen = plan(listed, temporary)
        total, done = sum(len(targets) for targets in chosen.values()), 0

        def tick() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress("unpacking", done, total)

        for source, targets in chosen.items():
            unpack(source, targets, tick)
        validate(Unpacked(temporary, chosen))
        parts = sorted(
            {target.relative_to(temporary).parts[0] for targets in chosen.values() for target in targets.values()}
        )
        for part in parts:
            replace_folder(temporary / part, folder / part)
    return tuple(parts)


def plan_by_name(choose: Callable[[str], str | None], holds: str) -> Callable[[Listed, Path], Plan]:
    """A plan for sets in which a member's name says all: `choose` gives its path below the set's folder, or None.

    Raises DeepPoseError for a source of which nothing is chosen (it does not hold what `holds` says), and for a file
    that is there twice.
    """

    def plan(listed: Listed, temporary: Path) -> Plan:
        chosen: Plan = {}
        origin: dict[str, Path] = {}
        for source, names in listed:
            chosen[source] = {}
            for name in names:
                place = choose(name)
                if place is None:
                    continue
                if place in origin:
                    raise DeepPoseError(f"{source}: {name!r} is in {origin[place]} already; give each archive once")
                chosen[source][name] = temporary / place
                origin[place] = source
            if not chosen[source]:
                raise DeepPoseError(f"{source}: does not hold {holds}")
        return chosen

    return plan


def how_to_prepare(command: str, data_root: Path) -> str:
    """The command as it is to be typed for this data root."""
    return command if data_root == DATA_ROOT else f"{command} --data-root {data_root}"


def not_there(folder: Path, names: Collection[str]) -> list[str]:
    """Those of the names that the folder does not hold; all of them where there is no folder. One look into it."""
    try:
        with os.scandir(folder) as entries:
            there = {entry.name for entry in entries}
    except OSError:
        there = set()
    return [name for name in names if name not in there]
