"""What people see of a study: records gathered from its events, tables, progress, and the screen of the first rank."""

from __future__ import annotations

import fcntl
import io
import itertools
import os
import random
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import check_golden
from records import replayed
from rich.console import Console

from evo.budget import Budget
from evo.device import Place
from evo.events import AnyEvent, Done, Finished, Identity, Joined, Reported, Started
from evo.population import Population
from evo.report.progress import Lines, LiveView, Silent, Tally
from evo.report.records import (
    Evaluation,
    Result,
    count_statuses,
    failure_reasons,
    gather_evaluations,
    rank_evaluations,
)
from evo.report.screen import Screen, terminal_width
from evo.report.tables import best_text, count_text, number_text, plain_console, summary_text
from evo.space import Space


def start(identity: Identity, when: float, **params: Any) -> Started:
    return Started(time=when, individual=identity, island=0, params=params)


def end(identity: Identity, when: float, status: Any = "completed", loss: float | None = None, **more: Any) -> Finished:
    rank = more.pop("rank", identity[0])
    return Finished(time=when, individual=identity, status=status, loss=loss, rank=rank, **more)


def study() -> list[AnyEvent]:
    """What two ranks of two sessions may leave: all fates, a second evaluation, long texts, many reasons."""
    here = {"host": "gpu-node-001", "device": "cuda:0"}
    metrics = {"val_loss": 0.25, "val_acc": 0.912345, "epochs": 12, "note": "text"}
    best = {"val_loss": -1e-12, "val_acc": 0.987654, "epochs": 3}
    events: list[AnyEvent] = [
        Joined(time=0.0, rank=0, ranks=2, host="gpu-node-001", device="cuda:0"),
        start((0, 0), 1.0, lr=0.000123456, layers=3, optimizer="sgd", momentum=0.9),
        start((1, 0), 1.0, lr=0.1, layers=1, optimizer="adam"),
        Reported(time=1.5, individual=(0, 0), step=1, loss=0.5),
        end((0, 0), 2.0, loss=0.25, seconds=1.0, metrics=metrics, **here),
        end((1, 0), 2.0, status="interrupted", seconds=0.5),
        start((1, 0), 3.0, lr=0.1, layers=1, optimizer="adam"),
        end((1, 0), 4.0, loss=1234567.0, seconds=3723.456, rank=0, metrics={**metrics, "val_loss": 1234567.0}, **here),
        start((0, 1), 5.0, lr=0.01, layers=2, optimizer="adam"),
        end((0, 1), 6.0, status="pruned", loss=0.01),
        start((1, 1), 5.5, lr=0.02, layers=2, optimizer="a name that is much too long for a column of this table"),
        end((1, 1), 6.5, loss=-1e-12, seconds=1e-6, host="gpu-node-002", device="cuda:GPU-8932f937-d72c", metrics=best),
        start((0, 2), 7.0, lr=0.02, layers=2, optimizer="adam"),
        start((1, 2), 8.0, lr=0.03, layers=2, optimizer="adam"),
        end((1, 2), 8.5, status="interrupted", seconds=0.1),
        Done(time=9.0, rank=1, reason="2 generations are complete"),
    ]
    for index in range(12):
        error = "ValueError: the loss is nan: it must be finite" if index < 8 else f"OSError: [Errno {index}] disk"
        events += [
            start((2, index), 10.0 + index, lr=0.5, layers=3, optimizer="adam"),
            end((2, index), 10.5 + index, "failed", error=error),
        ]
    return events


NAMES = ("lr", "layers", "optimizer", "momentum")


def shown(text: Any) -> str:
    console = plain_console()
    with console.capture() as capture:
        console.print(text)
    return capture.get()


def test_what_became_of_everyone_does_not_depend_on_the_order_of_events_or_on_repetitions() -> None:
    expected = gather_evaluations(study())
    assert len(expected) == 18
    generator = random.Random(1)
    for _ in range(50):
        events = study() + generator.choices(study(), k=5)
        generator.shuffle(events)
        assert gather_evaluations(events) == expected


def test_individuals_come_in_the_order_in_which_they_were_first_started() -> None:
    names = [evaluation.name for evaluation in gather_evaluations(study())]
    assert names[:6] == ["0-0", "1-0", "0-1", "1-1", "0-2", "1-2"]


