"""The tools that are compared, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.fronts.problem import FrontProblem
from benchmarks.fronts.searches import Evo, Optuna, Pymoo, Random
from benchmarks.quality.evos import read_settings
from benchmarks.quality.tools import Tool

_PEERS: dict[str, tuple[str, Callable[..., Any]]] = {
    "random": ("", Random),
    "pymoo-sms": ("pymoo", partial(Pymoo, "sms")),
    "pymoo-nsga2": ("pymoo", partial(Pymoo, "nsga2")),
    "optuna-nsga2": ("optuna", partial(Optuna, "nsga2")),
    "optuna-tpe": ("optuna", partial(Optuna, "tpe")),
}
NAMES = ("evo", *_PEERS)
"""The tools that are compared unless others are named."""


def find_tool(name: str, problem: FrontProblem) -> Tool:
    """A tool for a problem, by name: one of `NAMES`, or `evo:PROPAGATOR`.

    Args:
        name: The name.
        problem: The problem, whose numbers of objectives and bounds a tool must know.
    """
    kind, _, what = name.partition(":")
    if kind == "evo":
        how = read_settings(what)
        return Tool(name=name, make=lambda *given: Evo(problem, how, *given))  # type: ignore[arg-type]
    if name not in _PEERS:
        raise SystemExit(f"there is no tool {name}: choose of {', '.join(NAMES)}, evo:PROPAGATOR")
    package, search = _PEERS[name]
    return Tool(name=name, package=package, make=partial(search, problem))
