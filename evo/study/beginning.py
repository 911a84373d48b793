"""How a session of a study begins in its run directory: which study it is, and what has changed since then."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from evo.engine.transport import Transport, together
from evo.errors import UserError
from evo.frames import blamed
from evo.objective.definition import (
    ADVICE,
    Definition,
    canonical_name,
    check_same,
    code_changes,
    define,
    is_same_constraint,
    rule_changes,
    with_rules,
)
from evo.objective.references import Named
from evo.population.objectives import Objectives
from evo.report.screen import Screen
from evo.space.growth import Change, check_growth, find_changes
from evo.storage.rundir import RunDirectory, Scratch, StudyRecord
from evo.study.config import Config
from evo.study.plan import Plan
from evo.study.starting_weights import check_start_weights, find_start_weights
from evo.texts import readable
from evo.versions import versions_of


def ask_for_study(
    config: Config,
    plan: Plan,
    objective: Callable[..., Any] | Named,
    directory: RunDirectory | Scratch,
    transport: Transport,
) -> StudyRecord:
    """The study that is asked for. Only that of the first rank, which counts, says what the objective is made of.

    Args:
        config: The settings.
        plan: What they amount to.
        objective: What is minimised, as the user gave it.
        directory: The run directory of the study.
        transport: The connection to the other ranks.
    """
    definition = Definition()
    if transport.rank == 0 and isinstance(directory, RunDirectory):
        known = define(objective, None if plan.separate else plan.objective)
        definition = with_rules(known, _rules(config, plan))
    return StudyRecord(
        name=readable(directory.path.name),
        objective=readable(canonical_name(objective)),
        definition=definition,
        limits=plan.space.describe(),
        constraints=list(plan.constraints),
        seed=config.seed or 0,
        propagator="; ".join(dict.fromkeys(map(_recorded, plan.propagators))),
        islands=[len(members) for members in plan.archipelago.members],
        pruning=_recorded(plan.pruner) if plan.pruner else "",
        topology=plan.migration.topology if plan.migration else (),
        baseline=plan.baseline,
        objectives=plan.objectives,
        weights=find_start_weights(config.start_from) if transport.rank == 0 else None,
        versions=versions_of(("numpy", "torch", "lightning", "mpi4py")) if transport.rank == 0 else {},
        created=time.time(),
    )


def _recorded(policy: object) -> str:
    """How study.json names a propagator or a pruner, which may be the user's own."""
    kind = type(policy)
    with blamed(f"{kind.__qualname__}.__repr__ fails", called=kind.__repr__):
        return repr(policy)


def _rules(config: Config, plan: Plan) -> list[Any]:
    """All beside the objective that may run code of the user's while a study is searched."""
    given = config.constraints if isinstance(config.constraints, list | tuple) else [config.constraints]
    selections = [plan.migration.emigration, plan.migration.immigration] if plan.migration else []
    return [*filter(callable, given), *plan.propagators, *selections, plan.pruner]


def agree_on_study(
    asked: StudyRecord, config: Config, directory: RunDirectory | Scratch, transport: Transport
) -> tuple[StudyRecord, list[Change]]:
    """The study that the first rank finds in the directory, or else the one asked for; the same on all ranks.

    Args:
        asked: What is to be searched.
        config: The settings.
        directory: The run directory of the study.
        transport: The connection to the other ranks.

    Returns:
        The study, and how this session changes what it searches.

    Raises:
        SharedError: The directory holds another study.
    """

    def find() -> tuple[StudyRecord, list[Change]]:
        recorded = directory.study()
        found = find_study(directory, asked, config.seed, config.change_limits)
        if recorded is None or found is None:
            return asked, []
        if config.strict:
            _check_code(recorded, asked, directory)
        changes = find_changes(recorded.limits, found.limits)
        if recorded.constraints != found.constraints:
            changes.append(Change("constraints", str(recorded.constraints), str(found.constraints)))
        return _as_defined_now(found, asked), changes

    agreed = together(transport, lambda: find() if transport.rank == 0 else (asked, []))
    said = transport.gather(msgspec.json.encode(agreed).decode())
    return msgspec.json.decode(said[0], type=tuple[StudyRecord, list[Change]])


def _check_code(recorded: StudyRecord, asked: StudyRecord, directory: RunDirectory | Scratch) -> None:
    """Refuse code that has changed since earlier sessions."""
    changed = _changes(recorded, asked)
    if changed:
        told = " and ".join(f"the code of {what} has changed since then: {', '.join(names)}" for what, names in changed)
        raise UserError(
            f"{another_study(directory)}: {told}; choose another directory with --run-dir, bring the old code back, or "
            "go on with the new one without --strict"
        )


def _changes(old: StudyRecord, new: StudyRecord) -> list[tuple[str, list[str]]]:
    """In what code has changed, and in which files."""
    found = [
        (f"its objective {new.objective}", code_changes(old.definition, new.definition)),
        ("its constraints, propagators or pruner", rule_changes(old.definition, new.definition)),
    ]
    return [(what, names) for what, names in found if names]


def _as_defined_now(found: StudyRecord, asked: StudyRecord) -> StudyRecord:
    """A study that goes on, with its objective as it is now."""
    known = asked.definition.settings or found.definition.settings
    definition = msgspec.structs.replace(asked.definition, settings=known)
    name = asked.objective if definition.file else found.objective
    return msgspec.structs.replace(found, objective=name, definition=definition)


