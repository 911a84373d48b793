"""What people see of a study: records gathered from its events, tables, progress, and the screen of the first rank."""

from __future__ import annotations

import fcntl
import io
import itertools
import os
import random
import re
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers import check_golden
from records import replayed
from rich.console import Console

from evo.engine.budget import Budget
from evo.islands.archipelago import make_archipelago
from evo.islands.migration import Migration
from evo.islands.topology import make_topology
from evo.population.events import (
    AnyEvent,
    Died,
    Done,
    Finished,
    Joined,
    Migrated,
    Pollinated,
    Reported,
    Retired,
    Started,
)
from evo.population.goal import make_goal
from evo.population.identity import Identity
from evo.population.objectives import ONE_LOSS
from evo.population.population import Population
from evo.population.reason import StopKind
from evo.report.course import Course
from evo.report.progress import ProgressDisplay, Silent
from evo.report.reasons import failure_reasons
from evo.report.records import Evaluation, Findings, count_statuses, gather_evaluations, rank_evaluations
from evo.report.results import Result
from evo.report.screen import Screen
from evo.report.tables import best_text, count_text, number_text, plain_console, summary_text
from evo.runtime.batch import BATCH_SYSTEMS
from evo.runtime.device import Placement
from evo.space.limits import Float, parse_limits
from evo.space.space import Space
from evo.texts import terminal_width


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


def test_travels_and_deaths_change_nothing_of_what_became_of_anyone() -> None:
    others: list[AnyEvent] = [
        Migrated(time=20.0, individual=(0, 0), island=1, move=1),
        Pollinated(time=20.0, individual=(1, 1), island=1),
        Retired(time=20.0, individual=(1, 0), island=0),
        Died(time=20.0, rank=1, heir=0),
        msgspec.structs.replace(start((1, 1), 21.0, lr=0.02, layers=2, optimizer="adam"), rank=0),
    ]
    assert gather_evaluations(study() + others) == gather_evaluations(study())


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
    assert [(reason.kind, len(reason.evaluations)) for reason in reasons] == [("ValueError", 8), ("OSError", 4)]
    assert count_text(evaluations) == ("18 evaluations (3 completed, 1 pruned, 12 failed, 1 interrupted, 1 running)")
    assert count_text([]) == "0 evaluations (none finished)"


def result(events: Callable[[], list[AnyEvent]] = study, **more: Any) -> Result:
    settings: dict[str, Any] = {
        "stop_reason": "9 generations are complete",
        "stop_kind": StopKind.GENERATIONS,
        "run_dir": None,
        "rank": 0,
    }
    return Result(**{"findings": Findings(events), **settings, "seconds": 12.345, **more})


def test_the_kind_of_its_stop_says_whether_a_search_was_interrupted_or_gave_up() -> None:
    found = {kind: result(stop_kind=kind) for kind in StopKind}
    assert {kind for kind, one in found.items() if one.interrupted} == {
        *(StopKind.DEADLINE, StopKind.TOO_SHORT, StopKind.REQUESTED, StopKind.STORAGE),
    }
    assert {kind for kind, one in found.items() if one.gave_up} == {StopKind.TOO_MANY_FAILED}


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
    assert found.times["evaluation"] > 0
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


def test_where_a_worker_has_several_ranks_the_worker_is_named() -> None:
    def joined(time: float, size: int) -> Joined:
        return Joined(time=time, rank=1, ranks=2, host="", device="", ranks_per_worker=size)

    events = [
        *(joined(0.0, 1), joined(5.0, 2)),
        *(start((1, 0), 1.0), end((1, 0), 2.0, loss=1.0)),
        *(start((1, 1), 6.0), end((1, 1), 7.0, loss=2.0)),
    ]
    for ordered in (events, events[::-1]):
        evaluations = gather_evaluations(ordered)
        assert [one.evaluator for one in evaluations] == ["rank 1", "worker 1"]
    assert ", evaluated by worker 1 on " in best_text(evaluations[1])
    assert re.search(r"evaluated by +rank 1 +worker 1 *\n", shown(summary_text(evaluations, [])))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1234567, "0.1235"), (1e-12, "1e-12"), (1234567.0, "1.235e+06"), (3, "3"), (True, "True"), (None, "")],
)
def test_numbers_are_short(value: Any, text: str) -> None:
    assert number_text(value) == text


SPACE = Space({"lr": (0.0, 1.0), "layers": (1, 3), "optimizer": ("sgd", "adam")})


def show(progress: ProgressDisplay, *events: AnyEvent) -> None:
    for event in events:
        progress(event)


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


