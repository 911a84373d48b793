"""`evo repair`: rewrites damaged journals from their sound records, and keeps the damaged files beside them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from evo.commands import CommandParser, status_of
from evo.errors import UserError
from evo.population.checking import why_not_of
from evo.population.events import AnyEvent, Finished, Skipped, Started, decode, encode
from evo.population.identity import Identity, individual_name
from evo.population.objectives import Objectives
from evo.space.growth import Forms
from evo.storage.files import write_whole
from evo.storage.journal import open_locked
from evo.storage.lines import read_lines
from evo.storage.rundir import RunDirectory, study_forms, study_space
from evo.texts import printable

_BEGINNING = rb'(?=\{"type":")'
_MENTION = re.compile(rb'"individual":\[(\d{1,15}),(\d{1,15})\]')
_SHOWN = 60  # The number of characters of a damaged line that are shown.


@dataclass(frozen=True)
class DamagedLine:
    """A line that is not one record, or whose record does not fit the study.

    Args:
        number: The number of the line in the file, from 1.
        content: The bytes of the line.
        problem: The reason why it counts as damaged.
        salvaged: The whole records in the line.
        record: The record that does not fit the study; None if it is none.
    """

    number: int
    content: bytes
    problem: str
    salvaged: Sequence[AnyEvent]
    record: AnyEvent | None = None

    def __str__(self) -> str:
        """The damage in one line for people."""
        shown = repr(self.content[:_SHOWN].decode(errors="backslashreplace"))
        more = f" and {len(self.content) - _SHOWN} bytes more" if len(self.content) > _SHOWN else ""
        kept = f"; {len(self.salvaged)} whole record(s) in it kept" if self.salvaged else ""
        return f"line {self.number}: {shown}{more}: {self.problem}{kept}"


@dataclass(frozen=True)
class ExaminedJournal:
    """The result of an examination of one journal.

    Args:
        file: The journal.
        sound: The sound records, those in damaged lines included.
        damaged: The damaged lines.
    """

    file: Path
    sound: Sequence[AnyEvent]
    damaged: Sequence[DamagedLine]


def repair(directory: RunDirectory, dry_run: bool) -> Iterator[str]:
    """Rewrite damaged journals from their sound records, and keep the damaged files beside them.

    Args:
        directory: The run directory.
        dry_run: Whether to say only what would be done, and change nothing.

    Yields:
        Lines for the user.

    Raises:
        UserError: There is no run, another run is writing there, or a file cannot be read, written or repaired.
    """
    journals = directory.journals()
    if not journals and not (directory.path / "study.json").exists():
        raise UserError(
            f"{directory} is no run directory: it has no journals and no study.json; evo list FOLDER finds some"
        )
    forms, objectives, problem = _searched(directory)
    with ExitStack() as stack:
        for file in journals:
            stack.enter_context(open_locked(file))
        findings = [examine_journal(file, forms, objectives) for file in journals]
        _check_study(directory, findings)
        for finding in findings:
            if finding.damaged:
                counts = f"{len(finding.damaged)} damaged line(s), {len(finding.sound)} sound record(s)"
                yield f"{directory}/journal/{finding.file.name}: {counts}"
                yield from (f"  {line}" for line in finding.damaged)
        skipped = _skipped(directory, findings)
        for finding in findings:
            if finding.damaged and not dry_run:
                kept = _write_anew(finding, skipped if finding is _first_damaged(findings) else [])
                yield f"{directory}/journal/{finding.file.name} is repaired; what it was is in {kept.name}, beside it"
        yield from _closing(directory, findings, skipped, dry_run)
    if problem:
        raise UserError(problem)


def examine_journal(file: Path, forms: Forms | None, objectives: Objectives | None = None) -> ExaminedJournal:
    """Separate the sound lines of a journal from the damaged ones; an unfinished last line counts as neither.

    Args:
        file: The journal.
        forms: The limits that the study has had; a start that is within none of them is damage too. None means that
            they are not known.
        objectives: The objectives of the study; an end with other losses is damage too. None means that they are not
            known.

    Raises:
        UserError: The journal cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"journal {file} cannot be read: {error.strerror}") from None
    sound: list[AnyEvent] = []
    damaged: list[DamagedLine] = []
    for line in read_lines(content):
        problem = line.problem if line.event is None else _why_not_of_study(line.event, forms, objectives)
        if line.event is not None and not problem:
            sound.append(line.event)
            continue
        salvaged = _salvage(line.content, forms, objectives)
        damaged.append(DamagedLine(line.number, line.content, problem, salvaged, line.event))
        sound += salvaged
    return ExaminedJournal(file, sound, damaged)


def _why_not_of_study(event: AnyEvent, forms: Forms | None, objectives: Objectives | None) -> str:
    """The reason why a start fits no limits that the study has had, or an end not its objectives; empty otherwise."""
    if forms is not None and isinstance(event, Started):
        try:
            forms.fit(event.params)
        except UserError as error:
            return str(error)
    return "" if objectives is None else why_not_of(event, objectives)


