"""The default: Propulate's genetic algorithm (Taubert et al., 2023, doi:10.1007/978-3-031-32041-5_6)."""

from __future__ import annotations

from evo.errors import UserError
from evo.propagators.base import Compose, Conditional, Propagator, Stochastic
from evo.propagators.crossover import CrossoverUniform
from evo.propagators.mutation import InitUniform, IntervalMutationNormal, PointMutation
from evo.propagators.selection import SelectMin, SelectUniform


def default_propagator(
    population: int,
    *,
    crossover: float = 0.7,
    mutation: float = 0.4,
    random_init: float = 0.1,
    sigma: float = 0.05,
) -> Propagator:
    """Random initialisation until the population is large enough, then crossover and mutation among the best.

    Args:
        population: The number of best individuals that breed, at least 2; usually twice the number of workers.
        crossover: The probability of uniform crossover of two parents; otherwise the offspring is a copy of one.
        mutation: The probability that one gene is drawn anew.
        random_init: The probability that the whole individual is drawn anew.
        sigma: The standard deviation of the normal mutation that one number always gets, as a share of its range.

    Returns:
        A propagator that breeds one individual from a population.

    Raises:
        UserError: An argument is out of its range.
    """
    if population < 2:
        raise UserError(f"population is {population!r}: crossover needs at least 2 individuals to breed from")
    breed = Compose(
        [
            SelectMin(population),
            SelectUniform(2),
            Stochastic(CrossoverUniform(), crossover),
            Stochastic(PointMutation(), mutation),
            IntervalMutationNormal(sigma),
            Stochastic(InitUniform(), random_init),
        ],
        label="genetic",
    )
    return Conditional(population, breed, InitUniform())
