"""What is searched, by the name of a suite."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from benchmarks.fronts import analytic, biobj
from benchmarks.fronts.problem import FrontProblem

NAMES = ("textbook", "bounds", "bbob-biobj")
"""The names of the suites."""


def load_suite(
    name: str, dimensions: Sequence[int], functions: Sequence[int], names: Sequence[str] | None
) -> list[FrontProblem]:
    """The chosen problems of a suite.

    Args:
        name: The name of the suite.
        dimensions: The numbers of parameters, of bbob-biobj.
        functions: The numbers of the functions, of bbob-biobj.
        names: Patterns of names. None means all.

    Raises:
        SystemExit: There is no such suite, or the package that brings it is not installed.
    """
    if name == "textbook":
        found = [*(analytic.zdt(number) for number in (1, 2, 3)), analytic.dtlz2()]
    elif name == "bounds":
        found = [analytic.bnh(), analytic.tnk(), analytic.srn()]
    elif name == "bbob-biobj":
        try:
            found = biobj.problems(dimensions, functions)
        except ModuleNotFoundError as error:
            raise SystemExit(f"suite {name} needs a package that is not installed: {error}") from error
    else:
        raise SystemExit(f"there is no suite {name}: choose of {', '.join(NAMES)}")
    return [one for one in found if any(fnmatch.fnmatch(one.name, pattern) for pattern in names or ["*"])]
