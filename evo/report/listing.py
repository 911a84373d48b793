"""The command `evo list`: all run directories below a folder, a row for each."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from evo.commands import CommandParser, status_of
from evo.errors import UserError
from evo.report.best import printable_json
from evo.report.columns import columns_text
from evo.report.configuration import training_of
from evo.report.tables import number_text
from evo.report.watching import RunWatch
from evo.storage.rundir import RunDirectory, StudyRecord
from evo.texts import as_path, readable

_ASKED = "evo.study.told:evaluated_by_the_caller"  # The objective of a loop of the user's own.
_STATUSES = ("completed", "pruned", "infeasible", "failed", "interrupted", "running")


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """What a list shows of a run directory.

    Args:
        run: Its path.
        state: What has become of it, as `evo.report.watching.State` says it, or "unreadable" or "damaged".
        objective: The name of the objective; of a training by sections, that of its model.
        seed: The seed of the study.
        counts: How many evaluations have each status; those that do not occur are left out.
        known: How many results are known from elsewhere besides.
        loss: The lowest loss; None when none has completed. Of several objectives, that of the first.
        value: The same in the user's sign, if the objective has a name.
        front: How many individuals are on the front; 0 with one objective.
        violation: By how much the best one violates bounds of metrics; above 0 while none keeps them.
        individual: Which individual has it; empty when none has completed.
        created: When the study was begun, seconds since the epoch; 0 when that is unknown.
        written: When something was last recorded, seconds since the epoch; 0 when that is unknown.
        problem: Why it cannot be read; empty when it can.
    """

    run: str
    state: str
    objective: str = ""
    seed: int | None = None
    counts: Mapping[str, int] = {}
    known: int = 0
    loss: float | None = None
    value: float | None = None
    front: int = 0
    violation: float = 0.0
    individual: str = ""
    created: float = 0.0
    written: float = 0.0
    problem: str = ""


class _Best(msgspec.Struct):
    individual: tuple[int, int]
    loss: float
    objectives: dict[str, float] = {}
    violation: float = 0.0


class _Summary(msgspec.Struct):
    """What summary.json tells of a complete study, whose journals need not be read then."""

    completed: int
    pruned: int
    failed: int
    best: _Best | None
    test: dict[str, Any]
    infeasible: int = 0
    known: int = 0
    front: list[str] = []


def main(arguments: Sequence[str], program: str) -> int:
    """List run directories.

    Args:
        arguments: The words after the command's name.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 listed, 2 there is no run directory.
    """
    parser = CommandParser(prog=program, description="List all run directories below a folder.")
    parser.add_argument(
        "folder",
        nargs="*",
        metavar="FOLDER",
        default=["runs"],
        help="A folder with run directories at any depth. Default: runs.",
    )
    parser.add_argument(
        "--by",
        choices=("time", "loss", "name"),
        default="time",
        help="The order: the last written first (the default), the lowest loss first, or by name.",
    )
    parser.add_argument("--json", action="store_true", help="Print a JSON object for each run, for scripts.")
    options = parser.parse_args(arguments)

    def show() -> None:
        listed = in_order(list_runs(options.folder), options.by)
        if options.json:
            for one in listed:
                print(printable_json(msgspec.json.encode(_as_json(one)).decode()))
        else:
            print(list_text(listed))

    return status_of(show, options.debug)


def _as_json(one: Listed) -> dict[str, Any]:
    """What is known of a run, without what only named objectives have."""
    known = msgspec.structs.asdict(one)
    usual = {"value": None, "front": 0, "violation": 0.0}
    return {name: value for name, value in known.items() if name not in usual or value != usual[name]}


def list_runs(folders: Sequence[str], now: float | None = None) -> list[Listed]:
    """What is known of all run directories below some folders, which may be run directories themselves.

    Args:
        folders: The folders.
        now: The time, seconds since the epoch. None means now.

    Raises:
        UserError: A folder does not exist, or there is no run directory in any.
    """
    for folder in folders:
        if not as_path(folder).is_dir():
            raise UserError(f"{folder} is no folder: name one with run directories in it, or a run directory")
    now = time.time() if now is None else now
    found = dict.fromkeys(path for folder in folders for path in find_runs(as_path(folder)))
    if not found:
        raise UserError(
            f"there is no run directory in {', '.join(folders)}, which would have a study.json: name a folder above one"
        )
    return [describe_run(path, now) for path in found]


def find_runs(folder: Path) -> Iterator[Path]:
    """The run directories in a folder at any depth, itself included, and folders that cannot be read.

    Links are followed, each folder is visited once, hidden ones and those inside of run directories are not.
    """
    waiting, seen = [folder], set[tuple[int, int]]()
    while waiting:
        here = waiting.pop()
        try:
            state = here.stat()
            if (state.st_dev, state.st_ino) in seen:
                continue
            seen.add((state.st_dev, state.st_ino))
            inside: list[Path] = []
            is_run = False
            with os.scandir(here) as entries:
                for entry in entries:
                    is_run = is_run or entry.name == "study.json"
                    with contextlib.suppress(OSError):  # A link to nowhere, or in a circle.
                        if entry.is_dir() and not entry.name.startswith("."):
                            inside.append(here / entry.name)
        except OSError:
            yield here
            continue
        if is_run:
            yield here
        else:
            waiting += sorted(inside, reverse=True)


def describe_run(path: Path, now: float) -> Listed:
    """What a list shows of one run directory, even if it is damaged.

    Args:
        path: The run directory.
        now: The time, seconds since the epoch.
    """
    name = readable(str(path))
    try:
        os.listdir(path)
        directory = RunDirectory(path)
        study = directory.study()
        if study is None:
            return Listed(run=name, state="damaged", problem="study.json is not there any more")
        written = _last_written(directory)
    except OSError as error:
        return Listed(run=name, state="unreadable", problem=f"it cannot be read: {error.strerror}")
    except UserError as error:
        return Listed(run=name, state="damaged", problem=str(error))
    known = Listed(
        run=name, state="damaged", seed=study.seed, objective=study.objective, created=study.created, written=written
    )
    try:
        known = msgspec.structs.replace(known, objective=_objective_name(study))
        if (summary := _read_summary(path / "summary.json")) is not None:
            return _complete(known, summary)
        return _incomplete(known, directory, now)
    except (UserError, OSError) as error:
        return msgspec.structs.replace(known, problem=str(error))


def _objective_name(study: StudyRecord) -> str:
    if study.objective == _ASKED:
        return "ask and tell"
    training = training_of(study)
    name = study.objective if training is None else training.name
    return name.rpartition(":")[2] if name.startswith("evo.problems.") else name


def _complete(known: Listed, summary: _Summary) -> Listed:
    counts = {status: getattr(summary, status, 0) for status in _STATUSES}
    best = summary.best
    return msgspec.structs.replace(
        known,
        state="complete",
        counts={status: count for status, count in counts.items() if count},
        known=summary.known,
        loss=None if best is None else best.loss,
        individual="" if best is None else "{}-{}".format(*best.individual),
        value=next(iter(best.objectives.values()), None) if best else None,
        front=len(summary.front),
        violation=best.violation if best else 0.0,
    )


def _incomplete(known: Listed, directory: RunDirectory, now: float) -> Listed:
    watch = RunWatch(directory.path)
    found = watch.look(now)
    counts, best = watch.course.counts, found.standing.best
    return msgspec.structs.replace(
        known,
        state=found.state,
        counts={status: counts[status] for status in _STATUSES if counts[status]},
        known=watch.course.known,
        loss=None if best is None else best.loss,
        individual="" if best is None else best.individual,
        value=next(iter(best.values.values()), None) if best else None,
        front=best.members if best else 0,
        violation=best.violation or 0.0 if best else 0.0,
    )


def in_order(listed: Sequence[Listed], by: str) -> list[Listed]:
    """The runs in an order; those that cannot be read come last.

    Args:
        listed: The runs.
        by: "time": the last written first; "loss": the lowest first; "name".
    """
    keys: Mapping[str, Callable[[Listed], Any]] = {
        "time": lambda one: -one.written,
        "loss": lambda one: (one.loss is None, one.violation, one.loss or 0.0),
        "name": lambda one: one.run,
    }
    return sorted(listed, key=lambda one: (bool(one.problem), keys[by](one), one.run))


def list_text(listed: Sequence[Listed]) -> str:
    """The runs as a table, a row for each, and the problems of those that cannot be read."""
    best = "best loss" if all(one.value is None for one in listed) else "best"
    rows = [("run", "objective", "state", best, "individual", "began", "last written", "evaluations")]
    for one in listed:
        others = [f"{count} {status}" for status, count in one.counts.items() if status != "completed"]
        evaluations = str(sum(one.counts.values())) + (f" ({', '.join(others)})" if others else "")
        evaluations += f", beside {one.known} known" if one.known else ""
        evaluations += ", none keeps the bounds" if one.violation else ""
        evaluations += f", {one.front} on the front" if one.front and not one.violation else ""
        value = one.loss if one.value is None else one.value
        rows.append(
            (
                *(one.run, one.objective, one.state),
                *("" if value is None else number_text(value), one.individual),
                *(_when(one.created), _when(one.written), one.problem or evaluations),
            )
        )
    return columns_text(rows, right={3})


def _read_summary(file: Path) -> _Summary | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Summary)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # The journals tell the same.


def _last_written(directory: RunDirectory) -> float:
    files = [directory.path / "study.json", directory.path / "summary.json", *directory.journals()]
    times = []
    for file in files:
        with contextlib.suppress(OSError):
            times.append(file.stat().st_mtime)
    return max(times, default=0.0)


def _when(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M") if seconds else ""
    except (OverflowError, ValueError, OSError):  # A file may have any time.
        return f"{seconds:.0f} s since 1970"
