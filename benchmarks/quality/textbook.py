"""evo's SHADE and particle swarm beside those of minionpy, on CEC 2017 functions: the same size, budget and constants.

Run it in the repository, with a Python that has minionpy:

    python -m benchmarks.quality.textbook shade|pso [SEEDS] [EVALUATIONS]

It prints the median over seeds of the logarithm (base 10) of the error for each function, and the mean of these.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from minionpy import LSHADE, PSO, CEC2017Functions

from benchmarks.quality.shared import Shared
from benchmarks.quality.simulation import simulate
from evo.algorithms.base import Algorithm
from evo.algorithms.pso import ParticleSwarm
from evo.algorithms.shade import Shade
from evo.space.space import Space

_DIMENSION, _SIZE = 10, 50
_FUNCTIONS = (1, 3, 4, 5, 7, 8, 9, 10, 12, 15)
_PAIRS: dict[str, tuple[Algorithm, Any, dict[str, Any]]] = {
    "shade": (
        Shade(size=_SIZE),
        LSHADE,
        {"population_size": _SIZE, "archive_size_ratio": 2.0, "x_tol": 0.0, "memory_size": 6},
    ),
    "pso": (
        ParticleSwarm("clamped", particles=_SIZE, inertia=0.7, cognition=1.5, sociality=1.5, fastest=0.2),
        PSO,
        {
            "population_size": _SIZE,
            "inertia_weight": 0.7,
            "cognitive_coefficient": 1.5,
            "social_coefficient": 1.5,
            "velocity_clamp": 0.2,
            "x_tol": 0.0,
        },
    ),
}
_LEAST_ERROR = 1e-8  # Errors below count as this one, as in the competition.


def _log_error(value: float, optimum: float) -> float:
    return math.log10(max(value - optimum, _LEAST_ERROR))


def _of_evo(name: str, function: CEC2017Functions, seed: int, evaluations: int) -> float:
    space = Space({f"x{place}": (-100.0, 100.0) for place in range(_DIMENSION)})
    search = Shared(_PAIRS[name][0], space, 1, evaluations, seed)
    losses = simulate(search, lambda params: float(function([list(params.values())])[0]), 1, evaluations, seed)
    return _log_error(min(losses), function.f_opt)


def _of_the_reference(name: str, function: CEC2017Functions, seed: int, evaluations: int) -> float:
    _, reference, options = _PAIRS[name]
    found = reference(function, function.bounds, maxevals=evaluations, seed=seed, options=options).optimize()
    return _log_error(found.fun, function.f_opt)


def main() -> None:
    """Print the table."""
    name = sys.argv[1]
    seeds = range(int(sys.argv[2]) if len(sys.argv) > 2 else 15)
    evaluations = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000
    rows = []
    for number in _FUNCTIONS:
        function = CEC2017Functions(number, _DIMENSION)
        both = (_of_evo, _of_the_reference)
        rows.append([np.median([of(name, function, seed, evaluations) for seed in seeds]) for of in both])
        print(f"F{number:<3d} evo {rows[-1][0]:7.3f}   reference {rows[-1][1]:7.3f}", flush=True)
    mean = np.mean(rows, axis=0)
    print(f"mean evo {mean[0]:7.3f}   reference {mean[1]:7.3f}")


if __name__ == "__main__":
    main()
