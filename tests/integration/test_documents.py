"""The examples of README and of all pages in docs/: files are written, commands run, and they print what is shown.

A code block is ``python`` or ``yaml`` (a file, named in its first line), ``bash`` (commands, run in the order of their
page, in a folder that holds the files of all pages) or ``text`` (not run; after commands, lines that they print). In
chapters about evo's own code, ``python``, ``yaml`` and ``json`` may be pieces without a name, which can be read.
"""

from __future__ import annotations

import ast
import json
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import Launcher, make_environment, mpi_variables

import evo
from evo.space.limits import describe_limits, parse_limits
from evo.study.files import load_limits

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {str(page.relative_to(ROOT)): page.read_text() for page in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))}
FILE_KINDS = {"python": ".py", "yaml": ".yaml"}
PIECES = ("docs/extend/", "docs/inside/", "docs/reference/", "docs/architecture.md")
READERS = {"python": lambda text: ast.parse(text.replace("…", "...")), "yaml": yaml.safe_load, "json": json.loads}

# The main job takes too long for a test: the fixture `main_job` is the same with fewer ranks and generations.
SHORTER = {"mpirun -N 4 python -m evo.run\n": ""}

# These print the same but for figures when they take fewer ranks or evaluations than a user would give.
SMALLER = {
    "mpirun -N 4 python -m evo.run search.yaml": "mpirun -N 1 python -m evo.run search.yaml --evaluations 2",
    "mpirun -N 4 python search.py": "mpirun -N 2 python search.py",
    "mpirun -N 4 python groups.py": "mpirun -N 2 python groups.py",
    "mpirun -N 4 python -m evo.run halves.py:loss": "mpirun -N 2 python -m evo.run halves.py:loss",
    "for seed in 0 1 2 3 4;": "for seed in 0 1;",
    "evo run rastrigin --evaluations 300": "evo run rastrigin --evaluations 40",
    "4 python -m evo.run rastrigin --evaluations 900": "2 python -m evo.run rastrigin --evaluations 80",
    "4 python -m evo.run sphere --evaluations 1000": "2 python -m evo.run sphere --evaluations 200",
    "evo run quartic --evaluations 500": "evo run quartic --evaluations 60",
    "mpirun -N 2 python -m evo.run sections.yaml": "mpirun -N 1 python -m evo.run sections.yaml --evaluations 2",
    "rastrigin --islands 2 --evaluations 1000": "rastrigin --islands 2 --evaluations 80",
}

# A page that goes on with the study of another one is run after it, in its folder.
GOES_ON = {"docs/guides/after_the_search.md": "docs/guides/lightning.md"}


@dataclass(frozen=True)
class Block:
    """A fenced code block of a page."""

    page: str
    kind: str
    text: str

    @property
    def is_shortened(self) -> bool:
        return any(command in self.text for command in SHORTER)

    @property
    def file_name(self) -> str:
        """The file that it is, or nothing."""
        named = re.match(r"# (\w+\.\w+)\n", self.text)
        return named[1] if named and self.kind in FILE_KINDS else ""

    def script(self) -> str:
        text = self.text
        for command, shorter in {**SHORTER, **SMALLER}.items():
            text = text.replace(command, shorter)
        return text


def read_blocks(page: str, markdown: str) -> list[Block]:
    """All code blocks of a page; directives of the site, such as {toctree}, are none."""
    blocks: list[Block] = []
    fence, kind, lines = "", "", list[str]()
    for line in markdown.splitlines(keepends=True):
        opening = re.match(r"(`{3,})(.*)", line)
        if opening and not fence:
            fence, kind, lines = opening[1], opening[2].strip(), []
        elif fence and line.startswith(fence):
            if not kind.startswith("{"):
                blocks.append(Block(page, kind, "".join(lines)))
            fence = ""
        elif fence:
            lines.append(line)
    assert not fence, f"a code block of {page} does not end"
    return blocks


BLOCKS = [block for page, text in PAGES.items() for block in read_blocks(page, text)]
FILES = {block.file_name: block.text for block in BLOCKS if block.file_name}
RUN = [page for page in dict.fromkeys(block.page for block in BLOCKS if block.kind == "bash") if page not in GOES_ON]


@pytest.fixture
def shell(launcher: Launcher, mpirun_command: str, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """A folder with all files, and .venv/bin/activate, after which python and evo are those under test."""
    for name, text in FILES.items():
        (launcher.folder / name).write_text(text)
    monkeypatch.setenv("BASH_ENV", str(make_environment(launcher.folder, mpirun_command)))
    return launcher


def test_every_block_is_a_file_with_a_name_of_its_own_or_commands_or_text_or_a_piece_that_can_be_read() -> None:
    names = [block.file_name for block in BLOCKS if block.file_name]
    assert sorted(names) == sorted(FILES)
    for block in BLOCKS:
        if block.file_name:
            assert block.file_name.endswith(FILE_KINDS[block.kind]), block
        elif block.kind not in ("bash", "text"):
            assert block.page.startswith(PIECES), block
            READERS[block.kind](block.text)  # Raises where it is none.


def test_every_file_is_used_by_a_command_or_another_file() -> None:
    for name in FILES:
        used = re.escape(name) if name.endswith(".yaml") else rf"\b{name.removesuffix('.py')}\b"
        others = [block for block in BLOCKS if block.kind != "text" and block.file_name != name]
        assert any(re.search(used, block.text) for block in others), name


def test_every_shortened_command_is_on_a_page() -> None:
    assert [each for each in (*SHORTER, *SMALLER) if not any(each in text for text in PAGES.values())] == []


@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.timeout(600)  # A page has many commands, some of which load torch, on cores that other tests use, too.
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run_and_print_what_is_shown(
    page: str, shell: Launcher, request: pytest.FixtureRequest
) -> None:
    pages = [page, *(later for later, earlier in GOES_ON.items() if earlier == page)]
    blocks = [block for each in pages for block in BLOCKS if block.page == each]
    if any(block.is_shortened for block in blocks):
        assert request.getfixturevalue("main_job").ended.status == 0
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block.kind != "bash":
            continue
        ended = shell.run("bash", "-euo", "pipefail", "-c", block.script(), timeout=240, **mpi_variables())
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


def table_rows(page: str) -> list[Sequence[str]]:
    rows = [line.strip("|").split("|") for line in PAGES[page].splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in row] for row in rows]


@pytest.mark.parametrize(("python", "yaml", "meaning"), table_rows("docs/guides/search_space.md"))
def test_a_limit_means_the_same_in_python_and_in_yaml(python: str, yaml: str, meaning: str, tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(f"optimizer: [sgd, adam, none]\nx: {yaml}\n")
    one: dict[str, Any] = {"optimizer": ("sgd", "adam", "none"), "x": eval(python, {"evo": evo})}
    assert describe_limits(parse_limits(one)) == describe_limits(parse_limits(load_limits(str(file))))
    assert meaning
