"""Test functions of continuous optimisation, as the literature on parallel genetic algorithms uses them.

Each takes a dictionary of coordinates, whatever their names, and returns the value at that point.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping

from evo.objective.objective import Trial

_SECOND_FUNNEL_DEPTH = 1.0  # d of Lunacek's functions.
_FIRST_FUNNEL = 2.5  # mu_1 of Lunacek's functions, where the optimum is.


def sphere(params: Mapping[str, float]) -> float:
    """Sum of squares; minimum 0 at the origin.

    Example:
        >>> sphere({"x": 3.0, "y": 4.0})
        25.0
    """
    return math.fsum(x * x for x in params.values())


def rosenbrock(params: Mapping[str, float]) -> float:
    """A narrow curved valley; minimum 0 at (1, …, 1) (Rosenbrock 1960, doi:10.1093/comjnl/3.3.175)."""
    x = list(params.values())
    return math.fsum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x))


def step(params: Mapping[str, float]) -> float:
    """Plateaus: the sum of the coordinates cut to integers; minimum -5 n where all are at most -5 (De Jong's third)."""
    return float(sum(int(x) for x in params.values()))


def quartic(params: Mapping[str, float], trial: Trial) -> float:
    """Sum of i x_i^4 with normal noise in each term; without it, minimum 0 at the origin (De Jong's fourth)."""
    noise = random.Random(trial.seed)
    terms = (index * x**4 + noise.gauss(0.0, 1.0) for index, x in enumerate(params.values(), start=1))
    return abs(math.fsum(terms))


def rastrigin(params: Mapping[str, float]) -> float:
    """A grid of local minima in a bowl; minimum 0 at the origin."""
    return math.fsum(10 + x * x - 10 * math.cos(2 * math.pi * x) for x in params.values())


def griewank(params: Mapping[str, float]) -> float:
    """Many shallow minima in a wide bowl; minimum 0 at the origin (Griewank 1981, doi:10.1007/BF00933356)."""
    x = list(params.values())
    bowl = math.fsum(value * value for value in x) / 4000
    return 1 + bowl - math.prod(math.cos(value / math.sqrt(index)) for index, value in enumerate(x, start=1))


def schwefel(params: Mapping[str, float]) -> float:
    """The second-best minimum is far from the best, which is 0 at (420.9687, …)."""
    return math.fsum(418.9828872724339 - x * math.sin(math.sqrt(abs(x))) for x in params.values())


def bisphere(params: Mapping[str, float]) -> float:
    """Two funnels; minimum 0 at (2.5, …) (Lunacek, Whitley and Sutton 2008, doi:10.1007/978-3-540-87700-4_50)."""
    x = list(params.values())
    shrink = 1 - math.sqrt(1 / (2 * math.sqrt(len(x) + 20) - 8.2))  # s
    second = -math.sqrt((_FIRST_FUNNEL**2 - _SECOND_FUNNEL_DEPTH) / shrink)  # mu_2
    first_funnel = math.fsum((value - _FIRST_FUNNEL) ** 2 for value in x)
    second_funnel = _SECOND_FUNNEL_DEPTH * len(x) + shrink * math.fsum((value - second) ** 2 for value in x)
    return min(first_funnel, second_funnel)


def birastrigin(params: Mapping[str, float]) -> float:
    """Two funnels of Rastrigin's shape; minimum 0 at (2.5, …) (Lunacek, Whitley and Sutton 2008)."""
    ripples = math.fsum(10 * (1 - math.cos(2 * math.pi * (x - _FIRST_FUNNEL))) for x in params.values())
    return bisphere(params) + ripples
