"""Which states of trainings are still needed, because somebody may go on from them."""

from __future__ import annotations

from collections import defaultdict
from typing import TypeAlias

from evo.population.events import AnyEvent, Finished, Started
from evo.population.identity import Identity
from evo.population.segments import Segment

_Claim: TypeAlias = tuple[float, Identity]
"""When an individual had left a state, and which one: the earliest keeps the place, of two the lower identity."""


class StatesInUse:
    """Which individuals' states are needed, as it follows from a set of events, whatever their order.

    A state is needed until an individual that takes the place of its own has begun from another state, or has left a
    state of its own. Those that begin from it have taken it over by then, see `evo.storage.states.StateTaker`.

    Two workers that choose at the same moment may both take one place. The first of them to leave a state keeps it, by
    the recorded times; the other's state, and all that have gone on in its place, are not needed. So no more states are
    needed than places were begun: individuals whose segments replace nobody.

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
        # When those that have left states had left them.
        self._left: dict[Identity, float] = {}
        # Those whose trainings are at their ends: their places are taken, but nobody can go on from them.
        self._over: set[Identity] = set()
        self._replaced_by: defaultdict[Identity, list[Identity]] = defaultdict(list)
        self._replaces: dict[Identity, Identity] = {}
        self._begins_elsewhere: set[Identity] = set()
        # Who keeps the place of each individual that was replaced.
        self._claims: dict[Identity, _Claim] = {}
        # Those whose place another one keeps.
        self._surplus: set[Identity] = set()

    @property
    def any_left(self) -> bool:
        """Whether any individual has left a state."""
        return bool(self._left)

    def apply(self, event: AnyEvent) -> None:
        """Take an event into account; most are about no states and cost nothing."""
        if isinstance(event, Started):
            if event.segment is not None and event.segment.replaces is not None:
                self._note_start(event.individual, event.segment, event.segment.replaces)
        elif isinstance(event, Finished) and event.state is not None:
            known = self._left.get(event.individual, event.time)
            self._left[event.individual] = min(known, event.time)
            if event.state.is_over:
                self._over.add(event.individual)
            self._compare(event.individual)

    def _note_start(self, identity: Identity, segment: Segment, replaced: Identity) -> None:
        if identity in self._replaces:
            return  # It starts again.
        self._replaces[identity] = replaced
        self._replaced_by[replaced].append(identity)
        if segment.donor is None or segment.donor.individual != replaced:
            self._begins_elsewhere.add(identity)
        self._compare(identity)

    def _compare(self, identity: Identity) -> None:
        """Find out who keeps the place that an individual has taken, and what that changes."""
        changed = [identity]
        if (replaced := self._replaces.get(identity)) is not None:
            changed.append(replaced)
            if (left := self._left.get(identity)) is not None:
                before = self._claims.get(replaced)
                self._claims[replaced] = min(before or (left, identity), (left, identity))
                if self._claims[replaced] != before:
                    changed += self._replaced_by[replaced]
        for one in changed:
            self._judge(one)

    def _judge(self, identity: Identity) -> None:
        """Decide whether a state is needed, and the same of all that follow in its place if that changes for them."""
        waiting = [identity]
        while waiting:
            one = waiting.pop()
            is_surplus = self._is_surplus(one)
            if is_surplus != (one in self._surplus):
                (self._surplus.add if is_surplus else self._surplus.discard)(one)
                waiting += self._replaced_by.get(one, ())
            is_needed = one in self._left and one not in self._over and not is_surplus and not self._is_replaced(one)
            (self.needed.add if is_needed else self.needed.discard)(one)

    def _is_surplus(self, identity: Identity) -> bool:
        if (replaced := self._replaces.get(identity)) is None:
            return False
        claim = self._claims.get(replaced)
        return (claim is not None and claim[1] != identity) or replaced in self._surplus

    def _is_replaced(self, identity: Identity) -> bool:
        return identity in self._claims or not self._begins_elsewhere.isdisjoint(self._replaced_by.get(identity, ()))
