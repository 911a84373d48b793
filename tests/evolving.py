"""A plain loss whose training goes on from the states of others, and what its files must be like at every moment."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import journals

import evo
from evo.population.events import Finished, Started
from evo.population.identity import Identity, individual_name
from evo.population.population import Population
from evo.population.segments import Segment
from evo.space.parameters import Float, Int
from evo.space.space import Space
from evo.storage.states import state_digest

LIMITS = {"rate": Float(0.01, 0.2, mutable=True), "width": Int(1, 99, mutable=False)}
ON_COMMAND_LINE = "{rate: {type: float, low: 0.01, high: 0.2, mutable: true}, width: [1, 99]}"
POPULATION, INTERVAL = 4, 2
PBT = f"{{name: pbt, interval: {INTERVAL}, population: {POPULATION}}}"
_SECONDS = float(os.environ.get("EVOLVING_SECONDS", "0.01"))  # The time that a step takes.


def loss(params: Mapping[str, Any], trial: Any) -> float:
    """Go on from the latest state that there is; the loss tells with which rates and widths it was trained so far."""
    own = trial.folder / "last.ckpt"
    source = own if own.exists() else trial.inherit and trial.inherit / "last.ckpt"
    value, steps = json.loads(source.read_text()) if source else (1.0, 0)
    until = INTERVAL if trial.until is None else trial.until
    assert trial.begin <= steps <= until, (trial.begin, steps, until)
    while steps < until:
        if trial.interrupted:
            raise evo.Interrupted
        time.sleep(_SECONDS)
        value, steps = trained(value, params), steps + 1
        part = trial.folder / "last.part.ckpt"
        part.write_text(json.dumps([value, steps]))
        part.replace(own)
        trial.report(value, step=steps - 1)
    trial.metrics["states"] = len(states_on_disk(trial.folder.parent))
    return value


def trained(value: float, params: Mapping[str, Any]) -> float:
    """The loss after one more step."""
    return value * (1.0 - params["rate"]) + 1e-6 * params["width"]


def states_on_disk(individuals: Path) -> set[tuple[int, int]]:
    """The different states below the folder of all individuals; links to one state count once."""
    found = set()
    for file in [*individuals.glob("*/last.ckpt"), *individuals.glob("*/inherited/last.ckpt")]:
        try:
            state = file.stat()
        except FileNotFoundError:  # It is deleted at this moment.
            continue
        found.add((state.st_dev, state.st_ino))
    return found


def population_of(directory: Path) -> Population:
    """What the journals tell."""
    population = Population(Space(LIMITS))
    for event in journals.events(directory):
        population.apply(event)
    return population


def check_kept(directory: Path) -> None:
    """Check after a kill that every state is there from which others, or what was in flight, would go on."""
    population = population_of(directory)
    for identity in population.states.needed:
        known = population.find(identity)
        assert known is not None
        assert known.state is not None
        state = directory / "individuals" / individual_name(identity) / "last.ckpt"
        assert state_digest(state) == known.state.digest, identity
    for one in population.running:
        folder = directory / "individuals" / individual_name(one.identity)
        if one.segment is not None and one.segment.donor is not None:
            assert (folder / "last.ckpt").exists() or (folder / "inherited" / "last.ckpt").exists(), one


def check_ended(directory: Path, ranks: int, islands: int, keep: int = 3) -> None:
    """Check of a complete study that its files are those that are needed, and that populations and epochs add up."""
    check_files(directory)
    check_kept(directory)
    assert 0 < len(population_of(directory).states.needed) <= islands * POPULATION + ranks
    ends = journals.finished(directory)
    most = max(end.metrics["states"] for end in ends.values() if end.status == "completed")
    assert most <= islands * POPULATION + ranks + keep
    print(f"at most {most} states at once")
    check_epochs(directory, ends)


def check_files(directory: Path) -> None:
    """Check of a complete study that all states are there that are needed, and no others."""
    population = population_of(directory)
    assert not population.running
    individuals = directory / "individuals"
    left = {str(file.relative_to(individuals)) for file in individuals.rglob("*.ckpt")}
    assert left == {f"{individual_name(identity)}/last.ckpt" for identity in population.states.needed}
    assert not list(individuals.glob("*/inherited"))


def check_epochs(directory: Path, ends: Mapping[Identity, Finished]) -> None:
    """Check that each loss is exactly what its line of segments gives, so that no step was left out or repeated."""
    starts = {one.individual: one for one in journals.events(directory) if isinstance(one, Started)}
    for identity, end in ends.items():
        assert end.status == "completed", end
        line, here = [], starts[identity]
        while True:
            assert here.segment is not None
            line.append(here)
            if here.segment.donor is None:
                break
            donor = ends[here.segment.donor.individual]
            assert donor.state is not None
            assert (donor.state.step, donor.state.digest) == (here.segment.donor.step, here.segment.donor.digest)
            here = starts[here.segment.donor.individual]
        value, steps = 1.0, 0
        for part in reversed(line):
            assert isinstance(part.segment, Segment)
            assert part.params["width"] == line[-1].params["width"]
            while steps < part.segment.until:
                value, steps = trained(value, part.params), steps + 1
        assert (end.loss, end.state and end.state.step) == (value, steps)


def check_places(directory: Path, islands: Collection[int]) -> None:
    """Check that each island has its population."""
    population = population_of(directory)
    for island in islands:
        places = [one for one in map(population.find, population.states.needed) if one and one.island == island]
        assert len(places) >= POPULATION, places
