"""The command `evo replay`: confirms from the journals that each individual was bred as they say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evo.commands import CommandParser, status_of
from evo.errors import UserError
from evo.population.identity import individual_name
from evo.replay.decisions import Decision
from evo.replay.replaying import Replay, replay
from evo.report.reading import Run, load
from evo.texts import printable
from evo.versions import versions_of

_MOST_SHOWN = 10


def main(arguments: Sequence[str], program: str) -> int:
    """Make the breeding decisions of a search again.

    Args:
        arguments: The words after the command's name.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 every individual is confirmed, 1 some deviate or cannot be decided, 2 none can be decided, or
        the run directory cannot be read.
    """
    parser = CommandParser(
        prog=program,
        description="Breed each individual again from the journals, and confirm that it is the same. It goes "
        "through what each rank knew, one rank after another: the time grows with individuals times ranks.",
    )
    parser.add_argument("run", metavar="RUN", help="A run directory, complete or not.")
    parser.add_argument("--trust", action="store_true", help="Run the classes that another user's run directory names.")
    options = parser.parse_args(arguments)
    return status_of(lambda: _show(options.run, options.trust), options.debug)


def _show(name: str, trust: bool) -> int:
    run = load(name)
    found = replay(run, trust)
    counts = found.counts
    if not sum(counts.values()) - counts["undecided"] - counts["known"]:
        why = "; ".join(found.reasons) or "there is no individual in it yet"
        raise UserError(f"run directory {run.name} cannot be replayed: {why}")
    print("\n".join(map(printable, _lines(run, found))))
    return 1 if counts["deviates"] or counts["undecided"] else 0


def _lines(run: Run, found: Replay) -> Iterator[str]:
    counts = found.counts
    parts = [f"{counts['confirmed']} bred again and confirmed", f"{counts['start']} start points"]
    parts += [f"{counts['known']} known from elsewhere"] if counts["known"] else []
    parts += [f"{counts['deviates']} deviate"] if counts["deviates"] else []
    parts += [f"{counts['undecided']} cannot be decided"] if counts["undecided"] else []
    individuals = len({decision.recorded.individual for decision in found.decisions})
    yield f"{individuals} individuals: {', '.join(parts)}"
    if counts["again"]:
        yield f"{counts['again']} of them were evaluated again later, unchanged"
    for why, count in found.reasons.items():
        yield f"{count} cannot be decided: {why}"
    deviations = found.deviations
    for number, decision in enumerate(deviations[:_MOST_SHOWN]):
        yield f"{'the first to deviate' if number == 0 else 'deviates'}: {_deviation(decision)}"
    if len(deviations) > _MOST_SHOWN:
        yield f"and {len(deviations) - _MOST_SHOWN} more"
    if deviations:
        yield from _hints(run)


def _deviation(decision: Decision) -> str:
    individual = individual_name(decision.recorded.individual)
    return f"individual {individual}, bred by rank {decision.worker}: {decision.why}"


def _hints(run: Run) -> Iterator[str]:
    """What else than an altered journal may be the reason for a deviation."""
    yield "its own line, or one of those that it was bred from, is not as the search wrote it"
    before, now = run.study.versions.get("numpy"), versions_of(["numpy"]).get("numpy")
    if before and before != now:
        yield f"or the last digits differ, because the study began with numpy {before}, and here is {now}"
    if repaired := sorted(run.directory.path.glob("journal/*.damaged")):
        yield f"or records are missing, because {repaired[0].name} was repaired"
