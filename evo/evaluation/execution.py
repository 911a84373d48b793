"""One objective, run once: what it returns or raises, as an outcome; its check; its test."""

from __future__ import annotations

import inspect
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from evo.errors import UserError
from evo.evaluation.trial import RunningTrial
from evo.frames import (
    FAILURES,
    blame,
    blamed,
    cut_off,
    definition_of,
    is_bug_in,
    is_made_by_evo,
    one_line,
    representation,
)
from evo.objective.losses import read_losses
from evo.objective.objective import Infeasible, Trial, describe, optional_method
from evo.population.events import Status
from evo.population.outcome import Outcome
from evo.population.scalars import json_scalars, json_text
from evo.space.values import Params, fresh

_LONGEST_RESULT = 100  # Characters of what a test returned that a message shows.


def evaluate(run: Callable[[Params, Trial], Any], params: Params, trial: RunningTrial) -> Outcome:
    """Run an objective; whatever goes wrong in it is a failed outcome, unless it could not write its files.

    Args:
        run: The objective, as `evo.objective.objective.prepare` returned it.
        params: The parameters; it gets a copy of them, so that it may change them.
        trial: The trial that it gets as well.
    """
    began = time.perf_counter()
    metrics: dict[str, Any] = {}

    def end(status: Status, **known: Any) -> Outcome:
        return Outcome(status=status, seconds=time.perf_counter() - began, times=_finite_times(trial), **known)

    try:
        returned = run(fresh(params), trial)
        seconds = time.perf_counter() - began
        recorded = {} if trial.objectives.is_plain else {"seconds": seconds, **trial.metrics}
        found = read_losses(returned, trial.objectives, recorded, is_cut_short=trial.should_stop)
        metrics = json_scalars({**trial.metrics, **found.values} if found.values else trial.metrics)
        state = trial.saved_state()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if reason := _why_infeasible(error):
            with suppress(Exception):
                metrics = json_scalars(trial.metrics)
            return end("infeasible", metrics=metrics, error=reason)
        # A signal may end the processes that an evaluation has started as well, which looks like their failure to it.
        if trial.was_interrupted:
            return end("interrupted")
        with suppress(Exception):  # The metrics may be what went wrong.
            metrics = json_scalars(trial.metrics)
        unwritable = trial.why_not_writable(error)
        return end(
            "interrupted" if unwritable else "failed",
            metrics=metrics,
            error=f"{unwritable} ({one_line(error)})" if unwritable else one_line(error),
            traceback=json_text(traceback.format_exc()),
        )
    losses = {"loss": found.loss, "losses": found.losses, "violation": found.violation}
    return end("pruned" if trial.should_stop else "completed", metrics=metrics, state=state, **losses)


def _why_infeasible(error: BaseException | None) -> str:
    """Why the objective has refused the point, in one line; empty when it has not, but failed."""
    while error is not None and not isinstance(error, Infeasible):
        error = error.__cause__  # A library may have put it into an exception of its own.
    if error is None:
        return ""
    reason = one_line(error).partition(": ")[2].removeprefix(f"{type(error).__module__}.{type(error).__qualname__}: ")
    return reason or "no reason was given"


def _finite_times(trial: RunningTrial) -> dict[str, float]:
    times: dict[str, float] = {}
    with suppress(Exception):  # An objective may have put anything there, which is no reason to fail.
        for name, seconds in json_scalars(trial.times).items():
            times[name] = round(float(seconds), 6)
    return times


def check_objective(objective: Callable[..., Any], names: Sequence[str], examples: Sequence[Params]) -> list[str]:
    """Let an objective that has a `check(names)`, or `check(names, examples)`, see what it is to be called with.

    Args:
        objective: The objective, loaded.
        names: The names of all parameters.
        examples: Points that together show every choice.

    Returns:
        The remarks of the check.

    Raises:
        UserError: The check says by a ValueError that the objective does not take them, or the check itself fails.
    """
    what = f"the check of objective {describe(objective)} fails"
    with blamed(what):
        check = optional_method(objective, "check")
    if check is None:
        return []
    try:
        wants_examples = "examples" in inspect.signature(check).parameters
        remarks = check(list(names), list(examples)) if wants_examples else check(list(names))
        return _as_texts(remarks)
    except FAILURES as error:
        if is_bug_in(check, error) or (is_made_by_evo(check) and isinstance(error, UserError)):
            raise
        raise blame(error, what, called=check, stated=ValueError) from error


def _as_texts(remarks: Any) -> list[str]:
    """What a check returns, as remarks: a list or tuple of them, or a single text."""
    if isinstance(remarks, str):
        return [remarks]
    return [str(remark) for remark in remarks] if isinstance(remarks, list | tuple) else []


def run_test(objective: Callable[..., Any], params: Params, trial: RunningTrial) -> dict[str, Any]:
    """Call an objective's test, if it has one.

    Raises:
        RuntimeError: The test failed.
    """
    with blamed("", RuntimeError):
        test = optional_method(objective, "test")
    if test is None:
        return {}
    with blamed("", RuntimeError, called=test):
        found = test(fresh(params), trial)
        if isinstance(found, Mapping):
            return json_scalars(found)
    place = definition_of(test)
    raise RuntimeError(
        f"the test of objective {describe(objective)}{f' ({place})' if place else ''} returned "
        f"{cut_off(representation(found), _LONGEST_RESULT)}: it must return a mapping of names to numbers"
    )
