"""From archives to a data set's folder: unpacked beside it, checked, then swapped in whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import lock, writing
from deeppose_cli.core.progress import Progress
from deeppose_cli.data.prepare.archives import list_members, unpack

Chooser = Callable[[Path, Sequence[str]], Mapping[str, str]]
"""(source, names of its members) → member → where it belongs below the set's folder: `<part>/…`."""
TOGETHER = "give all archives of a set at once: --from PART1 --from PART2"


@dataclass(frozen=True)
class ExtractionPlan:
    """Which member of which source goes where below the set's folder."""

    places: Mapping[Path, Mapping[str, str]]

    @classmethod
    def make(cls, sources: Sequence[Path], choose: Chooser, content: str) -> ExtractionPlan:
        """Raises DeepPoseError for a source without any of the `content`, and for a file that is there twice."""
        places, origin = {}, dict[str, Path]()
        for source in sources:
            chosen = dict(choose(source, list_members(source)))
            if not chosen:
                raise DeepPoseError(f"{source}: does not hold {content}")
            for member, place in chosen.items():
                if place in origin:
                    raise DeepPoseError(f"{source}: {member!r} is in {origin[place]} already; give each archive once")
                origin[place] = source
            places[source] = chosen
        return cls(places)

    @property
    def parts(self) -> list[str]:
        """The subfolders that are filled."""
        return sorted({place.partition("/")[0] for chosen in self.places.values() for place in chosen.values()})

    def origin(self, place: str) -> str:
        """How an error names an unpacked file: the source and the member, as the user typed them."""
        found = (f"{source}: {m}" for source, chosen in self.places.items() for m, p in chosen.items() if p == place)
        return next(found, place)

    def sources(self, part: str) -> str:
        """The sources that put something into a part."""
        found = [str(s) for s, chosen in self.places.items() if any(p.startswith(f"{part}/") for p in chosen.values())]
        return " + ".join(found)


def install(
    plan: ExtractionPlan, folder: Path, convert: Callable[[Path], None], progress: Progress | None = None
) -> None:
    """Put the members of a plan into a data set's folder.

    `convert` gets the temporary folder with all of them and raises DeepPoseError for what is not whole. Only then each
    part takes the place of its predecessor; on any failure what was there stays.
    """
    total, done = sum(map(len, plan.places.values())), 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress("unpacking", done, total)

    with staging(folder) as temporary:
        for source, chosen in plan.places.items():
            unpack(source, {member: temporary / place for member, place in chosen.items()}, tick)
        convert(temporary)
        for part in plan.parts:
            replace_folder(temporary / part, folder / part)


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, which one process at a time may have; removed at the end whatever happens."""
    temporary = folder.with_name(f".{folder.name}.new")
    with lock(folder.with_name(f".{folder.name}.lock"), hint="; --data-root takes another"):
        shutil.rmtree(temporary, ignore_errors=True)  # by a process that was killed
        with writing(temporary):
            temporary.mkdir()
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(new: Path, target: Path) -> None:
    """Put the folder `new` (same file system) at `target`; what was there is removed only afterwards.

    The two renames leave no moment in which half of a folder is in place. A process that is killed between them leaves
    the old folder beside its place, under the name `.<name>.old`.
    """
    old = target.with_name(f".{target.name}.old")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            os.replace(new, target)
            return
        shutil.rmtree(old, ignore_errors=True)
        os.replace(target, old)
        try:
            os.replace(new, target)
        except OSError:
            os.replace(old, target)
            raise
    shutil.rmtree(old, ignore_errors=True)
