"""Which states of trainings may still be needed, because somebody may go on from them."""

from __future__ import annotations

from collections.abc import Iterable

from evo.population.events import AnyEvent, Finished, Started
from evo.population.identity import Identity
from evo.population.individual import Known
from evo.population.segments import SavedState, Segment


class StatesInUse:
    """Which individuals' states may still be needed.

    A state is needed until the individual that takes the place of its own has begun from another state, or has left a
    state of its own; or until one has begun that drops its place. Those that begin from it have taken it over by then,
    see `evo.storage.states.StateTaker`.

    Args:
        individuals: The individuals that are known already.
    """

    def __init__(self, individuals: Iterable[Known] = ()) -> None:
        self._states: dict[Identity, SavedState] = {}
        self._segments: dict[Identity, Segment] = {}
        self._released: set[Identity] = set()
        for one in individuals:
            self._note(one.identity, one.segment, one.state)

    def apply(self, event: AnyEvent) -> None:
        """Take an event into account; the order of events does not matter."""
        if isinstance(event, Started):
            self._note(event.individual, event.segment, None)
        elif isinstance(event, Finished):
            self._note(event.individual, None, event.state)

    @property
    def needed(self) -> set[Identity]:
        """The individuals whose states are needed."""
        return {one for one, state in self._states.items() if not state.is_over} - self._released

    def _note(self, identity: Identity, segment: Segment | None, state: SavedState | None) -> None:
        if segment is not None:
            self._segments[identity] = segment
        if state is not None:
            self._states[identity] = state
        segment = self._segments.get(identity)
        if segment is None:
            return
        for dropped in segment.drops:
            self._release(dropped)
        if segment.replaces is None:
            return
        begins_elsewhere = segment.donor is None or segment.donor.individual != segment.replaces
        if begins_elsewhere or identity in self._states:
            self._release(segment.replaces)

    def _release(self, identity: Identity) -> None:
        self._released.add(identity)
        # What is over with is forgotten, so that this does not grow with the search.
        self._states.pop(identity, None)
