"""COCO's suite bbob-biobj (doi:10.1162/evco_a_00298): pairs of functions of bbob, the first instance of each.

As COCO measures it, losses are scaled so that the ideal point is 0 and the nadir point 1, and volume counts up to the
nadir point. `known_biobj.json` holds the hypervolumes of the best fronts that COCO's authors know
(suite_biobj_best_values_hyp.c, as coco-experiment 2.8.2 carries it), for functions 1 to 55 by dimension.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmarks.fronts.problem import FrontProblem, Value, vector

ODD = tuple(range(1, 56, 2))
"""The functions that algorithms are developed on; the even ones are for judging."""

# COCO searches from -100 to 100, where tools have found next to nothing below a nadir point after 200 evaluations; the
# optima of both functions, and most of what lies between them, are here, which is where bbob is searched.
_SIDE = (-5.0, 5.0)
_KNOWN = Path(__file__).with_name("known_biobj.json")
_PAIR = re.compile(r"bbob_f(\d+)_i(\d+)_d(\d+)__bbob_f(\d+)_i(\d+)_d(\d+)")


def problems(dimensions: Sequence[int], functions: Sequence[int]) -> list[FrontProblem]:
    """The chosen problems.

    Args:
        dimensions: The numbers of parameters: 5, 10, or both.
        functions: The numbers of the functions, from 1 to 55.
    """
    known = json.loads(_KNOWN.read_text())
    if unknown := [number for number in dimensions if str(number) not in known]:
        raise SystemExit(f"bbob-biobj is known for {', '.join(known)} parameters, not {unknown[0]}")
    return [
        _problem(function, dimension, known[str(dimension)][function - 1])
        for dimension in dimensions
        for function in functions
    ]


def _problem(function: int, dimension: int, known: float) -> FrontProblem:
    both = _suite().get_problem_by_function_dimension_instance(function, dimension, 1)
    return FrontProblem(
        "bbob-biobj",
        f"f{function}-d{dimension}",
        {f"x{number}": _SIDE for number in range(dimension)},
        partial(_loss, both),  # type: ignore[arg-type]
        reference=(1.0, 1.0),
        near=(1.0, 1.0),
        volume=lambda reference: known,
        ideal=_ideal(both.name),
        nadir=tuple(both.largest_fvalues_of_interest.tolist()),
    )


def _loss(both: Any, params: Mapping[str, Any]) -> Value:
    first, second = both(vector(params)).tolist()
    return Value((first, second))


def _ideal(name: str) -> tuple[float, float]:
    """The optima of both functions, which the name of a pair tells."""
    import cocoex

    found = _PAIR.fullmatch(name)
    assert found is not None, name
    numbers = [int(number) for number in found.groups()]
    first, second = (cocoex.BareProblem("bbob", f, d, i).best_value() for f, i, d in (numbers[:3], numbers[3:]))
    return first, second


@cache  # Its problems live as long as the suite.
def _suite() -> Any:
    import cocoex

    return cocoex.Suite("bbob-biobj", "instances:1", "")
