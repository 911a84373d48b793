"""The child process: evaluates one individual after another, as the rank that started it says.

The two speak JSON over a pipe: the child answers each `Task` with an `Ended`, each `Examination` with an `Examined`,
and waits for a `Verdict` on each `Progress`.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import msgspec

from evo.errors import UserError
from evo.evaluation.inline import RunningTrial, check_objective, evaluate, run_test
from evo.evaluation.sending import unpack
from evo.frames import told, whole_traceback
from evo.objective.definition import settings_of
from evo.objective.objective import Interrupted, prepare, wants_trial
from evo.objective.places import is_local
from evo.objective.references import Named, Reference, what_is_loading
from evo.population.events import Identity, json_scalars, json_text
from evo.population.outcome import Outcome
from evo.runtime.signals import end_group_with_this_process, end_with_parent, let_signals_pass
from evo.space.values import Params
from evo.texts import as_path, print_anything


class Task(msgspec.Struct, frozen=True, tag=True):
    """Evaluate an individual in its folder; for the so manyth time of the processes that do so together."""

    individual: Identity
    params: Params
    seed: int
    folder: str
    attempt: int = 0

    @property
    def output(self) -> str:
        """The folder for what is printed."""
        return self.folder


class Examination(Task, frozen=True, tag=True):
    """Test an individual that has been evaluated; the folder of results, if any, gets what is found beside metrics."""

    results: str = ""

    @property
    def output(self) -> str:
        """With results, the individual's own folder is left alone."""
        return self.results or self.folder


class Verdict(msgspec.Struct, frozen=True, tag=True):
    """Whether to stop early."""

    stop: bool


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The objective is loaded and takes the parameters; or else why not.

    Where there is a traceback it is not ready: with a refusal there is something for the user to mend, without one this
    is a bug. It may save its state when it is interrupted, if it takes the trial. One that was named is described. The
    notes are for the user.
    """

    refusal: str = ""
    traceback: str = ""
    may_save: bool = False
    settings: dict[str, Any] = {}
    notes: list[str] = []


class Progress(msgspec.Struct, frozen=True, tag=True):
    """An intermediate loss."""

    step: int
    loss: float


class Ended(msgspec.Struct, frozen=True, tag=True):
    """An evaluation ended."""

    outcome: Outcome


class Examined(msgspec.Struct, frozen=True, tag=True):
    """A test ended, with what it remarked beside its metrics; or else why it failed."""

    metrics: dict[str, Any]
    error: str = ""
    traceback: str = ""
    remarks: dict[str, Any] = {}


Order: TypeAlias = Task | Examination | Verdict
News: TypeAlias = Ready | Progress | Ended | Examined

_is_child = False
encode = msgspec.json.Encoder().encode
_orders: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
_news: msgspec.json.Decoder[News] = msgspec.json.Decoder(News)
decode_order = _orders.decode
decode_news = _news.decode


def main(
    connection: Connection,
    pickled: bytes,
    names: list[str],
    examples: list[Params],
    threads: int,
    output: str,
    place: tuple[int, int],
    checkpoint_interval: float,
) -> None:
    """Serve until the rank closes the pipe.

    Args:
        connection: To the rank.
        pickled: What to evaluate, or a reference to it.
        names: The parameters that it must take.
        examples: Points that show them, see `evo.space.examples`.
        threads: CPU threads that a training may use.
        output: File for what is printed before the first evaluation.
        place: This process's among those that evaluate an individual together, and how many these are.
        checkpoint_interval: Seconds after which a long evaluation should save its state again.
    """
    global _is_child
    _is_child = True
    # A group of its own, so that the rank can end it together with everything that it starts.
    os.setsid()
    starter = multiprocessing.parent_process()
    end_with_parent(starter.pid if starter else None)
    end_group_with_this_process()
    # Spawned itself, it would spawn what it starts, a DataLoader's workers, each of which would load torch anew.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    # Slurm sends them to all processes of a job; the rank decides.
    let_signals_pass()
    interruption = _Interruption()
    print_anything()
    _print_to(Path(output))
    faulthandler.enable()
    try:
        loaded, settings = _load(pickled)
        run = prepare(loaded)
        notes = check_objective(loaded, names, examples)
    except Exception as error:
        refusal = str(error) if isinstance(error, UserError) else ""
        connection.send_bytes(encode(Ready(refusal=json_text(refusal), traceback=json_text(whole_traceback(error)))))
        return
    connection.send_bytes(encode(Ready(may_save=wants_trial(loaded), settings=settings, notes=notes)))
    while True:
        try:
            order = decode_order(connection.recv_bytes())
        except EOFError:
            return
        assert isinstance(order, Task)
        rank, size = (0, 1) if isinstance(order, Examination) else place
        if problem := _enter(as_path(order.output), rank):
            hindered = Ended(Outcome(status="interrupted", error=problem))
            connection.send_bytes(encode(Examined({}, problem) if isinstance(order, Examination) else hindered))
            continue
        params: Params = dict(order.params)
        trial = RunningTrial(
            order.individual,
            order.seed,
            as_path(order.folder),
            threads,
            _Reporter(connection, interruption),
            rank=rank,
            size=size,
            checkpoint_interval=checkpoint_interval,
            attempt=order.attempt,
            is_interrupted=interruption.check,
            results=as_path(order.results) if isinstance(order, Examination) and order.results else None,
        )
        if isinstance(order, Examination):
            news: News = _examine(loaded, params, trial)
        else:
            with interruption:
                news = Ended(evaluate(run, params, trial))
        connection.send_bytes(encode(news))


def refuse_in_child(call: str) -> None:
    """Make sure that this is no call of a module that is only being imported, for an objective that it defines.

    Args:
        call: What was called.

    Raises:
        UserError: It is.
    """
    name = what_is_loading() or _imported_by_child()
    # As multiprocessing itself recognises a child that runs the main module of the process that has started it.
    if name or getattr(multiprocessing.current_process(), "_inheriting", False):
        where = f"while {name} was imported" if name else "in a child process"
        raise UserError(f'{call} was called {where}: put the call under `if __name__ == "__main__":`')


def _imported_by_child() -> str:
    """In a child, the module whose import has led to where this is called; empty: none.

    A module that searches whenever it is imported would have children without end.
    """
    frame = sys._getframe() if _is_child else None
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if frame.f_code.co_name == "<module>" and name != "__main__":
            return name
        frame = frame.f_back
    return ""


def log_name(rank: int) -> str:
    """The file in an individual's folder for what is printed.

    Args:
        rank: Place among the ranks that evaluate it together.
    """
    return f"output-{rank}.log" if rank else "output.log"


def _load(content: bytes) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The objective, and what it depends on if it was named and is the user's."""
    try:
        objective = unpack(content)
    except (Exception, SystemExit) as error:
        raise UserError(
            f"the objective cannot be loaded in the evaluation process: {told(error)}: "
            "define it at the top level of a module that can be imported"
        ) from error
    if not isinstance(objective, Named):
        return objective, {}
    loaded = objective.load()
    place = objective.where() if isinstance(objective, Reference) else None
    return loaded, settings_of(loaded) if place is not None and is_local(place.file) else {}


