"""The command `evo report`: a page with pictures about one run or several, as a file or on a port."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from evo.commands import CommandParser, status_of
from evo.errors import UserError
from evo.frames import one_line
from evo.report.pages.optuna_drawing import check_extra
from evo.report.pages.page import Report
from evo.report.pages.picture import Drawing
from evo.report.pages.serving import HOST, LivePage, as_bytes, make_server, version_of
from evo.report.reading import load
from evo.storage.files import write_whole
from evo.storage.lines import without_collection
from evo.texts import as_path, printable, readable

_MOST_NAMES = 3
_LONGEST_NAME = 80


def main(arguments: Sequence[str], program: str) -> int:
    """Write or show a report about run directories.

    Args:
        arguments: The words after the command's name.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 written, 2 a run directory cannot be read, or a file cannot be written.
    """
    parser = CommandParser(
        prog=program,
        description="Write a page with pictures about a run directory, complete or not: one file that needs no "
        "network. Nothing is written into the run directory. Needs: pip install 'evo-mpi[report]'",
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="A run directory, complete or not. Several stand side by side."
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="The file, or a directory for it; by default report-NAME.html in the working directory, with the run "
        "directory's name.",
    )
    parser.add_argument("--png", metavar="DIR", help="Write each picture as a PNG into this directory as well.")
    parser.add_argument(
        "--serve",
        nargs="?",
        type=int,
        const=0,
        metavar="PORT",
        help=f"Show the page on {HOST} instead, renewed while the search runs; without PORT, on a free one.",
    )
    options = parser.parse_args(arguments)
    if options.serve is not None and (options.out or options.png):
        parser.error("--serve writes no files: leave out --out and --png")

    def act() -> None:
        check_extra()
        if options.serve is not None:
            _serve(options.runs, options.serve)
        else:
            _write(options.runs, options.out, options.png)

    return status_of(act, options.debug)


def _write(runs: Sequence[str], out: str | None, png: str | None) -> None:
    from plotly.offline import get_plotlyjs

    file = report_file(runs, out)
    report = make_report(runs)
    page = as_bytes(report.html(f"<script>{get_plotlyjs()}</script>"))
    try:
        write_whole(file, lambda stream: stream.write(page))
    except OSError as error:
        raise UserError(
            f"the report {readable(str(file))} cannot be written: {error.strerror}; name another place with --out"
        ) from None
    count = sum(len(each.run.individuals) for each in report.runs)
    hint = "" if png else "; with --png DIR, its pictures are written as PNG files as well"
    print(f"{_shown(file)}: {count:,} individuals, {len(page) / 1e6:.1f} MB{hint}")
    if png is not None:
        folder = as_path(png)
        problems = write_pictures(report.pictures(), folder)
        print(f"{_shown(folder)}: {len(report.pictures()) - len(problems)} pictures")
        for problem in problems:
            print(printable(problem))


def make_report(runs: Sequence[str]) -> Report:
    """A report about run directories as they are now.

    Args:
        runs: The run directories.

    Raises:
        UserError: One of them cannot be read.
    """
    with without_collection():  # Millions of records are made; looking for circles takes a third of the time.
        return Report([load(run) for run in runs])


def write_pictures(pictures: Mapping[str, Drawing], folder: Path) -> list[str]:
    """Write pictures as PNG files.

    Args:
        pictures: The pictures, by the names of their files without ".png".
        folder: Where; it is made if it is not there.

    Returns:
        A line about each picture that cannot be drawn.

    Raises:
        UserError: A file cannot be written.
    """
    problems = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, drawing in pictures.items():
            try:
                drawing.save(folder / f"{name}.png")
            except OSError:
                raise
            except Exception as error:  # What another package cannot draw must not cost the other pictures.
                problems.append(f"{name}.png cannot be drawn: {one_line(error)}")
    except OSError as error:
        raise UserError(
            f"the pictures cannot be written into {readable(str(folder))}: {error.strerror}; name another directory "
            "with --png"
        ) from None
    return problems


def report_file(runs: Sequence[str], out: str | None) -> Path:
    """Where a report is written.

    Args:
        runs: The run directories.
        out: What the user has named: a file, or a directory that is there; None means the working directory.

    Example:
        >>> str(report_file(["runs/digits/"], None)), str(report_file(["a", "runs/b c"], None))
        ('report-digits.html', 'report-a-b_c.html')
    """
    names = [re.sub(r"[^\w.+-]+", "_", as_path(run).resolve().name) or "run" for run in runs]
    kept = names if len(names) <= _MOST_NAMES else [*names[: _MOST_NAMES - 1], f"and-{len(names) - 2}-more"]
    name = f"report-{'-'.join(kept)[:_LONGEST_NAME]}.html"
    if out is None:
        return Path(name)
    place = as_path(out)
    return place / name if place.is_dir() else place


def _serve(runs: Sequence[str], port: int) -> None:
    from plotly.offline import get_plotlyjs

    for run in runs:
        load(run)  # What is wrong with a directory is said here, rather than on a page.

    def make(version: str) -> str:
        return make_report(runs).html('<script src="plotly.js"></script>', version)

    server = make_server(LivePage(make, lambda: version_of(runs)), get_plotlyjs(), port)
    # A batch system or a shell may end this by TERM; that is as clean an end as Ctrl-C, which a shell may have switched
    # off for what it starts in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"http://{HOST}:{server.server_address[1]}/ shows the report; Ctrl-C ends this", flush=True)
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        server.server_close()


def _shown(path: Path) -> str:
    return printable(readable(str(path)))
