"""A search that rests between the calls of a loop of the user's own."""

from __future__ import annotations

import atexit
import contextlib
import threading
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any, final

from evo.engine.asking import CallerTurns
from evo.engine.transport import Serial, together
from evo.errors import SharedError
from evo.report.results import Result
from evo.runtime.mpi import connect, end_all
from evo.runtime.signals import StopSignals
from evo.study.conclusion import StudyEnding
from evo.study.config import Config
from evo.study.connecting import check_threads, is_on_any_rank, leaving_nobody_waiting, no_silent_exit, say_all_ready
from evo.study.job import Job
from evo.study.running import study_steps
from evo.study.settings import note_on
from evo.study.told import evaluated_by_the_caller

_CLOSED = "the loop of the caller has ended"


@final
class SteppedStudy:
    """One rank's part in a study, which goes on only while it is advanced.

    Args:
        read: Returns the settings; called on all ranks together.
        propagator: A propagator or an algorithm, or its description. None means that of the settings.
        comm: The communicator whose ranks search. None means all ranks.

    Attributes:
        turns: The turns of its worker.
        result: The result, once the search is over.
        is_closed: Whether this session has been ended.

    Raises:
        UserError: A setting is wrong, on all ranks.
    """

    def __init__(self, read: Callable[[], Config], propagator: Any, comm: Any) -> None:
        self.turns = CallerTurns()
        self.result: Result | None = None
        self.is_closed = self._is_inside = False
        self._lock = threading.RLock()  # A caller may tell from several threads.
        self._steps: Generator[None, None, Result] | None = None
        self._signals = StopSignals()
        self._signals.__enter__()
        try:
            self._transport = connect(comm, is_given_up=lambda: self._signals.by_keyboard) or Serial()
            with leaving_nobody_waiting(self._transport), no_silent_exit():
                self._begin(read, propagator)
        except BaseException:
            self._release()
            raise
        atexit.register(self.close)  # Other ranks would wait for one that ends without it.

    def _begin(self, read: Callable[[], Config], propagator: Any) -> None:
        transport = self._transport
        try:
            check_threads(transport)
            say_all_ready(transport)
            asked = together(transport, read)
            note = note_on(asked, propagator)
            if transport.rank == 0 and note:
                warnings.warn(note, stacklevel=5)
            job = Job(config=asked, objective=evaluated_by_the_caller, propagator=propagator, turn=self.turns)
            self._steps = study_steps(job, transport, self._signals)
            self.advance()
        except SharedError:
            transport.close()  # All ranks raise this together, and may catch it and go on.
            raise
        self._signals.listen_to_hurry(self._hurry)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Keep other threads out, and Ctrl-C from breaking off what is inside."""
        with self._lock:
            before, self._is_inside = self._is_inside, True
            try:
                yield
            finally:
                self._is_inside = before

    def advance(self) -> bool:
        """Let the search take its next step; returns whether it goes on."""
        if self.result is not None or self._steps is None:
            return False
        with leaving_nobody_waiting(self._transport), no_silent_exit():
            try:
                next(self._steps)
            except StopIteration as end:
                self.result = end.value
            except BaseException:
                self.is_closed = True  # The search cannot go on.
                self._release()
                raise
        return self.result is None

    @property
    def ending(self) -> StudyEnding:
        """What knows the files and the findings of the study, while it goes on."""
        ending = self.turns.effects.ending
        assert isinstance(ending, StudyEnding)
        return ending

    def close(self) -> None:
        """End this session, and wait for the other ranks. A second call changes nothing."""
        with self.busy():
            if self.is_closed:
                return
            self.is_closed = True
            try:
                with leaving_nobody_waiting(self._transport):
                    if self.result is None:
                        self.turns.leave(_CLOSED)
                    while self.advance():
                        pass
                    assert self.result is not None
                    by_keyboard = self.result.by_keyboard or is_on_any_rank(self._transport, self._signals.by_keyboard)
                    self.result = replace(self.result, by_keyboard=by_keyboard)
                    self._transport.close()
            finally:
                self._release()

    def give_up(self, error: Exception) -> None:
        """After an error in the loop of one of several ranks, end all of them: the others would wait for this one.

        Args:
            error: The error, which is shown.
        """
        with self.busy():
            if self.result is None and not self.is_closed and self._transport.size > 1:
                self.turns.leave(_CLOSED)
                self.advance()  # What is in flight is recorded as interrupted.
                end_all(error)

    def _hurry(self) -> None:
        if not self._is_inside:  # Journals are not to be left half written, and a search that stops ends soon.
            raise KeyboardInterrupt

    def _release(self) -> None:
        atexit.unregister(self.close)
        if self._steps is not None:
            self._steps.close()
        self._signals.__exit__()
