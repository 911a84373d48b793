"""The course of a study as its journals tell it: read once, and then only what has been added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter

from evo.population.events import AnyEvent, Started
from evo.population.identity import Identity
from evo.population.objectives import ONE_LOSS, Objectives
from evo.report.course import Course
from evo.space.growth import Fitted, Forms
from evo.storage.lines import JournalReplaced, Tail, find_events, read_blocks, without_collection
from evo.storage.rundir import RunDirectory


class CourseReader:
    """Reads the journals of a run directory; takes no lock and writes nothing.

    Args:
        directory: The run directory.
        forms: The limits that the study has had, if they have changed, or if there are constraints, which may have.
        objectives: The objectives of the study.
    """

    def __init__(self, directory: RunDirectory, forms: Forms | None, objectives: Objectives = ONE_LOSS) -> None:
        self._objectives = objectives
        self._directory = directory
        self._forms = forms
        # Fitting each start takes long, so constraints alone are only looked at for the best individual, or the front.
        # When it does not fulfil them, they have changed, and each start is looked at.
        self._looks_at_all = forms is not None and forms.have_changed
        self._fulfil: tuple[Identity, ...] = ()
        self._begin()

    def _begin(self) -> None:
        self._tails: list[Tail] = []
        self._fits: dict[Identity, Fitted] = {}
        self._aside: set[Identity] = set()
        self.course = Course(self._aside, self._objectives)

    def read(self) -> Course:
        """The course of the study until now.

        Raises:
            UserError: A journal cannot be read, or a line is damaged; the message names the file and the line.
        """
        with without_collection():
            try:
                self._read()
            except JournalReplaced:  # By evo repair, say.
                self._begin()
                self._read()
            leaders = self.course.leaders
            if self._forms is not None and leaders and leaders != self._fulfil and not self._looks_at_all:
                if all(self._is_within(one, self._forms) for one in leaders):
                    self._fulfil = leaders
                else:
                    self._looks_at_all = True
                    self._begin()
                    self._read()
        return self.course

    @property
    def changed(self) -> float:
        """The time at which a journal was last written, in seconds since the epoch; 0.0 when there is none."""
        return max((tail.changed for tail in self._tails), default=0.0)

    def events(self) -> Iterator[AnyEvent]:
        """All events that were read until now, once more.

        Raises:
            UserError: A journal cannot be read.
        """
        for tail in self._tails:
            for events in read_blocks(tail.file, self._read_again(tail)):
                yield from events

    def events_about(self, identity: Identity) -> list[AnyEvent]:
        """The events about one individual that were read until now, and those that tell of sessions."""
        found: list[AnyEvent] = list(self.course.joined)
        for tail in self._tails:
            found += find_events(self._read_again(tail), identity)
        return found

    def _read_again(self, tail: Tail) -> bytes:
        try:
            return tail.read_again()
        except JournalReplaced:
            return tail.file.read_bytes()

    def _read(self) -> None:
        known = {tail.file for tail in self._tails}
        self._tails += [Tail(file) for file in self._directory.journals() if file not in known]
        for tail in self._tails:
            for events in tail.read():
                if self._looks_at_all:
                    self._fit(events)
                self.course.add_all(events)

    def _fit(self, events: Iterable[AnyEvent]) -> None:
        """Note of each start whether it is within the limits of now; another start of the same may tell otherwise."""
        assert self._forms is not None
        has_changed = False
        for event in events:
            if isinstance(event, Started):
                fitted, known = self._forms.fit(event.params), self._fits.get(event.individual)
                if known is None or fitted.precedence > known.precedence:
                    self._fits[event.individual] = fitted
                    change = self._aside.add if fitted.genome is None else self._aside.discard
                    change(event.individual)
                    has_changed = has_changed or known is not None
        if has_changed:
            self.course.heed(self._aside)

    def _is_within(self, identity: Identity, forms: Forms) -> bool:
        starts = (event for event in self.events_about(identity) if isinstance(event, Started))
        return max((forms.fit(start.params) for start in starts), key=attrgetter("precedence")).genome is not None
