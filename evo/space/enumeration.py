"""All points of a space: the order in which parameters are decided, the number of points, and the points themselves."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence

from evo.errors import UserError
from evo.space.genes import Gene
from evo.space.parameters import Parameter
from evo.space.values import Params, Value, key


class Enumeration:
    """The points of a space, regardless of its constraints.

    Args:
        genes: The genes of all parameters.
        order: The indices of the genes, each after those that it depends on; see `parents_first`.
    """

    def __init__(self, genes: Sequence[Gene], order: Sequence[int]) -> None:
        self._genes = genes
        self._order = order
        self._names = [gene.name for gene in genes]
        self._named = _named_values(genes)

    def count(self) -> float:
        """The number of distinct points; infinite when the space has a float."""
        total = self._count(self._order, {})
        return total if math.isinf(total) else int(total)

    def points(self, start: int) -> Iterator[Params]:
        """All points, once each, in an order that may begin at any point; the space must have no floats.

        Args:
            start: The number of the first point, not negative.
        """
        return self._points(0, {}, start)

    def _points(self, position: int, values: Params, start: int) -> Iterator[Params]:
        if position == len(self._order):
            yield {name: values[name] for name in self._names if name in values}
            return
        index = self._order[position]
        gene = self._genes[index]
        if not gene.exists(values):
            yield from self._points(position + 1, values, start)
            return
        cells = int(gene.cells)
        for offset in range(cells):
            value = gene.decode(gene.of_cell((start + offset) % cells))
            yield from self._points(position + 1, {**values, gene.name: value}, start // cells)

    def _count(self, order: Sequence[int], values: Params) -> float:
        """The number of distinct points of these genes, given the values that they depend on; infinite with a float."""
        return math.prod(self._count_linked(group, values) for group in self._independent(order))

    def _count_linked(self, group: Sequence[int], values: Params) -> float:
        index, *rest = group
        gene = self._genes[index]
        if not gene.exists(values):
            return self._count(rest, values)
        # Only values that some `when` names make a difference, so all others of a parameter are counted together.
        total = sum(self._count(rest, {**values, gene.name: value}) for value in self._named[index])
        others = gene.cells - len(self._named[index])
        return total + others * self._count(rest, values) if others else total

    def _independent(self, order: Sequence[int]) -> list[list[int]]:
        """Groups of genes that do not depend on each other, each in the same order."""
        groups: list[list[int]] = []
        for index in order:
            parents = {self._names.index(parent) for parent, _ in self._genes[index].when}
            linked = [group for group in groups if not parents.isdisjoint(group)]
            groups = [group for group in groups if group not in linked]
            groups.append([*(member for group in linked for member in group), index])
        return groups


def _named_values(genes: Sequence[Gene]) -> list[list[Value]]:
    """The values of each gene that some `when` names."""
    named: dict[str, dict[Hashable, Value]] = {gene.name: {} for gene in genes}
    for parent, allowed in (condition for gene in genes for condition in gene.when):
        named[parent] |= {key(value): value for value in allowed}
    return [list(named[gene.name].values()) for gene in genes]


def parents_first(parameters: Mapping[str, Parameter], bounds: Mapping[str, Sequence[str]]) -> list[int]:
    """The indices of the parameters, each after those that its `when` and its bounds name."""
    names = list(parameters)
    order: list[int] = []
    visiting: list[str] = []

    def visit(name: str) -> None:
        if names.index(name) in order:
            return
        if name in visiting:
            circle = " -> ".join([*visiting, name])
            raise UserError(f"limits depend on each other in a circle: {circle}; let one of them depend on none")
        visiting.append(name)
        for parent in (*(parameters[name].when or {}), *bounds.get(name, ())):
            visit(parent)
        visiting.pop()
        order.append(names.index(name))

    for name in names:
        visit(name)
    return order
