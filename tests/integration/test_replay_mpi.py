"""`evo replay` of a search on four ranks: what was altered by hand is found."""

from __future__ import annotations

import re
import shutil
from contextlib import closing
from pathlib import Path

import journals
import msgspec
import pytest
from helpers import Launcher, call
from ranks import start_ranks

from evo.population.events import Finished, Started
from evo.population.identity import individual_name

pytestmark = pytest.mark.mpi

LOSS = """
def loss(params):
    penalty = {"a": 0.0, "b": 0.5, "c": 1.0}[params["kind"]]
    if params["x"] < -0.95:
        raise ValueError("too small")
    return (params["x"] - 0.3) ** 2 + abs(params["n"] - 4) / 10 + penalty
"""
LIMITS = "{x: [-1.0, 1.0], n: [1, 9], kind: [a, b, c]}"
EVALUATIONS = 400


@pytest.fixture(scope="module")
def run(mpirun_command: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replay")
    (folder / "losses.py").write_text(LOSS)
    settings = ("--limits", LIMITS, "--islands", "2", "--evaluations", str(EVALUATIONS), "--run-dir", "run", "--quiet")
    with closing(Launcher(folder)) as launcher:
        started = start_ranks(launcher, mpirun_command, 4, "-m", "evo.run", "losses.py:loss", *settings)
        ended = launcher.finish(started, 90)
        assert (ended.status, ended.err) == (0, "")
    return folder / "run"


def test_every_individual_of_four_ranks_on_two_islands_is_confirmed(run: Path) -> None:
    ended = call("replay", str(run))
    assert (ended.status, ended.err) == (0, "")
    found = re.fullmatch(r"(\d+) individuals: (\d+) bred again and confirmed, 0 start points\n", ended.out)
    assert found, ended.out
    individuals = len(journals.started(run))
    assert EVALUATIONS <= individuals <= EVALUATIONS + 3
    assert found.groups() == (str(individuals), str(individuals))


def text(number: float | None) -> bytes:
    """A number as a journal has it."""
    return msgspec.json.encode(number)


def alter(run: Path, to: Path, line: bytes, before: bytes, after: bytes) -> None:
    """Copy a run directory, and change something in the one line that begins so."""
    shutil.copytree(run, to)
    (file,) = [file for file in (to / "journal").iterdir() if line in file.read_bytes()]
    content = file.read_bytes()
    assert content.count(line) == 1
    assert before in line
    file.write_bytes(content.replace(line, line.replace(before, after, 1)))


def test_a_parameter_that_was_altered_by_hand_is_named_first(run: Path, tmp_path: Path) -> None:
    starts = [event for event in journals.events(run) if isinstance(event, Started)]
    event = sorted(starts, key=lambda event: event.time)[150]
    line = msgspec.json.encode(event)
    alter(run, tmp_path / "run", line, b'"x":' + text(event.params["x"]), b'"x":0.123456')
    ended = call("replay", str(tmp_path / "run"))
    assert (ended.status, ended.err) == (1, "")
    assert f"the first to deviate: individual {individual_name(event.individual)}, bred by rank" in ended.out
    assert 'recorded params {"x":0.123456,' in ended.out
    assert f'bred again {{"x":{text(event.params["x"]).decode()},' in ended.out


def test_a_loss_that_was_altered_by_hand_shows_in_the_decisions_after_it(run: Path, tmp_path: Path) -> None:
    ends = [event for event in journals.events(run) if isinstance(event, Finished) and event.loss is not None]
    ends.sort(key=lambda event: event.time)
    best = min(ends[40:60], key=lambda event: event.loss or 0.0)
    alter(run, tmp_path / "run", msgspec.json.encode(best), b'"loss":' + text(best.loss), b'"loss":3.25')
    ended = call("replay", str(tmp_path / "run"))
    assert (ended.status, ended.err) == (1, "")
    (first,) = re.findall(r"^the first to deviate: individual (\d+)-(\d+), bred by rank \d", ended.out, re.M)
    (start,) = [
        event
        for event in journals.events(run)
        if isinstance(event, Started) and event.individual == (int(first[0]), int(first[1]))
    ]
    assert start.time > best.time
    assert len(ended.out.splitlines()) < 20


def test_a_line_that_is_no_record_is_named_as_everywhere(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "journal" / "2.jsonl"
    lines = file.read_bytes().split(b"\n")
    lines[6] = b"garbage"
    file.write_bytes(b"\n".join(lines))
    ended = call("replay", str(tmp_path / "run"))
    assert ended.status == 2
    assert re.search(r"^evo: error: journal .*2\.jsonl, line 7 is damaged", ended.err)


def test_journals_of_an_earlier_version_are_read_and_said_not_to_be_replayed() -> None:
    former = Path(__file__).parents[1] / "former" / "plain"
    ended = call("replay", str(former))
    assert ended.status == 2
    assert "cannot be replayed: an earlier version of evo has recorded it" in ended.err