class _Interruption:
    """Takes a SIGTERM, while in force, for the request to save the evaluation's state; otherwise it is ignored.

    An evaluation that has never looked whether it is interrupted, or not yet, has nothing to save and ends at once.
    """

    def __init__(self) -> None:
        self._requested = self._looks = self._is_held_back = False
        self.__exit__()

    def __enter__(self) -> None:
        self._requested = self._looks = False
        signal.signal(signal.SIGTERM, self._request)

    def __exit__(self, *error: object) -> None:
        # It may be the repetition of a request that has been fulfilled.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def check(self) -> bool:
        """Whether it was requested."""
        self._looks = True
        return self._requested

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let nothing be broken off inside."""
        self._is_held_back = True
        try:
            yield
        finally:
            self._is_held_back = False
        if self._requested and not self._looks:
            raise Interrupted

    def _request(self, number: int, frame: FrameType | None) -> None:
        self._requested = True
        if not (self._looks or self._is_held_back):
            raise Interrupted


class _Reporter:
    """Sends intermediate losses to the rank and waits for its verdict."""

    def __init__(self, connection: Connection, interruption: _Interruption) -> None:
        self._connection = connection
        self._interruption = interruption

    def __call__(self, step: int, loss: float) -> bool:
        with self._interruption.held_back():  # Of half a message, the next evaluation would read the other half.
            self._connection.send_bytes(encode(Progress(step, loss)))
            verdict = decode_order(self._connection.recv_bytes())
        assert isinstance(verdict, Verdict)
        return verdict.stop


def _enter(folder: Path, rank: int) -> str:
    """Make the folder of an individual, and print there from now on; or else why that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _print_to(folder / log_name(rank))
    except OSError as error:
        return json_text(f"{folder} cannot be written: {error.strerror}")
    return ""


def _examine(objective: Callable[..., Any], params: Params, trial: RunningTrial) -> Examined:
    try:
        metrics = run_test(objective, params, trial)
        return Examined(metrics, remarks=json_scalars(trial.metrics))
    except RuntimeError as error:
        return Examined({}, error=json_text(error), traceback=json_text(whole_traceback(error)))


def _print_to(file: Path) -> None:
    """Let everything that this process prints, from C code too, go to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
