"""The command `evo doctor`: examines, judges, and lets one rank say what was found."""

from __future__ import annotations

import argparse
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from evo.checks import check_count
from evo.commands import VersionedParser
from evo.doctor.examination import examine, examine_alone
from evo.doctor.facts import Facts, find_launch
from evo.doctor.judgement import judge
from evo.doctor.report import report_text
from evo.engine.transport import Serial
from evo.errors import SharedError, UserError
from evo.runtime.mpi import AloneError, NoMPIError, connect, is_launched, library, speaks
from evo.runtime.signals import end_with_parent
from evo.study.durations import parse_duration
from evo.texts import terminal_width

SOUND, PROBLEM, MISTAKEN = 0, 1, 2
"""Exit statuses."""

_CONNECTING = "the ranks connect"
_HINTS = {
    _CONNECTING: "have all ranks been started, and may MPI use the network between the nodes (firewall, interface)? "
    "mpirun --mca btl_tcp_if_include eth0 chooses an interface",
    "torch is loaded as for a training": "is the virtual environment on a file system that is slow or away?",
}
_COURTESY = 2.0  # Seconds that the first rank has to speak, before the others end and the launcher ends all.


@dataclass(frozen=True)
class _Options:
    """What the command line says."""

    run_dir: str
    gpus_per_node: int | None
    timeout: float


class _Parser(VersionedParser):
    """Raises what is wrong with the options, for the caller to show."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(f"{message}; --help lists the options")


def main(arguments: Sequence[str] | None = None, program: str = "python -m evo.doctor") -> int:
    """Examine what a search would meet here, and say what to mend first; under a launcher, on all ranks together.

    Args:
        arguments: The words after the program's name. None means those of this process.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 no problem, 1 a problem, 2 mistaken options. If the ranks are not connected, only that of
        the first one is 1.
    """
    speaking = speaks(os.environ)
    parser = _parser(program)
    try:
        given = sys.argv[1:] if arguments is None else arguments
        if not speaking and {"-h", "--help", "--version"} & set(given):
            return SOUND
        options = _read(parser, given)
    except UserError as error:
        if not speaking:
            return SOUND  # After another status the launcher might end the first rank before it has spoken.
        print(f"evo: error: {error}", file=sys.stderr)
        return MISTAKEN

    def stuck(step: str) -> None:
        if not speaking:
            time.sleep(_COURTESY)
            return
        hint = f": {_HINTS[step]}" if step in _HINTS else ""
        print(f"evo: error: stuck for {options.timeout:g} s while {step}{hint}", file=sys.stderr, flush=True)

    try:
        return supervise(lambda enter: _examine(options, enter), options.timeout, stuck)
    except KeyboardInterrupt:
        return 130


def _parser(program: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=program,
        description="Find what would hinder a search here. Start it like the search: by mpirun or srun, on all nodes.",
        allow_abbrev=False,
    )
    parser.add_argument("--run-dir", default="runs", help="Directory that the search will use. Default: runs.")
    parser.add_argument("--gpus-per-node", type=int, help="How many GPUs of each node it will use. Default: all.")
    parser.add_argument("--timeout", default="3m", help="Longest time for all of it, for example 90s. Default: 3m.")
    return parser


def _read(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> _Options:
    given = parser.parse_args(list(arguments))
    if given.gpus_per_node is not None:
        check_count("gpus_per_node", given.gpus_per_node, 0)
    return _Options(given.run_dir, given.gpus_per_node, parse_duration("timeout", given.timeout))


def _examine(options: _Options, enter: Callable[[str], None]) -> int:
    """Examine on all ranks; the first one prints. The exit status is the same on all connected ranks."""
    launch, speaking, serial = find_launch(os.environ), speaks(os.environ), Serial()
    enter(_CONNECTING)
    try:
        transport = connect(wait=math.inf)  # After the timeout the process is ended, and the first rank says why.
    except NoMPIError as error:
        # This is one of many that cannot reach each other; all but the first end well, for the same reason.
        if not isinstance(error, AloneError):
            launch = msgspec.structs.replace(launch, refusal=str(error))
        elif is_launched(os.environ):
            launch = msgspec.structs.replace(launch, library=library())
        return _tell(examine_alone(serial, launch)) if speaking else SOUND
    if transport is not None:
        launch = msgspec.structs.replace(launch, library=library())
    ranks = transport or serial
    try:
        facts = examine(ranks, launch, options.run_dir, options.gpus_per_node, enter)
        status = _tell(facts, silent=ranks.rank > 0)
    except SharedError as error:
        if ranks.rank == 0:
            print(f"evo: error: {error}", file=sys.stderr, flush=True)
        status = MISTAKEN
    ranks.close()
    return status


def _tell(facts: Facts, silent: bool = False) -> int:
    findings = judge(facts)
    if not silent:
        print(report_text(findings, terminal_width()), flush=True)
    return PROBLEM if any(finding.verdict == "problem" for finding in findings) else SOUND


def supervise(examine: Callable[[Callable[[str], None]], int], patience: float, stuck: Callable[[str], None]) -> int:
    """Run an examination in a child process, and end it when it takes too long.

    It may get stuck where no Python code runs, in the start of MPI for example.

    Args:
        examine: Examines, and returns the exit status. It is given a function to call with what it is about to do.
        patience: How many seconds the examination may take.
        stuck: Is called with what was being done when the time was over.

    Returns:
        The exit status; 1 when the time was over. In the child, this does not return.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        end_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.exit(examine(lambda step: _say(writing, step)))
    os.close(writing)
    step, deadline = "", time.monotonic() + patience
    while (left := deadline - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            told = os.read(reading, 4096)
            if not told:  # The child has ended.
                break
            step = told.decode().splitlines()[-1]
    else:
        stuck(step)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return 1
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else 128 - status


def _say(pipe: int, step: str) -> None:
    os.write(pipe, f"{step}\n".encode())
