"""Which states of trainings are still needed, because somebody may go on from them."""

from __future__ import annotations

from evo.population.events import AnyEvent, Finished, Started
from evo.population.identity import Identity


class StatesInUse:
    """Which individuals' states are needed, as it follows from a set of events, whatever their order.

    A state is needed until an individual that takes the place of its own has begun from another state, or has left a
    state of its own; or until one has begun that drops its place. Those that begin from it have taken it over by then,
    see `evo.storage.states.StateTaker`.

    Two workers that choose at the same moment may both take one place, and both leave states, until one of these is
    dropped: an algorithm drops what its population has no room for.

    Attributes:
        needed: The individuals whose states are needed; it follows the events.

    Example:
        >>> from evo.population.segments import SavedState, Segment
        >>> states = StatesInUse()
        >>> state = SavedState(step=1, digest="")
        >>> states.apply(Started(time=0.0, individual=(0, 0), island=0, params={}, segment=Segment(until=1)))
        >>> states.apply(Finished(time=1.0, individual=(0, 0), status="completed", loss=0.5, rank=0, state=state))
        >>> states.needed
        {(0, 0)}
        >>> elsewhere = Segment(until=1, replaces=(0, 0))  # It begins anew, so nobody will go on from the first.
        >>> states.apply(Started(time=1.0, individual=(0, 1), island=0, params={}, segment=elsewhere))
        >>> states.needed
        set()
    """

    def __init__(self) -> None:
        self.needed: set[Identity] = set()
        self._left: set[Identity] = set()
        # Whose places others have taken or dropped, so that nobody will go on from their states.
        self._released: set[Identity] = set()
        # Those that go on from the states whose places they take, until they have left states of their own.
        self._replaces: dict[Identity, Identity] = {}

    @property
    def any_left(self) -> bool:
        """Whether any individual has left a state."""
        return bool(self._left)

    def apply(self, event: AnyEvent) -> None:
        """Take an event into account; most are about no states and cost nothing."""
        if isinstance(event, Started):
            if (segment := event.segment) is not None:
                self._release(*segment.drops)
                if segment.replaces is not None:
                    is_own = segment.donor is not None and segment.donor.individual == segment.replaces
                    if is_own and event.individual not in self._left:
                        self._replaces[event.individual] = segment.replaces
                    else:
                        self._release(segment.replaces)
        elif isinstance(event, Finished) and event.state is not None:
            self._left.add(event.individual)
            if (replaced := self._replaces.pop(event.individual, None)) is not None:
                self._release(replaced)
            if not event.state.is_over and event.individual not in self._released:
                self.needed.add(event.individual)

    def _release(self, *identities: Identity) -> None:
        self._released.update(identities)
        self.needed.difference_update(identities)
