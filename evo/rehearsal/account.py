"""What a check has found, as text."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from evo.evaluation.stages import CALLING, ENDED
from evo.objective.training import Training, trainer_settings
from evo.population.objectives import Objectives
from evo.rehearsal.estimate import TrainingPace, measure_pace, search_seconds, seconds_text, size_text
from evo.rehearsal.preparing import Prepared
from evo.rehearsal.trying import Tried
from evo.report.tables import number_text
from evo.space.description import limits_lines
from evo.study.inheritance import goes_on, segment_steps
from evo.texts import printable

_MOST_SHOWN = 6  # Parameters of a point in one line.
_MOST_METRICS = 6


def search_lines(prepared: Prepared) -> list[str]:
    """What would be searched, and how."""
    plan, config = prepared.plan, prepared.job.config
    ranks = f"{prepared.ranks} rank{'s' if prepared.ranks > 1 else ''}"
    names = list(dict.fromkeys(type(each).__name__ for each in plan.propagators))
    how = config.breeding if isinstance(config.breeding, str) else ", ".join(names)
    pruned = f"; pruning: {type(plan.pruner).__name__}" if plan.pruner else "; no pruning"
    count = len(plan.space.names)
    lines = [f"{prepared.title}"]
    lines.append(
        f"  {'searches':<10} {count} parameter{'s' if count > 1 else ''} by {how}{pruned}; {budget_text(prepared)}, "
        f"on {ranks}; results in {config.run_dir}"
    )
    lines += [f"    {line}" for line in limits_lines(plan.space.parameters, goes_on(plan.propagators))]
    lines += [f"    constraint: {text}" for text in plan.constraints]
    lines += [f"    objective: {name}, {mode}" for name, mode in plan.objectives.modes.items()]
    lines += [f"    bound: {bound}" for bound in plan.objectives.bounds]
    return [printable(line) for line in lines] + [printable(f"  note: {note}") for note in prepared.notes]


def budget_text(prepared: Prepared) -> str:
    """When the search ends, in words."""
    budget = prepared.plan.budget
    parts = [f"{budget.generations} generations"] if budget.generations is not None else []
    parts += [f"{budget.evaluations} evaluations"] if budget.evaluations is not None else []
    parts += [f"{seconds_text(budget.deadline - time.time())}"] if budget.deadline is not None else []
    parts += [f"the target {budget.goal}"] if budget.goal is not None else []
    return "at most " + " or ".join(parts)


def tried_lines(prepared: Prepared, tried: Sequence[Tried], loaded: float, examples: int) -> list[str]:
    """How it went with the points that were tried.

    Args:
        prepared: The study.
        tried: The points, at least one.
        loaded: The seconds until the objective was loaded and everything made.
        examples: The number of points at which everything was made.
    """
    sound = [one for one in tried if not one.failed]
    calls = [one for one in sound if one.stages[-1].doing == CALLING or not _is_training(one)]
    lines = [f"  {'loads in':<10} {seconds_text(loaded)}, in a process of its own; checked at {_points(examples)}"]
    if calls:
        lines += _call_lines(calls, tried, prepared.plan.objectives)
    elif sound:
        paces = [measure_pace(one.stages, _wanted(prepared, one.params)) for one in sound]
        lines += _training_lines(paces, tried, sound)
        lines += _estimate_lines(prepared, paces)
    lines += [f"  warning: {failure_text(one)}" for one in tried if one.failed]
    return [printable(line) for line in lines]


def _is_training(one: Tried) -> bool:
    return all(stage.doing != CALLING for stage in one.stages)


def _points(count: int) -> str:
    return f"{count} point{'s' if count != 1 else ''}"


def _call_lines(calls: Sequence[Tried], tried: Sequence[Tried], objectives: Objectives) -> list[str]:
    lines = []
    for one in calls:
        shown = point_text(one.params)
        what = "the values" if objectives.modes else "the loss"
        if one.is_unfinished:
            lines.append(
                f"  {'calls':<10} {what} at {shown}: stopped after {seconds_text(one.outcome.seconds)}, since a loss "
                "may take hours; what it returns has not been checked"
            )
        else:
            lines.append(
                f"  {'calls':<10} {what} at {shown}: {_result(one, objectives)} after "
                f"{seconds_text(one.outcome.seconds)}"
            )
    peak = max((stage.memory for one in tried for stage in one.stages), default=0)
    return [*lines, f"  {'memory':<10} {size_text(peak)}"]


def _result(one: Tried, objectives: Objectives) -> str:
    outcome = one.outcome
    if outcome.status == "infeasible" or outcome.loss is None:
        return f"infeasible, {outcome.error}"
    if not objectives.modes:
        text = number_text(outcome.loss)
    else:
        # One that is cut short lacks what is known at its end only.
        known = objectives.values(outcome.losses) if outcome.losses else outcome.metrics
        values = known if objectives.are_several else objectives.values((outcome.loss,))
        text = ", ".join(f"{name} {number_text(values[name])}" for name in objectives.names if name in values)
    return text + (f", which violates {_violated(outcome.metrics, objectives)}" if outcome.violation else "")


def _violated(metrics: Mapping[str, Any], objectives: Objectives) -> str:
    bounds = [each for each in objectives.bounds if each.metric in metrics and each.violation(metrics[each.metric])]
    return ", ".join(map(str, bounds)) or "a bound"


def _training_lines(paces: Sequence[TrainingPace], tried: Sequence[Tried], sound: Sequence[Tried]) -> list[str]:
    slow = max(paces, key=lambda pace: pace.batch or 0.0)
    trained, validated = slow.batches
    of_train, of_check = (f" of {each}" if each is not None else "" for each in slow.all_batches)
    lines = [
        f"  {'trains':<10} {_points(len(sound))} of {len(tried)} tried, on {slow.device}: {trained} batches{of_train} "
        f"of training, {validated}{of_check} of validation; {_weights(paces)}",
        f"  {'set up':<10} {seconds_text(max(pace.set_up for pace in paces))} with data and module",
    ]
    if slow.batch is not None and slow.first_batch is not None:
        first = f", the first one {seconds_text(slow.first_batch)}"
        lines.append(f"  {'training':<10} {seconds_text(slow.batch)} for a batch{first}")
    if slow.validation_batch is not None:
        lines.append(f"  {'validation':<10} {seconds_text(slow.validation_batch)} for a batch")
    memory = size_text(max(pace.memory for pace in paces))
    used = max(pace.gpu_memory for pace in paces)
    lines.append(f"  {'memory':<10} {memory} in the process{f'; {size_text(used)} of the GPU' if used else ''}")
    return lines + _metric_lines(sound)


def _weights(paces: Sequence[TrainingPace]) -> str:
    least, most = min(pace.weights for pace in paces), max(pace.weights for pace in paces)
    return f"{most:,} weights" if least == most else f"{least:,} to {most:,} weights"


def _metric_lines(sound: Sequence[Tried]) -> list[str]:
    metrics = logged_metrics(sound[0])
    lines = []
    for kind, names in metrics.items():
        shown = [
            f"{name} {number_text(value)}" if value is not None else f"{name} nan" for name, value in names.items()
        ]
        more = f" and {len(shown) - _MOST_METRICS} more" if len(shown) > _MOST_METRICS else ""
        if shown:
            lines.append(f"  {'logs':<10} in {kind}: {', '.join(shown[:_MOST_METRICS])}{more}")
    return lines


def logged_metrics(one: Tried) -> Mapping[str, Mapping[str, float | None]]:
    """What a training has logged, by the stage that logs it, as far as it came."""
    found: dict[str, dict[str, float | None]] = {"validation": {}, "training": {}}
    for stage in one.stages:
        for kind, metrics in found.items():
            metrics |= stage.facts.get(kind, {})
    return found


def _estimate_lines(prepared: Prepared, paces: Sequence[TrainingPace]) -> list[str]:
    """How long all of it may take, by the slowest point that was tried."""
    known = [pace.epoch for pace in paces if pace.epoch is not None]
    if not known:
        return [f"  {'estimate':<10} none: the data do not say how many batches an epoch has"]
    epoch = max(known)
    text = f"{seconds_text(epoch)} for an epoch"
    epochs, part = most_epochs(prepared), segment_steps(prepared.plan.propagators)
    epochs = min((each for each in (epochs, part) if each is not None), default=None)
    training = None if epochs is None else epoch * epochs + max(pace.set_up for pace in paces)
    if training is not None:
        text += f", {seconds_text(training)} for {'a training' if part is None else 'one interval'} of {epochs} epochs"
    budget, workers = prepared.plan.budget, prepared.plan.archipelago.workers
    counts = [budget.evaluations] if budget.evaluations is not None else []
    counts += [budget.generations * workers] if budget.generations is not None else []
    left = None if budget.deadline is None else budget.deadline - time.time()
    whole = search_seconds(training, min(counts, default=None), workers, left)
    if whole is not None:
        text += f", at most {seconds_text(whole)} for the search"
        if training and left is not None and not counts:
            text += f", which is time for {max(1, int(left / training) * workers)} trainings of that length"
    saving = "; early stopping and pruning save time" if part is None else ""
    slower = f" (by the slowest of {len(paces)} points{saving})"
    return [f"  {'estimate':<10} {text}{slower}"]


def most_epochs(prepared: Prepared) -> int | None:
    """The most epochs of a training; None where there is no limit."""
    trainer = _trainer(prepared)
    found = prepared.plan.space.parameters.get("trainer.max_epochs")
    if found is not None:
        values = getattr(found, "values", None) or (getattr(found, "low", 0), getattr(found, "high", 0))
        numbers = [each for each in values if isinstance(each, int)]
        return max(numbers, default=None)
    epochs = trainer.get("max_epochs")
    return epochs if isinstance(epochs, int) and epochs > 0 else None


def _trainer(prepared: Prepared) -> dict[str, Any]:
    objective = prepared.job.objective
    return trainer_settings(objective if isinstance(objective, Training) else prepared.plan.objective)


def _wanted(prepared: Prepared, params: Mapping[str, Any]) -> dict[str, Any]:
    searched = {name.removeprefix("trainer."): value for name, value in params.items() if name.startswith("trainer.")}
    return {**_trainer(prepared), **searched}


def failure_text(one: Tried) -> str:
    """Why a point failed, in one line."""
    during = f" in {one.stages[-1].text}" if one.stages and one.doing not in (CALLING, ENDED) else ""
    return f"at {point_text(one.params)} it fails{during}: {one.why}"


def point_text(params: Mapping[str, Any]) -> str:
    """A point in a few words."""
    shown = [f"{name}={number_text(value)}" for name, value in params.items()]
    more = f" and {len(shown) - _MOST_SHOWN} more" if len(shown) > _MOST_SHOWN else ""
    return ", ".join(shown[:_MOST_SHOWN]) + more