def test_every_individual_has_its_latest_fate() -> None:
    fates = {evaluation.name: evaluation for evaluation in gather_evaluations(study())}
    assert {name: fates[name].status for name in ("0-0", "1-0", "0-1", "0-2", "1-2", "2-0")} == {
        "0-0": "completed",
        "1-0": "completed",
        "0-1": "pruned",
        "0-2": "running",
        "1-2": "interrupted",
        "2-0": "failed",
    }
    assert (fates["1-0"].loss, fates["1-0"].rank, fates["1-0"].started) == (1234567.0, 0, 1.0)
    assert fates["0-2"].rank is None


def test_of_two_outcomes_of_one_individual_the_completed_one_with_the_lowest_loss_counts() -> None:
    outcomes = [end((0, 0), 2.0, "failed", error="E"), end((0, 0), 3.0, loss=2.0), end((0, 0), 4.0, loss=1.0)]
    for order in itertools.permutations(outcomes):
        (evaluation,) = gather_evaluations([start((0, 0), 1.0), *order])
        assert (evaluation.status, evaluation.loss) == ("completed", 1.0)


def test_an_outcome_without_its_start_is_of_nobody() -> None:
    assert gather_evaluations([end((0, 0), 1.0, loss=1.0)]) == []


def test_only_completed_individuals_are_ranked_and_the_first_of_equal_ones_leads() -> None:
    ranking = rank_evaluations(gather_evaluations([*study(), start((0, 3), 30.0), end((0, 3), 31.0, loss=0.25)]))
    assert [evaluation.name for evaluation in ranking] == ["1-1", "0-0", "0-3", "1-0"]


def test_statuses_and_reasons_are_counted() -> None:
    evaluations = gather_evaluations(study())
    counts = count_statuses(evaluations)
    assert [counts[name] for name in ("completed", "pruned", "failed", "interrupted", "running", "lost")] == [
        3, 1, 12, 1, 1, 0,
    ]  # fmt: skip
    reasons = failure_reasons(evaluations)
    assert [len(failed) for _, failed in reasons] == [8, 1, 1, 1, 1]
    assert reasons[0][0] == "ValueError: the loss is nan: it must be finite"
    assert count_text(evaluations) == ("18 evaluations (3 completed, 1 pruned, 12 failed, 1 interrupted, 1 running)")
    assert count_text([]) == "0 evaluations (none finished)"


def result(events: Callable[[], list[AnyEvent]] = study, **more: Any) -> Result:
    settings: dict[str, Any] = {
        "stop_reason": "9 generations are complete",
        "interrupted": False,
        "run_dir": None,
        "rank": 0,
    }
    return Result(**{"events": events, "gave_up": False, **settings, "seconds": 12.345, **more})


def test_a_result_knows_its_best_individual_and_reads_its_records_once() -> None:
    reads = []

    def events() -> list[AnyEvent]:
        reads.append(True)
        return study()

    found = result(events)
    assert reads == []
    assert found.best is not None
    assert (found.best.name, found.best.loss) == ("1-1", -1e-12)
    assert len(found.individuals) == 18
    assert reads == [True]
    assert result(list).best is None


def test_the_final_table_is_as_it_always_was() -> None:
    check_golden("summary.txt", shown(summary_text(gather_evaluations(study()), NAMES)))


def test_the_final_table_fits_a_narrow_terminal() -> None:
    console = Console(width=80, force_terminal=False, no_color=True)
    events = [event for index in range(5) for event in (start((0, index), index), end((0, index), index, loss=-1e-12))]
    with console.capture() as capture:
        console.print(summary_text(gather_evaluations(study() + events), NAMES))
    assert all(len(line.rstrip()) <= 80 for line in capture.get().splitlines())


def test_markup_in_what_users_write_is_shown_as_it_is() -> None:
    events = [
        start((0, 0), 1.0, **{"[red]": "[bold]x[/bold]"}),
        end((0, 0), 2.0, loss=1.0, host="[h]", metrics={"[blue]": 3}),
        start((0, 1), 3.0),
        end((0, 1), 4.0, "failed", error="KeyError: '[/closing]'"),
    ]
    text = shown(summary_text(gather_evaluations(events), ["[red]"]))
    for written in ("[red]", "[bold]x[/bold]", "[blue]", "[h] ", "KeyError: '[/closing]'"):
        assert written in text


