"""Run directories that are looked at while they change: `evo status`, what became of a search, and only what is new."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers import call

import evo
from evo.engine.hearing import pack_counts, unpack_counts
from evo.errors import UserError
from evo.population.events import AnyEvent, Done, Finished, Heard, Joined, Started, encode
from evo.population.identity import Identity
from evo.population.reason import StopKind
from evo.report import status
from evo.report.course import Course
from evo.report.reader import CourseReader
from evo.report.watching import RunWatch, State, judge_state
from evo.space.space import Space
from evo.storage.journal import read_journal
from evo.storage.lines import Tail
from evo.storage.locks import are_held
from evo.storage.rundir import RunDirectory, StudyRecord, study_forms

LIMITS = {"x": (0.0, 1.0)}
ELSEWHERE = "another-machine"
JOINED = Joined(time=1000.0, rank=0, ranks=1, host=ELSEWHERE, device="cpu", evaluations=4)


def evaluated(identity: Identity, loss: float | None, x: float = 0.5, when: float = 1001.0) -> list[AnyEvent]:
    status = "failed" if loss is None else "completed"
    return [
        Started(time=when, individual=identity, island=0, params={"x": x}),
        Finished(time=when + 1, individual=identity, status=status, loss=loss, rank=identity[0], seconds=1.0),
    ]


def begun(folder: Path, *events: AnyEvent, **more: Any) -> Path:
    """A run directory with one journal."""
    study = StudyRecord(name="s", objective="of:nobody", limits=Space(LIMITS).describe(), seed=0, created=900.0, **more)
    RunDirectory(folder).create(study)
    return add(folder, *events)


def add(folder: Path, *events: AnyEvent, rank: int = 0) -> Path:
    with (folder / "journal" / f"{rank}.jsonl").open("ab") as stream:
        stream.writelines(encode(event) + b"\n" for event in events)
    return folder


def reader(folder: Path) -> CourseReader:
    directory = RunDirectory(folder)
    study = directory.study()
    assert study is not None
    return CourseReader(directory, study_forms(study))


def test_only_what_was_added_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = reader(begun(tmp_path, JOINED, *evaluated((0, 0), 2.0)))
    seen: list[AnyEvent] = []
    add_all = Course.add_all
    monkeypatch.setattr(Course, "add_all", lambda self, events: (seen.extend(events), add_all(self, events)))
    assert watched.read().best == (0, 0)
    assert len(seen) == 3
    add(tmp_path, *evaluated((0, 1), 1.0))
    add(tmp_path, *evaluated((1, 0), 3.0), rank=1)  # Of a worker that has joined meanwhile.
    assert watched.read().best == (0, 1)
    assert len(seen) == 3 + 4
    watched.read()
    assert len(seen) == 7
    assert len(list(watched.events())) == 7
    assert [type(event).__name__ for event in watched.events_about((0, 1))] == ["Joined", "Started", "Finished"]


def test_a_line_that_is_just_being_written_counts_once_it_is_whole(tmp_path: Path) -> None:
    watched = reader(begun(tmp_path, JOINED))
    started, finished = (encode(event) for event in evaluated((0, 0), 2.0))
    with (tmp_path / "journal" / "0.jsonl").open("ab", buffering=0) as stream:
        for byte in started + b"\n" + finished:
            stream.write(bytes([byte]))
            counts = watched.read().counts
        assert (counts["completed"], counts["running"]) == (1, 0)
        stream.write(b"\n")
    assert watched.read().counts["completed"] == 1


def test_a_journal_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    watched = reader(begun(tmp_path, JOINED, *evaluated((0, 0), 2.0), *evaluated((0, 1), 1.0)))
    assert watched.read().best == (0, 1)
    file = tmp_path / "journal" / "0.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    (tmp_path / "new").write_bytes(b"".join(lines[:3]))
    (tmp_path / "new").replace(file)  # As evo repair does.
    assert watched.read().best == (0, 0)
    file.write_bytes(lines[0])  # Shorter than before.
    assert watched.read().best is None


def test_a_damaged_line_that_was_added_is_named_with_its_number(tmp_path: Path) -> None:
    watched = reader(begun(tmp_path, JOINED, *evaluated((0, 0), 2.0)))
    watched.read()
    with (tmp_path / "journal" / "0.jsonl").open("ab") as stream:
        stream.write(encode(JOINED) + b"\ngarbage\n")
    with pytest.raises(UserError, match=r"journal .*0\.jsonl, line 5 is damaged: JSON is malformed"):
        watched.read()


def test_a_long_journal_is_read_in_blocks_and_its_damage_is_found_in_any(tmp_path: Path) -> None:
    many = [event for index in range(12_000) for event in evaluated((0, index), float(index + 1))]
    file = begun(tmp_path, JOINED, *many) / "journal" / "0.jsonl"
    assert file.stat().st_size > 2 << 20
    tail = Tail(file)
    blocks = list(tail.read())
    assert [event for block in blocks for event in block] == [JOINED, *many]
    assert len(blocks) > 2
    assert list(tail.read()) == []
    assert evo.load(tmp_path).best == evo.load(tmp_path).ranking[0]
    lines = file.read_bytes().splitlines()
    for number in (1, 12_000, 24_001):
        damaged = [*lines[: number - 1], b"", *lines[number:]]
        file.write_bytes(b"\n".join(damaged) + b"\n")
        with pytest.raises(UserError, match=rf"0\.jsonl, line {number} is damaged"):
            evo.load(tmp_path)


def test_only_a_replay_reads_what_was_heard_but_its_damage_is_found_by_all(tmp_path: Path) -> None:
    heard = [Heard(time=1000.5, counts=pack_counts(dict.fromkeys(range(255), 1)), beyond=True), Heard(time=1e-7)]
    both = evaluated((0, 0), 2.0)
    file = begun(tmp_path, JOINED, heard[0], both[0], *heard, both[1], heard[1]) / "journal" / "0.jsonl"
    assert len(encode(heard[0])) < 80
    content = file.read_bytes()
    torn = encode(heard[1])
    for kept in (content, content + torn, content + torn[:-1], content.replace(b'"beyond":', b'"beyond": ')):
        file.write_bytes(kept)
        assert list(read_journal(file)) == [JOINED, *both]
        more = [heard[1]] * kept.endswith(torn)
        assert list(read_journal(file, with_heard=True)) == [
            JOINED,
            heard[0],
            both[0],
            *heard,
            both[1],
            heard[1],
            *more,
        ]
    file.write_bytes(content.replace(b"1*255;", b"1*2x5;", 1))
    with pytest.raises(UserError, match="line 2 is damaged"):
        list(read_journal(file))
    file.write_bytes(torn + b"\n")
    assert list(read_journal(file)) == []


def test_counts_are_packed_without_a_loss() -> None:
    for counts in ({}, {0: 2, 1: 12, 3: 1}, dict.fromkeys(range(512), 10**9), {511: 7}, {5: 1, 1: 1}):
        assert unpack_counts(pack_counts(counts)) == counts


def test_who_does_not_fulfil_the_constraints_of_now_is_not_the_best(tmp_path: Path) -> None:
    outside, inside = evaluated((0, 0), 1.0, x=0.9), evaluated((0, 1), 2.0, x=0.25)
    folder = begun(tmp_path, JOINED, *inside, *outside, constraints=["x < 0.5"])
    watched = reader(folder)
    assert watched.read().best == (0, 1)
    add(folder, *evaluated((0, 2), 0.5, x=0.9), *evaluated((0, 3), 1.5, x=0.125))
    assert watched.read().best == (0, 3)
    loaded = evo.load(folder)
    assert loaded.best is not None
    assert (loaded.best, loaded.best.name) == (loaded.ranking[0], "0-3")


def test_a_parameter_may_be_called_as_a_field_of_a_record(tmp_path: Path) -> None:
    start, end = evaluated((0, 0), 1.0)
    start = msgspec.structs.replace(start, params={"individual": [0, 1], "x": 1.0})
    other, other_end = evaluated((0, 1), 0.5)
    watched = reader(begun(tmp_path, start, end, other, other_end))
    watched.read()
    assert watched.events_about((0, 1)) == [other, other_end]


def test_a_lock_is_seen_without_being_taken(tmp_path: Path) -> None:
    file = tmp_path / "0.jsonl"
    file.touch()
    assert not are_held([file, tmp_path / "absent"])
    with file.open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert are_held([tmp_path / "absent", file])
        fcntl.flock(stream, fcntl.LOCK_UN)
        assert not are_held([file])


DONE = Done(time=1010.0, rank=0, reason="4 evaluations are complete", kind=StopKind.EVALUATIONS)
STOPPED = Done(time=1010.0, rank=0, reason="the walltime is over", kind=StopKind.DEADLINE)


@pytest.mark.parametrize(
    ("events", "quiet", "seen", "state"),
    [
        ([JOINED], 5.0, {"is_complete": True}, "complete"),
        ([JOINED], 500.0, {}, "running"),
        ([JOINED], 700.0, {}, "silent"),
        ([JOINED], 7000.0, {"is_locked": True, "is_here": True}, "running"),
        ([JOINED], 0.5, {"is_here": True}, "running"),
        ([JOINED], 5.0, {"is_here": True}, "killed"),
        ([JOINED, *evaluated((0, 0), 1.0)], 700.0, {}, "running"),  # An evaluation takes 1000 s.
        ([JOINED, *evaluated((0, 0), 1.0)], 3500.0, {}, "silent"),
        ([JOINED, DONE], 5.0, {}, "ending"),
        ([JOINED, DONE], 500.0, {"is_locked": True}, "ending"),  # The best one is being tested.
        ([JOINED, DONE], 500.0, {}, "stopped"),
        ([JOINED, STOPPED], 5.0, {"is_locked": True}, "ending"),
        ([JOINED, STOPPED], 5.0, {}, "stopped"),
        ([], 5.0, {}, "running"),
    ],
)
def test_what_has_become_of_a_search_is_told_from_what_can_be_seen(
    events: Sequence[AnyEvent], quiet: float, seen: dict[str, bool], state: State
) -> None:
    course = Course()
    course.add_all(events)
    known = {"is_complete": False, "is_locked": False, "is_here": False, **seen}
    assert judge_state(course.standing(2000.0), quiet, **known) == state


def test_a_search_of_this_machine_whose_processes_are_gone_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = msgspec.structs.replace(JOINED, host=socket.gethostname())
    folder = begun(tmp_path, here, *evaluated((0, 0), 1.0)[:1])
    file = folder / "journal" / "0.jsonl"
    os.utime(file, (1005.0, 1005.0))
    with file.open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        found = RunWatch(folder).look(now=1100.0)
        assert (found.state, found.quiet_seconds, found.standing.seconds) == ("running", 95.0, 100.0)
    found = RunWatch(folder).look(now=1100.0)
    assert (found.state, found.standing.seconds) == ("killed", 1.0)  # Until its last record.
    monkeypatch.setattr(fcntl, "fcntl", without_locks)
    assert RunWatch(folder).look(now=1100.0).state == "running"
    assert RunWatch(folder).look(now=2000.0).state == "silent"


def without_locks(*_: object) -> bytes:
    """What a file system answers that has no locks."""
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_loaded_study_tells_where_its_search_stood_without_another_reading(tmp_path: Path) -> None:
    folder = begun(tmp_path, msgspec.structs.replace(JOINED, host=socket.gethostname()), *evaluated((0, 0), 1.0))
    file = folder / "journal" / "0.jsonl"
    os.utime(file, (1005.0, 1005.0))
    with file.open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        run = evo.load(folder)
    file.unlink()  # The search has ended since, and nothing is read again.
    assert run.standing.state == "running"


# The command.


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    return begun(tmp_path / "run", JOINED, *evaluated((0, 0), 0.25), *evaluated((0, 1), None), STOPPED)


def test_the_command_shows_where_a_search_stands(stopped: Path) -> None:
    ended = call("status", str(stopped), str(stopped))
    assert ended.status == 0, ended.err
    assert f"study s in {stopped}: stopped: the walltime is over; the same command goes on\n" in ended.out
    assert ended.out.count("best 0.25 by 0-0") == 2
    assert "2 of 4 evaluations  10.0 s" in ended.out
    assert "\x1b" not in ended.out


def test_the_command_prints_an_object_for_each_run(stopped: Path) -> None:
    ended = call("status", "--json", str(stopped))
    (found,) = map(json.loads, ended.out.splitlines())
    assert (found["run"], found["study"], found["state"]) == (str(stopped), "s", "stopped")
    assert found["counts"] == {"completed": 1, "pruned": 0, "infeasible": 0, "failed": 1}
    assert (found["total"], found["best"]["individual"], found["best"]["loss"]) == (4, "0-0", 0.25)
    assert [one["state"] for one in found["workers"]] == ["done"]
    assert "standing" not in found


def following(monkeypatch: pytest.MonkeyPatch, *acts: Callable[[], object]) -> None:
    """Let something happen whenever the command would sleep."""
    left = list(acts)
    monkeypatch.setattr(status.time, "sleep", lambda seconds: left.pop(0)())


def test_the_command_follows_a_search_until_it_ends(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun(stopped.parent / "other", JOINED, *evaluated((0, 0), 0.5))
    following(
        monkeypatch,
        lambda: None,
        lambda: add(run, *evaluated((0, 1), 0.25)),
        lambda: add(run, STOPPED),
        lambda: pytest.fail("it has ended"),
    )
    ended = call("status", "--follow", str(run))
    first, last = ended.out.splitlines()
    assert "] 1/4 evaluations, best 0.5 by 0-0; " in first
    assert "] 2/4 evaluations, best 0.25 by 0-1 *; " in last
    assert last.endswith("; stopped: the walltime is over; the same command goes on")
    following(monkeypatch)
    assert len(call("status", "--follow", "--json", str(run), str(stopped)).out.splitlines()) == 2


def test_ctrl_c_ends_the_command_without_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    following(monkeypatch, press)
    ended = call("status", "--follow", str(begun(tmp_path, msgspec.structs.replace(JOINED, time=time.time()))))
    assert (ended.status, ended.err) == (130, "")
    assert len(ended.out.splitlines()) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "is no run directory: it has no study.json"),
        (lambda folder: (folder / "file").touch(), "is no run directory: it has no study.json"),
        (lambda folder: (begun(folder) / "journal" / "0.jsonl").write_text("{}\n"), "line 1 is damaged"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--follow",), ("--json",)])
def test_what_cannot_be_read_is_one_message(
    make: Callable[[Path], object], message: str, options: Sequence[str], tmp_path: Path
) -> None:
    make(tmp_path)
    ended = call("status", *options, str(tmp_path))
    assert (ended.status, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.startswith("evo: error: ")
    assert len(ended.err.splitlines()) == 1
