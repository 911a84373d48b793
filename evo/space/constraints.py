"""Constraints between parameters: expressions or functions that every evaluated point fulfils.

A constraint also measures by how much a point violates it, so that a search for a feasible point has a direction.
"""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from evo.errors import UserError
from evo.frames import FAILURES, blame, definition_of
from evo.space.expressions import Expression, read_expression
from evo.space.syntax import UNCOMPUTABLE, Compute, Values
from evo.space.violations import VIOLATION, Term, terms_of

_FUNCTION = "function "
_SHOWN = 200  # The number of characters of a constraint that messages show.


class ConstraintError(UserError):
    """A constraint cannot be read, or fails for some values."""


@dataclass(frozen=True)
class Constraint:
    """A condition that every point must fulfil.

    Args:
        text: The constraint as study.json and messages show it.
        names: The parameters that it names; it applies only where all of them exist.
        terms: The parts of the constraint; all of them must hold.
        value: Computes the constraint as written, which must give true or false.
    """

    text: str
    names: tuple[str, ...]
    terms: Sequence[Term]
    value: Compute

    def applies(self, values: Values) -> bool:
        """Whether all parameters that it names exist."""
        return all(name in values for name in self.names)

    def violation(self, values: Values) -> float:
        """By how much the active parameters violate it; 0 where they fulfil it or where it does not apply."""
        for name in self.names:
            if name not in values:
                return 0.0
        return sum([term.measure(values) for term in self.terms])

    def check(self, values: Values) -> bool:
        """Make sure that the constraint gives true or false for these values.

        Returns:
            Whether it can be computed for them.

        Raises:
            ConstraintError: It cannot be computed for values of these types, or gives neither true nor false.
        """
        try:
            result = self.value(values)
        except ConstraintError:
            raise
        except OverflowError as error:
            raise self._fails(values, f"a number in it becomes too large ({error})") from None
        except UNCOMPUTABLE:
            return False
        except (TypeError, AttributeError) as error:
            raise self._fails(values, str(error)) from None
        if not isinstance(result, bool):
            raise self._fails(values, f"it gives {result!r}, which is neither true nor false")
        return True

    def _fails(self, values: Values, why: str) -> ConstraintError:
        given = {name: values[name] for name in self.names} if self.names else dict(values)
        return ConstraintError(f"constraint {self.text!r} cannot be used: for {given} {why}")


def is_function(text: str) -> bool:
    """Whether the text of a constraint stands for a function, which cannot be made again from its text.

    Example:
        >>> is_function("function loss:fits"), is_function("function < 3")  # The second names a parameter.
        (True, False)
    """
    if not text.startswith(_FUNCTION):
        return False
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return True
    return False


def read_constraints(given: Any, known: Collection[str], source: str = "constraint") -> list[Constraint]:
    """Read constraints from a setting.

    Args:
        given: An expression, a function of the parameters, or a list of these; None means no constraints.
        known: The names of all parameters.
        source: The name of the setting, for messages.

    Raises:
        ConstraintError: A constraint is wrong; the message names it and the place of the mistake.

    Example:
        >>> [one.text for one in read_constraints("x<y", {"x", "y"})]
        ['x < y']
    """
    if given is None:
        return []
    several = given if isinstance(given, list | tuple) else [given]
    return [_read(one, known, source) for one in several]


def _read(given: Any, known: Collection[str], source: str) -> Constraint:
    if callable(given):
        return _of_function(given, known)
    if not isinstance(given, str):
        raise ConstraintError(
            f"{source} {given!r} is neither text nor a function: give for example 'x < y', in YAML in quotes"
        )
    try:
        expression = read_expression(given, known)
    except UserError as error:
        shown = repr(given if len(given) <= _SHOWN else f"{given[:_SHOWN]}…")
        raise ConstraintError(f"{source} {shown} cannot be read: {error}") from error
    return _of_expression(expression)


def _of_expression(expression: Expression) -> Constraint:
    return Constraint(expression.text, expression.names, list(terms_of(expression.tree)), expression.value)


def _of_function(function: Callable[..., Any], known: Collection[str]) -> Constraint:
    text = f"{_FUNCTION}{_name(function)}"

    def holds(values: Values) -> bool:
        try:
            result = function(dict(values))
        except FAILURES as error:
            what = f"constraint {text} fails for {dict(values)}"
            hint = _advice(error, values, known)
            raise blame(error, what, ConstraintError, function, hint=hint) from error
        result = getattr(result, "item", lambda: result)()  # A bool of numpy becomes one of Python.
        if not isinstance(result, bool):
            place = definition_of(function)
            where = f" ({place})" if place else ""
            raise ConstraintError(
                f"constraint {text}{where} returned {result!r} for {dict(values)}: it must return True or False"
            )
        return result

    return Constraint(text, (), [Term((), lambda values: 0.0 if holds(values) else VIOLATION)], holds)


def _name(function: Callable[..., Any]) -> str:
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    named = inner if hasattr(inner, "__qualname__") else type(inner)
    module = getattr(named, "__module__", "__main__")
    name = named.__qualname__ if module == "__main__" else f"{module}:{named.__qualname__}"
    if name.endswith("<lambda>") and inspect.isfunction(inner):
        return f"{name} with the parameters {', '.join(inspect.signature(inner).parameters)}"
    return name


def _advice(error: BaseException, values: Values, known: Collection[str]) -> str:
    missing = error.args[0] if isinstance(error, KeyError) and error.args else None
    if missing in known and missing not in values:
        return f"{missing!r} exists only under its 'when': ask with params.get({missing!r})"
    return ""
