"""README and documentation: programs run, commands parse, names exist, the site builds."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.main import get_command

from deeppose_cli.checkpoints.pretrained import NAMES
from deeppose_cli.cli.app import app, main
from deeppose_cli.config.presets import PRESETS
from deeppose_cli.data.datasets.registry import DATASETS
from tests.docs.blocks import Block, code_spans, links, prose, read_blocks
from tests.test_layers import LAYERS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "deeppose_cli"
CHANGELOG = ROOT / "CHANGELOG.md"
"""Names things of the past."""
GUIDES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md", "lightning_logs/README.md")),
    *(ROOT / name for name in ("benchmarks/README.md", "deeppose_cli/pretrained/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
BLOCKS = [block for page in GUIDES for block in read_blocks(page)]
SHELL = [block for block in BLOCKS if block.language == "bash"]
PYTHON = [block for block in BLOCKS if block.language == "python"]
PLACEHOLDERS = {"NAME", "FILE", "PATH", "NAME|FILE"}
OWN = ("climbing", "coco", "mpii", "mpii-sample")
"""Names of data sets that the documentation adds."""


@pytest.mark.slow
@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_a_python_program_runs(block: Block, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "import ray" in block.text:
        pytest.skip("needs a cluster; tests/inference/test_pose_predictor.py runs the class on two workers")
    with warnings.catch_warnings():
        if "Trainer(" in block.text:  # Lightning's own advice, which `train()` hides
            warnings.simplefilter("ignore")
        exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in SHELL if block.run], ids=str)
def test_a_marked_shell_block_runs(block: Block, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in block.commands():
        assert words[0] == "deeppose", f"{block}: only deeppose runs here"
        target = workplace / words[words.index(">") + 1] if ">" in words else None
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = main(words[1 : words.index(">") if target else None])
        assert code == 0, f"{block}: {' '.join(words)}\n{capsys.readouterr().err}"
        if target is not None:
            target.write_text(out.getvalue(), encoding="utf-8")


def test_programs_and_commands_that_the_documentation_must_have() -> None:
    text = "\n".join(block.text for block in PYTHON)
    assert all(f"{name}(" in text for name in ("evaluate", "export", "load", "predict", "prepare", "refine", "train"))
    commands = {words[1] for block in SHELL for words in block.commands() if words[0] == "deeppose"}
    assert commands >= set(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_a_shell_command_exists(block: Block) -> None:
    for words in block.commands():
        check_command(words)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_flags_and_files_in_the_text_exist(page: Path) -> None:
    flags = every_flag()
    for span in code_spans(page):
        words = span.split()
        if words[0] in ("deeppose", "make"):
            check_command(words)
        elif re.fullmatch(r"--[a-z][a-z-]*", words[0]):
            assert words[0] in flags, f"{span}: no command has this flag"
        elif re.fullmatch(r"[a-z0-9_./]+\.py", span):
            assert (ROOT / span).is_file() or (PACKAGE / span).is_file(), f"{span}: no such file"


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        file = page.parent / target.partition("#")[0] if not target.startswith("#") else page
        assert file.exists(), f"{target}: no such file"


def check_command(words: list[str]) -> None:
    """Raises AssertionError for a command, a flag or a name of a thing that does not exist."""
    if words[0] == "make":
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        assert set(words[1:]) <= targets, f"{' '.join(words)}: not in the Makefile"
    elif words[:2] == ["python", "-m"]:
        check_module(words[2], words[3:])
    elif words[0] == "deeppose":
        parse(words[1:])


def check_module(module: str, arguments: list[str]) -> None:
    """The flags of a benchmark stand in its source; what follows `--` is for `deeppose train`."""
    file = ROOT / module.replace(".", "/")
    source = (file / "__main__.py" if file.is_dir() else file.with_suffix(".py")).read_text(encoding="utf-8")
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for word in arguments[:end]:
        assert not word.startswith("--") or word == "--help" or f'"{word}"' in source, f"{module} has no {word}"
    if end < len(arguments):
        parse(["train", *arguments[end + 1 :]])


def parse(words: list[str]) -> None:
    """Parse with the real command line; nothing is run."""
    words = [word for word in words if word not in ("--help", "--debug", "--version", "...")]
    words = words[: words.index(">")] if ">" in words else words
    command: Any = get_command(app)
    path = "deeppose"
    while words and hasattr(command, "commands"):
        name = words.pop(0)
        assert name in command.commands, f"{path} {name}: no such command"
        command, path = command.commands[name], f"{path} {name}"
    if "--config" in words and any("--config" in parameter.opts for parameter in command.params):
        place = words.index("--config")
        del words[place : place + 2]  # parsing would read the file
    try:
        values = command.make_context(path, list(words)).params
    except Exception as error:
        if type(error).__name__ in ("MissingParameter", "NoArgsIsHelpError"):
            return  # the text may name a command without its arguments
        raise AssertionError(f"{path} {' '.join(words)}: {error}") from None
    valid = {
        "data": [*DATASETS, *OWN],
        "preset": PRESETS,
        "name": {**DATASETS, **PRESETS, **dict.fromkeys(OWN)},
        "weights": dict.fromkeys(NAMES),
    }
    for parameter, names in valid.items():
        value = values.get(parameter)
        is_file = isinstance(value, str) and value.endswith((".safetensors", ".onnx"))
        assert value is None or is_file or value in {*names, *PLACEHOLDERS}, f"{path}: {value} is no {parameter}"


def every_flag() -> set[str]:
    """The flags of all commands, of the benchmarks, and of Lightning's launcher."""
    found = {"--help", "--debug", "--version", "--strict"}
    commands: list[Any] = [get_command(app)]
    while commands:
        command = commands.pop()
        found |= {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        commands += getattr(command, "commands", {}).values()
    for file in (ROOT / "benchmarks").glob("*.py"):
        found |= set(re.findall(r'"(--[a-z-]+)"', file.read_text(encoding="utf-8")))
    return found


def test_checks_of_commands_can_fail() -> None:
    for bad in (
        "make nothing",
        "deeppose trian",
        "deeppose predict photo.jpg --nothing",
        "deeppose train --preset nothing",
        "deeppose eval --metric nothing",
        "deeppose data check nothing",
        "python -m benchmarks.poses --nothing",
        "python -m benchmarks.ablation --out a -- --nothing",
    ):
        with pytest.raises(AssertionError):
            check_command(bad.split())


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_one_word_for_each_thing(page: Path) -> None:
    text = re.sub(r"`[^`]*`", "", prose(page))
    assert not re.findall(r"\b(pictures?|films?|colour\w*|first box\w*|drawn people)\b", text, re.IGNORECASE)


def test_the_diagram_shows_the_layers() -> None:
    texts = ElementTree.parse(ROOT / "docs/images/folders.svg").iter("{http://www.w3.org/2000/svg}text")
    rows: dict[float, list[str]] = {}
    for text in texts:
        if text.get("class") == "name":
            rows.setdefault(float(text.get("y", "nan")), []).append(text.text or "")
    assert [" ".join(rows[y]) for y in sorted(rows)] == list(LAYERS)


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    html = "\n".join(page.read_text(encoding="utf-8") for page in (tmp_path / "site").glob("*.html"))
    loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(https?:[^\"]+)\"", html)
    assert not loaded, "a page loads something from elsewhere"