def test_nothing_found_has_no_table() -> None:
    assert shown(summary_text([], NAMES)).strip() == ""


def test_the_best_individual_is_shown_with_all_that_is_known_of_it() -> None:
    best = rank_evaluations(gather_evaluations(study()))[1]
    check_golden("best.txt", best_text(best))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1234567, "0.1235"), (1e-12, "1e-12"), (1234567.0, "1.235e+06"), (3, "3"), (True, "True"), (None, "")],
)
def test_numbers_are_short(value: Any, text: str) -> None:
    assert number_text(value) == text


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_progress_in_a_log_file_is_a_sober_line_every_few_seconds() -> None:
    clock, lines = Clock(), list[str]()
    progress = Lines(Tally(0, None), 12, lines.append, clock)
    for index in range(12):
        progress(start((0, index), 0.0))
        clock.now += 0.75
        progress(Reported(time=0.0, individual=(0, index), step=0, loss=9.0))
        clock.now += 0.75
        failed = index % 4 == 3
        loss = None if failed else 10.0 / (index + 1) if index < 7 else 5.0
        progress(end((0, index), 0.0, "failed" if failed else "completed", loss=loss))
    progress.close()
    check_golden("progress.txt", "\n".join(lines))


def test_progress_goes_on_from_an_earlier_session_and_does_not_count_interruptions() -> None:
    clock, lines = Clock(), list[str]()
    progress = Lines(Tally(40, (0.5, (1, 2))), None, lines.append, clock)
    clock.now += 1234.5
    progress(end((0, 0), 0.0, "interrupted"))
    progress(end((0, 1), 0.0, loss=0.6))
    progress.close()
    assert lines == ["[ 1234.5 s] 40 evaluations, best 0.5 by 1-2", "[ 1234.5 s] 41 evaluations, best 0.5 by 1-2"]


def test_nothing_is_said_of_a_session_in_which_nothing_finished() -> None:
    clock, lines = Clock(), list[str]()
    progress = Lines(Tally(0, None), 3, lines.append, clock)
    progress(start((0, 0), 0.0))
    clock.now += 60
    progress(Reported(time=0.0, individual=(0, 0), step=0, loss=9.0))
    progress.close()
    assert lines == []


def test_a_pruned_or_failed_individual_is_never_the_best_so_far() -> None:
    tally = Tally(0, None)
    tally.add(end((0, 0), 0.0, "pruned", loss=0.0))
    tally.add(end((0, 1), 0.0, "failed"))
    assert (tally.best_text(), tally.finished, tally.failed) == ("none yet", 2, 1)
    tally.add(end((0, 2), 0.0, loss=3.0))
    tally.add(end((0, 0), 0.0, loss=3.0))
    assert tally.best_text() == "3 by 0-0"


def test_the_live_view_draws_what_runs_without_a_terminal() -> None:
    console = Console(record=True, force_terminal=True, width=80, height=40, file=io.StringIO())
    view = LiveView(Tally(1, (0.5, (9, 9))), 30, console)
    for index in range(20):
        view(start((0, index), 0.0))
    view(Reported(time=0.0, individual=(0, 1), step=4, loss=0.123456))
    view(end((0, 0), 0.0, "failed", error="E"))
    view(end((0, 2), 0.0, loss=0.25))
    view.close()
    text = console.export_text()
    assert "3 of 30 evaluations, 1 failed" in text
    assert "best" in text
    assert "0.25 by 0-2" in text
    assert "0-1  step 4, loss 0.1235" in text
    assert "and 2 more" in text
    assert "0-0" not in text.rpartition("3 of 30")[2]


def test_the_live_view_draws_while_the_search_goes_on() -> None:
    console = Console(force_terminal=True, width=80, file=io.StringIO())
    view = LiveView(Tally(0, None), None, console)
    began = time.monotonic()
    for index in itertools.count():
        view(start((0, index), 0.0))
        view(end((0, index - 8), 0.0, loss=1.0 + index))
        if time.monotonic() - began > 0.6:
            break
    view.close()
    assert f"{index + 1} evaluations" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def terminal() -> Iterator[Callable[[int], Any]]:
    opened: list[int] = []

    def make(columns: int) -> Any:
        ours, theirs = os.openpty()
        opened.extend([ours, theirs])
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if columns else 0, columns, 0, 0))
        return os.fdopen(os.dup(theirs), "w")

    yield make
    for descriptor in opened:
        os.close(descriptor)


