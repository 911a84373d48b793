"""What is searched, by the name of a suite."""

from __future__ import annotations

import fnmatch
import importlib
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from benchmarks.quality.mixed import mixed_problems
from benchmarks.quality.problem import Problem
from evo.problems.catalogue import PROBLEMS

COCO = ("bbob", "bbob-mixint")
NAMES = ("nine", "mixed", *COCO, "tables", "tasks", "curves")
"""The names of the suites."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which problems of a suite are taken.

    Args:
        dimensions: The numbers of parameters, of COCO's suites.
        functions: The numbers of the functions, of COCO's suites.
        instance: The instance, of COCO's suites.
        names: Patterns of names. None means the suite's usual ones.
    """

    dimensions: Sequence[int] = (5, 10, 20)
    functions: Sequence[int] = tuple(range(1, 25))
    instance: int = 1
    names: Sequence[str] | None = None


def load_suite(name: str, choice: Choice) -> list[Problem]:
    """The chosen problems of a suite.

    Raises:
        SystemExit: There is no such suite, or the package that brings it is not installed.
    """
    if name not in NAMES:
        raise SystemExit(f"there is no suite {name}: choose of {', '.join(NAMES)}")
    try:
        problems = _load(name, choice)
    except ModuleNotFoundError as error:
        raise SystemExit(f"suite {name} needs a package that is not installed: {error}") from error
    patterns = choice.names or ["*"]
    return [one for one in problems if any(fnmatch.fnmatch(one.name, pattern) for pattern in patterns)]


def _load(name: str, choice: Choice) -> list[Problem]:
    if name == "nine":
        return nine_functions()
    if name == "mixed":
        return mixed_problems()
    module: Any = importlib.import_module(f"benchmarks.quality.{'coco' if name in COCO else name}")
    found: list[Problem]
    if name in COCO:
        found = module.problems(name, choice.dimensions, choice.functions, choice.instance)
    elif name == "tables" and choice.names:  # The usual ones are those for development.
        known = module.available()
        found = module.problems([one for one in known if any(fnmatch.fnmatch(one, each) for each in choice.names)])
    else:
        found = module.problems()
    return found


def nine_functions() -> list[Problem]:
    """The nine functions of the literature on parallel genetic algorithms, with the dimensions of Propulate's paper."""
    found = []
    for name, known in PROBLEMS.items():
        if known.objective.place == "evo.problems.functions":
            function: Callable[..., float] = known.objective.load()
            loss = _noisy(function) if name == "quartic" else function
            found.append(Problem("nine", name, known.limits, loss, known.optimum or 0.0))
    return found


def _noisy(function: Callable[..., float]) -> Callable[[Mapping[str, Any]], float]:
    """The function with noise that is drawn for every point, and is the same whenever that is tried."""

    def loss(params: Mapping[str, Any]) -> float:
        seed = random.Random(zlib.crc32(repr(sorted(params.items())).encode())).getrandbits(32)
        return function(params, SimpleNamespace(seed=seed))

    return loss
