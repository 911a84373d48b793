"""Several ranks that evaluate one individual together: the first one searches, the others assist it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from evo.engine.transport import Serial, Transport
from evo.errors import CutOff, Stuck
from evo.evaluation.evaluator import Evaluator, with_inherited
from evo.population.assignment import Assignment, TakesReport
from evo.population.events import AnyEvent
from evo.population.identity import Identity
from evo.population.outcome import Outcome

# A rank whose objective has failed waits for the others, which may wait for it inside MPI, for this many seconds, or
# this many times the longest evaluation that it has seen, whichever is longer.
_PATIENCE = 60.0
_LONGER_THAN_ANY = 10


class _Assigned(msgspec.Struct, frozen=True, tag=True):
    """Evaluate an individual with the others."""

    assignment: Assignment


class _Interrupt(msgspec.Struct, frozen=True, tag=True):
    """End the evaluation in flight, which may have failed on another rank."""

    failed: bool


class _MemberEnded(msgspec.Struct, frozen=True, tag=True):
    """How an evaluation ended on this rank."""

    outcome: Outcome


class _Over(msgspec.Struct, frozen=True, tag=True):
    """An evaluation that failed has ended on all ranks: nobody waits for anybody in it."""


class _Dismissal(msgspec.Struct, frozen=True, tag=True):
    """The search is over; with its conclusion, and what happened if no journal tells."""

    words: str
    events: list[AnyEvent]


_Message: TypeAlias = _Assigned | _Interrupt | _MemberEnded | _Over | _Dismissal


class _Vote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the first rank wants while an evaluation runs; all ranks follow it."""

    attempt: int
    wanted: bool


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Message).decode
_decode_vote = msgspec.json.Decoder(_Vote).decode
# Votes are filled up with blanks, which JSON allows, so that all have the same known length.
_VOTE_BYTES = 64


class Team:
    """The ranks of one worker.

    Args:
        transport: The connection to all ranks. All of them must make a team at the same time.
        size: The number of ranks of each worker, which divides the number of all ranks.
    """

    def __init__(self, transport: Transport, size: int) -> None:
        self.size = size
        self.place = transport.rank % size
        first = transport.rank - self.place
        alone = size == 1
        self._transport = Serial() if alone else transport.part(range(first, first + size))
        # A communicator for the objective: its own messages must not meet ours.
        communicator = getattr(self._transport, "communicator", None)
        self._communicator = None if alone else communicator and communicator.Dup()
        # Another one for what the ranks agree on while they evaluate.
        self._agreement = None if alone else communicator and communicator.Dup()
        # Whether the objective may get the communicator, and wait in it.
        self.lends = False
        # Seconds that the longest evaluation took so far.
        self.longest = 0.0
        # The connection among the first ranks of all workers, numbered as their workers are; None on other ranks.
        self.leaders: Transport | None = transport
        if not alone:
            self.leaders = None if self.place else transport.part(range(0, transport.size, size))

    def lend(self) -> Any:
        """A communicator of the team for the objective, mpi4py's."""
        if self._communicator is None:
            from evo.runtime.mpi import communicator_alone

            return communicator_alone()
        return self._communicator

    def agree(self, attempt: int, wanted: bool) -> bool:
        """What the first rank wants, when all of them ask; the others wait for its answer.

        Args:
            attempt: The number of the evaluation that they are in.
            wanted: What this rank wants.
        """
        if self._agreement is None:
            return wanted
        if not self.place:
            message = _encode(_Vote(attempt, wanted)).ljust(_VOTE_BYTES)
            for other in range(1, self.size):
                self._agreement.Send(message, dest=other)
            return wanted
        arrived = bytearray(_VOTE_BYTES)
        while True:
            self._agreement.Recv(arrived, source=0)
            vote = _decode_vote(arrived)
            if vote.attempt == attempt:  # The first rank may have asked more often in an earlier evaluation.
                return vote.wanted

    def check_patience(self, failure: Outcome, moment: float) -> None:
        """Give up when the others still do not answer long after the objective has failed here.

        Args:
            failure: How the objective ended here.
            moment: When it ended, by the monotonic clock.

        Raises:
            Stuck: The others seem to wait for this rank inside MPI.
        """
        patience = max(_PATIENCE, _LONGER_THAN_ANY * self.longest)
        hinders = failure.error or failure.status == "interrupted"
        if hinders and self.lends and time.monotonic() - moment > patience:
            raise Stuck(
                f"the objective {failure.status} on rank {self.place} of the {self.size} of a worker "
                f"({failure.error or 'asked to'}), and for {patience:.0f} s others seem to wait for it in "
                "trial.communicator: let all of them end, or none"
            )

    def receive(self) -> Iterator[tuple[int, _Message]]:
        """What the others have sent.

        Raises:
            CutOff: One of them has died.
        """
        for sender, line in self._transport.receive():
            yield sender, _decode(line)
        if self._transport.dead:
            raise CutOff(f"rank {self.place} of a worker ends, because rank {min(self._transport.dead)} of it has died")

    def send(self, message: _Message, place: int | None = None) -> None:
        """Send a message to one of the others, or to all."""
        others = [other for other in range(self.size) if other != self.place]
        self._transport.send(_encode(message), others if place is None else [place])
        self._transport.post()

    def wait(self) -> None:
        """Sleep a moment."""
        self._transport.wait()

    def dismiss(self, words: str, events: Iterable[AnyEvent]) -> None:
        """Let the others go, with the conclusion of the search and all events that they cannot read."""
        if self.size > 1:
            self.send(_Dismissal(words, list(events)))

    def close(self) -> None:
        """End the connections of this team; those to all ranks stay."""
        if self.size > 1:
            for communicator in (self._communicator, self._agreement):
                if communicator and not self._transport.dead:
                    communicator.Free()
            self._transport.close()
            if self.leaders is not None:
                self.leaders.close()


