"""Tells a worker's algorithm of every individual that finishes, and asks it for candidates."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Mapping

import msgspec
import numpy as np

from evo.algorithms.base import Setup, View
from evo.algorithms.bred import Breeding, as_algorithm
from evo.algorithms.own import checked_algorithm
from evo.engine.settings import WorkerSettings
from evo.population.events import AnyEvent, Finished, Migrated, Pollinated, Started
from evo.population.identity import Identity
from evo.population.individual import Individual, Known
from evo.population.population import Population
from evo.randomness import learning_entropy

# A worker learns from so many individuals at once while its own evaluation runs, rather than after it.
_MANY = 32
_ABOUT_WHO_IS_HERE = (Started, Finished, Migrated, Pollinated)


class Learning:
    """One worker's state of an algorithm, and the order in which it learns.

    It learns from each individual of the island once: when it has finished or, if it was born elsewhere, when it has
    arrived. The events of several workers arrive in any order. So that what is learnt follows from which events are
    known, those that have come since the last time are learnt together, in the order in which they ended.

    Args:
        breeding: The algorithm, or a propagator.
        population: The population as this worker knows it; what has finished in earlier sessions is learnt at once, in
            the order of the ends.
        settings: The settings of this worker's search.
        members: The number of workers on this worker's island.
        figures: The figures of individuals at each rung, which follow the events; none without pruning.
    """

    def __init__(
        self,
        breeding: Breeding,
        population: Population,
        settings: WorkerSettings,
        members: int,
        figures: Mapping[int, Mapping[Identity, float]],
    ) -> None:
        self.algorithm = checked_algorithm(as_algorithm(breeding))
        entropy = learning_entropy(settings.seed, population.island)
        setup = Setup(
            space=population.space,
            workers=members,
            entropy=entropy,
            island=population.island,
            islands=population.islands,
            objectives=settings.objectives,
        )
        self._learner = self.algorithm.start(setup)
        self._population = population
        self._settings = settings
        self._share = members / settings.workers
        self._figures = figures
        self._standards = Standards(figures)
        self._learnt: set[Identity] = set()
        # The individuals whose states this worker could not use, and those of them that are not yet recorded.
        self.lost: set[Identity] = set()
        self._lost_since: list[Identity] = []
        # Those that have finished or arrived since the last time that this worker learnt.
        self._waiting: dict[Identity, None] = {}
        for individual in population.finished_here:
            self._learn(individual)

    def apply(self, event: AnyEvent) -> None:
        """Take an event into account, which the population contains already."""
        if not isinstance(event, _ABOUT_WHO_IS_HERE) or event.individual in self._learnt:
            return
        individual = self._population.find(event.individual)
        if individual is not None and self._population.has_finished_here(individual):
            self._waiting[event.individual] = None

    def lose(self, *donors: Identity) -> None:
        """Propose to go on from these individuals no more, because their states are missing or damaged."""
        self._lost_since += [donor for donor in donors if donor not in self.lost]
        self.lost.update(donors)

    def lost_since(self) -> tuple[Identity, ...]:
        """Those that were lost since the last call, for the record of the individual that was bred without them."""
        lost, self._lost_since = tuple(self._lost_since), []
        return lost

    @property
    def is_behind(self) -> bool:
        """Whether so many individuals wait that the next proposal would have to wait for them."""
        return len(self._waiting) >= _MANY

    def catch_up(self) -> bool:
        """Learn from all individuals that have finished or arrived; returns whether there were any."""
        if not self._waiting:
            return False
        known = [self._population.find(identity) for identity in self._waiting]
        self._waiting.clear()
        # One that has arrived may have left again.
        here = [one for one in known if one is not None and self._population.has_finished_here(one)]
        for individual in sorted(here, key=lambda one: (one.ended, one.identity)):
            self._learn(individual)
        return bool(here)

    def propose(self, rng: np.random.Generator) -> Iterator[Individual]:
        """Candidates for the next evaluation, the best first; see `Learner.propose`."""
        self.catch_up()
        population, settings = self._population, self._settings
        view = View(
            active=population.active,
            running=[one for one in population.running if self._is_home(one)],
            used=round(self._share * population.started),
            left=self._share * settings.budget.evaluations_to_come(population, settings.workers),
            rungs=self._figures,
            kept=population.states.needed,
            lost=self.lost,
            worker=settings.worker,
        )
        return self._learner.propose(view, rng)

    def _learn(self, individual: Known) -> None:
        self._learnt.add(individual.identity)
        # The strategy of a migrant means something to the algorithm of its own island only.
        known = individual if self._is_home(individual) else msgspec.structs.replace(individual, strategy={})
        self._learner.learn(known, self._standards.loss(individual))

    def _is_home(self, individual: Known) -> bool:
        return individual.island % self._population.islands == self._population.island


class Standards:
    """What individuals count with that were pruned, or that violate bounds of their metrics.

    One that violates bounds counts as worse than all that have completed before: the highest loss of these, plus their
    range, plus as much again times v / (1 + v) for a violation v. So none counts as better than one that keeps the
    bounds and is known by then, a stronger violation is worse, and neither the unit of the loss nor where its zero is
    matters. With several objectives its own first loss is told, since algorithms for these look at the violation.

    What a pruned one would probably have come to follows from those that were completed. It counts as much worse than a
    completed one as it was at the same rung: than the one that was next better there. If none was better, it counts as
    the one that was best there, so that it is never the best itself. While none has completed that was at that rung, it
    counts as one that has failed.

    Args:
        figures: The figures of individuals at each rung, which follow the events.

    Example:
        >>> genome = np.zeros(1)
        >>> standards = Standards({3: {(0, 0): 0.5, (0, 1): 0.75}})
        >>> standards.loss(Known(genome=genome, identity=(0, 0), status="completed", loss=0.125))
        0.125
        >>> standards.loss(Known(genome=genome, identity=(0, 1), status="pruned", loss=0.75, rung=3))
        0.375
    """

    def __init__(self, figures: Mapping[int, Mapping[Identity, float]]) -> None:
        self._figures = figures
        # The lowest and the highest loss of completed individuals.
        self._lowest, self._highest = math.inf, -math.inf
        # By rung: the figures of completed individuals in ascending order, each with the loss that it came to.
        self._completed: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)

    def loss(self, individual: Known) -> float | None:
        """The loss that an individual counts with; None if it has failed or was infeasible."""
        if individual.status == "completed":
            assert individual.loss is not None
            if individual.violation > 0.0 and not individual.losses:
                return self._of_violating(individual)
            self._widen(individual.loss)
            for rung, figures in self._figures.items():
                if (figure := figures.get(individual.identity)) is not None:
                    insort(self._completed[rung], (figure, individual.loss))
            return individual.loss
        return self._expected(individual) if individual.status == "pruned" else None

    def _widen(self, loss: float) -> None:
        self._lowest, self._highest = min(self._lowest, loss), max(self._highest, loss)

    def _of_violating(self, individual: Known) -> float:
        """What it counts with; its own loss only says what losses of this study are like."""
        assert individual.loss is not None
        self._widen(individual.loss)
        extent = self._highest - self._lowest or abs(self._highest) or 1.0
        worse = self._highest + extent * (1.0 + individual.violation / (1.0 + individual.violation))
        return worse if math.isfinite(worse) else float(np.finfo(float).max)

    def _expected(self, individual: Known) -> float | None:
        figures = self._figures.get(individual.rung)
        figure = individual.loss if figures is None else figures.get(individual.identity, individual.loss)
        completed = self._completed[individual.rung]
        if figure is None or not completed:
            return None
        place = bisect_right(completed, (figure, math.inf))
        if place == 0:
            return completed[0][1]
        better, loss = completed[place - 1]
        expected = loss + (figure - better)
        return expected if math.isfinite(expected) else loss
