"""Code blocks, code spans and links of a Markdown page."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

RUN = "<!-- test: run -->"
"""In the line before a shell block: its `deeppose` commands are run, not only parsed."""
_FENCE = re.compile(r"```(\w*)\s*$")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    language: str
    text: str
    run: bool

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    def commands(self) -> list[list[str]]:
        """The words of each shell command, without comments; lines that end in a backslash continue."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines for words in _split(line)]


def _split(line: str) -> list[list[str]]:
    """Split a line at pipes."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|")
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if word == "|":
            commands.append([])
        else:
            commands[-1].append(word)
    return [words for words in commands if words]


def read_blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, and its indented lines that start with `deeppose`, as shell blocks of one line."""
    found: list[Block] = []
    start, language, body, run = 0, "", [], False
    inside = marked = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.fullmatch(line.strip())
        if fence and not inside:
            inside, start, language, body, run = True, number, fence[1], [], marked
        elif fence:
            inside = False
            found.append(Block(page, start, language, "\n".join(body), run))
        elif inside:
            body.append(line)
        elif line.startswith("    deeppose "):
            found.append(Block(page, number, "bash", line.strip(), False))
        if line.strip():
            marked = line.strip() == RUN
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def code_spans(page: Path) -> list[str]:
    """What stands between single backticks, outside of fenced blocks."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]


def links(page: Path) -> list[str]:
    """Targets of all links and images that are not addresses."""
    return [target for target in _LINK.findall(prose(page)) if "://" not in target and not target.startswith("mailto:")]