def _salvage(line: bytes, forms: Forms | None, objectives: Objectives | None) -> list[AnyEvent]:
    """The whole records in a damaged line."""
    salvaged = []
    for part in re.split(_BEGINNING, line):
        with suppress(UserError):
            event = decode(part.strip(b"\0"))
            if not _why_not_of_study(event, forms, objectives):
                salvaged.append(event)
    return salvaged


def _check_study(directory: RunDirectory, findings: Sequence[ExaminedJournal]) -> None:
    for kind, many, what in ((Started, "starts", "limits"), (Finished, "ends", "objectives")):
        fitting = sum(isinstance(event, kind) for finding in findings for event in finding.sound)
        others = sum(isinstance(line.record, kind) for finding in findings for line in finding.damaged)
        if others > fitting:
            raise UserError(
                f"{others} of {others + fitting} {many} in the journals of {directory} do not fit the {what} in "
                "study.json, which seems to be that of another study: put the right one in its place"
            )


def _searched(directory: RunDirectory) -> tuple[Forms | None, Objectives | None, str]:
    """The limits and the objectives of the study; if not known, what is wrong with study.json, and the next step."""
    try:
        study = directory.study(has_advice=False)
        if study is not None:
            return study_forms(study) or Forms(study_space(study)), study.objectives, ""
        problem = f"run directory {directory} has no study.json"
    except UserError as error:
        problem = f"study.json cannot be used: {error}"
    return (
        None,
        None,
        (
            f"{problem}; no journal says what is searched, so it cannot be made from them: begin a run with the same "
            "objective, limits and seed in another directory, stop it, and copy its study.json here"
        ),
    )


def _skipped(directory: RunDirectory, findings: Sequence[ExaminedJournal]) -> list[Skipped]:
    """Records for identities that only damaged lines or folders mention: the highest generation of each rank."""
    known = _last({event.individual for finding in findings for event in finding.sound if hasattr(event, "individual")})
    lost: set[Identity] = set()
    for line in (line for finding in findings for line in finding.damaged):
        lost.update((int(rank), int(generation)) for rank, generation in _MENTION.findall(line.content))
    with suppress(OSError):
        names = [path.name for path in (directory.path / "individuals").iterdir()]
        found = [re.fullmatch(r"(\d{1,15})-(\d{1,15})", name) for name in names]
        lost.update((int(match[1]), int(match[2])) for match in found if match)
    return [
        Skipped(time=time.time(), individual=(rank, generation))
        for rank, generation in sorted(_last(lost).items())
        if generation > known.get(rank, -1)
    ]


def _last(identities: set[Identity]) -> dict[int, int]:
    return dict(sorted(identities))


def _first_damaged(findings: Sequence[ExaminedJournal]) -> ExaminedJournal:
    return next(finding for finding in findings if finding.damaged)


def _write_anew(finding: ExaminedJournal, skipped: Sequence[Skipped]) -> Path:
    """Replace a journal by its sound records; returns the new place of the damaged one."""
    file = finding.file
    lines = [encode(event) + b"\n" for event in [*finding.sound, *skipped]]
    try:
        kept = _keep(file)
        write_whole(file, lambda stream: stream.writelines(lines))
    except OSError as error:
        raise UserError(f"journal {file} cannot be rewritten: {error.strerror}; it is unchanged") from None
    return kept


def _keep(file: Path) -> Path:
    """Copy a file within its folder, under a name that no earlier repair has used."""
    number = 0
    while True:
        number += 1
        kept = file.with_name(f"{file.name}.damaged" + (f"-{number}" if number > 1 else ""))
        try:
            with kept.open("xb") as stream:
                stream.write(file.read_bytes())
                stream.flush()
                os.fsync(stream.fileno())
        except FileExistsError:
            continue
        return kept


def _closing(
    directory: RunDirectory, findings: Sequence[ExaminedJournal], skipped: Sequence[Skipped], dry_run: bool
) -> Iterator[str]:
    if not any(finding.damaged for finding in findings):
        yield f"the {len(findings)} journal(s) of {directory} are sound: nothing to repair"
        return
    started = {event.individual for finding in findings for event in finding.sound if isinstance(event, Started)}
    spoken_of = {
        event.individual for finding in findings for event in finding.sound if hasattr(event, "individual")
    } - started
    lost = sorted(spoken_of | {event.individual for event in skipped})
    if lost:
        names = ", ".join(map(individual_name, lost))
        yield f"individuals whose parameters are lost, which take no part any more: {names}"
    if dry_run:
        yield "nothing was changed: leave out --dry-run to repair"
    else:
        yield "the same command as before goes on from what is left"


def main(arguments: Sequence[str], program: str) -> int:
    """The command `evo repair`.

    Args:
        arguments: The words after the command's name.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 repaired, or sound; 2 it cannot be.
    """
    parser = CommandParser(
        prog=program,
        description="Write damaged journals anew, with their sound lines only. The damaged files are kept beside them.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="A run directory in which no run is writing.")
    parser.add_argument("--dry-run", action="store_true", help="Only tell what is damaged, and change nothing.")
    options = parser.parse_args(arguments)

    def act() -> None:
        for line in repair(RunDirectory(options.run), options.dry_run):
            with suppress(BrokenPipeError):  # The repair goes on when nobody reads what it says.
                print(printable(line))

    return status_of(act, options.debug)
