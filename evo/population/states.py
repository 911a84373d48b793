"""Which states of trainings are still needed, because somebody may go on from them."""

from __future__ import annotations

from evo.population.events import AnyEvent, Finished, Started
from evo.population.identity import Identity
from evo.population.segments import Segment


class StatesInUse:
    """Which individuals' states are needed, as it follows from a set of events, whatever their order.

    A state is needed until the individual that takes the place of its own has begun from another state, or has left a
    state of its own; or until one has begun that drops its place. Those that begin from it have taken it over by then,
    see `evo.storage.states.StateTaker`.

    Each place that was begun holds one state at most, but two if two workers have gone on with it at the same moment.
    So no more states are needed than there are places and individuals in flight, where what is superfluous is dropped.

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
        # Those whose starts are known: without one, as after a repair, nobody can go on from an individual.
        self._begun: set[Identity] = set()
        # Those that have left a state; and those whose trainings are at their ends, so that nobody can go on.
        self._left: set[Identity] = set()
        self._over: set[Identity] = set()
        self._released: set[Identity] = set()
        # Those that go on from the state of the individual whose place they take, with that individual.
        self._goes_on_from: dict[Identity, Identity] = {}

    @property
    def any_left(self) -> bool:
        """Whether any individual has left a state."""
        return bool(self._left)

    def is_taken(self, identity: Identity) -> bool:
        """Whether another individual has taken the place of this one for good, or has dropped it."""
        return identity in self._released

    def apply(self, event: AnyEvent) -> None:
        """Take an event into account; most are about no states and cost nothing."""
        if isinstance(event, Started) and event.segment is not None:
            self._begun.add(event.individual)
            self._begin(event.individual, event.segment)
        elif isinstance(event, Finished) and event.state is not None:
            self._left.add(event.individual)
            if event.state.is_over:
                self._over.add(event.individual)
            if (replaced := self._goes_on_from.get(event.individual)) is not None:
                self._release(replaced)
        else:
            return
        one = event.individual
        if one in self._left and one in self._begun and one not in self._released and one not in self._over:
            self.needed.add(one)
        else:
            self.needed.discard(one)

    def _begin(self, identity: Identity, segment: Segment) -> None:
        for dropped in segment.drops:
            self._release(dropped)
        if segment.replaces is None:
            return
        is_from_there = segment.donor is not None and segment.donor.individual == segment.replaces
        if is_from_there:
            self._goes_on_from[identity] = segment.replaces
        if not is_from_there or identity in self._left:
            self._release(segment.replaces)

    def _release(self, identity: Identity) -> None:
        self._released.add(identity)
        self.needed.discard(identity)
