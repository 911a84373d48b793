"""The command line, which the first rank reads for all."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import pytest

from evo.engine.transport import Serial
from evo.errors import SharedError, UserError
from evo.objective.training import Training
from evo.study.config import Config
from evo.study.reading import Command, read_command


class Follower(Serial):
    """A rank to which the first one has told something."""

    rank = 1
    size = 2

    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self.told = told

    def gather(self, text: str) -> list[str]:
        return [self.told.pop(0), text]


class First(Serial):
    """The first rank, which remembers what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def gather(self, text: str) -> list[str]:
        self.said.append(text)
        return [text]


def told(command: Command) -> list[str]:
    first = First()
    assert read_command(lambda: command, first) == command
    return first.said


def must_not_read() -> Command:
    raise AssertionError("only the first rank reads the command line")


COMMANDS = [
    Command("sphere", Config(), ""),
    Command("pkg.tune:loss", Config(limits={"x": [0.0, 1.0], "kind": ["a", None, True]}, evaluations=7), "study"),
    Command("sphere", Config(target=0.1 + 0.2, islands=[{"workers": 2}], walltime="30m"), ""),
    Command("sphere", Config(limits={"ü": ["\udcff", 10**400, -0.0]}), "ü"),
    Command(
        Training(model={"class_path": "a.B", "init_args": {"n": 3}}, early_stopping=False, notes=("one", "two")),
        Config(limits={"model.lr": [0.1, 0.2]}),
        "study",
    ),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_the_first_rank_has_read_is_what_all_search_with(command: Command) -> None:
    told_others = told(command)
    follower = Follower(told_others)
    found = read_command(must_not_read, follower)
    assert found == command
    assert repr(found) == repr(command)  # 1 is not 1.0, nor True.
    if isinstance(command.what, Training):
        assert isinstance(found.what, Training)
        assert found.what.notes == command.what.notes


@pytest.mark.parametrize("value", [datetime.date(2024, 1, 1), {1: "a"}, ("a", "b"), math.nan, {"a", "b"}])
def test_what_json_cannot_give_back_every_rank_reads_itself(value: Any) -> None:
    command = Command("sphere", Config(limits={"x": value}), "")
    first = First()
    read_command(lambda: command, first)
    assert read_command(lambda: command, Follower(first.said)) is command


def test_files_are_read_by_the_first_rank_only(tmp_path: Path) -> None:
    for name, text in {"limits": "x: [0.0, 1.0]", "baseline": "x: 0.5"}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    files = {name: str(tmp_path / f"{name}.yaml") for name in ("limits", "baseline")}
    config = Config(limits=files["limits"], baseline=files["baseline"])
    first = First()
    read_command(lambda: Command("sphere", config, ""), first)
    for file in files.values():
        Path(file).unlink()
    found = read_command(must_not_read, Follower(first.said)).config
    assert (found.limits, found.baseline) == ({"x": [0.0, 1.0]}, {"x": 0.5})


def test_a_mistake_and_the_end_after_help_reach_all_ranks() -> None:
    def mistake() -> Command:
        raise UserError("evaluations is 'none'")

    first = First()
    with pytest.raises(SharedError, match="evaluations is 'none'"):
        read_command(mistake, first)
    with pytest.raises(SharedError, match="evaluations is 'none'"):
        read_command(must_not_read, Follower(first.said))

    def helped() -> Command:
        raise SystemExit(0)

    first = First()
    for transport in (first, Follower(first.said)):
        with pytest.raises(SystemExit) as ended:
            read_command(helped if transport is first else must_not_read, transport)
        assert ended.value.code == 0
