"""The order in which evaluations ended, which is not that in which they began, and what was better than all before."""

from __future__ import annotations

import msgspec
import pytest
from records import finished, started

from evo.population.events import AnyEvent
from evo.report.improvements import ends_in_order, improvements
from evo.report.records import gather_evaluations


def at(time: float, event: AnyEvent) -> AnyEvent:
    return msgspec.structs.replace(event, time=time)


# 0-0 was interrupted after 600 s and went on at 50,000 s; 1-0 was complete long before.
RESUMED: list[AnyEvent] = [
    at(0.0, started((0, 0), {})),
    at(600.0, finished((0, 0), None, "interrupted", seconds=600.0)),
    at(50_000.0, started((0, 0), {})),
    at(50_600.0, finished((0, 0), 0.1, seconds=600.0)),
    at(100.0, started((1, 0), {})),
    at(5_000.0, finished((1, 0), 0.5, seconds=4_900.0)),
]


@pytest.mark.parametrize("step", [1, -1])
def test_an_evaluation_that_was_resumed_ended_when_its_last_part_did(step: int) -> None:
    ended = ends_in_order(gather_evaluations(RESUMED[::step]))
    assert [(one.name, one.ended, one.seconds) for one in ended] == [
        ("1-0", 5_000.0, 4_900.0),
        ("0-0", 50_600.0, 1_200.0),
    ]
    assert [(number, one.loss) for number, one in improvements(ended)] == [(1, 0.5), (2, 0.1)]


def test_what_still_runs_has_no_end_and_an_interruption_counts_as_the_last_one() -> None:
    again = at(50_100.0, finished((0, 0), None, "interrupted", seconds=100.0))
    running, interrupted = gather_evaluations(RESUMED[:1])[0], gather_evaluations([*RESUMED[:3], again])[0]
    assert (running.ended, interrupted.ended, interrupted.seconds) == (0.0, 50_100.0, 700.0)