def test_a_terminal_has_its_width(terminal: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(97) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert terminal_width() == 97


def test_the_terminal_that_mpirun_gives_its_ranks_has_none(
    terminal: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal(0) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert terminal_width() == 0


def test_what_is_no_terminal_has_no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert terminal_width() == 0


def test_a_file_has_no_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "log").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert terminal_width() == 0


SPACE = Space({"lr": (0.0, 1.0), "layers": (1, 3), "optimizer": ("sgd", "adam")})
PLACES = [Place(rank, f"node{rank // 4}", f"cuda:{rank % 4}", 8 if rank % 4 else 1, {}) for rank in range(8)]


def known() -> Population:
    return replayed(
        SPACE,
        [
            start((0, 0), 1.0, lr=0.5, layers=1, optimizer="sgd"),
            end((0, 0), 2.0, loss=0.25),
            start((1, 0), 1.0, lr=0.25, layers=1, optimizer="sgd"),
            start((1, 1), 1.0, lr=0.75, layers=1, optimizer="sgd"),
            end((1, 1), 1.0, "interrupted"),
        ],
    )


def test_all_that_is_printed_into_a_log_is_as_it_always_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/name/individuals/1-1")
    folder.mkdir(parents=True)
    (folder / "events.out.tfevents.1").touch()
    budget = Budget(generations=5, evaluations=99, target=1e-3, deadline=5.0)
    screen = Screen(silent=False)
    screen.begin("name", "runs/name", PLACES, budget)
    progress = screen.progress(known(), budget, ranks=8)
    progress(start((0, 1), 0.0, lr=0.1, layers=2, optimizer="sgd"))
    progress(end((0, 1), 0.0, loss=0.125))
    progress.close()
    ended = result(
        run_dir=Path("runs/name"),
        interrupted=True,
        digest="0123456789abcdef0123",
        test={"test_acc": 0.98765, "images": 270},
    )
    screen.end(ended, NAMES, 8)
    text = capsys.readouterr().out
    seconds = text.partition("[")[2].partition("]")[0]
    check_golden("screen.txt", text.replace(seconds, "    0.0 s"))


@pytest.mark.parametrize(
    ("more", "lines"),
    [
        ({}, ["18 evaluations (3 completed, 1 pruned, 12 failed, 1 interrupted, 1 running) in 12.3 s: 9 gene"]),
        ({"test_error": "OSError: gone"}, ["the best candidate could not be tested: OSError: gone"]),
        ({"interrupted": True}, ["not complete"]),
        ({"events": list}, ["0 evaluations (none finished)", "no evaluation completed, so there is no best candidate"]),
    ],
)
def test_the_last_lines_say_how_it_ended(
    more: dict[str, Any], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Screen(silent=False).end(result(**more), NAMES, 8)
    out = capsys.readouterr().out
    for line in lines:
        assert line in out


def test_a_silent_screen_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(silent=True)
    screen.begin("name", "runs/name", PLACES, Budget())
    progress = screen.progress(known(), Budget(), 1)
    assert isinstance(progress, Silent)
    progress(end((0, 0), 0.0, loss=1.0))
    progress.close()
    screen.end(result(), NAMES, 1)
    assert capsys.readouterr() == ("", "")


def test_threads_of_a_node_are_shown_from_few_to_many(capsys: pytest.CaptureFixture[str]) -> None:
    for few, many in ((1, 8), (2, 16), (3, 64)):
        places = [Place(0, "n", "cpu", many, {}), Place(1, "n", "cpu", few, {})]
        Screen(silent=False).begin("name", "d", places, Budget(generations=1))
        assert f"  n: ranks 0 on cpu, 1 on cpu; {few}-{many} threads each\n" in capsys.readouterr().out


def test_an_evaluation_is_named_as_its_folder() -> None:
    assert Evaluation(individual=(3, 14), params={}).name == "3-14"
