"""Searches on several islands, under a real mpirun.

EVO_ISLANDS=full makes the first test the large one: 20 seeds of 200 generations, which takes minutes.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import journals
import pytest
from helpers import Ended, Launcher
from ranks import start_ranks

from evo.islands.archipelago import make_archipelago
from evo.islands.topology import make_topology
from evo.population.events import Done, Finished, Migrated, Pollinated, Retired, Started
from evo.population.identity import Identity
from evo.problems.catalogue import PROBLEMS

pytestmark = pytest.mark.mpi

MpiRun = Callable[..., Ended]

FULL = os.environ.get("EVO_ISLANDS") == "full"
SEEDS, GENERATIONS = (20, 200) if FULL else (1, 20)
LIMITS = PROBLEMS["rastrigin"].limits
# For several searches in one mpirun, whose start takes longer than they do.
MANY = """
import json
from pathlib import Path
from evo.run import main
for arguments in json.loads(Path("searches.json").read_text()):
    assert main(arguments, ends=False) == 0, arguments
"""


def search_many(
    launcher: Launcher, mpirun_command: str, ranks: int, searches: Sequence[Sequence[str]], timeout: float = 90.0
) -> list[str]:
    """Run searches, each to success, one after another; returns what each of them prints."""
    (launcher.folder / "many.py").write_text(MANY)
    (launcher.folder / "searches.json").write_text(json.dumps(searches))
    ended = launcher.finish(start_ranks(launcher, mpirun_command, ranks, "many.py"), timeout)
    assert (ended.status, ended.err) == (0, "")
    outputs = re.split(r"^(?=evo: study )", ended.out, flags=re.M)[1:]
    assert len(outputs) == len(searches), ended.out
    return outputs


def said_digest(output: str, ranks: int) -> str:
    """The population that all ranks hold, as they say."""
    (said,) = re.findall(rf"^all {ranks} ranks hold the same population: ([0-9a-f]{{16}})$", output, re.M)
    return str(said)


def travels(directory: Path) -> Iterator[tuple[int, Migrated | Pollinated | Retired]]:
    """Who sent or retired which individual."""
    for worker, events in journals.events_by_worker(directory).items():
        yield from ((worker, event) for event in events if isinstance(event, Migrated | Pollinated | Retired))


def check_travels(
    directory: Path, mode: str, sizes: Sequence[int], topology: str | Sequence[Sequence[int]], seed: int = 0
) -> int:
    """Check who sent and retired what, and that all took the ways of the topology; returns how many made room."""
    archipelago = make_archipelago(sum(sizes), sizes=sizes)
    matrix = make_topology(topology, len(sizes), degree=min(2, max(1, len(sizes) - 1)), seed=seed)
    ways = {(source, target) for source, row in enumerate(matrix) for target, number in enumerate(row) if number}
    taken: set[tuple[int, int]] = set()
    arrived, retired = Counter[int](), Counter[int]()
    for worker, event in travels(directory):
        home = archipelago.island_of(worker)
        # Of all workers of an island only one decides on an individual.
        assert archipelago.owner(event.individual, home, ()) == worker
        if isinstance(event, Retired):
            assert event.island == home
            retired[home] += 1
        else:
            assert isinstance(event, {"move": Migrated, "copy": Pollinated}[mode])
            taken.add((home, event.island))
            arrived[event.island] += 1
    assert taken <= ways
    # An island may have nobody left to move to a second one, but a copy does not leave.
    assert taken == ways or mode == "move"
    assert {source for source, _ in taken} == {source for source, _ in ways}
    assert mode == "copy" or not retired
    assert all(retired[island] <= arrived[island] for island in retired)
    return retired.total()


@pytest.mark.timeout(3600 if FULL else 300)
@pytest.mark.parametrize("ranks", [2, 4, 6])
def test_all_ranks_hold_the_same_population_however_many_islands_and_however_individuals_travel(
    launcher: Launcher, mpirun_command: str, ranks: int
) -> None:
    alternatives = [(1, "copy"), *((islands, mode) for islands in (2, 3) for mode in ("move", "copy"))]
    searches = {
        f"{islands}-{mode}-{seed}": (islands, mode, seed)
        for islands, mode in alternatives
        if islands <= ranks
        for seed in range(SEEDS)
    }
    outputs = search_many(
        launcher,
        mpirun_command,
        ranks,
        [
            f"rastrigin --islands {islands} --migration {mode} --seed {seed} --run-dir {name} "
            f"--generations {GENERATIONS} --debug".split()
            for name, (islands, mode, seed) in searches.items()
        ],
        timeout=3600 if FULL else 90,
    )
    made_room = 0
    for (name, (islands, mode, _)), output in zip(searches.items(), outputs, strict=True):
        directory = launcher.folder / name
        assert journals.check_complete(directory) == ranks * GENERATIONS
        assert journals.summary(directory)["completed"] == ranks * GENERATIONS
        assert journals.digest(directory, LIMITS, islands) == said_digest(output, ranks)
        sizes = [len(each) for each in make_archipelago(ranks, islands).members]
        made_room += check_travels(directory, mode, sizes, "full")
    assert made_room > 0


def search_from_file(folder: Path, name: str, settings: Mapping[str, Any]) -> list[str]:
    """The arguments of a search whose settings are in a study file; JSON is YAML."""
    settings = {"objective": "evo.problems.functions:rastrigin", "limits": SMALL, "run_dir": name, **settings}
    (folder / f"{name}.yaml").write_text(json.dumps({"generations": 15, "debug": True, **settings}))
    return [f"{name}.yaml"]


SMALL = {"x": [-5.0, 5.0], "y": [-5.0, 5.0]}
MATRIX = [[0, 2, 0], [0, 0, 1], [0, 0, 0]]
STUDIES: dict[str, dict[str, Any]] = {
    "ring": {"islands": 4, "topology": "ring", "migration": "move"},
    "star": {"islands": 5, "topology": "star", "exchange": "tree"},
    "torus": {"islands": 6, "topology": "torus", "exchange": "tree"},
    "random": {"islands": 5, "topology": "random", "degree": 2, "seed": 3},
    "matrix": {"islands": 3, "topology": MATRIX, "migration": "move"},
    "sizes": {"island_sizes": [1, 4, 1], "topology": "full"},
    "moves_in_a_tree": {"island_sizes": [3, 1, 2], "topology": "full", "migration": "move", "exchange": "tree"},
    "selected": {"islands": 2, "topology": "full", "migrants": 2, "emigration": "SelectUniform"},
    "nobody_travels": {"islands": 2, "topology": [[0, 0], [0, 0]]},
}
"""Studies of six ranks, by the names of their files."""


@pytest.fixture(scope="module")
def studies(mpirun_command: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """The folder in which all of `STUDIES` have been run, and what they have printed."""
    folder = tmp_path_factory.mktemp("studies")
    with closing(Launcher(folder)) as launcher:
        searches = [search_from_file(folder, name, STUDIES[name] | {"migration_probability": 1.0}) for name in STUDIES]
        outputs = search_many(launcher, mpirun_command, 6, searches)
        yield folder, dict(zip(STUDIES, outputs, strict=True))


def test_individuals_take_the_ways_that_a_study_file_gives_them(studies: tuple[Path, dict[str, str]]) -> None:
    folder, outputs = studies
    made_room = 0
    for name, study in STUDIES.items():
        sizes = study.get("island_sizes") or [len(each) for each in make_archipelago(6, study["islands"]).members]
        assert journals.check_complete(folder / name) == 6 * 15
        assert journals.digest(folder / name, SMALL, len(sizes)) == said_digest(outputs[name], 6)
        mode, seed = study.get("migration", "copy"), study.get("seed", 0)
        made_room += check_travels(folder / name, mode, sizes, study["topology"], seed)
    assert made_room > 0


def test_the_beginning_shows_who_lives_where_and_who_sends_to_whom(studies: tuple[Path, dict[str, str]]) -> None:
    folder, outputs = studies
    assert {name: outputs[name].splitlines()[2:4] for name in ("matrix", "sizes", "ring")} == {
        "matrix": [
            "  3 islands of ranks: 0: 0-1, 1: 2-3, 2: 4-5",
            "  individuals move with probability 1: 0 -> 1 ×2; 1 -> 2 ×1; 2 -> none (each time)",
        ],
        "sizes": [
            "  3 islands of ranks: 0: 0, 1: 1-4, 2: 5",
            "  copies travel with probability 1: 0 -> 1, 2; 1 -> 0, 2; 2 -> 0, 1 (1 each time)",
        ],
        "ring": [
            "  4 islands of ranks: 0: 0-1, 1: 2-3, 2: 4, 3: 5",
            "  individuals move with probability 1: 0 -> 1; 1 -> 2; 2 -> 3; 3 -> 0 (1 each time)",
        ],
    }
    recorded = json.loads((folder / "matrix" / "study.json").read_text())
    assert (recorded["islands"], recorded["topology"]) == ([2, 2, 2], MATRIX)


def test_each_island_breeds_with_its_own_propagator(launcher: Launcher, mpirun_command: str) -> None:
    islands = [
        {"workers": 1, "propagator": "random"},
        {"workers": 3, "propagator": {"name": "genetic", "population": 4}},
    ]
    different = search_from_file(launcher.folder, "different", {"islands": islands})
    all_random = search_from_file(launcher.folder, "all_random", {"propagator": "random"})
    first, _ = search_many(launcher, mpirun_command, 4, [different, all_random])
    assert journals.digest(launcher.folder / "different", SMALL, 2) == said_digest(first, 4)
    bred, drawn = (journals.started(launcher.folder / name) for name in ("different", "all_random"))
    # What a random propagator draws depends on the seed, the rank and the generation alone.
    assert set(bred) == set(drawn)
    same = {identity for identity in bred if bred[identity] == drawn[identity]}
    assert {identity for identity in bred if identity[0] == 0} <= same
    assert all(len([one for one in same if one[0] == rank]) < 12 for rank in (1, 2, 3))


def test_a_study_goes_on_with_other_ranks_and_other_islands(launcher: Launcher, mpirun_command: str) -> None:
    known: dict[Identity, Finished] = {}
    for session, (ranks, islands, mode) in enumerate([(4, 2, "move"), (2, 1, "copy"), (3, 3, "copy")]):
        budget = 40 * (session + 1)
        arguments = f"--islands {islands} --migration {mode} --evaluations {budget} --debug"
        search = ["rastrigin", "--run-dir", "here", *arguments.split()]
        (output,) = search_many(launcher, mpirun_command, ranks, [search])
        assert (f"\nresumed: {len(known)} individuals are known\n" in output) == (session > 0)
        assert budget <= journals.check_complete(launcher.folder / "here") <= budget + ranks - 1
        outcomes = journals.finished(launcher.folder / "here")
        assert outcomes.items() >= known.items()
        known = outcomes
        assert journals.digest(launcher.folder / "here", LIMITS, islands) == said_digest(output, ranks)


# Rank 0 takes five times as long as the others.
UNEVEN = """
import time
def loss(params, trial):
    time.sleep(0.25 if trial.individual[0] == 0 else 0.05)
    return params["x"] ** 2
"""


@pytest.mark.parametrize("islands", [1, 2])
def test_no_rank_stands_idle_for_longer_than_an_evaluation_when_a_budget_is_shared(
    mpirun: MpiRun, launcher: Launcher, islands: int
) -> None:
    (launcher.folder / "uneven.py").write_text(UNEVEN)
    command = ["-m", "evo.run", "uneven.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--run-dir", "here"]
    ended = mpirun(4, *command, "--evaluations", "80", "--islands", str(islands))
    assert ended.status == 0, ended
    happened = journals.events(launcher.folder / "here")
    ends = [event for event in happened if isinstance(event, Finished)]
    assert 80 <= len(ends) <= 83
    first_done = min(event.time for event in happened if isinstance(event, Done))
    # Equal shares of the budget would keep rank 0 at work for 15 of its evaluations longer than the others.
    assert max(end.time for end in ends) - first_done < 3 * max(end.seconds for end in ends)
    late = [event for event in happened if isinstance(event, Started) and event.time > first_done]
    assert len(late) <= 3
