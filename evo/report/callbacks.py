"""Callbacks: what a program of the user's does when something happens in its search."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import msgspec

from evo.errors import UserError
from evo.frames import FAILURES, told
from evo.naming import Kind
from evo.population.events import AnyEvent, Finished, Joined, Reported, Started
from evo.population.identity import Identity
from evo.population.individual import Known
from evo.population.population import Population
from evo.report.records import Evaluation, gather_evaluations
from evo.report.results import Result

_SLOW = 5.0  # Seconds after which the user is told, once, that a callback takes long.
_FORM = "give a list of evo.Callback objects, or in a study file of {class_path: module.Class, init_args: {…}}"


class Callback:
    """Is told what happens in a search, on its first rank, of the individuals of all ranks.

    A subclass has those of the methods that it needs. They are called one after another, between two messages, in the
    order in which the first rank hears of the events, those of earlier sessions left out. While one runs, the first
    rank starts no other individual; the other ranks go on. What takes long belongs into a thread or a command of its
    own. A callback that raises is called no more, with a warning that names the place, and the search goes on.

    Example:
        >>> class Losses(Callback):
        ...     def __init__(self):
        ...         self.losses = []
        ...     def on_finished(self, evaluation):
        ...         self.losses.append(evaluation.loss)
        >>> import evo
        >>> heard = Losses()
        >>> _ = evo.minimize(lambda params: params["x"] ** 2, {"x": (0.0, 1.0)}, evaluations=3, callbacks=[heard])
        >>> len(heard.losses)
        3
    """

    def on_started(self, evaluation: Evaluation) -> None:
        """An evaluation has begun.

        Args:
            evaluation: The individual, which is "running".
        """

    def on_reported(self, evaluation: Evaluation, step: int, loss: float) -> None:
        """An individual has reported an intermediate loss.

        Args:
            evaluation: The individual, which is "running".
            step: The training step, from 0.
            loss: The intermediate loss, a finite number.
        """

    def on_finished(self, evaluation: Evaluation) -> None:
        """An evaluation has ended, but for one that was interrupted and goes on later.

        Args:
            evaluation: The individual: "completed", "pruned", "infeasible" or "failed".
        """

    def on_improved(self, evaluation: Evaluation) -> None:
        """An individual has completed and is the best of the study so far; `on_finished` comes before.

        With several objectives, it is on the front: no individual so far dominates it. While every individual violates
        a bound, it is the one that does so least.

        Args:
            evaluation: The individual.
        """

    def on_end(self, result: Result) -> None:
        """The search has ended, for whatever reason but an error; not called where nothing was left to search.

        Args:
            result: What `evo.minimize` returns.
        """


_CALLBACKS: Kind[Callback] = Kind(
    bases=(Callback,), setting="callbacks", noun="callback", packages=("evo.report.callbacks",), ready={}
)


def make_callbacks(what: Any) -> list[Callback]:
    """The callbacks that a setting names.

    Args:
        what: A list of callbacks, of import paths, or of mappings of class_path and init_args; a single import path or
            mapping; or None.

    Raises:
        UserError: One of them is something else, or cannot be made.
    """
    if what is None:
        return []
    listed = [what] if isinstance(what, str | Mapping | Callback) else what
    if not isinstance(listed, list | tuple):
        raise UserError(f"callbacks is {what!r}: {_FORM}")
    made = []
    for one in listed:
        if isinstance(one, Callback):
            made.append(one)
        elif isinstance(one, str) or (isinstance(one, Mapping) and "class_path" in one):
            made.append(_CALLBACKS.make({"class_path": one} if isinstance(one, str) else one, {}))
        elif isinstance(one, type) and issubclass(one, Callback):
            raise UserError(f"callbacks has the class {one.__name__}: give one that is made, {one.__name__}(...)")
        else:
            raise UserError(f"callbacks has {one!r}: {_FORM}")
    return made


@final
class Announcer:
    """Tells callbacks of every event, each of which it is shown; see `Callback`.

    Args:
        make: Makes the callbacks; called when this rank speaks for all, which another one does when the first has died.
        population: What this rank knows, kept up to date by the search; an event is in it before it is shown.
        home: The folder of all individuals' folders; None when no files are kept.
        warn: Tells the user of a callback that fails, or takes long.
        clock: Returns the time in seconds.
    """

    def __init__(
        self,
        make: Callable[[], Sequence[Callback]],
        population: Population,
        home: Path | None,
        warn: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._callbacks: list[Callback] | None = None
        self._population = population
        self._home = home
        self._warn = warn
        self._clock = clock
        self._best = population.best
        # What has been on the front, as far as others may be as good: their violations, or their losses.
        self._entered = {(one.violation, () if one.violation else one.vector) for one in population.front}
        # Every rank keeps what follows, because events come again after the death of the first one.
        self._joined: dict[int, Joined] = {}
        self._running: dict[Identity, list[AnyEvent]] = {}
        self._steps: dict[Identity, int] = {}
        self._finished: set[Identity] = set()
        self._was_slow: set[str] = set()

    def open(self) -> None:
        """Make the callbacks now.

        Raises:
            UserError: One cannot be made.
        """
        self._callbacks = list(self._make())

    def __call__(self, event: AnyEvent, speaks: bool = True) -> None:
        """Take note of an event.

        Args:
            event: The event, of this or another rank.
            speaks: Whether this rank speaks for all, so that the callbacks are told.
        """
        for name, *arguments in self._news(event):
            if speaks:
                self._tell(name, *arguments)

    def end(self, result: Result) -> None:
        """Say that the search has ended."""
        self._tell("on_end", result)

    def _news(self, event: AnyEvent) -> Iterator[tuple[Any, ...]]:
        """The methods to be called for an event, with their arguments; none where it was known."""
        if isinstance(event, Started) and not event.origin and not self._knows(event.individual):
            # The search goes by its own parameters.
            self._running[event.individual] = [msgspec.structs.replace(event, params=copy.deepcopy(event.params))]
            yield "on_started", self._evaluation(event.individual)
        elif isinstance(event, Reported) and event.individual in self._running:
            if event.step > self._steps.get(event.individual, -1):
                self._steps[event.individual] = event.step
                yield "on_reported", self._evaluation(event.individual), event.step, event.loss
        elif isinstance(event, Joined):
            self._joined[event.rank] = event
        elif isinstance(event, Finished) and event.individual in self._running:
            self._running[event.individual].append(msgspec.structs.replace(event, metrics=dict(event.metrics)))
            if event.status == "interrupted":
                return
            evaluation = self._evaluation(event.individual)
            del self._running[event.individual]
            self._steps.pop(event.individual, None)
            self._finished.add(event.individual)
            yield "on_finished", evaluation
            if self._improves(event.individual):
                self._best = self._population.best
                yield "on_improved", evaluation

    def _evaluation(self, individual: Identity) -> Evaluation:
        """An individual of which this session tells, as readers of journals see it."""
        events = [*self._joined.values(), *self._running[individual]]
        (evaluation,) = gather_evaluations(events, home=self._home)
        return evaluation

    def _improves(self, individual: Identity) -> bool:
        """Whether an individual that has just ended is the best now, or on the front."""
        best = self._population.best
        if best is not None and best.losses:
            as_good = (best.violation, () if best.violation else self._vector_of(individual))
            is_new = as_good not in self._entered and self._population.standings.is_on_front(individual)
            if is_new:
                self._entered.add(as_good)
            return is_new
        return best is not None and best.identity == individual and self._is_better(best)

    def _vector_of(self, individual: Identity) -> tuple[float, ...]:
        known = self._population.find(individual)
        return () if known is None else known.vector

    def _is_better(self, best: Known) -> bool:
        """Whether the best of now is better than the best of before; as good is no improvement."""
        if self._best is None or best.loss is None or self._best.loss is None:
            return best is not self._best
        return (best.violation, best.loss) < (self._best.violation, self._best.loss)

    def _knows(self, individual: Identity) -> bool:
        return individual in self._running or individual in self._finished

    def _tell(self, name: str, *arguments: Any) -> None:
        if self._callbacks is None:
            self._callbacks = []
            try:
                self.open()
            except UserError as error:
                self._warn(f"{error}; the search goes on without it")
        for callback in list(self._callbacks):
            method = getattr(callback, name)
            if getattr(method, "__func__", None) is getattr(Callback, name):
                continue
            what, began = f"callback {type(callback).__qualname__}.{name}", self._clock()
            try:
                method(*arguments)
            except FAILURES as error:
                self._callbacks = [other for other in self._callbacks if other is not callback]
                self._warn(f"{what} fails: {told(error, called=method)}; it is called no more, and the search goes on")
            spent = self._clock() - began
            if spent > _SLOW and name != "on_end" and what not in self._was_slow:
                self._was_slow.add(what)
                self._warn(
                    f"{what} took {spent:.0f} s, in which this rank has started nothing: use a thread of its own"
                )