class TeamEvaluator:
    """The first rank's evaluator: evaluates with the others; see `evo.evaluation.evaluator.Evaluator`.

    An individual is infeasible, or has failed, when that is so on any of the ranks. Its loss is that of the first rank.

    Args:
        evaluator: The evaluator of this rank alone.
        team: The connection to the others.
        folder: Returns the folder of an individual on this rank.
    """

    def __init__(self, evaluator: Evaluator, team: Team, folder: Callable[[Identity], Path]) -> None:
        self._evaluator = evaluator
        self._team = team
        self._folder = folder
        self._outcomes: dict[int, Outcome] = {}
        self._interrupted = False
        self._ended = 0.0
        self.open = evaluator.open
        self.hurry = evaluator.hurry  # The other ranks get the signal as well.
        self.test = evaluator.test
        self.close = evaluator.close

    def start(self, assignment: Assignment, report: TakesReport) -> None:
        """Begin to evaluate, on all ranks."""
        self._outcomes.clear()
        self._interrupted = False
        assignment = with_inherited(assignment, self._folder)  # Only this rank has taken it over.
        self._team.send(_Assigned(assignment))
        self._evaluator.start(assignment, report)

    def poll(self) -> Outcome | None:
        """The outcome once all ranks have theirs, or None after a moment's wait for it."""
        if 0 not in self._outcomes and (outcome := self._evaluator.poll()) is not None:
            self._outcomes[0] = outcome
            self._ended = time.monotonic()
            self._team.longest = max(self._team.longest, outcome.seconds)
        for place, message in self._team.receive():
            assert isinstance(message, _MemberEnded)
            self._outcomes[place] = message.outcome
        if len(self._outcomes) == self._team.size:
            outcome = self._combine()
            if outcome.error:
                self._team.send(_Over())
            return outcome
        if any(outcome.error for outcome in self._outcomes.values()):
            self.interrupt(failed=True)  # The others may wait for one that has failed.
        elif any(outcome.status == "interrupted" for outcome in self._outcomes.values()):
            self.interrupt()  # The manager of its node has asked one rank alone, which will not return to the others.
        if 0 in self._outcomes:
            self._team.check_patience(self._outcomes[0], self._ended)
            self._team.wait()
        return None

    def interrupt(self, failed: bool = False) -> None:
        """End the evaluation in flight, on all ranks."""
        if not self._interrupted:
            self._interrupted = True
            self._team.send(_Interrupt(failed))
        if 0 not in self._outcomes:
            self._evaluator.interrupt(failed)

    def _combine(self) -> Outcome:
        # If one rank has refused the point, or could not write, others may have failed because of that.
        for status, has_error in (
            ("infeasible", True),
            ("interrupted", True),
            ("failed", True),
            ("interrupted", False),
        ):
            for place, outcome in sorted(self._outcomes.items()):
                if outcome.status == status and bool(outcome.error) == has_error:
                    where = f"on rank {place} of the worker: " if place and outcome.error else ""
                    return dataclasses.replace(outcome, error=where + outcome.error)
        return self._outcomes[0]


def assist(team: Team, evaluator: Evaluator) -> tuple[str, list[AnyEvent]]:
    """Evaluate with the first rank, as it says, until the search is over.

    Args:
        team: The connection to the first rank and the others.
        evaluator: The evaluator of this rank alone.

    Returns:
        The search's conclusion, and the events if no journal tells.
    """
    at_work, outcome, ended = False, None, 0.0
    while True:
        for _, message in team.receive():
            if isinstance(message, _Assigned):
                at_work, outcome = True, None
                evaluator.start(message.assignment, lambda *report: False)
            elif isinstance(message, _Interrupt) and at_work:
                evaluator.interrupt(message.failed)
            elif isinstance(message, _Over):
                outcome = None
            elif isinstance(message, _Dismissal):
                return message.words, message.events
        if at_work and (outcome := evaluator.poll()) is not None:
            at_work, ended = False, time.monotonic()
            team.longest = max(team.longest, outcome.seconds)
            team.send(_MemberEnded(outcome), 0)
        elif not at_work:
            if outcome is not None:
                team.check_patience(outcome, ended)
            team.wait()
