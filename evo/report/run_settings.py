"""The settings of a run, as its run directory records them, as text."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from evo.population.events import Joined
from evo.report.reading import Run
from evo.storage.rundir import StudyRecord

_BUDGET = ("generations", "evaluations", "target", "ranks_per_worker")
_TIME_LIMIT = "seconds of a session"
_BESIDE = ("allow_duplicates", "start", "migration")
_UNLESS_RECORDED: Mapping[str, Any] = {"allow_duplicates": False, "start": [], "migration": {}, "pruning": "none"}
_OF_FIRST = ("islands", "breeding", "pruning")  # Which study.json has as they were in the first session.
_BY_CHANCE = ("seed", _TIME_LIMIT)  # The end of a batch job is nobody's choice.


def run_settings(run: Run) -> dict[str, str]:
    """All that is recorded of a run's settings, a line for each; see `study_settings` and `session_settings`."""
    return {**study_settings(run.study), **session_settings(run.joined)}


def chosen_settings(run: Run) -> dict[str, str]:
    """The settings of a run that runs of one kind share: all but the seed, versions and the time that it had."""
    known = run_settings(run)
    return {name: text for name, text in known.items() if name not in _BY_CHANCE and not name.startswith("versions.")}


def study_settings(study: StudyRecord) -> dict[str, str]:
    """What study.json records of a search, a line for each setting, as text."""
    definition = study.definition
    objective: Any = study.objective
    with contextlib.suppress(ValueError):  # The sections of a training are compared one by one.
        objective = json.loads(study.objective) if study.objective.startswith("{") else objective
    tree = {
        "objective": objective,
        "settings": definition.settings,
        "constants": definition.constants,
        "code": {**definition.sources, **definition.rules},
        "limits": study.limits,
        "former limits": study.former,
        "constraints": study.constraints,
        "propagator": study.propagator,
        "pruning": study.pruning or "none",
        "islands": study.islands,
        "topology": study.topology,
        "baseline": study.baseline,
        "seed": study.seed,
        "versions": study.versions,
    }
    if study.objectives.modes:
        tree["objectives"] = study.objectives.modes
    if study.objectives.bounds:
        tree["constraint_metrics"] = ", ".join(map(str, study.objectives.bounds))
    return {name: _text(value) for name, value in _leaves(tree)}


def session_settings(joined: Iterable[Joined]) -> dict[str, str]:
    """What the journal of worker 0 records of a search beside study.json: budget, duplicates, migration and the like.

    Args:
        joined: How workers have joined, in order. A setting that sessions did not share has what each had, in order;
            of those which study.json has for the first session, only such are here.
    """
    sessions: list[dict[str, Any]] = []
    for first in joined:
        if first.rank or not first.settings:
            continue
        recorded = {**_UNLESS_RECORDED, **first.settings}
        tree = {name: recorded.get(name) for name in (*_BESIDE, *_OF_FIRST)}
        limit = None if first.deadline is None else float(f"{max(0.0, first.deadline - first.time):.2g}")
        budget = {name: getattr(first, name) for name in _BUDGET}
        sessions.append({**budget, _TIME_LIMIT: limit, **tree})
    found: dict[str, str] = {}
    leaves = [dict(_leaves(session)) for session in sessions]
    for name in dict.fromkeys(key for each in leaves for key in each):
        texts = [_text(each.get(name)) for each in leaves]
        changes = [text for text, _ in itertools.groupby(texts)]
        if len(changes) > 1 or name not in _OF_FIRST:
            found[name] = ", then ".join(changes)
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
