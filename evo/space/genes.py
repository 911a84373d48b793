"""One parameter's place in the genome: it turns a value into a float, and back into exactly the same value."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from evo.errors import UserError
from evo.space.parameters import Choice, Float, Grid, Int, Parameter, allowed_values, is_constant
from evo.space.values import Value, fresh, identical, key

# Floats are rounded to so many digits that encoding and decoding gives the same number in spite of rounding errors:
# 11 significant digits on a log scale, 13 digits of the range (or fewer, far from zero) on a linear one.
_LOG_DIGITS = 11
_LINEAR_SHARE = 1e-13


class Gene(ABC):
    """One place in the genome."""

    cells: float
    ordered: bool

    def __init__(self, name: str, parameter: Parameter) -> None:
        self.name = name
        # A constant has a Gene object, but no entry in the genome.
        self.is_constant = is_constant(parameter)
        self.when = [(parent, allowed_values(value)) for parent, value in (parameter.when or {}).items()]

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> float: ...

    @abstractmethod
    def decode(self, gene: float) -> Value: ...

    @abstractmethod
    def encode(self, value: Any) -> float: ...

    def of_cell(self, cell: int) -> float:
        """The gene of the value with this number, for genes with finitely many values."""
        return (cell + 0.5) / self.cells

    def exists(self, values: Mapping[str, Any]) -> bool:
        """Whether the parameter exists, given the values of the others: whether its `when` holds."""
        return not self.when or all(
            parent in values and any(identical(values[parent], value) for value in allowed)
            for parent, allowed in self.when
        )

    def _refuse(self, value: Any) -> UserError:
        return UserError(f"parameter {self.name!r} = {value!r} is not within its limits")


class _FloatGene(Gene):
    cells = math.inf
    ordered = True
    low: float
    high: float

    def __init__(self, name: str, parameter: Float) -> None:
        super().__init__(name, parameter)
        self.low, self.high, self.log = parameter.low, parameter.high, parameter.log
        self.origin = math.log(self.low) if self.log else self.low
        self.width = (math.log(self.high) if self.log else self.high) - self.origin
        error = 64 * np.finfo(float).eps * max(abs(self.low), abs(self.high))
        self.decimals = -math.ceil(math.log10(max(self.width * _LINEAR_SHARE, error)))

    def sample(self, rng: np.random.Generator) -> float:
        return rng.random()

    def decode(self, gene: float) -> float:
        if gene <= 0.0:
            return self.low
        if gene >= 1.0:
            return self.high
        exact = self.origin + gene * self.width
        # Adding zero turns -0.0 into 0.0, so that one point has one value.
        value = float(f"{math.exp(exact):.{_LOG_DIGITS}g}") if self.log else round(exact, self.decimals) + 0.0
        # A bound may lie between two rounded numbers, so a value within the rounding error of a bound becomes it.
        margin = value * 1e-12 if self.log else 0.25 * 10.0**-self.decimals
        if value <= self.low + margin:
            return self.low
        return self.high if value >= self.high - margin else value

    def encode(self, value: Any) -> float:
        if not isinstance(value, float) or not self.low <= value <= self.high:
            raise self._refuse(value)
        if value == self.low or value == self.high:
            return float(value == self.high)
        return ((math.log(value) if self.log else value) - self.origin) / self.width


class _GridGene(Gene):
    """The gene of an integer, or of a float with a step."""

    ordered = True
    low: int

    def __init__(self, name: str, parameter: Int | Float) -> None:
        super().__init__(name, parameter)
        self.grid = Grid(parameter)
        self.low, self.step, self.log = parameter.low, self.grid.step, parameter.log
        self.cells = float(self.grid.count)
        self.last = self.grid.count - 1
        # On a log scale, the ends reach half a step beyond the outermost values, but never to zero.
        highest = self.grid.value(self.last)
        self.origin = math.log(self.low - min(self.step, self.low) / 2) if self.log else 0.0
        self.width = math.log(highest + self.step / 2) - self.origin if self.log else self.cells

    def sample(self, rng: np.random.Generator) -> float:
        return rng.random() if self.log else self.of_cell(int(rng.integers(self.last + 1)))

    def decode(self, gene: float) -> Value:
        gene = min(max(gene, 0.0), 1.0)
        if self.log:
            cell = round((math.exp(self.origin + gene * self.width) - self.low) / self.step)
        else:
            cell = int(gene * self.cells)
        return self.grid.value(min(max(cell, 0), self.last))  # type: ignore[no-any-return]

    def encode(self, value: Any) -> float:
        cell = self.grid.cell(value)
        if cell is None:
            raise self._refuse(value)
        return self.of_cell(cell)

    def of_cell(self, cell: int) -> float:
        if self.log:
            return (math.log(self.grid.value(cell)) - self.origin) / self.width
        return (cell + 0.5) / self.cells


class _ChoiceGene(Gene):
    def __init__(self, name: str, parameter: Choice) -> None:
        super().__init__(name, parameter)
        self.values = parameter.values
        self.ordered = parameter.ordered
        self.last = len(self.values) - 1
        self.cells = float(len(self.values))
        self.index = {key(value): cell for cell, value in enumerate(self.values)}

    def sample(self, rng: np.random.Generator) -> float:
        return self.of_cell(int(rng.integers(self.last + 1)))

    def decode(self, gene: float) -> Value:
        cell = gene * self.cells if self.ordered else gene + 0.5
        return fresh(self.values[int(min(max(cell, 0.0), self.last))])  # type: ignore[no-any-return]

    def encode(self, value: Any) -> float:
        try:
            return self.of_cell(self.index[key(value)])
        except (KeyError, TypeError):  # Values of other types may not be hashable.
            raise self._refuse(value) from None

    def of_cell(self, cell: int) -> float:
        return (cell + 0.5) / self.cells if self.ordered else float(cell)


def make_gene(name: str, parameter: Parameter) -> Gene:
    """The gene of a parameter that `evo.space.limits.parse_limits` has checked."""
    if isinstance(parameter, Choice):
        return _ChoiceGene(name, parameter)
    if isinstance(parameter, Float) and parameter.step is None:
        return _FloatGene(name, parameter)
    return _GridGene(name, parameter)
