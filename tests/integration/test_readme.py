"""The README's examples: every file in it is written, every command in it is run, and its output is what is shown.

A code block is ``python`` or ``yaml`` (a file, named in its first line), ``bash`` (commands, run in the order of their
section, in a folder that holds all files) or ``text`` (not run; after commands, lines that they print).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers import Launcher, make_environment, mpi_variables

import evo
from evo.space.limits import describe_limits, parse_limits
from evo.study.files import load_limits

README = (Path(__file__).parents[2] / "README.md").read_text()
FILE_KINDS = {"python": ".py", "yaml": ".yaml"}

# The main job takes too long for a test: the fixture `main_job` is the same with fewer ranks and generations.
SHORTER = {"mpirun -N 4 python -m evo.run\n": ""}

# These print the same but for figures when they take fewer ranks or evaluations than a user would give.
SMALLER = {
    "mpirun -N 4 python search.py": "mpirun -N 2 python search.py",
    "evo run rastrigin --evaluations 300": "evo run rastrigin --evaluations 40",
    "4 python -m evo.run rastrigin --evaluations 900": "2 python -m evo.run rastrigin --evaluations 80",
    "4 python -m evo.run sphere --evaluations 1000": "2 python -m evo.run sphere --evaluations 200",
    "evo run quartic --evaluations 500": "evo run quartic --evaluations 60",
    "mpirun -N 2 python -m evo.run sections.yaml": "mpirun -N 1 python -m evo.run sections.yaml --evaluations 2",
    "rastrigin --islands 2 --evaluations 1000": "rastrigin --islands 2 --evaluations 80",
}


@dataclass(frozen=True)
class Block:
    """A fenced code block of the README."""

    section: str
    kind: str
    text: str

    @property
    def is_shortened(self) -> bool:
        return any(command in self.text for command in SHORTER)

    def script(self) -> str:
        text = self.text
        for command, shorter in {**SHORTER, **SMALLER}.items():
            text = text.replace(command, shorter)
        return text


def read_blocks(markdown: str) -> list[Block]:
    blocks: list[Block] = []
    section, fence, lines = "", None, list[str]()
    for line in markdown.splitlines(keepends=True):
        if fence is None and line.startswith("## "):
            section = line.removeprefix("## ").strip()
        elif fence is None and line.startswith("```"):
            fence, lines = line.strip().removeprefix("```"), []
        elif fence is not None and line.startswith("```"):
            blocks.append(Block(section, fence, "".join(lines)))
            fence = None
        elif fence is not None:
            lines.append(line)
    assert fence is None, f"a code block of section {section!r} does not end"
    return blocks


BLOCKS = read_blocks(README)
SECTIONS = list(dict.fromkeys(block.section for block in BLOCKS if block.kind == "bash"))


def file_name(block: Block) -> str:
    return block.text.partition("\n")[0].removeprefix("# ")


def files() -> dict[str, str]:
    return {file_name(block): block.text for block in BLOCKS if block.kind in FILE_KINDS}


@pytest.fixture
def shell(launcher: Launcher, mpirun_command: str, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """A folder with the README's files, and .venv/bin/activate, after which python and evo are those under test."""
    for name, text in files().items():
        (launcher.folder / name).write_text(text)
    monkeypatch.setenv("BASH_ENV", str(make_environment(launcher.folder, mpirun_command)))
    return launcher


def test_every_block_is_of_a_kind_that_is_tested_or_marked_as_text() -> None:
    assert {block.kind for block in BLOCKS} <= {*FILE_KINDS, "bash", "text"}


def test_every_file_has_a_name_of_its_own_in_its_first_line() -> None:
    blocks = [block for block in BLOCKS if block.kind in FILE_KINDS]
    for block in blocks:
        assert re.fullmatch(r"# \w+\.\w+", block.text.partition("\n")[0]), block.text
        assert file_name(block).endswith(FILE_KINDS[block.kind])
    assert len(files()) == len(blocks)


@pytest.mark.parametrize("name", files())
def test_every_file_is_used_by_a_command_or_another_file(name: str) -> None:
    others = "".join(block.text for block in BLOCKS if block.kind != "text" and file_name(block) != name)
    assert name in others


def test_every_shortened_command_is_in_the_readme() -> None:
    assert all(command in README for command in (*SHORTER, *SMALLER))


@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_the_commands_of_a_section_run_and_print_what_is_shown(
    section: str, shell: Launcher, request: pytest.FixtureRequest
) -> None:
    blocks = [block for block in BLOCKS if block.section == section]
    if any(block.is_shortened for block in blocks):
        assert request.getfixturevalue("main_job").ended.status == 0
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block.kind != "bash":
            continue
        ended = shell.run("bash", "-euo", "pipefail", "-c", block.script(), timeout=120, **mpi_variables())
        assert ended.status == 0, f"{block.script()}\n{ended.out}\n{ended.err}"
        if following and following.kind == "text" and not block.is_shortened:
            missing = missing_lines(following.text, ended.out)
            assert not missing, f"{block.text}\nprints\n{ended.out}\nwithout\n" + "\n".join(missing)


def missing_lines(shown: str, printed: str) -> list[str]:
    known = {without_figures(line) for line in printed.splitlines()}
    return [line for line in shown.splitlines() if without_figures(line) not in known]


def without_figures(line: str) -> str:
    """A line but for what differs from run to run and from machine to machine: numbers, widths, host and device."""
    line = re.sub(rf"\b({re.escape(socket.gethostname())}|node1)\b", "HOST", line)
    line = re.sub(r"\b(cpu|cuda:\w+)\b", "DEVICE", line)
    line = re.sub(r"[-+]?\d[\d.]*(e[-+]?\d+)?", "0", line)
    return " ".join(re.sub(r"─+", "─", line).replace("threads", "thread").split())


def table_rows(section: str) -> list[Sequence[str]]:
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in row] for row in rows]


@pytest.mark.parametrize(("python", "yaml", "meaning"), table_rows("Limits"))
def test_a_limit_means_the_same_in_python_and_in_yaml(python: str, yaml: str, meaning: str, tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(f"optimizer: [sgd, adam, none]\nx: {yaml}\n")
    one: dict[str, Any] = {"optimizer": ("sgd", "adam", "none"), "x": eval(python, {"evo": evo})}
    assert describe_limits(parse_limits(one)) == describe_limits(parse_limits(load_limits(str(file))))
    assert meaning
