"""The command `evo export`: the individuals of a run directory, for what other people use."""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import IO, Any

from evo.commands import CommandParser, status_of
from evo.errors import UserError
from evo.report.display import state_text
from evo.report.fronts import keeps_bounds
from evo.report.optuna_export import Changes, OptunaExport
from evo.report.optuna_store import parse_store
from evo.report.reading import Run, load
from evo.report.rows import json_rows, write_csv, write_parquet
from evo.report.watching import RunWatch
from evo.storage.files import write_whole
from evo.storage.rundir import RunDirectory
from evo.texts import as_path, printable

_STDOUT = "-"
_OPEN = ("/dev/stderr", "/dev/fd/", "/proc/")  # Names of what is open already, which may be a regular file.
# Seconds between two looks at a run that is followed, and how many times as long as one export they are at least.
_INTERVAL, _SHARE = 1.0, 4.0
_TELLING = 10.0  # Seconds between two lines about it.


def main(arguments: Sequence[str], program: str) -> int:
    """Export the individuals of a run directory.

    Args:
        arguments: The words after the command's name.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 exported, 2 the run directory cannot be read, or the file or store not written.
    """
    options = _parser(program).parse_args(arguments)
    return status_of(lambda: _export(options), options.debug)


def _parser(program: str) -> CommandParser:
    parser = CommandParser(prog=program, description="Write the individuals of a run directory for other programs.")
    parser.add_argument("run", metavar="RUN", help="A run directory, complete or not.")
    formats = parser.add_mutually_exclusive_group(required=True)
    formats.add_argument(
        "--csv", nargs="?", const=_STDOUT, metavar="FILE", help="Comma-separated values; without FILE on the screen."
    )
    formats.add_argument(
        "--json", nargs="?", const=_STDOUT, metavar="FILE", help="A JSON list of objects; without FILE on the screen."
    )
    formats.add_argument("--parquet", metavar="FILE", help="A Parquet file.")
    formats.add_argument(
        "--optuna",
        metavar="STORE",
        help="A store of Optuna for optuna-dashboard and optuna.load_study: sqlite:///study.db, another address of a "
        "database, or the name of a journal file. The study has the name of the run directory, or NAME in STORE#NAME. "
        "A study that was exported before is brought up to date.",
    )
    parser.add_argument(
        "--follow", action="store_true", help="With --optuna: go on until the search does not run any more, or Ctrl-C."
    )
    return parser


def _export(options: argparse.Namespace) -> None:
    if options.follow and options.optuna is None:
        raise UserError("--follow goes with --optuna only: a file is written once")
    if options.optuna is not None:
        _export_to_optuna(options.run, options.optuna, options.follow)
        return
    run = load(options.run)
    if options.parquet is not None:
        _write_bytes(
            options.parquet, lambda stream: write_parquet(run.individuals, run.events(), stream, run.objectives)
        )
    elif options.csv is not None:
        _write(options.csv, lambda stream: write_csv(run.individuals, run.events(), stream, run.objectives))
    else:
        _write(options.json, lambda stream: _write_json(run, stream))


def _write_json(run: Run, stream: IO[str]) -> None:
    # JSON in ASCII steers no terminal, and every locale has its characters.
    json.dump(
        json_rows(run.individuals, run.events(), run.objectives), stream, indent=1, ensure_ascii=stream is sys.stdout
    )
    stream.write("\n")


def _write(file: str, write: Callable[[IO[str]], object]) -> None:
    """Write text to a file, whole or not at all, or on the screen."""
    if file in (_STDOUT, "/dev/stdout"):
        _show(write)
        return

    def write_text(stream: IO[bytes]) -> None:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        write(text)
        text.flush()
        text.detach()

    _write_bytes(file, write_text)


def _write_bytes(file: str, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file, whole or not at all; the target of a link to one; straight into a pipe or a device."""
    path = as_path(file)
    with _explained(file):
        is_open = file.startswith(_OPEN) or (path.exists() and not path.is_file())
        if not is_open or path.is_dir():
            write_whole(path.resolve() if path.is_symlink() else path, write)
            return
        content = io.BytesIO()  # Some writers look where they are, which a pipe cannot tell.
        write(content)
        with path.open("ab") as stream:  # What /dev/stderr stands for may be a log that holds something.
            stream.write(content.getvalue())


def _show(write: Callable[[IO[str]], object]) -> None:
    """Write text on the screen; on a terminal, what would steer it is escaped."""
    if sys.stdout.isatty():
        shown = io.StringIO()
        write(shown)
        sys.stdout.write(printable(shown.getvalue(), kept="\n"))
    else:
        write(sys.stdout)


@contextmanager
def _explained(file: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{file or '.'} cannot be written: {error.strerror or error}; name another file") from error


def _export_to_optuna(run: str, store: str, follow: bool) -> None:
    name = parse_store(store)
    export, where = OptunaExport(name), f"{name}#{name.study}" if name.study else str(name)
    directory = RunDirectory(as_path(run))
    watch = RunWatch(as_path(run)) if follow else None
    told = -math.inf
    with suppress(KeyboardInterrupt) if follow else nullcontext():
        while True:
            began, sizes = time.monotonic(), _sizes(directory)
            found = watch.look() if watch else None  # First, so that nothing is added to what has ended.
            loaded = load(run)
            changes = export.update(loaded)
            is_over = found is None or not found.goes_on
            if is_over or began - told >= _TELLING:
                _tell(changes, loaded, where)
                told = began
            if is_over:
                if found is not None:
                    print(printable(f"{found.run}: {state_text(found)}"), flush=True)
                return
            spent = time.monotonic() - began
            while _sizes(directory) == sizes and watch is not None and watch.look().goes_on:
                time.sleep(max(_INTERVAL, _SHARE * spent))


def _sizes(directory: RunDirectory) -> tuple[tuple[str, int], ...]:
    """What tells whether something was added to the journals."""
    return tuple((file.name, file.stat().st_size) for file in directory.journals())


def _tell(changes: Changes, run: Run, where: str) -> None:
    """Say what was written last, and what the best is, to be compared with what others show."""
    values: Mapping[str, Any] = run.values() or {"loss": None}
    first, value = next(iter(values.items()))
    best = "nothing has completed" if run.best is None else f"best {first} {value} by {run.best.name}"
    if run.objectives.are_several and keeps_bounds(run.front):
        best += f", {len(run.front)} on the front"
    print(
        printable(
            f"study {changes.study} in {where}: {changes.new} trials added, {changes.updated} updated, "
            f"{len(run.individuals)} in all; {best}"
        ),
        flush=True,
    )
    if changes.outdated:
        print(
            f"evo: warning: {changes.outdated} finished trials have changed since they were exported, which a journal "
            "cannot take back: export into a new file",
            file=sys.stderr,
        )
