"""Commands of the shell on improvement and at the end of a search, which cannot hurt it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, final

from evo.frames import one_line
from evo.population.objectives import ONE_LOSS, Objectives
from evo.report.callbacks import Callback
from evo.report.fronts import values_of
from evo.report.improvements import count_evaluated
from evo.report.records import Evaluation
from evo.report.results import Result
from evo.texts import readable

LOG = "commands.log"
"""The file in the run directory that gets what the commands print."""

_LONGEST_VALUE = 100_000  # Bytes; Linux takes 131,071 for one variable.
_HURRIED = 3.0  # Seconds for each command at the end of a search that was stopped: its job may be ended soon.


@dataclass(frozen=True, kw_only=True)
class Shell:
    """How commands are run.

    Args:
        environment: The environment variables of all of them, none of MPI or a launcher.
        log: The file that gets what they print. None means that nobody does.
        timeout: Seconds after which one is killed, with all in its process group.
        warn: Tells the user what has gone wrong.
    """

    environment: Mapping[str, str]
    log: Path | None
    timeout: float
    warn: Callable[[str], object]


@final
class Hook:
    """One kind of command: at most one runs at a time, and of those that wait for it only the newest is kept.

    A thread waits for the command, so that the search does not. Nothing but `exec` follows the fork, so the threads and
    connections of MPI in this process do not matter; its files are closed in the command.

    Args:
        name: The setting, for messages.
        command: What the shell runs. None means that there is nothing to do.
        shell: How it is run.
    """

    def __init__(self, name: str, command: str | None, shell: Shell) -> None:
        self._name, self._command, self._shell = name, command, shell
        self._folder = os.getcwd()  # An objective may change the working directory.
        self._lock = threading.Lock()
        self._waiting: tuple[Mapping[str, str], str] | None = None
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        self._has_warned = self._has_log = False

    def run(self, variables: Mapping[str, str], why: str) -> None:
        """Run the command, at once or when the one that runs has ended; does not wait for it.

        Args:
            variables: What its environment gets.
            why: What has happened, for the log.
        """
        if self._command is None:
            return
        with self._lock:
            self._waiting = variables, why
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._work, name=f"evo-{self._name}", daemon=True)
                self._thread.start()

    def finish(self, patience: float) -> None:
        """Wait for the command, and for one that waits, and then kill it; nothing runs after that.

        Args:
            patience: The seconds to wait.
        """
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(max(0.0, patience))
        with self._lock:
            self._is_closed, self._waiting = True, None
            if self._process is not None:
                _kill(self._process)
                self._say(f"{self._name}: the command was killed when the search ended")
        if thread is not None:
            thread.join(1.0)

    def _work(self) -> None:
        try:
            while (waiting := self._take()) is not None:
                try:
                    self._run(*waiting)
                except Exception as error:  # No command, and nothing in its environment, may end all later ones.
                    why = error.strerror if isinstance(error, OSError) else one_line(error)
                    self._say(f"{self._name} cannot be run: {why}")
        finally:
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None

    def _take(self) -> tuple[Mapping[str, str], str] | None:
        """What waits for the command; None, and the thread counts as ended, where nothing does."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
            if waiting is None or self._is_closed:
                self._thread = waiting = None
            return waiting

    def _run(self, variables: Mapping[str, str], why: str) -> None:
        assert self._command is not None
        with _open_log(self._shell.log, f"--- {time.strftime('%F %T')} {self._name}: {why}") as log:
            self._has_log = log.name != os.devnull
            process = subprocess.Popen(
                self._command,
                shell=True,
                cwd=self._folder,
                env={**self._shell.environment, **{name: _bytes(text) for name, text in variables.items()}},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # So that no signal to this rank reaches it, and it can be killed whole.
            )
            with self._lock:
                self._process = process
                if self._is_closed:
                    _kill(process)
            try:
                status, killed = process.wait(self._shell.timeout), ""
            except subprocess.TimeoutExpired:
                _kill(process)
                status, killed = process.wait(), f" because it took longer than {self._shell.timeout:g} s"
            with self._lock:
                self._process = None
                was_ended = self._is_closed
            if status and not was_ended:
                how = f"was killed{killed}" if killed else f"ended with status {status}"
                with contextlib.suppress(OSError):
                    _write(log, f"--- {self._name}: the command {how}")
                self._say(f"{self._name}: the command {how}")

    def _say(self, problem: str) -> None:
        """Warn of the first problem only, since the next command will probably have the same."""
        if not self._has_warned:
            self._has_warned = True
            log = f"; {readable(str(self._shell.log))} has what it printed" if self._has_log else ""
            self._shell.warn(f"{problem}{log}")


