"""The ready problems by name, with their usual limits; it loads none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evo.objective.references import Reference
from evo.space.limits import Choice, Float, Int


@dataclass(frozen=True)
class Problem:
    """A ready objective.

    Args:
        objective: The name by which it is loaded.
        limits: Its usual limits.
        optimum: The lowest possible loss; None when nobody knows.
    """

    objective: Reference
    limits: Mapping[str, Any]
    optimum: float | None = None


def _function(name: str, dimensions: int, bound: float, optimum: float = 0.0) -> Problem:
    limits = {f"x{index}": (-bound, bound) for index in range(dimensions)}
    return Problem(Reference("evo.problems.functions", name), limits, optimum)


# Dimensions and bounds are those of Taubert et al. 2023, doi:10.1007/978-3-031-32041-5_6.
PROBLEMS: dict[str, Problem] = {
    "digits": Problem(
        Reference("evo.problems.digits", "objective"),
        {
            "conv_layers": Int(1, 4),
            "channels": Int(4, 32, log=True),
            "activation": Choice("relu", "sigmoid", "tanh"),
            "optimizer": Choice("sgd", "adam"),
            "lr": Float(1e-4, 1e-1, log=True),
            "momentum": Float(0.0, 0.99, when={"optimizer": "sgd"}),
            "dropout": Float(0.0, 0.5),
        },
    ),
    "sphere": _function("sphere", 2, 5.12),
    "rosenbrock": _function("rosenbrock", 2, 2.048),
    "step": _function("step", 5, 5.12, optimum=-25.0),
    "quartic": _function("quartic", 30, 1.28),
    "rastrigin": _function("rastrigin", 20, 5.12),
    "griewank": _function("griewank", 10, 600.0),
    "schwefel": _function("schwefel", 10, 500.0),
    "bisphere": _function("bisphere", 30, 5.12),
    "birastrigin": _function("birastrigin", 30, 5.12),
}
