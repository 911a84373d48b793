"""A search on ranks that another process has started for it: the side of a rank. See `evo.study.own_ranks`."""

from __future__ import annotations

import contextlib
import importlib.machinery
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec

from evo.engine.transport import Transport
from evo.errors import Shared, Stuck, UserError
from evo.evaluation.sending import unpack
from evo.frames import one_line, whole_traceback
from evo.population.events import encode
from evo.report.results import Conclusion, Result
from evo.runtime.signals import StopSignals
from evo.storage.files import write_whole
from evo.study.job import Job
from evo.study.own_ranks import EVENTS, FAILED, RANK, RESULT, SEARCH, ToldResult
from evo.study.session import search_here


def main(folder: str) -> None:
    """Search as one rank; the process ends afterwards, silently where another process tells what has happened.

    Args:
        folder: Where what to search is, and where the result goes.
    """
    place = Path(folder)
    with StopSignals() as signals:
        try:
            sent = unpack((place / SEARCH).read_bytes())
        except BaseException as error:
            _write_failure(place, 0, UserError(f"the search cannot be loaded by its ranks: {one_line(error)}"))
            return
        _write(place / f"{RANK}-{os.getpid()}", str(os.getpid()).encode())
        _be_like_the_asker(sent)
        job = Job(config=sent["config"], objective=sent["loss"], propagator=sent["propagator"])
        with contextlib.suppress(Shared):  # All ranks have it, and the first one has written it.
            result = search_here(lambda: (job, ""), signals, watched=lambda transport: _telling(place, transport))
            if result.is_first:
                _write_result(place, result)
        signals.outlast_the_process()


def _be_like_the_asker(sent: dict[str, Any]) -> None:
    """Let the main module have the place of that of the process that asks, by which a study knows its objective."""
    main, (file, name) = sys.modules["__main__"], sent["main"]
    if file is not None:
        main.__file__ = file
    main.__spec__ = importlib.machinery.ModuleSpec(name, None) if name is not None else None
    sys.argv[:] = sent["argv"]


@contextlib.contextmanager
def _telling(place: Path, transport: Transport) -> Iterator[None]:
    """Write what the search raises; an error that only this rank has ends the others, by the process that reads it."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, Shared):
            if transport.rank == 0:
                _write_failure(place, 0, error)
            raise
        _write_failure(place, transport.rank, error)
        while True:
            signal.pause()  # Until mpirun ends this rank, because the process that asks has read the error.


def _write_failure(place: Path, rank: int, error: BaseException) -> None:
    traceback = whole_traceback(error)
    error.__traceback__ = error.__cause__ = error.__context__ = None
    try:
        content = pickle.dumps((error, traceback))
        pickle.loads(content)
    except Exception:
        kind = UserError if isinstance(error, UserError) else Stuck if isinstance(error, Stuck) else RuntimeError
        content = pickle.dumps((kind(str(error) if kind is not RuntimeError else one_line(error)), traceback))
    _write(place / f"{FAILED}-{rank}", content)


def _write_result(place: Path, result: Result) -> None:
    conclusion = Conclusion(**{field.name: getattr(result, field.name) for field in fields(Conclusion)})
    if result.run_dir is None:
        _write(place / EVENTS, b"\n".join(map(encode, result.events())))
    run_dir = None if result.run_dir is None else str(result.run_dir.absolute())
    _write(place / RESULT, msgspec.json.encode(ToldResult(conclusion=conclusion, run_dir=run_dir)))


def _write(file: Path, content: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):  # The process that asks has ended, and the folder with it.
        write_whole(file, lambda stream: stream.write(content))
