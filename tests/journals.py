"""What the run directory of a search tells, for tests that start one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evo.population.events import AnyEvent, Finished, Started
from evo.population.identity import Identity
from evo.population.population import Population
from evo.space.space import Space
from evo.storage.journal import read_journal
from evo.storage.rundir import RunDirectory


def events(directory: Path) -> list[AnyEvent]:
    """Everything that has happened so far."""
    return list(RunDirectory(directory).events()) if (directory / "journal").exists() else []


def events_by_worker(directory: Path) -> dict[int, list[AnyEvent]]:
    """The events that each worker has recorded, in their order."""
    return {int(file.stem): list(read_journal(file)) for file in (directory / "journal").glob("*.jsonl")}


def finished(directory: Path) -> dict[Identity, Finished]:
    """The outcome of every individual that has one, which must be only one."""
    ends: dict[Identity, list[Finished]] = defaultdict(list)
    for event in events(directory):
        if isinstance(event, Finished) and event.status != "interrupted":
            ends[event.individual].append(event)
    several = {identity: found for identity, found in ends.items() if len(found) > 1}
    assert not several, several
    return {identity: end for identity, (end,) in ends.items()}


def started(directory: Path) -> dict[Identity, dict[str, Any]]:
    """The parameters of every individual, which never change."""
    params: dict[Identity, dict[str, Any]] = {}
    for event in events(directory):
        if isinstance(event, Started):
            assert params.setdefault(event.individual, event.params) == event.params
    return params


def count_finished(directory: Path) -> int:
    """How many evaluations have ended so far; quick, for conditions to wait for."""
    return sum(file.read_bytes().count(b'"Finished"') for file in (directory / "journal").glob("*.jsonl"))


def summary(directory: Path) -> dict[str, Any]:
    """The completion record."""
    record = json.loads((directory / "summary.json").read_text())
    assert isinstance(record, dict)
    return record


def check_complete(directory: Path) -> int:
    """Check that every individual that was started has ended and is counted; returns how many there are."""
    outcomes, record = finished(directory), summary(directory)
    assert set(outcomes) == set(started(directory))
    for status in ("completed", "failed"):
        assert record[status] == sum(end.status == status for end in outcomes.values())
    assert record["evaluations"] == len(outcomes)
    return len(outcomes)


def digest(directory: Path, limits: Mapping[str, Any], islands: int) -> str:
    """The population that the journals describe, as a search prints it."""
    population = Population(Space(limits), islands=islands)
    for event in events(directory):
        population.apply(event)
    return population.digest()[:16]