def begin_study(
    study: StudyRecord,
    settings: Mapping[str, Any],
    directory: RunDirectory | Scratch,
    screen: Screen,
    is_strict: bool,
) -> None:
    """Begin, or go on, now that the objective is loaded.

    Args:
        study: What is searched.
        settings: What its objective was found to depend on when it was loaded. Empty means that this was known before.
        directory: The run directory of the study.
        screen: Shows the user what has changed.
        is_strict: Whether other code than that of earlier sessions was to be refused.

    Raises:
        UserError: The run directory holds a study of another objective, or cannot be written.
    """
    if settings:
        new = msgspec.structs.replace(study.definition, settings=dict(settings))
        check_same(another_study(directory), (study.objective, study.definition), (study.objective, new))
        study = msgspec.structs.replace(study, definition=new)
    tell_changes(study, directory, screen, is_strict)
    directory.begin(study)


def tell_changes(study: StudyRecord, directory: RunDirectory | Scratch, screen: Screen, is_strict: bool) -> None:
    """Warn of code that has changed since earlier sessions; only once, since the new code is recorded then."""
    found = directory.study()
    if found is None:
        return
    if changed := _changes(found, study):
        told = " and ".join(f"{what} has changed since then: {', '.join(names)}" for what, names in changed)
        screen.remark(
            f"run directory {directory}: {told}; "
            "the search goes on, and compares earlier losses with those of now: for another search choose another "
            "directory with --run-dir"
        )
    if is_strict:
        _tell_unknown(found, study, directory, screen)


def _tell_unknown(found: StudyRecord, study: StudyRecord, directory: RunDirectory | Scratch, screen: Screen) -> None:
    """Say which code cannot be compared, because earlier sessions, of an older evo perhaps, have not recorded it."""
    old, new = found.definition, study.definition
    unknown = [f"its objective {study.objective}"] if new.sources and not old.sources else []
    unknown += ["its constraints, propagators or pruner"] if new.rules and not old.rules else []
    if unknown:
        screen.remark(
            f"run directory {directory}: earlier sessions have not recorded the code of {' and '.join(unknown)}, so "
            "--strict has nothing to compare that of now with"
        )


def another_study(directory: RunDirectory | Scratch) -> str:
    """The beginning of the message that a directory holds another study."""
    return f"run directory {directory} holds another study"


def find_study(
    directory: RunDirectory | Scratch, asked: StudyRecord, seed: int | None, change_limits: bool = False
) -> StudyRecord | None:
    """The study of a directory, after a check that it may go on, or begin, there; nothing is changed.

    Args:
        directory: The run directory.
        asked: What is to be searched.
        seed: The seed that was asked for, if any.
        change_limits: Whether a study with other limits goes on with those asked for, and has its own in `former`.

    Raises:
        UserError: The directory holds another study, or cannot be written.
    """
    found = directory.study()
    directory.check_writable()
    if found is None:
        return None
    where = another_study(directory)
    check_same(where, (found.objective, found.definition), (asked.objective, asked.definition))
    changes = find_changes(found.limits, asked.limits)
    if changes and not change_limits:
        others = f", and {len(changes) - 1} more differ" if len(changes) > 1 else ""
        raise UserError(
            f"{where}: {changes[0].refusal}{others}; {ADVICE}, or go on with other limits with --change-limits"
        )
    difference = _difference(found.constraints, asked.constraints)
    if difference and not change_limits:
        raise UserError(f"{where}: {difference}; {ADVICE}, or go on with others with --change-limits")
    if asked.baseline is not None and found.baseline != asked.baseline:
        instead = "leave it out here, and name it with evo test --baseline"
        raise UserError(f"{where}: its baseline is {found.baseline}, not {asked.baseline}; {instead}")
    if unlike := objectives_differ(found.objectives, asked.objectives):
        raise UserError(f"{where}: {unlike}; {ADVICE}")
    check_start_weights(where, found.weights, asked.weights)
    if seed is not None and found.seed != seed:
        raise UserError(f"{where}: its seed is {found.seed}, not {seed}; {ADVICE}")
    if changes:
        check_growth(found.limits, asked.limits)
        found = msgspec.structs.replace(found, limits=asked.limits, former=[*found.former, found.limits])
    found = msgspec.structs.replace(found, weights=asked.weights)  # The file may have been moved.
    return msgspec.structs.replace(found, constraints=asked.constraints) if difference else found


def objectives_differ(before: Objectives, now: Objectives) -> str:
    """How the objectives or bounds of a study differ apart from their order; empty when they do not.

    Neither can change while a study goes on: its journals hold losses and violations, which would mean something else.

    Args:
        before: Those that are recorded.
        now: Those that are asked for.

    Example:
        >>> objectives_differ(Objectives(modes={"a": "max", "b": "min"}), Objectives(modes={"a": "min"}))
        'its objectives are {a: max, b: min}, not {a: min}'
    """
    if before.modes != now.modes:
        return f"its objectives are {_modes_text(before)}, not {_modes_text(now)}"
    if set(before.bounds) != set(now.bounds):
        bounds = [", ".join(map(str, one.bounds)) or "none" for one in (before, now)]
        return (
            f"its constraint_metrics are {bounds[0]}, not {bounds[1]}, and cannot change, not even with "
            "--change-limits: what violates them is recorded"
        )
    return ""


def _modes_text(objectives: Objectives) -> str:
    entries = ", ".join(f"{name}: {mode}" for name, mode in objectives.modes.items())
    return f"{{{entries}}}" if entries else "one loss without a name"


def _difference(before: Sequence[str], now: Sequence[str]) -> str:
    """How two lists of constraints differ apart from their order; empty when they do not."""
    has = [one for one in before if not any(is_same_constraint(one, other) for other in now)]
    lacks = [one for one in now if not any(is_same_constraint(one, other) for other in before)]
    if not has and not lacks:
        return ""
    texts = [f"{verb} {', '.join(map(repr, which))}" for verb, which in (("has", has), ("lacks", lacks)) if which]
    return f"its constraints differ: it {' and '.join(texts)}"
