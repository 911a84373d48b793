"""A child process as its rank has it: started, spoken to, and ended with all that it started."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess
from pathlib import Path

from evo.evaluation import child
from evo.evaluation.child import SAFE_BY_EVO, SAFE_PATH
from evo.evaluation.messages import ChildSetup, News, Order, decode_news, encode
from evo.evaluation.sending import Parcel, main_hidden
from evo.runtime.signals import MARK, end_marked, signals_held_back
from evo.texts import readable

_POLL = 0.01  # Seconds to wait for the child before looking after messages again.
GRACE = 2.0
"""Seconds in which a child ends by itself once the pipe is closed, from either side."""


class Child:
    """One child process, from its start to its end.

    Args:
        objective: What it evaluates, or a reference to it.
        environment: Its environment variables, all of them.
        setup: Makes its setup, given the file for what it prints before the first evaluation.

    Attributes:
        output: That file.
    """

    def __init__(self, objective: Parcel, environment: Mapping[str, str], setup: Callable[[str], ChildSetup]) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        handle, output = tempfile.mkstemp(prefix="evo-", suffix=".log")
        os.close(handle)
        self.output = Path(output)
        self._mark = uuid.uuid4().hex
        arguments = (theirs, objective.content, encode(setup(readable(output))))
        self.process: SpawnProcess = context.Process(target=child.main, args=arguments, name="evo-evaluation")
        with _as_environment(_with_safe_path(os.environ)):
            resource_tracker.ensure_running()  # With the environment of this process, not the child's.
        main = nullcontext() if objective.needs_main else main_hidden()
        with _as_environment({**_with_safe_path(environment), MARK: self._mark}), signals_held_back(), main:
            self.process.start()
        theirs.close()  # While it is open here, the death of the child cannot be seen.

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.process.is_alive()

    def send(self, order: Order) -> None:
        """Send it an order; when it has died meanwhile, `listen` finds that out."""
        with suppress(OSError):
            self._connection.send_bytes(encode(order))

    def listen(self) -> News | None:
        """What it says, or None after a moment's wait for it.

        Raises:
            EOFError: It is dead.
            OSError: It is dead.
        """
        if self._connection.poll(_POLL):
            return decode_news(self._connection.recv_bytes())
        if not self.is_alive:
            raise EOFError  # What it started may live on and keep the pipe open.
        return None

    def ask_to_save(self) -> None:
        """Ask it to save the state of its evaluation."""
        self.process.terminate()

    def cause_of_death(self) -> str:
        """What ended it, in one line; whatever is left of it is killed."""
        self.process.join(GRACE)
        self.kill()
        code = self.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = ", perhaps because memory ran out" if name == "SIGKILL" else ""
            return f"ProcessDied: the evaluation process was killed by {name}{hint}"
        return f"ProcessDied: the evaluation process exited with status {code}"

    def kill(self) -> None:
        """Kill it and all that it started, daemons too, and wait for it; its group may not exist yet."""
        if self.process.pid is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        end_marked(self._mark)

    def close(self) -> None:
        """End it: close the pipe, and kill it when it does not exit."""
        self._connection.close()
        self.process.join(GRACE)
        self.kill()
        self.output.unlink(missing_ok=True)


def _with_safe_path(environment: Mapping[str, str]) -> dict[str, str]:
    """Python is started with code as text, and would look for its own modules in the working directory first.

    Until Python 3.10 it does so in any case.
    """
    return {SAFE_PATH: SAFE_BY_EVO, **environment}


@contextmanager
def _as_environment(environment: Mapping[str, str]) -> Iterator[None]:
    """Let a process that is started inside have these environment variables."""
    saved = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
