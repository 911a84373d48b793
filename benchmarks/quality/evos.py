"""evo itself as `simulation.Search`: its workers, each with a replica of its own, and messages that take time."""

from __future__ import annotations

import heapq
import importlib
import json
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from benchmarks.quality.shared import Shared
from evo.engine.settings import WorkerSettings
from evo.engine.worker import Worker
from evo.population.events import AnyEvent, Judged, decode, encode
from evo.population.identity import Identity
from evo.population.outcome import Outcome
from evo.population.population import Population
from evo.pruning.rungs import Rungs
from evo.space.space import Space
from evo.study.config import Config
from evo.study.plan import make_plan

# How long a message takes on average, as a share of the mean time of an evaluation. Between trainings it is much less.
_DELAY = 0.02
# A worker with nothing to try asks again so often before the space counts as exhausted.
_PATIENCE = 100
_NOW = 1e9


@dataclass(frozen=True)
class Token:
    """What is evaluated.

    Args:
        worker: The worker that evaluates it.
        individual: Its identity.
    """

    worker: int
    individual: Identity


def make_workers(space: Space, how: Mapping[str, Any], workers: int, evaluations: int, seed: int) -> list[Worker]:
    """The workers of a search, as a study makes them.

    Args:
        space: The search space.
        how: Settings, as in a study file: `propagator`, `pruning`.
        workers: Their number.
        evaluations: The budget.
        seed: The seed of the study.
    """
    config = Config(**{**how, "evaluations": evaluations, "seed": seed, "max_failed_share": 1.0})
    plan = make_plan(config, _no_objective, space.describe(), None, workers)
    made = []
    for number in range(workers):
        settings = WorkerSettings(
            worker=number,
            workers=workers,
            seed=seed,
            budget=plan.budget,
            archipelago=plan.archipelago,
            objectives=plan.objectives,
        )
        rungs = Rungs(plan.pruner) if plan.pruner else None
        made.append(Worker(settings, plan.propagators[0], Population(plan.space), rungs))
    return made


def _no_objective(params: Mapping[str, Any]) -> float:
    """Stands for the objective, which the simulation calls."""
    raise AssertionError("is never called")


class Replicas:
    """A search of evo whose workers tell each other what they do, after a while.

    Args:
        how: Settings, as in a study file: `propagator`, `pruning`.
        space: The search space.
        workers: The number of workers.
        evaluations: The budget.
        seed: The seed of the study, and of the delays.
    """

    def __init__(self, how: Mapping[str, Any], space: Space, workers: int, evaluations: int, seed: int) -> None:
        self.workers = make_workers(space, how, workers, evaluations, seed)
        self._rng = np.random.default_rng([seed, 13])
        self._free = deque(range(workers))
        self._ticks = 0  # The evaluations that have ended; as many as workers take about the mean time of one.
        self._numbers = count()
        self._inbox: list[list[tuple[float, int, AnyEvent]]] = [[] for _ in range(workers)]
        # When the last message from one worker to another arrives: later ones do not overtake it.
        self._last = np.zeros((workers, workers))
        for number, worker in enumerate(self.workers):
            self._publish(number, worker.join(_NOW))

    def ask(self) -> tuple[Token, Mapping[str, Any]] | None:
        number = self._free.popleft()
        worker = self.workers[number]
        for _ in range(_PATIENCE):
            self._receive(number, self._ticks)
            started, events = worker.ask(self._now, lambda: None)
            self._publish(number, events)
            if started is not None:
                return Token(number, started.individual), started.params
            if worker.is_done:
                break
            for other in range(len(self.workers)):  # It would wait, and hear of everything meanwhile.
                self._receive(other, math.inf)
        return None

    def tell(self, token: Token, loss: float) -> None:
        failed = math.isnan(loss)
        outcome = (
            Outcome(status="failed", error="FloatingPointError: the loss is nan")
            if failed
            else Outcome(status="completed", loss=loss)
        )
        self._end(token, outcome)

    def report(self, token: Token, steps: int, loss: float) -> bool:
        """See `pruned.PruningSearch`."""
        self._receive(token.worker, self._ticks)
        events = self.workers[token.worker].report(token.individual, steps - 1, loss, self._now)
        self._publish(token.worker, events)
        return any(isinstance(event, Judged) and event.stop for event in events)

    def finish(self, token: Token, loss: float, pruned: bool) -> None:
        """See `pruned.PruningSearch`."""
        self._end(token, Outcome(status="pruned" if pruned else "completed", loss=loss))

    def _end(self, token: Token, outcome: Outcome) -> None:
        self._ticks += 1
        self._receive(token.worker, self._ticks)
        self._publish(token.worker, self.workers[token.worker].tell(token.individual, outcome, self._now))
        self._free.append(token.worker)

    @property
    def _now(self) -> float:
        return _NOW + self._ticks / len(self.workers)

    def _publish(self, sender: int, events: list[AnyEvent]) -> None:
        for event in events:
            sent = decode(encode(event)) if len(self.workers) > 1 else event
            delays = self._rng.exponential(_DELAY * len(self.workers), len(self.workers))
            self._last[sender] = np.maximum(self._last[sender], self._ticks + delays)
            for receiver, arrival in enumerate(self._last[sender].tolist()):
                if receiver != sender:
                    heapq.heappush(self._inbox[receiver], (arrival, next(self._numbers), sent))

    def _receive(self, receiver: int, until: float) -> None:
        inbox = self._inbox[receiver]
        while inbox and inbox[0][0] <= until:
            self._publish(receiver, self.workers[receiver].receive(heapq.heappop(inbox)[2], self._now))


def read_settings(text: str) -> dict[str, Any]:
    """The settings that stand after `evo:` in the name of a tool: a propagator's name or JSON mapping; empty: none."""
    return {"propagator": json.loads(text) if text.startswith("{") else text} if text else {}


def shared(text: str, space: Space, workers: int, evaluations: int, seed: int) -> Shared:
    """A search with one state for all workers, by the name of an algorithm.

    Args:
        text: `module.Class`, perhaps followed by its arguments as a JSON mapping.
        space: The search space.
        workers: The number of workers.
        evaluations: The budget.
        seed: The seed.
    """
    path, brace, arguments = text.partition("{")
    module, _, name = path.rpartition(".")
    algorithm = getattr(importlib.import_module(module), name)(**json.loads(brace + arguments or "{}"))
    return Shared(algorithm, space, workers, evaluations, seed)
