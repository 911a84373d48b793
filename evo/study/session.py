"""One session of a study, asked for by a command line or from Python, on all ranks that there are."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Literal

from evo.algorithms.bred import Breeding
from evo.checks import did_you_mean
from evo.engine.transport import Serial, Transport, together
from evo.errors import COMPLETE, MISTAKEN, NOT_FOUND, RUN_AGAIN, SharedError, Stuck, UserError
from evo.frames import whole_traceback
from evo.objective.definition import canonical_name
from evo.objective.references import Named, Reference, Training, add_working_directory, parse_reference
from evo.problems.catalogue import PROBLEMS
from evo.report.results import Result, SearchFailed, interrupted_by
from evo.report.tables import all_reasons_text, nothing_found_text
from evo.runtime.mpi import NoMPIError, connect, is_launched, speaks
from evo.runtime.signals import StopSignals
from evo.space.space import Space
from evo.storage.rundir import RunDirectory, StudyRecord
from evo.study.beginning import find_study
from evo.study.config import Config
from evo.study.connecting import check_threads, is_on_any_rank, leaving_nobody_waiting, no_silent_exit, say_all_ready
from evo.study.files import load_limits
from evo.study.job import Job
from evo.study.launching import check_place, check_ranks
from evo.study.reading import Command, read_command
from evo.study.running import run_study
from evo.study.settings import check_loss_function, make_config, note_on
from evo.texts import as_path, print_anything, readable, show_error

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from evo.study.settings import Settings


def minimize(
    loss: Callable[..., Any],
    limits: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    *,
    config: Config | None = None,
    propagator: Breeding | str | Mapping[str, Any] | None = None,
    comm: Any = None,
    ranks: int | None = None,
    on_interrupt: Literal["raise", "return"] = "raise",
    **settings: Unpack[Settings],
) -> Result:
    """Search for the parameters with the lowest loss; under mpirun or srun, on all ranks together.

    Args:
        loss: `loss(params) -> float` or `loss(params, trial) -> float`, or a generator of intermediate losses, or a
            `LightningObjective`.
        limits: What is searched, see `evo.space.limits`, or a YAML file with it. None means that of the `config`.
        config: The settings, which keywords override. None means the defaults, but quiet.
        propagator: A propagator or an algorithm, or its description as in a study file, for example
            {"name": "genetic", "population": 20}. None means that of the `config`, by default a portfolio.
        comm: An mpi4py communicator, exactly whose ranks search; all of them must call this. None means all ranks that
            there are.
        ranks: How many ranks to start on this machine for this search alone, from a script or a notebook that runs by
            itself. They get the loss and all else by value; see "On a laptop" in the guides. None or 1 means that this
            process searches, with the ranks that mpirun or srun have started.
        on_interrupt: What happens after Ctrl-C has stopped the search, and everything is saved: "raise" a
            KeyboardInterrupt that has the `result`, or "return" the result, whose `by_keyboard` is true. After any
            other signal, the result is returned.
        settings: The fields of `Config`: constraints, generations, evaluations, walltime, target, seed, run_dir, …
            Options of the genetic propagator beside `propagator` are heeded with a UserWarning that names their place.
            Without run_dir, no files are kept. Nothing is printed unless quiet=False, or a `config` that is not quiet.

    Returns:
        The best individual and all the others. There is a best one unless the search was interrupted (by a signal, or
        because the walltime was over) before any had completed.

    Raises:
        UserError: Something that you can mend, `evo.UserError`, a ValueError: a setting or limit is wrong; or what you
            have written yourself fails in the search: a propagator, a pruner, a selection, a constraint. On several
            ranks, all of them raise it before the search; what one of them finds in the search ends all at once.
        SearchFailed: The search has ended and no individual has completed. This is a RuntimeError that says why, and
            has the `result`.
        KeyboardInterrupt: Ctrl-C has stopped the search.

    Example:
        >>> result = minimize(lambda params: (params["x"] - 1) ** 2, {"x": (-5.0, 5.0)}, evaluations=100)
        >>> result.best.loss < 0.1
        True
    """
    from evo.evaluation.child import refuse_in_child  # The command line does without multiprocessing.

    refuse_in_child("minimize")
    asking = {"config": config, "propagator": propagator, "comm": comm, "ranks": ranks, "on_interrupt": on_interrupt}
    make_job = functools.partial(_make_job, loss, limits, asking, settings)
    with StopSignals() as signals:
        if ranks in (None, 1) or is_launched(os.environ):
            result = search_here(make_job, signals, comm)
        else:
            from evo.study.own_ranks import search_on_ranks

            job, note = make_job()
            if note:
                warnings.warn(note, stacklevel=2)
            result = search_on_ranks(ranks or 1, job, signals)
    # Ctrl-C may have come at the very end.
    result = replace(result, by_keyboard=result.by_keyboard or signals.by_keyboard)
    if result.by_keyboard and on_interrupt == "raise":
        raise interrupted_by(keyboard_text(result), result)
    if result.nothing_completed and not result.interrupted:
        raise SearchFailed(all_reasons_text(result), result)
    return result


def search_here(
    make_job: Callable[[], tuple[Job, str]],
    signals: StopSignals,
    comm: Any = None,
    watched: Callable[[Transport], AbstractContextManager[object]] = nullcontext,
) -> Result:
    """Search in this process, together with the other ranks that a launcher has started.

    Args:
        make_job: Checks what is asked for; returns it with a remark for the user, which may be empty.
        signals: The signal handlers in force, which may ask for a clean stop.
        comm: An mpi4py communicator whose ranks search. None means all ranks that there are.
        watched: Makes a context of the connection; the search runs in it, and it may see what the search raises.
    """
    transport = connect(comm, is_given_up=lambda: signals.by_keyboard) or Serial()
    with leaving_nobody_waiting(transport), watched(transport):
        try:
            check_threads(transport)
            say_all_ready(transport)
            job, note = together(transport, make_job)
            if transport.rank == 0 and note:
                warnings.warn(note, stacklevel=3)
            with no_silent_exit():
                result = run_study(job, transport, signals)
        except SharedError:
            transport.close()  # All ranks raise this together, and may catch it and search again.
            raise
        by_keyboard = result.by_keyboard or is_on_any_rank(transport, signals.by_keyboard)
        transport.close()
    return replace(result, by_keyboard=by_keyboard)


def _make_job(loss: Any, limits: Any, asking: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[Job, str]:
    """What a call of `minimize` asks for, checked, and what to tell the user about its settings."""
    check_loss_function(loss, limits)
    if asking["on_interrupt"] not in ("raise", "return"):
        raise UserError(f"on_interrupt is {asking['on_interrupt']!r}: it must be 'raise' or 'return'")
    if asking["ranks"] is not None:
        check_ranks(asking["ranks"])
        if asking["comm"] is not None:
            raise UserError("ranks and comm are both given: a communicator has its ranks already, so leave out one")
        check_place(asking["ranks"], f"python {os.path.basename(sys.argv[0]) or 'search.py'}", os.environ)
    made = make_config(asking["config"], limits, settings)
    propagator = asking["propagator"]
    return Job(config=made, objective=loss, propagator=propagator), note_on(made, propagator)


def keyboard_text(result: Result) -> str:
    """What the user reads after Ctrl-C has stopped a search."""
    if not result.interrupted:
        return "Ctrl-C, when the search was about to end"
    return f"Ctrl-C has stopped the search{': the same call goes on with it' if result.run_dir else ''}"


def run_command(arguments: Sequence[str], program: str, signals: StopSignals) -> int:
    """Search as a command line says.

    Args:
        arguments: The words of the command line after the program's name.
        program: The program's name, for the help.
        signals: The signal handlers in force, which may ask for a clean stop.

    Returns:
        The exit status, one of those above.
    """
    print_anything()
    transport: Transport = Serial()
    debug = "--debug" in arguments
    try:
        transport = connect() or transport
        check_threads(transport)
        say_all_ready(transport)
        command = read_command(lambda: _parse(arguments, program), transport)
        debug = command.config.debug
        job = together(transport, lambda: find_job(command))
        with no_silent_exit():
            result = run_study(job, transport, signals)
        status = RUN_AGAIN if result.interrupted else COMPLETE
        if result.is_first and not status and (result.gave_up or result.best is None):
            status = NOT_FOUND
            print(f"evo: error: {nothing_found_text(result)}", file=sys.stderr, flush=True)
    except (SharedError, NoMPIError) as error:
        # Ranks that are not connected are each the first.
        if transport.rank == 0 and (transport.size > 1 or speaks(os.environ)):
            show_error(error, debug)
        status = MISTAKEN
    except Stuck as error:
        if transport.size > 1:
            if debug:
                print(whole_traceback(error), file=sys.stderr)
            raise  # This ends all ranks, after its message.
        show_error(error, debug)
        status = error.status
    transport.close()
    return status


def _parse(arguments: Sequence[str], program: str) -> Command:
    from evo.study.arguments import parse_arguments  # Only the first rank reads the command line, for all.

    return parse_arguments(arguments, program)


def find_job(command: Command) -> Job:
    """What a command line asks for, with the objective and its run directory.

    Args:
        command: The command line, read.

    Raises:
        UserError: The objective's name is none.
    """
    what, config, study, notes = command
    sections = asdict(what) if isinstance(what, Training) else {}
    for module in _modules_named([config.propagator, config.islands, config.pruning, config.callbacks, sections]):
        add_working_directory(module)
    callbacks = config.callbacks if isinstance(config.callbacks, list) else [config.callbacks]
    for path in (config.emigration, config.immigration, *(each for each in callbacks if isinstance(each, str))):
        add_working_directory(path.rpartition(".")[0])
    problem = PROBLEMS.get(what) if isinstance(what, str) else None
    objective = problem.objective if problem else _parse_objective(what)
    limits = problem.limits if problem else None
    job = Job(config=config, objective=objective, limits=limits, notes=notes)
    if config.run_dir:
        return job
    run_dir = os.path.join("runs", str(what) if problem else _study_name(objective))
    if study and not _goes_on(job, run_dir, instead_of=os.path.join("runs", study)):
        run_dir = os.path.join("runs", study)
    return replace(job, config=replace(config, run_dir=run_dir))


def _modules_named(setting: Any) -> Iterator[str]:
    """The modules of the class paths in a setting, which may be in the working directory."""
    if isinstance(setting, Mapping):
        path = setting.get("class_path")
        if isinstance(path, str):
            yield path.rpartition(".")[0]
        setting = list(setting.values())
    if isinstance(setting, list | tuple):
        for part in setting:
            yield from _modules_named(part)


def _parse_objective(what: str | Training) -> Named:
    if isinstance(what, Training):
        return what
    if ":" in what:
        return parse_reference(what)
    raise UserError(
        f"objective {what!r} is neither a ready problem ({', '.join(PROBLEMS)}) nor module:function or "
        f"path/to/file.py:function{did_you_mean(what, PROBLEMS)}"
    )


def _goes_on(job: Job, run_dir: str, instead_of: str) -> bool:
    """Whether a directory that an older evo has named after the objective holds this study, which has no other."""
    earlier, own = (RunDirectory(as_path(name)) for name in (run_dir, instead_of))
    if not (earlier.path / "study.json").is_file() or (own.path / "study.json").is_file():
        return False
    config = job.config
    limits = config.limits if config.limits is not None else job.limits
    try:
        space = Space(load_limits(limits or {}), config.constraints)
        asked = StudyRecord(
            name="",
            objective=readable(canonical_name(job.objective)),
            limits=space.describe(),
            constraints=list(space.constraints),
            seed=config.seed or 0,
            objectives=config.goals,
        )
        return find_study(earlier, asked, config.seed, config.change_limits) is not None
    except UserError:
        return False


def _study_name(objective: Named) -> str:
    """The name of a study, the same for every way of writing its objective."""
    if isinstance(objective, Training):
        return objective.name
    assert isinstance(objective, Reference)
    module, _, name = objective.canonical.rpartition(":")
    as_named = f"{objective.place}-{objective.name}"  # The name that an older evo gives.
    own = f"{module.rpartition('.')[2]}-{name}"
    return as_named if os.path.isfile(os.path.join("runs", as_named, "study.json")) else own