SHOWN = {
    "batch": [32, 64],
    "size": [8, 16, 64],
    "lr": Float(1e-4, 0.1, log=True, default=1e-3),
    "act": ["relu", "tanh"],
    "model.momentum": Float(0.0, 0.99, when={"act": "relu"}),
    "epochs": 10,
}
PLACES = [Placement(rank, f"node{rank // 4}", f"cuda:{rank % 4}", 8 if rank % 4 else 1, {}) for rank in range(8)]


KNOWN: list[AnyEvent] = [
    start((0, 0), 1.0, lr=0.5, layers=1, optimizer="sgd"),
    end((0, 0), 2.0, loss=0.25),
    start((1, 0), 1.0, lr=0.25, layers=1, optimizer="sgd"),
    start((1, 1), 1.0, lr=0.75, layers=1, optimizer="sgd"),
    end((1, 1), 1.0, "interrupted"),
]


def known() -> Population:
    return replayed(SPACE, KNOWN)


def joined(workers: int, **limits: Any) -> list[AnyEvent]:
    now = time.time()
    return [Joined(time=now, rank=rank, ranks=workers, host="n", device="cpu", **limits) for rank in range(workers)]


def course() -> Course:
    made = Course()
    made.add_all(KNOWN)
    return made


def test_all_that_is_printed_into_a_log_is_as_it_always_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/name/individuals/1-1")
    folder.mkdir(parents=True)
    (folder / "events.out.tfevents.1").touch()
    budget = Budget(generations=5, evaluations=99, goal=make_goal(1e-3, None, ONE_LOSS), deadline=5.0)
    screen = Screen(silent=False)
    screen.begin("name", "runs/name", PLACES, budget, make_archipelago(8), None)
    screen.parameters(parse_limits(SHOWN))
    progress = screen.progress(course(), known(), lambda: True, list)
    now = time.time()
    show(progress, *joined(8, generations=5, evaluations=99), start((0, 1), now), end((0, 1), now + 1, loss=0.125))
    progress.close()
    ended = result(
        run_dir=Path("runs/name"),
        stop_kind=StopKind.REQUESTED,
        digest="0123456789abcdef0123",
        test={"test_acc": 0.98765, "images": 270},
    )
    screen.end(ended, NAMES, 8, 8)
    text = capsys.readouterr().out
    seconds = text.partition("[")[2].partition("]")[0]
    check_golden("screen.txt", re.sub(r"busy .*", "busy 90 %; about 0.0 s left", text.replace(seconds, "    0.0 s")))


