"""The child process: evaluates one individual after another, as the rank that started it says.

What the two say to each other is in `evo.evaluation.messages`.
"""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from evo.errors import UserError
from evo.evaluation.execution import check_objective, evaluate, run_test
from evo.evaluation.interruption import Interruption, Reporter
from evo.evaluation.messages import (
    ChildSetup,
    Ended,
    Evaluate,
    Examine,
    Examined,
    News,
    Ready,
    decode_order,
    decode_setup,
    encode,
    log_name,
    output_folder,
)
from evo.evaluation.sending import unpack
from evo.evaluation.settings import EvaluationSettings
from evo.evaluation.trial import RunningTrial
from evo.frames import blamed, is_made_by_evo, whole_traceback
from evo.objective.definition import settings_of
from evo.objective.objective import optional_method, prepare, wants_trial
from evo.objective.places import is_local
from evo.objective.references import Named, Reference, what_is_loading
from evo.population.outcome import Outcome
from evo.population.scalars import json_scalars, json_text
from evo.runtime.signals import end_group_with_this_process, end_with_parent, let_signals_pass
from evo.texts import as_path, print_anything

SAFE_PATH = "PYTHONSAFEPATH"
SAFE_BY_EVO = "by evo"
"""With this value it is for the child alone, rather than for what the user's objective starts."""
_is_child = False


def main(connection: Connection, objective: bytes, setup: bytes) -> None:
    """Serve until the rank closes the pipe.

    Args:
        connection: The pipe to the rank.
        objective: What to evaluate, or a reference to it, as `evo.evaluation.sending.pack` made it.
        setup: How to evaluate: an encoded `ChildSetup`.
    """
    global _is_child
    _is_child = True
    _settle_in()
    interruption = Interruption()
    given = decode_setup(setup)
    print_anything()
    _print_to(as_path(given.output))
    faulthandler.enable()
    try:
        loaded, ready = _make_ready(objective, given)
    except Exception as error:
        refusal = str(error) if isinstance(error, UserError) else ""
        connection.send_bytes(encode(Ready(refusal=json_text(refusal), traceback=json_text(whole_traceback(error)))))
        return
    connection.send_bytes(encode(ready))
    server = _Server(connection, loaded, given.settings, interruption)
    while True:
        try:
            order = decode_order(connection.recv_bytes())
        except EOFError:
            return
        assert isinstance(order, Evaluate | Examine)
        connection.send_bytes(encode(server.serve(order)))


def _settle_in() -> None:
    """Become a process that ends with its rank, and that the rank can end."""
    if os.environ.get(SAFE_PATH) == SAFE_BY_EVO:
        del os.environ[SAFE_PATH]
    # A group of its own, so that the rank can end it together with everything that it starts.
    os.setsid()
    starter = multiprocessing.parent_process()
    end_with_parent(starter.pid if starter else None)
    end_group_with_this_process()
    # A spawned process would spawn what it starts, such as a DataLoader's workers, each of which would load torch anew.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    # The batch system sends signals to all processes of a job, but the rank decides what becomes of this one.
    let_signals_pass()


def _make_ready(content: bytes, given: ChildSetup) -> tuple[Callable[..., Any], Ready]:
    """The objective, and what the rank is to know of it.

    Raises:
        UserError: It cannot be loaded, or does not take the parameters.
    """
    gc.disable()  # While modules are loaded, nothing is garbage: collections are a sixth of loading Lightning.
    try:
        loaded, settings = _load(content)
    finally:
        gc.enable()
    prepare(loaded)
    notes = check_objective(loaded, given.names, given.examples)
    check_start(loaded, given)
    return loaded, Ready(may_save=wants_trial(loaded), settings=settings, notes=notes)


def check_start(objective: Callable[..., Any], given: ChildSetup) -> None:
    """Let one of evo's own objectives see whether trainings can begin from the weights that they are to begin from.

    It also sees whether what it is to measure can be measured here.

    Raises:
        UserError: They cannot.
    """
    measures = optional_method(objective, "check_objectives")
    if measures is not None and is_made_by_evo(measures):
        measures(given.settings.objectives)
    check = optional_method(objective, "check_weights")
    if given.settings.weights and given.examples and check is not None and is_made_by_evo(check):
        check(as_path(given.settings.weights), given.examples, given.settings.trust)


class _Server:
    """Does what the rank orders.

    Args:
        connection: The pipe to the rank, for intermediate losses.
        objective: The objective, loaded.
        settings: The settings of all evaluations.
        interruption: Asks an evaluation to save its state.
    """

    def __init__(
        self,
        connection: Connection,
        objective: Callable[..., Any],
        settings: EvaluationSettings,
        interruption: Interruption,
    ) -> None:
        self._objective = objective
        self._run = prepare(objective)
        self._settings = settings
        # A test is made by one rank alone.
        self._alone = msgspec.structs.replace(settings, rank=0, size=1)
        self._interruption = interruption
        self._reporter = Reporter(connection, interruption)

    def serve(self, order: Evaluate | Examine) -> News:
        """Evaluate or test an individual.

        Args:
            order: The order, which says whether to evaluate or to test, and with what.
        """
        is_test = isinstance(order, Examine)
        settings = self._alone if is_test else self._settings
        if problem := _enter(as_path(output_folder(order)), settings.rank):
            return Examined({}, problem) if is_test else Ended(Outcome(status="interrupted", error=problem))
        trial = RunningTrial(order.assignment, settings, self._reporter, is_interrupted=self._interruption.check)
        params = dict(order.assignment.params)
        if is_test:
            try:
                metrics = run_test(self._objective, params, trial)
                return Examined(metrics, remarks=json_scalars(trial.metrics))
            except RuntimeError as error:
                return Examined({}, error=json_text(error), traceback=json_text(whole_traceback(error)))
        with self._interruption:
            return Ended(evaluate(self._run, params, trial))


def refuse_in_child(call: str) -> None:
    """Refuse a call by a module that a child process is only importing, for an objective that it defines.

    Args:
        call: The name of what was called, for the message.

    Raises:
        UserError: This is such a call.
    """
    name = what_is_loading() or _imported_by_child()
    # This is how multiprocessing itself recognises a child that runs the main module of its parent.
    if name or getattr(multiprocessing.current_process(), "_inheriting", False):
        where = f"while {name} was imported" if name else "in a child process"
        raise UserError(f'{call} was called {where}: put the call under `if __name__ == "__main__":`')


def _imported_by_child() -> str:
    """In a child, the module whose import has led to this call; empty when there is none.

    A module that searches whenever it is imported would start children without end.
    """
    frame = sys._getframe() if _is_child else None
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if frame.f_code.co_name == "<module>" and name != "__main__":
            return name
        frame = frame.f_back
    return ""


def _load(content: bytes) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The objective, and what it depends on if it was named and is the user's."""
    advice = "define it at the top level of a module that can be imported"
    with blamed("the objective cannot be loaded in the evaluation process", hint=advice):
        objective = unpack(content)
    if not isinstance(objective, Named):
        return objective, {}
    loaded = objective.load()
    place = objective.where() if isinstance(objective, Reference) else None
    return loaded, settings_of(loaded) if place is not None and is_local(place.file) else {}


def _enter(folder: Path, rank: int) -> str:
    """Make the folder of an individual and print there from now on; returns why that is impossible, if it is."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _print_to(folder / log_name(rank))
    except OSError as error:
        return json_text(f"{folder} cannot be written: {error.strerror}")
    return ""


def _print_to(file: Path) -> None:
    """Let everything that this process prints, from C code too, go to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
