"""The search space, made from a limits dictionary, and its genomes.

A genome is a float64 vector with one gene per parameter, in the order of the limits, constants left out. Numbers lie
in [0, 1] (after the logarithm on a log scale; grids in the middle of their cell), categories are indices, and the gene
of an inactive conditional parameter is NaN. Only this module and `evo.space.genes` turn genomes into parameters and
back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evo.errors import UserError
from evo.space.bounds import Allowed, make_allowed
from evo.space.constraints import read_constraints
from evo.space.enumeration import Enumeration, parents_first
from evo.space.feasibility import Feasibility
from evo.space.genes import Gene, make_gene
from evo.space.limits import describe_limits, parse_limits
from evo.space.mutability import is_mutable
from evo.space.parameters import Parameter
from evo.space.values import Params

Genome: TypeAlias = NDArray[np.float64]


class Space:
    """The search space: encodes parameters as genomes and decodes genomes to parameters.

    Args:
        limits: A limits dictionary; see `evo.space.limits`.
        constraints: Conditions that every point must fulfil; see `evo.space.constraints.read_constraints`.

    Raises:
        UserError: The limits or constraints are malformed; the message names the parameter or the constraint.

    Example:
        >>> space = Space({"layers": (2, 10), "activation": ("relu", "tanh")})
        >>> space.decode(space.encode({"layers": 3, "activation": "tanh"}))
        {'layers': 3, 'activation': 'tanh'}
        >>> space.size
        18
    """

    def __init__(self, limits: Mapping[str, Any], constraints: Any = None) -> None:
        self.parameters: dict[str, Parameter] = parse_limits(limits)
        self.names = tuple(self.parameters)
        self._genes = [make_gene(name, parameter) for name, parameter in self.parameters.items()]
        # The parameters whose bounds depend on others, by index.
        self._allowed: dict[int, Allowed] = {
            index: make_allowed(name, bounds, self.parameters)
            for index, (name, parameter) in enumerate(self.parameters.items())
            if (bounds := getattr(parameter, "bounds", None))
        }
        # The indices of the parameters, each after those that it depends on.
        self.order = parents_first(self.parameters, {self.names[i]: one.names for i, one in self._allowed.items()})
        self._conditional = any(parameter.when for parameter in self.parameters.values())
        # Constants have no place in the genome, so that propagators spend no effort on them.
        self._searched = [index for index, gene in enumerate(self._genes) if not gene.is_constant]
        self._has_constants = len(self._searched) < len(self._genes)
        # For each gene: the number of values it can take (inf for floats), and whether these are ordered.
        self.cells: NDArray[np.float64] = np.array([self._genes[index].cells for index in self._searched])
        self.ordered: NDArray[np.bool_] = np.array([self._genes[index].ordered for index in self._searched], dtype=bool)
        # For each gene, whether a training may go on with another value of it.
        searched = [(self.names[index], self.parameters[self.names[index]]) for index in self._searched]
        self.mutable: NDArray[np.bool_] = np.array([is_mutable(*each) for each in searched], dtype=bool)
        self._enumeration = Enumeration(self._genes, self.order)
        # The number of points, regardless of the constraints.
        self.size: float = self._enumeration.count()
        given = read_constraints(constraints, self.names)
        # The user's constraints, as text.
        self.constraints: tuple[str, ...] = tuple(constraint.text for constraint in given)
        implied = read_constraints([rule for one in self._allowed.values() for rule in one.rules], self.names)
        # The part of the space that constraints and dependent bounds allow; None means all of it.
        self.feasibility = Feasibility(self, [*given, *implied]) if given or implied else None

    def __len__(self) -> int:
        """The number of genes: one for each parameter that is not a constant."""
        return len(self._searched)

    @property
    def constants(self) -> Params:
        """The parameters that have one value only."""
        return {gene.name: gene.decode(0.0) for gene in self._genes if gene.is_constant}

    def describe(self) -> dict[str, dict[str, Any]]:
        """The limits as JSON values from which an equal space can be made."""
        return describe_limits(self.parameters)

    def sample(self, rng: np.random.Generator) -> Genome:
        """A random genome with every gene uniform over its range, whether active or not.

        With constraints it is a feasible one, unless none was found.

        Args:
            rng: The only source of randomness.

        Returns:
            Shape (genes,).
        """
        feasible = self.feasibility.sample(rng) if self.feasibility else None
        return self.genome(self.draw(rng) if feasible is None else feasible)

    def sample_gene(self, index: int, rng: np.random.Generator, genome: Genome | None = None) -> float:
        """One random gene, uniform over its range, or over the part of it that the other genes allow."""
        place = self._searched[index]
        if genome is None or place not in self._allowed:
            return self._genes[place].sample(rng)
        return self.sample_allowed(place, self.decode(genome), rng)

    @property
    def genes(self) -> Sequence[Gene]:
        """The genes of all parameters."""
        return self._genes

    def gene_at(self, index: int) -> Gene:
        """The gene at one place of genomes, in which constants have none."""
        return self._genes[self._searched[index]]

    def draw(self, rng: np.random.Generator) -> list[float]:
        """The genes of a random point, one for each parameter, regardless of the constraints.

        They lie within bounds that depend on other parameters where these leave any value.

        Args:
            rng: The only source of randomness.
        """
        if not self._allowed:
            return [0.0 if gene.is_constant else gene.sample(rng) for gene in self._genes]
        genes, values = [math.nan] * len(self._genes), Params()
        for index in self.order:
            genes[index] = self.sample_allowed(index, values, rng)
            if self._genes[index].exists(values):
                values[self.names[index]] = self._genes[index].decode(genes[index])
        return genes

    def sample_allowed(self, index: int, values: Params, rng: np.random.Generator) -> float:
        """A random gene of a parameter, uniform over its range, or over the part that the values of others allow."""
        gene = self._genes[index]
        if gene.is_constant:
            return 0.0
        if index in self._allowed and (part := self._allowed[index].part(gene.decode, values)):
            return part[0] + rng.random() * (part[1] - part[0])
        return gene.sample(rng)

    def values(self, genes: Sequence[float]) -> Params:
        """The active parameters of genes, none of which is missing (NaN) where it is active."""
        if self._conditional or self._allowed:
            return self._completed(genes, None)
        return {gene.name: gene.decode(value) for gene, value in zip(self._genes, genes, strict=True)}  # Faster.

    def allows(self, params: Params) -> bool:
        """Whether active parameters fulfil all constraints."""
        return self.feasibility is None or self.feasibility.allows(params)

    def repair(self, genome: Genome, parents: Sequence[Genome], rng: np.random.Generator) -> Params | None:
        """Feasible parameters near a genome that a propagator made; None when none were found.

        Args:
            genome: The genome, of shape (genes,), with any values.
            parents: Genomes that fulfil the constraints, towards which it may be moved.
            rng: The only source of randomness.
        """
        if self.feasibility is None:
            return self.complete(genome, rng)
        instead = self.draw(rng)
        highest = np.where(self.ordered, 1.0, self.cells - 1)
        given = self._with_constants(np.clip(genome, 0.0, highest))
        genes = [other if math.isnan(gene) else gene for gene, other in zip(given, instead, strict=True)]
        point = self.feasibility.repair(genes, [self._with_constants(parent) for parent in parents], rng)
        return None if point is None else point.values

    def feasible_points(self, start: int = 0) -> Iterator[Params]:
        """All points of a finite space that fulfil the constraints, once each; see `points`."""
        return self.points(start) if self.feasibility is None else self.feasibility.points(start)

    @property
    def is_enumerable(self) -> bool:
        """Whether the space is small enough to go through all its points to find the feasible ones."""
        return self.feasibility is None or self.feasibility.is_enumerable

    def complete(self, genome: Genome, rng: np.random.Generator) -> Params:
        """Decode a genome that a propagator made: genes out of bounds are clipped, missing (NaN) active ones drawn.

        Args:
            genome: The genome, of shape (genes,), with any values.
            rng: Draws the genes that are active now and were not in the parents.

        Returns:
            The active parameters, in the order of the limits.
        """
        return self._completed(self._with_constants(genome), rng)

    def _completed(self, genes: Sequence[float], rng: np.random.Generator | None) -> Params:
        values: Params = {}
        for index in self.order:
            gene = self._genes[index]
            if gene.exists(values):
                place, decode = genes[index], gene.decode
                if rng is not None and math.isnan(place):
                    place = self.sample_allowed(index, values, rng)
                allowed = self._allowed.get(index)
                if allowed and not allowed.holds(decode(place), values) and (part := allowed.part(decode, values)):
                    place = min(max(place, part[0]), part[1])
                values[gene.name] = decode(place)
        in_order = self._conditional or self._allowed
        return {name: values[name] for name in self.names if name in values} if in_order else values

    def decode(self, genome: Genome) -> Params:
        """The parameters of a genome that `encode` made: exactly those that were encoded.

        Args:
            genome: The genome, of shape (genes,).

        Returns:
            The active parameters, in the order of the limits.
        """
        genes = self._with_constants(genome)
        if self._has_constants and self._conditional:
            genes = self._without_inactive_constants(genes)
        return {
            name: gene.decode(value)
            for name, gene, value in zip(self.names, self._genes, genes, strict=True)
            if not math.isnan(value)
        }

    def encode(self, params: Mapping[str, Any]) -> Genome:
        """The genome of a set of parameters.

        Args:
            params: A value for each active parameter, and for no other.

        Returns:
            Shape (genes,), not writeable; NaN where a parameter is inactive.

        Raises:
            UserError: A parameter is missing, unknown, inactive or out of its limits.
        """
        genes, active = [math.nan] * len(self._genes), 0
        for index in self.order:
            gene = self._genes[index]
            if gene.exists(params):
                if gene.name not in params:
                    raise UserError(f"parameter {gene.name!r} is missing from {dict(params)!r}: add a value for it")
                genes[index] = gene.encode(params[gene.name])
                active += 1
            elif gene.name in params:
                what = f"parameter {gene.name!r} is given in {dict(params)!r}"
                raise UserError(f"{what}, where its 'when' makes it inactive: leave it out")
        if len(params) > active:
            unknown = sorted(set(params) - set(self.names))
            raise UserError(f"parameters {unknown} are not among the limits: {', '.join(self.names)}")
        genome = self.genome(genes)
        genome.flags.writeable = False
        return genome

    def _with_constants(self, genome: Genome) -> list[float]:
        """A gene for each parameter, in the order of the limits."""
        genes: list[float] = genome.tolist()
        if not self._has_constants:
            return genes
        whole = [0.0] * len(self._genes)
        for index, gene in zip(self._searched, genes, strict=True):
            whole[index] = gene
        return whole

    def genome(self, genes: Sequence[float]) -> Genome:
        """The genome, from one gene for each parameter."""
        return np.array([genes[index] for index in self._searched] if self._has_constants else genes)

    def points(self, start: int = 0) -> Iterator[Params]:
        """All points of a finite space, once each, regardless of the constraints.

        Args:
            start: The number of the first point, not negative.

        Returns:
            An iterator over sets of parameters; it is empty when the space has a float.
        """
        return iter(()) if math.isinf(self.size) else self._enumeration.points(start)

    def _without_inactive_constants(self, genes: list[float]) -> list[float]:
        """The genes, with NaN for constants whose condition does not hold, as the other genes tell."""
        values: Params = {}
        for index in self.order:
            gene = self._genes[index]
            if gene.is_constant and not gene.exists(values):
                genes[index] = math.nan
            elif not math.isnan(genes[index]):
                values[gene.name] = gene.decode(genes[index])
        return genes
