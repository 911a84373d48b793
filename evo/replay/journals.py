"""The journals of a run directory, divided into sessions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from evo.population.events import AnyEvent, Done, Finished, Heard, Joined, Judged, Reported, Skipped, Started, encode
from evo.population.identity import Identity
from evo.population.imported import Imported
from evo.storage.journal import read_journal
from evo.storage.rundir import RunDirectory

_ABOUT_EVALUATIONS = (Started, Reported, Judged, Finished, Skipped)


@dataclass
class RecordedSession:
    """What the workers recorded in one session.

    Args:
        number: The number of the session, from 1; 0 for all that an earlier version of evo has recorded.
        events: By worker, its events in their order.
        known: The results known from elsewhere with which it began. Each worker learns them by itself, so that they are
            never sent; worker 0 records them before it joins.
    """

    number: int
    events: dict[int, list[AnyEvent]] = field(default_factory=dict)
    known: Sequence[Started | Finished] = ()

    @property
    def joined(self) -> Mapping[int, Joined]:
        """By worker, how it joined this session."""
        return {worker: first for worker, (first, *_) in self.events.items() if isinstance(first, Joined)}

    @property
    def started(self) -> set[Identity]:
        """The individuals that were started in this session, or known as it began."""
        return {event.individual for event in self._all() if isinstance(event, Started)}

    @property
    def mentioned(self) -> set[Identity]:
        """The individuals of whose evaluation it tells; also those of which a repair has found only the name."""
        return {event.individual for event in self._all() if isinstance(event, _ABOUT_EVALUATIONS)}

    def _all(self) -> Iterator[AnyEvent]:
        return chain(self.known, *self.events.values())

    def sent_by(self, worker: int) -> Sequence[AnyEvent]:
        """The events of a worker that others may have heard of, as `Heard` counts them."""
        return [event for event in self.events.get(worker, ()) if not isinstance(event, Done | Heard)]


@dataclass(frozen=True)
class Journals:
    """All journals of a run directory.

    Args:
        sessions: The sessions in their order.
        workers: The workers that have a journal, in the order in which a session reads them.
    """

    sessions: Sequence[RecordedSession]
    workers: Sequence[int]

    def before(self, number: int) -> Iterator[AnyEvent]:
        """What had been recorded before a session, in the order in which it has read that: journal by journal."""
        for worker in self.workers:
            for session in self.sessions:
                if session.number < number:
                    yield from session.known if worker == 0 else ()
                    yield from session.events.get(worker, ())


def read_journals(directory: RunDirectory) -> Journals:
    """The journals of a run directory.

    Raises:
        UserError: A line is damaged; the message names the file and the line.
    """
    files = [file for file in directory.journals() if file.stem.isdecimal()]
    return divide_journals({int(file.stem): read_journal(file, with_heard=True) for file in files})


def divide_journals(journals: Mapping[int, Iterable[AnyEvent]]) -> Journals:
    """Journals, divided into sessions.

    Args:
        journals: By worker, its events; in the order in which a session reads the journals.
    """
    sessions: dict[int, RecordedSession] = {}
    imported = Imported()
    for worker, events in journals.items():
        number, written = 0, set[int]()
        known: list[Started | Finished] = []
        for event in events:
            # After a failure of the storage, a rank writes some records of its session again.
            line = hash(encode(event))
            if line in written:
                continue
            written.add(line)
            if isinstance(event, Started):
                imported.apply(event)
            if isinstance(event, Started | Finished) and event.individual in imported:
                known.append(event)
                continue
            if isinstance(event, Joined):
                number, written = event.session, {line}
            session = sessions.setdefault(number, RecordedSession(number))
            if isinstance(event, Joined) and known:
                session.known, known = known, []
            session.events.setdefault(worker, []).append(event)
        if known:  # It was killed before it joined.
            sessions.setdefault(number + 1, RecordedSession(number + 1)).known = known
    return Journals([sessions[number] for number in sorted(sessions)], list(journals))
