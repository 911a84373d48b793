"""The base class of propagators, and combinations of small propagators to larger ones."""

from __future__ import annotations

import inspect
import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, final

import msgspec
import numpy as np
from sortedcontainers import SortedKeyList

from evo.checks import check_count, check_probability
from evo.errors import UserError
from evo.frames import FAILURES, blame, blamed, cut_off, definition_of, is_bug_in, is_made_by_evo, representation
from evo.population.individual import Active, Individual, ancestors
from evo.propagators.offspring import usable, why_no_name
from evo.space.space import Space

# More than so many individuals do not count as parents, because they say little about an offspring's origin.
_FEW = 10
_LONGEST_RESULT = 100  # The number of characters of a propagator's result that a message shows.


class PropagatorError(UserError):
    """A propagator fails, or does not breed what a search needs."""


class Propagator(ABC):
    """Breeds individuals from individuals. Your own is a subclass with one method, `breed`.

    Genomes are vectors of normalised genes (see `evo.space.space`), so a propagator needs no units. It need not respect
    bounds or conditions either: genes out of bounds are clipped, and missing (NaN) active genes are sampled.

    A journal must be able to hold what it returns: genomes are float arrays of shape (genes,), strategies what JSON
    gives back unchanged, parents identities, names texts. Anything else is an error that names its `breed`.

    The journal records the parents of each individual. A propagator may set them in `Individual.parents`, to `()` if it
    uses none. Otherwise the parents are the individuals that it was given, provided that they are at most 10 and not
    the whole population.

    Example:
        >>> from evo.propagators import SelectMin
        >>> class Average(Propagator):
        ...     def breed(self, parents, space, rng):
        ...         return [Individual(genome=np.mean([parent.genome for parent in parents], axis=0))]
        >>> propagator = Compose([SelectMin(3), Average()])
    """

    # Whether it returns only known individuals or sets the parents of new ones. Your own propagators need not set this.
    _says_parents: ClassVar[bool] = False

    # Whether it is one of the propagators of evo, which need no checks. Breeding asks often, so this is found out once.
    _is_evos: ClassVar[bool] = False

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls._is_evos = is_made_by_evo(cls)

    @property
    def bred_by(self) -> str:
        """A short name for records of what it has bred; empty for a propagator that only selects."""
        return type(self).__name__

    @property
    def parents(self) -> int | None:
        """The number of individuals that it takes; None means any number."""
        return None

    @property
    def offspring(self) -> int | None:
        """The number of individuals that it returns; None means that it depends on the input."""
        return None

    @abstractmethod
    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        """Return new individuals, or some of those given. The parents' genomes are read, never written.

        Args:
            parents: The active population, the best first, or the output of the propagator before this one.
            space: The search space.
            rng: The only source of randomness.
        """

    @final
    def __call__(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        """Check the number of parents, then breed.

        Raises:
            UserError: The number of parents is not the one that it takes.
            PropagatorError: It is not one of evo's own, and it fails or does not return individuals.
        """
        takes = self._count("parents")
        if takes is not None and len(parents) != takes:
            raise UserError(
                f"{representation(self)} takes {takes} parents and was given {len(parents)}: "
                "select that many before it, behind a Conditional that waits until there are enough"
            )
        bred = self._bred(parents, space, rng)
        return bred if self._says_parents else self._with_parents(bred, parents, is_fixed=takes is not None)

    def _count(self, name: Literal["parents", "offspring"]) -> int | None:
        """One of the two properties, which may be the user's own, or computed from one."""
        try:
            count: int | None = getattr(self, name)
        except FAILURES as error:
            if is_bug_in(type(self), error):
                raise
            what = f"{type(self).__qualname__}.{name} fails"
            raise blame(error, what, PropagatorError, self._getter(name)) from error
        return count

    def _bred(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        """The result of `breed`; that of the user's own propagator is checked, with errors that name the place."""
        if self._is_evos:
            return self.breed(parents, space, rng)
        kind = type(self)
        with blamed(f"{kind.__qualname__}.breed fails", PropagatorError, kind.breed):
            bred: Any = self.breed(parents, space, rng)
        is_passed_on = bred is parents
        if is_passed_on:
            return parents
        if not isinstance(bred, Sequence) or not all(isinstance(one, Individual) for one in bred):
            shown = cut_off(representation(bred), _LONGEST_RESULT)
            raise self._refusal(f"returned {shown}: it must return a list of individuals")
        try:
            usable_ones = [usable(one, space) for one in bred]
        except ValueError as error:
            raise self._refusal(f"returned an individual with {error}") from error
        with blamed(f"{kind.__qualname__}.bred_by fails", PropagatorError, self._getter("bred_by")):
            why = why_no_name(self.bred_by)
        if why:
            place = definition_of(self._getter("bred_by"))
            raise PropagatorError(f"{kind.__qualname__}{f' ({place})' if place else ''} has {why}")
        checked: Sequence[Individual] = bred if all(map(operator.is_, usable_ones, bred)) else usable_ones
        return checked

    def _getter(self, name: str) -> Any:
        """The function behind a property, whose definition a message names."""
        found = inspect.getattr_static(type(self), name)
        return found.fget if isinstance(found, property) else found

    def _refusal(self, what: str) -> PropagatorError:
        return PropagatorError(f"{type(self).__qualname__}.breed ({definition_of(type(self).breed)}) {what}")

    def _with_parents(self, bred: Sequence[Individual], given: Active, is_fixed: bool) -> Sequence[Individual]:
        """The same individuals; new ones without parents get all individuals that were given as their parents."""
        were_selected = len(given) <= _FEW and not isinstance(given, SortedKeyList)
        if not isinstance(bred, list | tuple) or not (were_selected or is_fixed):
            return bred
        parents = ancestors(given)
        return [
            msgspec.structs.replace(each, parents=parents)
            if type(each) is Individual and each.parents is None
            else each
            for each in bred
        ]


@final
@dataclass(frozen=True)
class Compose(Propagator):
    """Apply propagators one after another, each to the output of the one before.

    Args:
        propagators: The propagators in order, at least one.
        label: A name for all of them together, for records; empty means the names of those that do more than select.

    Raises:
        UserError: No propagators are given, or one returns another number of individuals than the next one takes.
    """

    _says_parents: ClassVar[bool] = True  # Its parts set the parents.

    propagators: Sequence[Propagator]
    label: str = field(default="", repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        if not self.propagators:
            raise UserError("Compose is given no propagators: give at least one")
        if type(self.label) is not str:
            raise UserError(f"label of Compose is {self.label!r}: it must be a text")
        for one, following in zip(self.propagators[:-1], self.propagators[1:], strict=True):
            returned, taken = one._count("offspring"), following._count("parents")
            if None not in (returned, taken) and returned != taken:
                shown, shown_next = representation(one), representation(following)
                raise UserError(
                    f"{shown} returns {returned} individuals, but {shown_next} takes {taken}: make the two numbers "
                    "equal, or put a selection between them"
                )

    @property
    def bred_by(self) -> str:
        return self.label or "+".join(filter(None, (propagator.bred_by for propagator in self.propagators)))

    @property
    def parents(self) -> int | None:
        return self.propagators[0].parents

    @property
    def offspring(self) -> int | None:
        return self.propagators[-1].offspring

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        for propagator in self.propagators:
            parents = propagator(parents, space, rng)
        return parents


@final
@dataclass(frozen=True)
class Conditional(Propagator):
    """Apply one propagator to a population that is large enough, another to a smaller one.

    Args:
        population: The number of individuals from which on `then` is applied.
        then: The propagator for a population of at least this size.
        otherwise: The propagator for a smaller one.
    """

    _says_parents: ClassVar[bool] = True

    population: int
    then: Propagator
    otherwise: Propagator

    def __post_init__(self) -> None:
        check_count("population", self.population)

    @property
    def bred_by(self) -> str:
        return self.then.bred_by

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        return (self.then if len(parents) >= self.population else self.otherwise)(parents, space, rng)


@final
@dataclass(frozen=True)
class Stochastic(Propagator):
    """Apply a propagator with a probability; otherwise pass on the first parents, as many as it would return.

    Args:
        propagator: The propagator that may be applied.
        probability: The probability of applying it, in [0, 1].
    """

    _says_parents: ClassVar[bool] = True

    propagator: Propagator
    probability: float

    def __post_init__(self) -> None:
        check_probability("probability", self.probability)

    @property
    def bred_by(self) -> str:
        return self.propagator.bred_by

    @property
    def parents(self) -> int | None:
        return self.propagator.parents

    @property
    def offspring(self) -> int | None:
        return self.propagator.offspring

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        if rng.random() < self.probability:
            return self.propagator(parents, space, rng)
        return parents[: self.offspring]
