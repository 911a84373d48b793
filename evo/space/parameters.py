"""The kinds of parameters, `Float`, `Int` and `Choice`, as a user writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any, Final, TypeAlias

from evo.space.bounds import Named
from evo.space.values import Value, identical, is_number, plain

When: TypeAlias = Mapping[str, Any]
Bound: TypeAlias = Any
"""A number, or text that names other parameters. Parsing the limits turns it into a number."""


class _Absent:
    """Stands for a missing default, because None may be a default."""

    def __repr__(self) -> str:
        return "none"

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()

# Floats are added as decimal numbers, so that 0.1 + 2 * 0.1 is 0.3.
_EXACT = Context(prec=60)


@dataclass(frozen=True)
class Float:
    """A real number in [low, high].

    Args:
        low: One end, included: a number, or an expression of other parameters, for example "model.lr".
        high: The other end, included; two numbers may be given in either order.
        log: Search the logarithm: 1e-4 to 1e-3 is as wide as 1e-3 to 1e-2. Both ends must be above 0.
        when: The parameter exists only when each parameter named here has (one of) the given values.
        step: Only low, low + step, low + 2 step, … up to high.
        default: A value within; where all parameters have one, the first individual has them all.
        mutable: Whether it may change while a network trains, where individuals inherit their weights; None means as
            `evo.space.mutability.is_mutable` says.

    Example:
        >>> Float(1e-4, 1e-1, log=True)
        Float(low=0.0001, high=0.1, log=True, when=None, step=None, default=None)
    """

    low: Bound
    high: Bound
    log: bool = False
    when: When | None = None
    step: float | None = None
    default: float | None = None
    mutable: bool | None = field(default=None, repr=False)
    # The ends that were expressions; parsing the limits sets this.
    bounds: Named | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Int:
    """An integer in [low, high], both ends included.

    Args:
        low: One end: a number, or an expression of other parameters, for example "2 * layers".
        high: The other end; two numbers may be given in either order.
        log: Search the logarithm. Both ends must be above 0.
        step: Only low, low + step, low + 2 step, … up to high.
        when: As for `Float`.
        default: As for `Float`.
        mutable: As for `Float`.

    Example:
        >>> Int(4, 256, log=True)
        Int(low=4, high=256, log=True, step=1, when=None, default=None)
    """

    low: Bound
    high: Bound
    log: bool = False
    step: int = 1
    when: When | None = None
    default: int | None = None
    mutable: bool | None = field(default=None, repr=False)
    bounds: Named | None = field(default=None, repr=False)


@dataclass(frozen=True, init=False)
class Choice:
    """One of several values: strings, numbers, booleans, None, lists of these, mappings.

    Numbers alone are ordered: they are searched by rank, so that a small mutation goes to a neighbour.
    Anything else is a set of categories without order. A single value is a constant. The objective gets tuples as
    lists.

    Args:
        values: The values, as arguments or as one list.
        when: As for `Float`.
        default: As for `Float`; may be None, if that is one of the values.
        mutable: As for `Float`.

    Example:
        >>> Choice("sgd", "adam").values
        ('sgd', 'adam')
        >>> Choice([64, 8, 16]).values
        (8, 16, 64)
        >>> Choice((64,), (64, 32)).values
        ([64], [64, 32])
    """

    values: tuple[Any, ...]
    when: When | None = None
    default: Any = ABSENT
    mutable: bool | None = field(default=None, repr=False)

    def __init__(
        self, *values: Any, when: When | None = None, default: Any = ABSENT, mutable: bool | None = None
    ) -> None:
        given = [plain(value) for value in values]
        if len(given) == 1 and isinstance(given[0], list):
            given = given[0]
        ordered = len(given) > 1 and all(map(is_number, given))
        object.__setattr__(self, "values", tuple(sorted(given) if ordered else given))
        object.__setattr__(self, "when", when)
        object.__setattr__(self, "default", default)
        object.__setattr__(self, "mutable", mutable)

    @property
    def ordered(self) -> bool:
        """Whether the values are numbers, searched by their rank."""
        return all(map(is_number, self.values))

    @property
    def is_constant(self) -> bool:
        """Whether there is one value only."""
        return len(self.values) == 1


Parameter: TypeAlias = Float | Int | Choice


def is_constant(parameter: Parameter) -> bool:
    """Whether a checked parameter has one value only, so that it is not searched."""
    return isinstance(parameter, Choice) and parameter.is_constant


def default_of(parameter: Parameter) -> Any:
    """The default of a checked parameter, or `ABSENT`; the default of a constant is its value."""
    if isinstance(parameter, Choice):
        return parameter.values[0] if parameter.is_constant else parameter.default
    return ABSENT if parameter.default is None else parameter.default


def allowed_values(wanted: Value | Sequence[Value]) -> tuple[Value, ...]:
    """The values that one entry of `when` allows: the entry itself, or the members of a list."""
    return tuple(wanted) if isinstance(wanted, list | tuple) else (wanted,)  # type: ignore[return-value]


class Grid:
    """The values of a parameter with a step: low, low + step, …, without rounding errors.

    Args:
        parameter: An Int, or a Float with a step; both checked.

    Example:
        >>> grid = Grid(Float(0.0, 1.0, step=0.1))
        >>> grid.count, grid.value(3), grid.cell(0.3), grid.cell(0.35)
        (11, 0.3, 3, None)
    """

    def __init__(self, parameter: Float | Int) -> None:
        self.low, self.step = parameter.low, parameter.step or 1
        self._is_whole = isinstance(parameter, Int)
        self._low, self._step = _decimal(self.low), _decimal(self.step)
        span = _EXACT.subtract(_decimal(parameter.high), self._low)
        self.count = int(_EXACT.divide_int(span, self._step)) + 1

    def value(self, cell: int) -> Any:
        """The value with this number, from 0."""
        if self._is_whole:
            return self.low + cell * self.step
        return float(_EXACT.fma(Decimal(cell), self._step, self._low)) + 0.0

    def cell(self, value: Any) -> int | None:
        """The number of a value, from 0; None when it is not on the grid."""
        if isinstance(value, bool) or not isinstance(value, int if self._is_whole else float):
            return None
        if self._is_whole:
            cell, off_grid = divmod(value - self.low, self.step)
            return int(cell) if not off_grid and 0 <= cell < self.count else None
        if not self.low <= value <= self.value(self.count - 1):
            return None
        cell = round((value - self.low) / self.step)
        return cell if self.value(cell) == value else None


def may_be(parameter: Parameter, value: Any) -> bool:
    """Whether a checked parameter equals a value with a probability above zero."""
    if isinstance(parameter, Choice):
        return any(identical(value, choice) for choice in parameter.values)
    if isinstance(parameter, Float) and parameter.step is None:
        return False
    return Grid(parameter).cell(value) is not None


def as_meant(parameter: Parameter, value: Any) -> Any:
    """A value that a user gave, converted to a float where a whole number stands for a real one."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    is_choice_of_float = isinstance(parameter, Choice) and not may_be(parameter, value) and may_be(parameter, value / 1)
    return float(value) if isinstance(parameter, Float) or is_choice_of_float else value


def within_text(parameter: Parameter) -> str:
    """The values that a checked parameter may have, as the end of a sentence."""
    if isinstance(parameter, Choice):
        return "one of " + ", ".join(map(repr, parameter.values))
    steps = f" in steps of {parameter.step}" if parameter.step not in (None, 1) else ""
    kind = "a whole number" if isinstance(parameter, Int) else "a number"
    return f"{kind} from {parameter.low!r} to {parameter.high!r}{steps}"


def _decimal(number: float) -> Decimal:
    return Decimal(number) if isinstance(number, int) else Decimal(repr(number))