@pytest.mark.parametrize(
    ("more", "lines"),
    [
        ({}, ["18 evaluations (3 completed, 1 pruned, 12 failed, 1 interrupted, 1 running) in 12.3 s: 9 gene"]),
        ({"test_error": "OSError: gone"}, ["the best candidate could not be tested: OSError: gone"]),
        ({"stop_kind": StopKind.REQUESTED}, ["not complete"]),
        ({"events": list}, ["0 evaluations (none finished)", "no evaluation completed, so there is no best candidate"]),
        ({"lost_ranks": (3,)}, ["\nrank 3 of 8 died, and the others took over\n"]),
        ({"lost_ranks": (0, 5)}, ["\nranks 0, 5 of 8 died, and the others took over\n"]),
        ({"digest": "abc"}, ["\nall 8 ranks hold the same population: abc\n"]),
        ({"digest": "abc", "lost_ranks": (0, 5)}, ["\nall 6 ranks hold the same population: abc\n"]),
    ],
)
def test_the_last_lines_say_how_it_ended(
    more: dict[str, Any], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Screen(silent=False).end(result(**more), NAMES, 8, 8)
    out = capsys.readouterr().out
    for line in lines:
        assert line in out


@pytest.mark.parametrize(
    ("variable", "how"),
    [
        ("", ""),
        ("SLURM_JOB_ID", " (Slurm: sbatch the same script again; jobs/chain.sh queues itself again)"),
        ("PBS_JOBID", " (PBS: qsub the same script again)"),
        ("LSB_JOBID", " (LSF: bsub the same script again; with bsub -Q 85 LSF queues it again by itself)"),
        ("FLUX_JOB_ID", " (Flux: flux batch the same script again)"),
    ],
)
def test_in_a_batch_job_the_last_line_says_how_to_go_on(
    variable: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for system in BATCH_SYSTEMS:
        monkeypatch.delenv(system.job, raising=False)
    if variable:
        monkeypatch.setenv(variable, "7")
    Screen(silent=False).end(result(stop_kind=StopKind.REQUESTED, run_dir=tmp_path), NAMES, 8, 8)
    assert capsys.readouterr().out.endswith(f"\nnot complete: run the same command again to go on{how}\n")


def test_a_silent_screen_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(silent=True)
    screen.begin("name", "runs/name", PLACES, Budget(), make_archipelago(8), None)
    screen.parameters(parse_limits(SHOWN))
    progress = screen.progress(course(), known(), lambda: True, list)
    assert isinstance(progress, Silent)
    progress(end((0, 0), 0.0, loss=1.0))
    progress.close()
    screen.end(result(), NAMES, 1, 1)
    assert capsys.readouterr() == ("", "")


def test_threads_of_a_node_are_shown_from_few_to_many(capsys: pytest.CaptureFixture[str]) -> None:
    for few, many in ((1, 8), (2, 16), (3, 64)):
        places = [Placement(0, "n", "cpu", many, {}), Placement(1, "n", "cpu", few, {})]
        Screen(silent=False).begin("name", "d", places, Budget(generations=1), make_archipelago(2), None)
        assert f"  n: ranks 0 on cpu, 1 on cpu; {few}-{many} threads each\n" in capsys.readouterr().out


def test_only_the_first_live_rank_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    is_first = False
    happened = [*KNOWN, *joined(2, evaluations=9), start((0, 1), time.time()), end((0, 1), time.time(), loss=0.125)]
    progress = Screen(silent=False).progress(Course(), known(), lambda: is_first, lambda: happened)
    show(progress, *happened[-2:])
    assert capsys.readouterr().out == ""
    is_first = True  # Since the ones before it have died; what happened before is read then.
    show(progress, start((0, 2), time.time()), end((0, 2), time.time(), loss=0.0625))
    progress.close()
    assert "] 3/9 evaluations, best 0.0625 by 0-2 *" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ranks", "sizes", "options", "lines"),
    [
        (4, [4], {}, []),
        (
            4,
            [3, 1],
            {},
            [
                "  2 islands of ranks: 0: 0-2, 1: 3",
                "  copies travel with probability 0.9: 0 -> 1; 1 -> 0 (1 each time)",
            ],
        ),
        (
            4,
            [2, 1, 1],
            {"mode": "move", "probability": 0.25, "topology": ((0, 3, 0), (0, 0, 1), (2, 0, 0))},
            [
                "  3 islands of ranks: 0: 0-1, 1: 2, 2: 3",
                "  individuals move with probability 0.25: 0 -> 1 ×3; 1 -> 2 ×1; 2 -> 0 ×2 (each time)",
            ],
        ),
        (4, [2], {}, ["  worker 0 of ranks 0-1, …, worker 1 of ranks 2-3"]),
        (
            8,
            [1, 1],
            {"topology": ((0, 0), (0, 0))},
            [
                "  worker 0 of ranks 0-3, …, worker 1 of ranks 4-7",
                "  2 islands of workers: 0: 0, 1: 1",
                "  copies travel with probability 0.9: no island sends to another",
            ],
        ),
        (
            26,
            [2] * 13,
            {},
            [
                "  13 islands of ranks: 0: 0-1, 1: 2-3, 2: 4-5, 3: 6-7, 4: 8-9, 5: 10-11, 6: 12-13, 7: 14-15, "
                "8: 16-17, 9: 18-19, 10: 20-21, …, 12: 24-25",
                "  copies travel with probability 0.9: each -> all others (1 each time)",
            ],
        ),
        (
            12,
            [1] * 12,
            {"topology": make_topology("ring", 12)},
            [
                "  12 islands of ranks: 0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 9: 9, 10: 10, 11: 11",
                "  copies travel with probability 0.9: 0 -> 1; 1 -> 2; 2 -> 3; 3 -> 4; 4 -> 5; 5 -> 6; 6 -> 7; 7 -> 8; "
                "8 -> 9; 9 -> 10; … and 2 more (1 each time)",
            ],
        ),
    ],
)
def test_the_first_lines_say_who_works_together_and_who_lives_where(
    ranks: int, sizes: list[int], options: dict[str, Any], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    archipelago = make_archipelago(sum(sizes), sizes=sizes)
    policy: dict[str, Any] = {"mode": "copy", "probability": 0.9, "topology": make_topology("full", len(sizes))}
    migration = Migration(**{**policy, **options}) if len(sizes) > 1 else None
    places = [Placement(rank, "n", "cpu", 1, {}) for rank in range(ranks)]
    Screen(silent=False).begin("name", "d", places, Budget(generations=7), archipelago, migration)
    first, second, *more = capsys.readouterr().out.splitlines()
    who = "ranks" if sum(sizes) == ranks else "workers"
    assert first == f"evo: study name in d; 7 generations on each of {sum(sizes)} {who}"
    assert second.startswith("  n: ranks 0 on cpu, 1 on cpu")
    assert more == lines


def test_the_first_rank_that_is_alive_is_the_one_to_print() -> None:
    assert result().is_first
    assert not result(rank=1).is_first
    assert result(rank=2, first_rank=2, lost_ranks=(0, 1)).is_first


def test_an_evaluation_is_named_as_its_folder() -> None:
    assert Evaluation(individual=(3, 14), params={}).name == "3-14"
