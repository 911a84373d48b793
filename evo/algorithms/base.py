"""The base classes of algorithms that learn: what they are told, what they see, and what they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evo.population.identity import Identity
from evo.population.individual import Individual, Known
from evo.population.objectives import ONE_LOSS, Objectives
from evo.population.segments import Segment
from evo.space.space import Space


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What an algorithm knows from the start, the same on all workers of an island.

    Args:
        space: The search space.
        workers: The number of workers whose results it learns: those of its island.
        entropy: Seeds for the algorithm's own randomness; see `generator`.
        island: The number of the island, from 0.
        islands: The number of islands. An individual is of this one if its own, modulo this number, is `island`.
        objectives: What is minimised or maximised, and the bounds that metrics must keep.
    """

    space: Space
    workers: int = 1
    entropy: tuple[int, ...] = (0,)
    island: int = 0
    islands: int = 1
    objectives: Objectives = ONE_LOSS

    def generator(self, *key: int) -> np.random.Generator:
        """A source of randomness for what is learnt: the same on all workers, and after a restart.

        Args:
            key: What it is for, for example the number of the restart and of the update.
        """
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.entropy, spawn_key=key)))


@dataclass(frozen=True, kw_only=True)
class View:
    """What an algorithm sees when it is asked for candidates. It must not keep it, because it follows the population.

    Args:
        active: The individuals of the island that breed, the best first: the completed ones by their losses, then the
            pruned ones by the rungs that they have reached, and their losses there. With several objectives in the
            order of `evo.population.dominance.order_by_dominance`.
        running: The individuals of the island in flight, in the order of their identities.
        used: The number of evaluations that the workers of the island have started; of several islands, their share.
        left: The number of evaluations that they may still start; infinite when the budget does not say.
        rungs: With pruning, the figures of individuals at each rung, also of those that run, lower is better; the
            rungs are numbers of complete steps.
        kept: The individuals of all islands whose states are kept, so that others may go on from them; see
            `evo.population.states.StatesInUse`. Other donors are passed over.
        lost: The individuals whose states this worker has found missing or damaged: no donors.
        worker: The number of the worker that asks: the first number of the identities of those that it breeds.
    """

    active: Sequence[Known] = ()
    running: Sequence[Known] = ()
    used: int = 0
    left: float = np.inf
    rungs: Mapping[int, Mapping[Identity, float]] = field(default_factory=dict)
    kept: Collection[Identity] = ()
    lost: Collection[Identity] = ()
    worker: int = 0


class Learner(ABC):
    """The state of one algorithm on one worker: a fold over the individuals that have finished.

    Every worker has a state of its own, which learns from the individuals of all workers, whichever algorithm proposed
    them. What it has learnt must depend only on what it was told, and in which order: a session that goes on tells it
    everything again, in the order in which evaluations have ended.
    """

    @abstractmethod
    def learn(self, individual: Known, loss: float | None) -> None:
        """Learn from an individual; called once for each that has finished on this island or came to it.

        All that are known and were not yet learnt are told before a proposal, in the order in which they ended.

        Args:
            individual: The individual, which has completed, was pruned, was infeasible or has failed. Its genome is
                read, never written; genes of inactive parameters are NaN.
            loss: The loss that it counts with: its own if it has completed. A pruned one counts as much worse than a
                completed one as it was at the same rung, and one that violates bounds as worse than all before it; see
                `evo.engine.learning.Standards`. None if it has failed or was infeasible. Of several objectives this is
                the first; the individual has all as its `losses`.
        """

    @abstractmethod
    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        """Candidates for the next evaluation, the best first; the first one that nobody has tried is taken.

        Genomes may have any values: genes out of bounds are clipped, those of missing (NaN) active ones are drawn. What
        is only proposed must not change what was learnt. When there are no more candidates, a point is drawn at random.

        A candidate whose segment names a donor gets the donor's genes where these may not change in a training, see
        `evo.space.space.Space.mutable`. One whose donor is not among `View.kept`, or is lost, is passed over.

        Args:
            view: What is known now.
            rng: The only source of randomness of this proposal.
        """


class Algorithm(ABC):
    """An algorithm that learns. Your own is a subclass, best a frozen dataclass, whose fields are its constants.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class AroundTheMean(Algorithm):
        ...     rate: float = 0.2
        ...     def start(self, setup):
        ...         return Mean(self.rate, setup.space)
        >>> class Mean(Learner):
        ...     def __init__(self, rate, space):
        ...         self.rate, self.mean, self.best = rate, np.full(len(space), 0.5), np.inf
        ...     def learn(self, individual, loss):
        ...         if loss is not None and loss < self.best:
        ...             self.best = loss
        ...             self.mean = self.mean + self.rate * (individual.genome - self.mean)
        ...     def propose(self, view, rng):
        ...         while True:
        ...             yield Individual(genome=rng.normal(self.mean, 0.1), parents=())
    """

    @property
    def bred_by(self) -> str:
        """A short name for records of what it proposes, where an individual does not say."""
        return type(self).__name__

    @property
    def first_segment(self) -> Segment | None:
        """The part of a training with which an individual begins that has no donor; None means the whole training.

        It counts for start points too, and for points that are drawn at random.
        """
        return None

    @property
    def takes_several(self) -> bool:
        """Whether it searches the front where there are several objectives; otherwise it is refused there."""
        return False

    @abstractmethod
    def start(self, setup: Setup) -> Learner:
        """The state before anything is known."""
