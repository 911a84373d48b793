"""Why evaluations failed, or refused their points: what is of the same kind from the same place is one reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evo.frames import is_evos, is_own
from evo.report.records import Evaluation
from evo.texts import printable

_MOST_NAMES = 6
_BEGIN = "Traceback (most recent call last):"
_FRAME = re.compile(r'^[ |]*File "(.+?)", line (\d+)', re.MULTILINE)
_WORKER = re.compile(r"^on rank \d+ of the worker: ")
_KIND = re.compile(r"^[^\W\d]\w*(?=: |$)")


@dataclass(frozen=True)
class Reason:
    """Why some evaluations failed.

    Args:
        kind: The name of the exception, or what else happened.
        place: The file and line where it was raised: the innermost that are the user's own, or else a library's;
            empty when neither is known.
        evaluations: The evaluations that failed so, at least one, in the order given.
    """

    kind: str
    place: str
    evaluations: Sequence[Evaluation]

    @property
    def text(self) -> str:
        """One line: how often, what and where; a message; and which individuals."""
        failed = self.evaluations
        message = _message(failed[0])
        differ = any(_message(one) != message for one in failed)
        where = f" at {self.place}" if self.place else ""
        names = ", ".join(evaluation.name for evaluation in failed[:_MOST_NAMES])
        more = f" and {len(failed) - _MOST_NAMES} more" if len(failed) > _MOST_NAMES else ""
        said = f": {message}" if message else ""
        return printable(f"{len(failed)} x {self.kind}{where}{', for example' if differ else ''}{said} ({names}{more})")


def failure_reasons(evaluations: Iterable[Evaluation], status: str = "failed") -> Sequence[Reason]:
    """The failed evaluations by kind and place of what went wrong, the most frequent reason first.

    Args:
        evaluations: The evaluations, of any status.
        status: The status of those that count. For "infeasible", the kind is the reason that was given.
    """
    groups: dict[tuple[str, str], list[Evaluation]] = {}
    places: dict[tuple[str, str], str] = {}
    for evaluation in evaluations:
        if evaluation.status == status:
            exact, shown = _place(evaluation)
            key = (_without_numbers(_kind(evaluation)), exact)
            groups.setdefault(key, []).append(evaluation)
            places[key] = shown
    reasons = [Reason(_kind(failed[0]), places[key], failed) for key, failed in groups.items()]
    return sorted(reasons, key=lambda reason: -len(reason.evaluations))


def _without_numbers(text: str) -> str:
    return re.sub(r"\d+", "0", text)


def _error(evaluation: Evaluation) -> str:
    return _WORKER.sub("", evaluation.error)


def _kind(evaluation: Evaluation) -> str:
    error = _error(evaluation)
    found = _KIND.match(error)
    return found[0] if found and evaluation.status != "infeasible" else error


def _message(evaluation: Evaluation) -> str:
    return _error(evaluation).removeprefix(_kind(evaluation)).removeprefix(": ")


def _place(evaluation: Evaluation) -> tuple[str, str]:
    """Where something was raised: as it is compared, and as it is shown."""
    # The last traceback of a chain is that of what was raised, also for an error in a process that loads data.
    _, begin, last = evaluation.traceback.rpartition(_BEGIN)
    frames = _FRAME.findall(last) if begin else []
    if not frames:  # A process died, or took too long: only the message tells, apart from its numbers.
        return _without_numbers(_message(evaluation)), ""
    own = [frame for frame in frames if is_own(frame[0])]
    file, line = (own or frames)[-1]
    # A line of evo's means nothing to the user, and neither does a library's file name without its folder.
    parts = re.split(r"[/\\]", file)
    shown = "" if is_evos(file) else f"{'/'.join(parts[-1 if own else -2 :])}:{line}"
    return f"{file}:{line}", shown
