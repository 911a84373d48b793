"""Three small problems with grids, categories and conditions, which cost nothing and need no package.

They imitate how a network's loss depends on its hyperparameters: a valley along the learning rate, whose place depends
on the optimizer and the batch; a size with an optimum; choices that shift all of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

from benchmarks.quality.problem import Problem
from evo.space.parameters import Choice, Float, Int

_ACTIVATIONS = {"relu": 0.05, "gelu": 0.0, "tanh": 0.2, "sigmoid": 0.6}
_BEST_RATE = {"sgd": -1.0, "adam": -3.0, "lamb": -2.0}  # Decimal logarithms.
_OPTIMIZERS = {"sgd": 0.1, "adam": 0.0, "lamb": 0.15}


def network(params: Mapping[str, Any]) -> float:
    """A network: floats in logarithm, grids, categories, and a momentum that only one optimizer has; minimum 0."""
    rate = math.log10(params["rate"]) - _BEST_RATE[params["optimizer"]] - 0.3 * math.log2(params["batch"] / 64)
    size = math.log2(params["width"]) / 8 + params["layers"] / 8 - 1.5
    loss: float = 0.4 * rate**2 + size**2 + 0.1 * abs(params["layers"] - 4) + (params["dropout"] - 0.2) ** 2
    loss += _ACTIVATIONS[params["activation"]] + _OPTIMIZERS[params["optimizer"]]
    return loss + (params["momentum"] - 0.9) ** 2 if params["optimizer"] == "sgd" else loss


def models(params: Mapping[str, Any]) -> float:
    """A choice of models, each with parameters of its own; minimum 0 with the one that is hardest to tune."""
    if params["model"] == "line":
        return 0.5 + 0.1 * (math.log10(params["penalty"]) + 1.0) ** 2
    if params["model"] == "trees":
        depth, count = params["depth"], math.log2(params["trees"])
        return float(0.2 + 0.01 * (depth - 7) ** 2 + 0.02 * (count - 9) ** 2 + (params["share"] - 0.7) ** 2)
    cost, width = math.log10(params["cost"]) - 1.5, math.log10(params["width"]) + 2
    return 1.0 - math.exp(-(cost**2) - width**2 + 1.2 * cost * width)


def grid(params: Mapping[str, Any]) -> float:
    """Eight whole numbers on a turned ellipsoid; minimum 0."""
    best = (3, 17, 8, 12, 1, 19, 10, 5)
    offsets: list[int] = [value - other for value, other in zip(params.values(), best, strict=True)]
    turned = [one + other for one, other in itertools.pairwise(offsets)]
    return math.fsum(2**place * value**2 for place, value in enumerate(turned)) / 100 + abs(offsets[0]) / 10


_NETWORK = {
    "rate": Float(1e-6, 10.0, log=True),
    "optimizer": Choice(*_OPTIMIZERS),
    "momentum": Float(0.0, 0.99, when={"optimizer": "sgd"}),
    "activation": Choice(*_ACTIVATIONS),
    "layers": Int(1, 12),
    "width": Int(8, 1024, log=True),
    "batch": Choice(16, 32, 64, 128, 256),
    "dropout": Float(0.0, 0.6),
}
_MODELS = {
    "model": Choice("line", "trees", "kernel"),
    "penalty": Float(1e-4, 1e3, log=True, when={"model": "line"}),
    "depth": Int(1, 20, when={"model": "trees"}),
    "trees": Int(1, 2000, log=True, when={"model": "trees"}),
    "share": Float(0.1, 1.0, when={"model": "trees"}),
    "cost": Float(1e-4, 1e4, log=True, when={"model": "kernel"}),
    "width": Float(1e-6, 1e2, log=True, when={"model": "kernel"}),
}
_GRID = {f"x{place}": Int(0, 20) for place in range(8)}


def mixed_problems() -> list[Problem]:
    """The three problems."""
    return [
        Problem("mixed", "network", _NETWORK, network),
        Problem("mixed", "models", _MODELS, models),
        Problem("mixed", "grid", _GRID, grid),
    ]