@final
class ShellCommands(Callback):
    """Runs a command when a better individual is found, and one when the search has ended.

    Args:
        on_improvement: The first command. None means that there is none.
        on_end: The second one, in the same way.
        shell: How they are run.
        evaluations: Returns how many evaluations have finished.
        run_dir: The run directory; empty when no files are kept.
        objectives: The objectives of the study.
    """

    def __init__(
        self,
        on_improvement: str | None,
        on_end: str | None,
        shell: Shell,
        evaluations: Callable[[], int],
        run_dir: str,
        objectives: Objectives = ONE_LOSS,
    ) -> None:
        self._objectives = objectives
        self._improvement = Hook("on_improvement", on_improvement, shell)
        self._end = Hook("on_end", on_end, shell)
        self._timeout = shell.timeout
        self._evaluations = evaluations
        self._run_dir = run_dir

    def on_improved(self, evaluation: Evaluation) -> None:
        """Run the command for improvements."""
        variables = self._variables(evaluation, self._evaluations())
        self._improvement.run(variables, f"{evaluation.name} has {self._values_text(evaluation)}")

    def on_end(self, result: Result) -> None:
        """Run the command for the end, after that for the last improvement, and wait for both, for a limited time."""
        patience = _HURRIED if result.interrupted else self._timeout + 1.0  # A moment more than the command has.
        self._improvement.finish(patience)
        reason = {
            "EVO_STOP_REASON": result.stop_reason,
            "EVO_STOP_KIND": result.stop_kind.value,
            "EVO_SECONDS": f"{result.seconds:.3f}",
        }
        finished = count_evaluated(result.individuals)
        self._end.run(
            {**self._variables(result.knee if result.objectives.are_several else result.best, finished), **reason},
            result.stop_reason,
        )
        self._end.finish(patience)

    def close(self) -> None:
        """Kill what still runs."""
        self._improvement.finish(0.0)
        self._end.finish(0.0)

    def _variables(self, best: Evaluation | None, evaluations: int) -> dict[str, str]:
        known: dict[str, Any] = {"EVO_RUN_DIR": self._run_dir, "EVO_EVALUATIONS": str(evaluations)}
        if best is not None:
            known |= {
                "EVO_INDIVIDUAL": best.name,
                "EVO_LOSS": repr(best.loss),
                "EVO_PARAMS": _json(best.params),
                "EVO_METRICS": _json(best.metrics),
                "EVO_FOLDER": str(best.folder) if self._run_dir else "",
            }
            if self._objectives.modes:
                known["EVO_OBJECTIVES"] = _json(values_of(best, self._objectives))
            if self._objectives.bounds:
                known["EVO_VIOLATION"] = repr(best.violation)
        return {name: value.replace("\0", "") for name, value in known.items()}

    def _values_text(self, one: Evaluation) -> str:
        values: Mapping[str, Any] = values_of(one, self._objectives) or {"loss": one.loss}
        return ", ".join(f"{name} {value}" for name, value in values.items())


def _json(values: Mapping[str, Any]) -> str:
    """Values as JSON in plain ASCII; empty where they are too long for a variable."""
    text = json.dumps(values)
    return text if len(text) <= _LONGEST_VALUE else ""


def _bytes(text: str) -> str | bytes:
    """A value as a variable can hold it; UTF-8 where the locale has no such characters."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def _open_log(log: Path | None, title: str) -> IO[bytes]:
    """The log with a title written; where it cannot be written, as on a full disk, what swallows everything."""
    if log is not None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as until_written:
            stream = until_written.enter_context(open(log, "ab", buffering=0))
            _write(stream, title)
            until_written.pop_all()
            return stream
    return open(os.devnull, "ab", buffering=0)


def _write(log: IO[bytes], line: str) -> None:
    log.write(f"{line}\n".encode("utf-8", "backslashreplace"))


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
