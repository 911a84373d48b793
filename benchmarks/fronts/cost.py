"""What a proposal of evo's default for several objectives costs, as the front grows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.quality.evos import make_workers
from evo.engine.worker import Worker
from evo.population.events import AnyEvent
from evo.population.outcome import Outcome
from evo.space.space import Space

SIZES = (100, 1_000, 10_000)
"""The numbers of individuals on the front."""

_PROPOSALS = 30
_GOALS = {"objectives": ["first", "second"]}
_LIMITS = {f"x{number}": (0.0, 1.0) for number in range(10)}
_NOW = 1e9


def table() -> str:
    """The cost of a proposal by the size of the front, as text."""
    lines = ["points on the front   a proposal, ms   its result, ms   to the smallest front"]
    costs = {size: cost_of(size) for size in SIZES}
    for size, (proposal, result) in costs.items():
        ratio = (proposal + result) / sum(costs[SIZES[0]])
        lines.append(f"{size:19d}{proposal * 1e3:17.2f}{result * 1e3:17.2f}{ratio:24.1f}")
    return "\n".join(lines)


def cost_of(size: int) -> tuple[float, float]:
    """The median CPU seconds of a proposal, and of taking in its result, once the front has so many points.

    Args:
        size: The number of individuals on the front, all of which another worker has evaluated.
    """
    space = Space(_LIMITS)
    drawn, _ = make_workers(space, {**_GOALS, "propagator": "random"}, 2, 10**9, 0)
    _, worker = make_workers(space, _GOALS, 2, 10**9, 0)
    for other in (drawn, worker):
        other.join(_NOW)
    for event in _evaluated(drawn, size):
        worker.receive(event, _NOW)
    proposals, results = [], []
    for _ in range(_PROPOSALS):
        began = time.process_time()
        started, _ = worker.ask(_NOW, lambda: None)
        proposed = time.process_time()
        assert started is not None
        worker.tell(started.individual, _on_front(started.params), _NOW)
        proposals.append(proposed - began)
        results.append(time.process_time() - proposed)
    assert len(worker.population.front) >= size
    return statistics.median(proposals), statistics.median(results)


def _evaluated(worker: Worker, count: int) -> Iterator[AnyEvent]:
    for _ in range(count):
        started, events = worker.ask(_NOW, lambda: None)
        assert started is not None
        yield from events
        yield from worker.tell(started.individual, _on_front(started.params), _NOW)


def _on_front(params: Mapping[str, Any]) -> Outcome:
    """Losses of which none dominates another: what the first loses, the second gains."""
    first = float(params["x0"])
    return Outcome(status="completed", loss=first, losses=(first, 1.0 - first))
