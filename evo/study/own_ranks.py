"""A search on ranks that this process starts for it alone: the side of the process that asks for it.

What the two sides say to each other are files in a temporary folder, which belongs to this user: what to search, once;
the number of each rank's process; and the result, or what a rank has raised. See `evo.study.sent_search`.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from evo.errors import Elsewhere, Stuck
from evo.evaluation.sending import pack_by_value
from evo.population.events import decode
from evo.report.records import Findings
from evo.report.results import Conclusion, Result
from evo.runtime.signals import StopSignals
from evo.storage.rundir import RunDirectory, study_forms
from evo.study.job import Job
from evo.study.launching import own_mpirun

SEARCH, RESULT, EVENTS, FAILED, RANK = "search", "result.json", "events.jsonl", "failed", "rank"
"""The names of the files; that of a rank has its number behind it, and is what its process has."""

_POLL = 0.05  # The seconds between looks at the files, while nothing else tells of them.
_GRACE = 10.0  # The seconds in which mpirun ends its ranks when it is asked to.

# Each process takes the module path of this one first, so that it finds the same evo and the same modules.
_START = "import sys; last = sys.argv.index('--'); path = sys.argv[1:last]; sys.path[:] = path; "
_RUN_RANK = _START + "from evo.study.sent_search import main; main(sys.argv[last + 1])"
# The kernel tells mpirun when this process ends, in whatever way; it ends its ranks then.
_BECOME = _START + (
    "import os, signal; from evo.runtime.signals import end_with_parent; parent, *command = sys.argv[last + 1:]; "
    "end_with_parent(int(parent), signal.SIGTERM); os.execv(command[0], command)"
)


class ToldResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a search, as the first rank tells it; events come beside it where no run directory has them.

    Args:
        conclusion: How it ended.
        run_dir: Where its files are; None when none were kept.
    """

    conclusion: Conclusion
    run_dir: str | None


def search_on_ranks(ranks: int, job: Job, signals: StopSignals) -> Result:
    """Search on ranks that are started for it and end with it.

    Args:
        ranks: The number of ranks.
        job: What is asked for; the ranks get it by value.
        signals: The signal handlers in force. What asks this process for a clean stop asks the ranks.

    Raises:
        UserError: There is no mpirun, or the job cannot be sent to other processes.
        Stuck: The ranks have ended without a result.
        Exception: What the search has raised on its ranks.
    """
    with tempfile.TemporaryDirectory(prefix="evo-ranks-") as name:
        folder = Path(name)
        main = sys.modules["__main__"]
        sent = {
            "loss": job.objective,
            "config": job.config,
            "propagator": job.propagator,
            "main": (getattr(main, "__file__", None), getattr(getattr(main, "__spec__", None), "name", None)),
            "argv": list(sys.argv),
        }
        problem = "the search cannot be sent to its ranks"
        (folder / SEARCH).write_bytes(pack_by_value(sent, problem, "or leave out ranks and start the script by mpirun"))
        with _running(ranks, folder) as process:
            _wait(process, ranks, folder, signals)
        return _result(process.returncode, folder, job)


@contextlib.contextmanager
def _running(ranks: int, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """An mpirun with its ranks; they have ended when the context ends."""
    mpirun, environment = own_mpirun(ranks, os.environ)
    path = [entry or os.getcwd() for entry in sys.path]
    rank = [*mpirun.words(ranks), sys.executable, "-c", _RUN_RANK, *path, "--", str(folder)]
    with contextlib.ExitStack() as ending:
        outputs = [_output(stream, sys.__dict__[f"__{name}__"]) for name, stream in _streams().items()]
        process = subprocess.Popen(
            [sys.executable, "-c", _BECOME, *path, "--", str(os.getpid()), *rank],
            stdin=subprocess.DEVNULL,
            stdout=outputs[0],
            stderr=outputs[1],
            env=environment,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for this process, which asks the ranks to save what they do.
        )
        for stream, pipe in zip(_streams().values(), (process.stdout, process.stderr), strict=True):
            if pipe is not None:
                thread = threading.Thread(target=_copy, args=(pipe, stream), daemon=True)
                thread.start()
                ending.callback(thread.join, _GRACE)
        ending.callback(_end, process)
        yield process


def _streams() -> dict[str, Any]:
    return {"stdout": sys.stdout, "stderr": sys.stderr}


def _output(stream: Any, original: Any) -> int | None:
    """Where a stream of the ranks goes: to that of this process, or through it where a notebook has replaced it."""
    return None if stream is original else subprocess.PIPE


def _copy(pipe: IO[str], stream: Any) -> None:
    for line in pipe:
        stream.write(line)
        stream.flush()


def _end(process: subprocess.Popen[str]) -> None:
    """Have mpirun end its ranks, and kill it when it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _wait(process: subprocess.Popen[str], ranks: int, folder: Path, signals: StopSignals) -> None:
    """Wait until the ranks have ended, or one has failed; pass on requests to stop."""
    hurries: list[bool] = []
    signals.listen_to_hurry(lambda: hurries.append(True))
    told: dict[bool, set[int]] = {False: set(), True: set()}
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL)
            return
        known = [*folder.glob(f"{RANK}-*")]
        if len(known) == ranks:
            (folder / SEARCH).unlink(missing_ok=True)  # It may be large, and may outlive this process.
        if any(folder.glob(f"{FAILED}-*")):
            return
        requests = [False, True] if hurries else [False] if signals.reason else []
        for is_hurried in requests:
            for process_id in {int(file.read_text()) for file in known} - told[is_hurried]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process_id, getattr(signal, signals.reason.partition(" ")[0]))
                told[is_hurried].add(process_id)


def _result(status: int, folder: Path, job: Job) -> Result:
    """What the ranks have left behind."""
    for file in sorted(folder.glob(f"{FAILED}-*")):
        error, traceback = pickle.loads(file.read_bytes())
        raise error from Elsewhere(traceback)
    if not (folder / RESULT).exists():
        again = "; the same call goes on" if job.config.run_dir else ""
        raise Stuck(f"the ranks have ended with status {status} before the search did, and have said why above{again}")
    told = msgspec.json.decode((folder / RESULT).read_bytes(), type=ToldResult)
    if told.run_dir is None:
        events = [decode(line) for line in (folder / EVENTS).read_bytes().splitlines()]
        findings = Findings(lambda: events, objectives=job.config.goals)
    else:
        directory = RunDirectory(Path(told.run_dir))
        study = directory.study()
        assert study is not None, "a search that has ended well has a record of its study"
        findings = Findings(directory.events, study_forms(study), directory.individuals, study.objectives)
    run_dir = None if told.run_dir is None else Path(told.run_dir)
    return Result(**vars(told.conclusion), rank=0, run_dir=run_dir, findings=findings)
