"""Ranks that evo starts itself, on this machine: when it may, and the command line that becomes mpirun.

This imports nothing heavy, because mpirun takes the place of this process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evo.checks import check_count
from evo.errors import MISTAKEN, RUN_AGAIN, UserError
from evo.runtime.batch import find_batch_system, find_step
from evo.runtime.mpi import find_started, is_launched, speaks
from evo.runtime.signals import StopSignals
from evo.texts import print_anything, show_error

if TYPE_CHECKING:
    from evo.runtime.mpi.mpirun import Mpirun

_OPTION = "--ranks"
_HELP = ("-h", "--help", "--version")


def split_ranks(arguments: Sequence[str]) -> tuple[int | None, list[str]]:
    """The number of ranks that a command line asks for, and its other words.

    Args:
        arguments: The words of the command line after the program's name.

    Returns:
        The number, of which the last one counts, and None when there is none or only help is asked for; all words that
        do not belong to `--ranks`.

    Raises:
        UserError: It is no whole number of at least 1.

    Example:
        >>> split_ranks(["study.yaml", "--ranks", "4", "--seed=1"])
        (4, ['study.yaml', '--seed=1'])
    """
    text: str | None = None
    others: list[str] = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name != _OPTION:
            others.append(word)
            continue
        following = value if equals else next(words, None)
        if following is None:
            raise UserError("ranks: expected one argument, the number of ranks, as in --ranks 4")
        text = following
    if text is None:
        return None, others
    try:
        ranks: int | str = int(text)
    except ValueError:
        ranks = text
    check_ranks(ranks)
    return None if any(word in _HELP for word in others) else int(ranks), others


def check_ranks(ranks: int | str) -> None:
    """Refuse what is no number of ranks.

    Raises:
        UserError: It is no whole number of at least 1.
    """
    if not isinstance(ranks, int):
        raise UserError(f"ranks is {ranks!r}: give a whole number of at least 1, such as 4")
    check_count("ranks", ranks)


def check_place(ranks: int, what: str, environment: Mapping[str, str]) -> None:
    """Refuse to start ranks where they have been started already, or where a batch system starts them.

    Args:
        ranks: The number of ranks that is asked for.
        what: The command that each rank would run, for the message.
        environment: The environment variables.

    Raises:
        UserError: This is such a place; the message says what to type instead.
    """
    if is_launched(environment):
        started, step = find_started(environment), find_step(environment)
        if ranks == started.count == 1:
            return
        by_step = step is not None and step.launcher == started.launcher
        launcher = step.connecting if step and by_step and step.connecting else "mpirun"
        raise UserError(
            f"ranks is {ranks}, but {started.launcher or 'mpirun'} has started this process as one of "
            f"{started.count}: leave it out, since all that were started search together. For {ranks} of them type "
            f"{launcher} -n {ranks} {what}"
        )
    batch = find_batch_system(environment)
    if batch is None or ranks == 1:
        return
    own = batch.step.connecting if batch.step else ""
    ways = [f"{launcher} -n {ranks} {what}" for launcher in (own, "mpirun") if launcher]
    raise UserError(
        f"ranks is {ranks}, which starts ranks on one machine of your own, but this is a job of {batch.name}, whose "
        f"launcher knows the job's machines, cores and GPUs. Type {', or '.join(ways)}"
    )


def own_mpirun(ranks: int, environment: Mapping[str, str]) -> tuple[Mpirun, dict[str, str]]:
    """An mpirun, and the whole environment in which it starts ranks on this machine.

    Args:
        ranks: The number of ranks.
        environment: The environment variables of this process, which take precedence.

    Raises:
        UserError: There is none; the message says how to get one.
    """
    from evo.runtime.mpi.mpirun import find_mpirun  # Those that are started do not need it.

    found = find_mpirun(environment)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return found, found.variables(ranks, cores) | dict(environment)


def launch(arguments: Sequence[str], program: str, signals: StopSignals) -> tuple[list[str], int | None]:
    """Replace this process by an mpirun whose ranks run the same command line without `--ranks`.

    So signals, terminal, output and exit status are those of an mpirun that was typed by hand, and nothing is left to
    end when it is killed.

    Args:
        arguments: The words of the command line after the program's name.
        program: The name of the program, for messages.
        signals: The signal handlers in force, which may have been asked to stop.

    Returns:
        The words without `--ranks`; and the exit status of this process, None when it is to go on by itself.
    """
    import shlex

    print_anything()
    try:
        ranks, others = split_ranks(arguments)
        if ranks is None:
            return others, None
        check_place(ranks, shlex.join([*program.split(), *others]), os.environ)
        if ranks == 1:
            return others, None
        _check_options(others, program)
        mpirun, environment = own_mpirun(ranks, os.environ)
        command = [*mpirun.words(ranks), sys.executable, *_own_words(arguments), *others]
        if signals.reason:  # From here on a signal reaches mpirun.
            return others, RUN_AGAIN
        os.execve(mpirun.program, command, environment)
    except UserError as error:
        if speaks(os.environ):  # Each of several ranks has the same error.
            show_error(error, "--debug" in arguments)
        return [], MISTAKEN


def _check_options(words: Sequence[str], program: str) -> None:
    """Read the command line once before there are ranks, whose mpirun says more of a mistake than what it is."""
    import warnings

    from evo.study.arguments import parse_arguments

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The ranks say the same.
        parse_arguments(words, program)


def _own_words(arguments: Sequence[str]) -> list[str]:
    """How Python was started, up to these arguments: a script such as `evo`, or a module, with Python's own options."""
    before = len(sys.orig_argv) - len(arguments)
    if arguments and before > 1 and list(arguments) == sys.orig_argv[before:]:
        return sys.orig_argv[1:before]
    return ["-m", "evo.run"]
