"""Progress while a search runs: lines in a log, and a view on a terminal, both of where it stands."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Iterable

import pytest
from helpers import check_golden
from rich.console import Console, RenderableType

from evo.population.events import (
    AnyEvent,
    Died,
    Done,
    Finished,
    Joined,
    Migrated,
    Pollinated,
    Reported,
    Started,
    Status,
)
from evo.population.identity import Identity
from evo.population.reason import StopKind
from evo.report.course import Course
from evo.report.display import duration_text, run_view, standing_line, standing_view
from evo.report.progress import Lines, LiveView, interval_at
from evo.report.watching import RunStanding, State


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def join(ranks: int, now: float = 1000.0, evaluations: int | None = None) -> Iterable[Joined]:
    for rank in range(ranks):
        host = f"a-rather-long-name-gpu-node-{rank // 4:03}.cluster.example.org"
        yield Joined(time=now, rank=rank, ranks=ranks, host=host, device=f"cuda:{rank % 4}", evaluations=evaluations)


def start(identity: Identity, now: float, island: int = 0) -> Started:
    return Started(time=now, individual=identity, island=island, params={})


def end(identity: Identity, now: float, status: Status = "completed", loss: float | None = None) -> Finished:
    return Finished(time=now, individual=identity, status=status, loss=loss, rank=identity[0], seconds=1.0)


def report(identity: Identity, now: float, step: int = 0, loss: float = 9.0) -> Reported:
    return Reported(time=now, individual=identity, step=step, loss=loss)


def drawn(view: RenderableType, width: int) -> str:
    console = Console(width=width, height=50, file=io.StringIO(), force_terminal=False, no_color=True)
    console.print(view)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(line) <= width for line in text.splitlines())
    return str(text)


def searching(workers: int, now: float) -> list[AnyEvent]:
    """A search of many workers, on two islands where there are more than four."""
    events: list[AnyEvent] = list(join(workers, now - 3725.0, evaluations=20 * workers))
    statuses: list[Status] = ["completed", "pruned", "completed", "failed", "completed", "infeasible"]
    for worker in range(workers):
        island = worker % 2 if workers > 4 else 0
        for generation, status in enumerate(statuses):
            began = now - 3700.0 + 600.0 * generation + worker
            identity = (worker, generation)
            loss = 0.5 + 0.01 * generation + 0.001 * worker if status in ("completed", "pruned") else None
            events.append(start(identity, began, island))
            events += [report(identity, began + 45.0 * step, step, 1.0 / (step + 1)) for step in range(12)]
            events.append(Finished(time=began + 590, individual=identity, status=status, loss=loss, rank=worker,
                                   seconds=590.0))  # fmt: skip
            if workers > 4 and generation % 2:
                events.append(Pollinated(time=began + 590, individual=identity, island=1 - island))
        if worker % 16 < 14:
            identity = (worker, len(statuses))
            began = now - 99.5 + worker
            events.append(start(identity, began, island))
            events += [report(identity, began + 20.0 * step, step, 2.0 / (step + 1)) for step in range(worker % 4)]
    if workers > 4:
        events += [
            Migrated(time=now - 600, individual=(0, 0), island=1, move=1),
            Died(time=now - 300, rank=15, heir=13),
            Done(time=now - 20, rank=31, reason="20 generations are complete", kind=StopKind.GENERATIONS),
        ]
    return events


@pytest.mark.parametrize(("workers", "width"), [(4, 80), (4, 200), (64, 80), (64, 200)])
def test_the_live_view_reads_well_on_narrow_and_wide_terminals_with_few_and_many_workers(
    workers: int, width: int
) -> None:
    course = Course()
    course.add_all(searching(workers, 100_000.0))
    check_golden(f"live-{workers}-{width}.txt", drawn(standing_view(course.standing(100_000.0)), width))


def test_the_live_view_has_few_colours_and_none_where_nobody_wants_any(monkeypatch: pytest.MonkeyPatch) -> None:
    course = Course()
    course.add_all(searching(4, 100_000.0))

    def printed() -> str:
        console = Console(width=80, file=io.StringIO(), force_terminal=True, color_system="standard")
        console.print(standing_view(course.standing(100_000.0)))
        return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]

    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = printed()
    assert "\x1b[32m" in shown  # Only colours that a dark and a light background show: red and green, no others.
    assert not any(f"[{code}m" in shown or f";{code}m" in shown for code in (30, 33, 34, 35, 36, 37, 90, 97))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in printed()


def test_progress_in_a_log_file_is_a_sober_line_every_few_seconds() -> None:
    clock, lines = Clock(), list[str]()
    watch = Lines(Course(), lines.append, clock)
    for joined in join(2, evaluations=12):
        watch(joined)
    for index in range(12):
        watch(start((0, index), clock.now))
        clock.now += 0.75
        watch(report((0, index), clock.now))
        clock.now += 0.75
        failed = index % 4 == 3
        loss = None if failed else 10.0 / (index + 1) if index < 7 else 5.0
        watch(end((0, index), clock.now, "failed" if failed else "completed", loss=loss))
    watch.close()
    check_golden("progress.txt", "\n".join(lines))


def test_lines_become_rarer_the_longer_a_search_takes() -> None:
    moments, elapsed = 0, 0.0
    while elapsed < 86_400:
        elapsed += interval_at(elapsed)
        moments += 1
    assert (interval_at(0.0), interval_at(86_400.0)) == (5.0, 600.0)
    assert 250 < moments < 300
    assert all(interval_at(at) <= interval_at(at + 1) for at in range(0, 90_000, 100))


def test_progress_goes_on_from_an_earlier_session_and_does_not_count_interruptions() -> None:
    clock, lines, course = Clock(), list[str](), Course()
    for index in range(40):
        course.add_all([start((9, index), 1.0), end((9, index), 2.0, loss=0.5 + 0.5 * (index > 0))])
    watch = Lines(course, lines.append, clock)
    for event in (*join(1), start((0, 0), 1000.0), start((0, 1), 1000.0)):
        watch(event)
    clock.now += 1234.5
    for event in (end((0, 0), 2200.0, "interrupted"), end((0, 1), 2200.0, loss=0.6)):
        watch(event)
    watch.close()
    assert [line.partition("; busy")[0] for line in lines] == [
        "[20 min 35 s] 40 evaluations, best 0.5 by 9-0; 1 in evaluation; 1 to be evaluated again",
        "[20 min 35 s] 41 evaluations, best 0.5 by 9-0, 1 ago; 1 to be evaluated again",
    ]


def test_long_trainings_of_which_none_has_ended_are_told_of_once_a_minute() -> None:
    clock, lines = Clock(), list[str]()
    watch = Lines(Course(), lines.append, clock)
    for event in (*join(1, evaluations=3), start((0, 0), 1000.0)):
        watch(event)
    for step in range(18):
        clock.now += 10
        watch(report((0, 0), clock.now, step))
    watch.close()
    assert lines == [
        f"[{minutes} min] 0/3 evaluations, best none yet; 1 in evaluation; busy 100 %".replace("[", "[      ")
        for minutes in (1, 2, 3)
    ]


def test_a_better_individual_is_marked_once() -> None:
    clock, lines = Clock(), list[str]()
    watch = Lines(Course(), lines.append, clock)
    for index, loss in enumerate((0.75, 0.25, 0.25, 0.125)):
        clock.now += 10
        watch(start((0, index), clock.now))
        watch(end((0, index), clock.now, loss=loss))
    assert [" *" in line for line in lines] == [True, True, False, True]


def test_the_live_view_draws_while_the_search_goes_on() -> None:
    console = Console(force_terminal=True, width=80, file=io.StringIO())
    watch = LiveView(Course(), console)
    began = time.monotonic()
    for index in itertools.count():
        watch(start((0, index), float(index)))
        watch(end((0, index), float(index), loss=1.0 + index))
        if time.monotonic() - began > 0.6:
            break
    watch.close()
    assert f"{index + 1} evaluations" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("running", "running, last record 12.0 s ago"),
        ("ending", "ending: enough"),
        ("complete", "complete: enough"),
        ("stopped", "stopped: enough; the same command goes on"),
        ("killed", "killed: its processes are gone; the same command goes on, with what was in evaluation first"),
        ("silent", "silent: no record for 12.0 s, its processes may be gone, or evaluate for long"),
    ],
)
def test_the_view_of_a_run_says_what_has_become_of_it(state: State, words: str) -> None:
    course = Course()
    course.add_all([*join(1), start((0, 0), 1001.0), report((0, 0), 1002.0)])
    course.add(Done(time=1003.0, rank=0, reason="enough", kind=StopKind.REQUESTED))
    found = RunStanding(
        run="runs/\x1bx", study="s", state=state, written=1.0, quiet_seconds=12.0, standing=course.standing(1010.0)
    )
    assert drawn(run_view(found), 200).splitlines()[0] == f"study s in runs/\\x1bx: {words}"


def test_strings_of_a_journal_cannot_steer_the_terminal_and_are_no_markup() -> None:
    course = Course()
    course.add(Joined(time=1.0, rank=0, ranks=1, host="[red]\x1b[2J", device="[/]"))
    course.add(start((0, 0), 2.0))
    assert "[/] [red]\\x1b[2J" in drawn(standing_view(course.standing(3.0)), 80)
    assert "\x1b" not in standing_line(course.standing(3.0))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1.0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min"), (3599.6, "1 h"), (90_061.0, "1 d 1 h"), (61.0, "1 min 1 s")],
)
def test_time_spans_are_short(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
