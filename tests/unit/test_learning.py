"""Algorithms that learn, as propagators; and trainings that inherit from those of their parents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest

import evo
from evo.objective.objective import Trial
from evo.population import Active, Individual
from evo.population.events import Started
from evo.population.identity import Identity
from evo.population.individual import Known
from evo.propagators import Propagator
from evo.space.space import Space

LIMITS = {"x": (-1.0, 1.0), "y": (-1.0, 1.0)}


@dataclass
class RunningMean(Propagator):
    """Draws around a mean that moves towards each good individual, once for each."""

    rate: float = 0.2
    mean: Any = field(default=None, init=False, repr=False)
    learnt: set[Identity] = field(default_factory=set, init=False, repr=False)

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        if self.mean is None:
            self.mean = np.full(len(space), 0.5)
        for one in parents[: max(1, len(parents) // 4)]:
            assert isinstance(one, Known)
            if one.identity not in self.learnt:
                self.learnt.add(one.identity)
                self.mean += self.rate * (one.genome - self.mean)
        return [Individual(genome=rng.normal(self.mean, 0.1), parents=())]


@dataclass
class Locked(RunningMean):
    """One that cannot be copied."""

    lock: Any = field(default_factory=Lock, repr=False)


def loss(params: Mapping[str, Any]) -> float:
    return float((params["x"] - 0.6) ** 2 + (params["y"] + 0.4) ** 2)


def test_an_algorithm_with_a_state_learns_of_the_search_and_of_nothing_else() -> None:
    learning = RunningMean()
    found = evo.minimize(loss, LIMITS, propagator=learning, evaluations=60, seed=1)
    of_the_search = {one.individual for one in found.individuals}
    # A trial before the search has several hundred invented individuals.
    assert learning.learnt <= of_the_search
    assert len(learning.learnt) >= 15
    assert found.best is not None
    assert found.best.loss < 0.01


def test_a_propagator_that_cannot_be_copied_is_tried_itself() -> None:
    learning = Locked()
    evo.minimize(loss, LIMITS, propagator=learning, evaluations=3)
    assert len(learning.learnt) > 3


def inherits(params: Mapping[str, Any], trial: Trial) -> float:
    """Goes on from the best state among its parents, and says from whom."""
    states = {folder / "state.txt": parent for parent, folder in trial.parents.items()}
    best = min((float(file.read_text()) for file in states if file.exists()), default=9.0)
    trial.metrics["parents"] = str(sorted(trial.parents))
    trial.metrics["inherited"] = best
    state = min(best, loss(params))
    (trial.folder / "state.txt").write_text(str(state))
    return state


@pytest.mark.parametrize("keeps", [True, False], ids=["in a run directory", "without one"])
def test_an_evaluation_inherits_from_the_folders_of_its_parents(tmp_path: Path, keeps: bool) -> None:
    settings: dict[str, Any] = {"run_dir": str(tmp_path / "run")} if keeps else {}
    found = evo.minimize(inherits, LIMITS, propagator="genetic", evaluations=30, seed=2, **settings)
    parents = {event.individual: event.parents for event in found.events() if isinstance(event, Started)}
    losses = {one.individual: one.loss for one in found.individuals}
    assert sum(map(bool, parents.values())) > 10
    for one in found.individuals:
        assert one.metrics["parents"] == str(sorted(parents[one.individual]))
        assert one.metrics["inherited"] == min((losses[parent] for parent in parents[one.individual]), default=9.0)
