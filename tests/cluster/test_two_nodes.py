"""Searches on two nodes, pretended on this machine: ranks that share no memory and talk over a network."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import Launcher, wait_until
from two_nodes import TwoNodes, two_nodes, why_not

from evo.population.events import Finished, Joined, Migrated, Started
from evo.storage.rundir import RunDirectory

pytestmark = [pytest.mark.mpi, pytest.mark.root]


@pytest.fixture(scope="module")
def mpirun_of_nodes(mpirun_command: str) -> str:
    if problem := why_not(mpirun_command):
        pytest.skip(problem)
    return mpirun_command


def finished(directory: Path) -> dict[tuple[int, int], Finished]:
    """How every individual ended that has."""
    events = RunDirectory(directory).events() if (directory / "journal").exists() else ()
    return {event.individual: event for event in events if isinstance(event, Finished)}


@pytest.fixture
def nodes(launcher: Launcher, mpirun_of_nodes: str) -> Iterator[TwoNodes]:
    with two_nodes(launcher, mpirun_of_nodes) as nodes:
        yield nodes


def test_four_ranks_on_two_nodes_hold_the_same_population(nodes: TwoNodes, launcher: Launcher) -> None:
    ended = nodes.run(2, "-m", "evo.run", "sphere", "--evaluations", "200", "--run-dir", "here", "--debug")
    assert (ended.status, ended.err) == (0, "")
    assert re.search(r"^all 4 ranks hold the same population: [0-9a-f]{16}$", ended.out, re.M)
    events = RunDirectory(launcher.folder / "here").events()
    joined = {event.rank: event.host for event in events if isinstance(event, Joined)}
    assert sorted(joined) == [0, 1, 2, 3]
    assert Counter(joined.values()) == dict.fromkeys(nodes.hosts, 2)
    assert nodes.bytes_crossed() > 100_000  # To start and end ranks that say nothing takes some 30,000.


SLOW = """
import time
def loss(params):
    time.sleep(0.01)
    return params["x"] ** 2
"""


@pytest.mark.parametrize("which", [0, 1])
def test_a_search_one_of_whose_nodes_died_goes_on_on_the_other_and_has_lost_nothing(
    nodes: TwoNodes, launcher: Launcher, which: int
) -> None:
    (launcher.folder / "slow.py").write_text(SLOW)
    search = ["-m", "evo.run", "slow.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--run-dir", "here"]
    search += ["--evaluations", "300"]
    process = nodes.start(2, *search)
    wait_until(lambda: len(finished(launcher.folder / "here")) > 20 or process.poll() is not None, 60)
    assert process.poll() is None, nodes.finish(process)
    nodes.kill_node(nodes.hosts[which])
    nodes.finish(process, timeout=20)
    wait_until(lambda: not launcher.survivors())
    before = finished(launcher.folder / "here")
    assert 20 < len(before) < 300
    ended = nodes.run(2, *search, hosts=[nodes.hosts[1 - which]])
    assert ended.status == 0, ended
    after = finished(launcher.folder / "here")
    assert after.items() >= before.items()
    assert 300 <= len(after) <= 301


@pytest.mark.parametrize("which", [0, 1])
def test_the_ranks_of_one_node_take_over_from_those_of_the_other(
    nodes: TwoNodes, launcher: Launcher, which: int
) -> None:
    (launcher.folder / "slow.py").write_text(SLOW)
    search = ["-m", "evo.run", "slow.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--run-dir", "here", "--debug"]
    search += ["--evaluations", "300", "--islands", "2", "--migration", "move"]
    process = nodes.start(2, *search, extra_mpirun_args=["--with-ft", "ulfm"])
    wait_until(lambda: len(finished(launcher.folder / "here")) > 20 or process.poll() is not None, 60)
    assert process.poll() is None, nodes.finish(process)
    crossed = nodes.bytes_crossed()
    nodes.kill_ranks_on(nodes.hosts[which])
    ended = nodes.finish(process, timeout=60)
    assert crossed > 50_000
    assert f"ranks {2 * which}, {2 * which + 1} of 4 died, and the others took over\n" in ended.out
    assert "all 2 ranks hold the same population" in ended.out
    summary = json.loads((launcher.folder / "here" / "summary.json").read_text())
    assert summary["lost_ranks"] == [2 * which, 2 * which + 1]
    events = list(RunDirectory(launcher.folder / "here").events())
    assert {event.individual for event in events if isinstance(event, Started)} == set(
        finished(launcher.folder / "here")
    )
    assert 300 <= summary["evaluations"] <= 303
    assert any(isinstance(event, Migrated) for event in events)
    wait_until(lambda: not launcher.survivors())
