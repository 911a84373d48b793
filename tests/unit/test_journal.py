"""The run directory and its append-only logs."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

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
    encode,
)
from evo.storage.completion import RecordedTests
from evo.storage.journal import Journal, Memory, read_journal
from evo.storage.retry import StorageError
from evo.storage.rundir import RunDirectory, Scratch, StudyRecord

EVENTS: list[AnyEvent] = [
    Joined(time=1.5, rank=0, ranks=2, host="näme", device="cuda:0"),
    Started(time=2.25, individual=(0, 0), island=1, params={"x": 1e-300, "s": '}{"\n\\', "b": True, "n": None, "i": 3}),
    Reported(time=3.0, individual=(0, 0), step=4, loss=-0.1),
    Finished(
        time=4.0,
        individual=(0, 0),
        status="completed",
        loss=0.1,
        seconds=1e-9,
        rank=1,
        host="h",
        device="cpu",
        metrics={"accuracy": 0.5, "note": "Zürich", "fine": False, "absent": None},
    ),
    Finished(time=5.0, individual=(1, 7), status="failed", rank=1, error="E: {}", traceback='File "a.py"\n  }\n'),
    Retired(time=6.0, individual=(0, 0), island=1),
    Migrated(time=6.25, individual=(0, 0), island=2, move=1),
    Pollinated(time=6.5, individual=(0, 0), island=0),
    Died(time=6.75, rank=1, heir=0),
    Done(time=7.0, rank=0, reason="2 generations are complete"),
]
LINES = [encode(event) for event in EVENTS]
CONTENT = b"".join(line + b"\n" for line in LINES)
ENDS = [sum(len(line) + 1 for line in LINES[: count + 1]) for count in range(len(LINES))]
STUDY = StudyRecord(name="n", objective="m:f", limits={"x": {"type": "float", "low": 0.0, "high": 1.0}}, seed=3)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "0.jsonl"


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "runs" / "name")


def write_journal(file: Path, *lines: bytes) -> None:
    journal = Journal(file)
    for line in lines:
        journal.append(line)
    journal.close()


def test_a_journal_gives_back_every_kind_of_event_as_it_was(file: Path) -> None:
    write_journal(file, *LINES)
    assert file.read_bytes() == CONTENT
    assert list(read_journal(file)) == EVENTS


def test_each_line_is_json_that_any_tool_reads(file: Path) -> None:
    write_journal(file, *LINES)
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [record["type"] for record in records] == [type(event).__name__ for event in EVENTS]
    assert records[1]["individual"] == [0, 0]
    assert records[1]["params"] == {"x": 1e-300, "s": '}{"\n\\', "b": True, "n": None, "i": 3}


def test_an_event_is_with_the_operating_system_as_soon_as_it_is_appended(file: Path) -> None:
    journal = Journal(file)
    for count, line in enumerate(LINES, start=1):
        journal.append(line)
        assert len(file.read_bytes().splitlines()) == count
    journal.close()


def test_a_second_session_appends(file: Path) -> None:
    write_journal(file, *LINES[:3])
    write_journal(file, *LINES[3:])
    assert list(read_journal(file)) == EVENTS


def test_wherever_a_journal_was_cut_all_whole_lines_are_there(file: Path) -> None:
    for cut in range(len(CONTENT) + 1):
        file.write_bytes(CONTENT[:cut])
        whole = sum(end - 1 <= cut for end in ENDS)  # A line counts from its closing brace on.
        assert list(read_journal(file)) == EVENTS[:whole], cut


def test_wherever_a_journal_was_cut_it_goes_on_with_a_line_of_its_own(file: Path) -> None:
    for cut in range(len(CONTENT) + 1):
        file.write_bytes(CONTENT[:cut])
        write_journal(file, LINES[-1])
        whole = sum(end - 1 <= cut for end in ENDS)
        assert file.read_bytes() == b"".join(line + b"\n" for line in [*LINES[:whole], LINES[-1]]), cut


def test_a_share_that_is_away_for_a_moment_is_waited_for(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(b"".join(encode(event) + b"\n" for event in EVENTS))
    answers: list[OSError] = [OSError(errno.ESTALE, "Stale file handle"), OSError(errno.EIO, "Input/output error")]
    read = Path.read_bytes

    def read_later(path: Path) -> bytes:
        if answers:
            raise answers.pop()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_later)
    assert list(read_journal(file)) == EVENTS
    assert "Stale file handle; trying again for 30 s" in capsys.readouterr().err


def test_reading_changes_no_file(file: Path) -> None:
    file.write_bytes(CONTENT[:-9])
    list(read_journal(file))
    assert file.read_bytes() == CONTENT[:-9]


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 4096, LINES[0][:20] + b"\0" * 9])
def test_zeros_that_a_power_failure_left_at_the_end_are_cut(file: Path, tail: bytes) -> None:
    file.write_bytes(CONTENT + tail)
    assert list(read_journal(file)) == EVENTS
    write_journal(file, LINES[0])
    assert list(read_journal(file)) == [*EVENTS, EVENTS[0]]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"garbage",
        b"{}",
        b"\0" * 40,
        LINES[1][:-1],
        LINES[1][1:],
        LINES[1] + LINES[2],
        LINES[1][:-1] + b',"strategy":{"deep":' + b"[" * 5000 + b"]" * 5000 + b"}}",
        LINES[1] + b"\0",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"type":"Done","time":1,"rank":0,"reason":"\xff"}',
        b'{"type":"Renamed","time":1.0}',
        b'{"type":"Done","time":1.0,"rank":0}',
        b'{"type":"Done","time":1.0,"rank":0,"reason":"","more":1}',
        b'{"type":"Done","time":1.0,"rank":"0","reason":""}',
        b'{"type":"Reported","time":1.0,"individual":[0,0],"step":1,"loss":NaN}',
        b'{"type":"Reported","time":1.0,"individual":[0],"step":1,"loss":0.0}',
    ],
)
@pytest.mark.parametrize("line", [1, 2, len(LINES)])
def test_damage_before_the_end_is_reported_with_file_and_line(file: Path, damage: bytes, line: int) -> None:
    file.write_bytes(b"\n".join([*LINES[: line - 1], damage, *LINES[line:], b""]))
    with pytest.raises(
        ValueError, match=f"^journal {file}, line {line} is damaged: .*; evo repair {file.parent.parent} "
    ):
        list(read_journal(file))


def test_a_journal_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=f"journal {tmp_path}/folder cannot be written: Is a directory"):
        Journal(tmp_path / "folder")


def test_a_journal_recalls_what_was_appended_in_this_session(file: Path) -> None:
    write_journal(file, *LINES[:4])
    journal = Journal(file)
    assert list(journal.recall()) == []
    for count, line in enumerate(LINES, start=1):
        journal.append(line)
        assert list(journal.recall()) == EVENTS[:count]
    journal.close()
    assert list(read_journal(file)) == [*EVENTS[:4], *EVENTS]


@pytest.mark.parametrize("cut", [1, 9, len(LINES[-1])])
def test_a_journal_does_not_recall_the_line_that_an_earlier_session_left_unfinished(file: Path, cut: int) -> None:
    file.write_bytes(CONTENT[:-cut])  # With 1 the line is whole, but for its end.
    journal = Journal(file)
    journal.append(LINES[0])
    assert list(journal.recall()) == EVENTS[:1]
    journal.close()


def test_recalling_is_not_disturbed_by_what_is_appended_meanwhile(file: Path) -> None:
    journal = Journal(file)
    for line in LINES[:3]:
        journal.append(line)
    recalled = journal.recall()
    assert next(recalled) == EVENTS[0]
    journal.append(LINES[3])
    assert list(recalled) == EVENTS[1:3]
    assert list(journal.recall()) == EVENTS[:4]
    journal.close()


def test_a_journal_tells_what_another_rank_had_written_in_all_sessions(directory: RunDirectory) -> None:
    directory.create(STUDY)
    journal = directory.open_journal(0)
    journal.append(LINES[0])
    for lines in (LINES[1:3], LINES[3:6]):
        other = directory.open_journal(10)
        for line in lines:
            other.append(line)
        other.close()
    assert list(journal.left_by(10)) == EVENTS[1:6]
    assert list(journal.left_by(1)) == []
    journal.close()


def test_of_a_rank_that_died_while_it_wrote_all_whole_lines_are_left(directory: RunDirectory) -> None:
    directory.create(STUDY)
    journal, other = directory.open_journal(0), directory.path / "journal" / "1.jsonl"
    for cut in (1, 5, len(LINES[-1]), len(LINES[-1]) + 1):
        other.write_bytes(CONTENT[:-cut])
        assert list(journal.left_by(1)) == (EVENTS if cut == 1 else EVENTS[:-1])
    journal.close()


def test_a_damaged_journal_of_a_rank_that_died_is_reported_with_file_and_line(directory: RunDirectory) -> None:
    directory.create(STUDY)
    journal, other = directory.open_journal(0), directory.path / "journal" / "1.jsonl"
    other.write_bytes(b"\n".join([LINES[0], b"{}", LINES[2], b""]))
    with pytest.raises(StorageError, match=f"^journal {other}, line 2 is damaged: ."):
        list(journal.left_by(1))
    journal.close()


def test_without_files_all_events_that_are_known_are_recalled_and_nothing_is_left_by_the_dead() -> None:
    known: list[AnyEvent] = []
    memory = Memory(known)
    memory.append(LINES[0])
    assert list(memory.recall()) == []
    known += EVENTS[:3]
    recalled = memory.recall()
    known += EVENTS[3:]  # As whoever publishes again what is recalled does.
    assert list(recalled) == EVENTS[:3]
    known += EVENTS[:3]
    assert list(memory.recall()) == EVENTS, "an event that arrived again is recalled more than once"
    assert list(memory.left_by(1)) == []
    memory.close()


def test_a_directory_gives_back_its_study_and_the_events_of_all_its_ranks(directory: RunDirectory) -> None:
    assert directory.study() is None
    directory.create(STUDY)
    for rank in (0, 10, 2):
        journal = directory.open_journal(rank)
        journal.append(encode(Done(time=1.0, rank=rank, reason="")))
        journal.close()
    again = RunDirectory(directory.path)
    assert again.study() == STUDY
    assert sorted(event.rank for event in again.events() if isinstance(event, Done)) == [0, 2, 10]


def test_the_names_in_a_run_directory_are_fixed(directory: RunDirectory) -> None:
    directory.create(STUDY)
    directory.open_journal(3).close()
    directory.write("summary.json", {"a": 1})
    paths = sorted(str(path.relative_to(directory.path)) for path in directory.path.rglob("*"))
    assert paths == ["individuals", "journal", "journal/3.jsonl", "study.json", "summary.json"]
    assert directory.folder((3, 14)) == directory.path / "individuals" / "3-14"
    assert json.loads((directory.path / "study.json").read_text())["limits"] == STUDY.limits


def test_the_completion_record_goes_when_a_study_goes_on(directory: RunDirectory) -> None:
    directory.begin(STUDY)
    assert directory.tested() is None
    directory.write("summary.json", {"test": {"accuracy": 0.5}})
    assert directory.tested() == RecordedTests({"accuracy": 0.5})
    directory.begin(STUDY)
    assert directory.tested() is None
    assert directory.study() == STUDY


@pytest.mark.parametrize(
    "damage", [b"", b"\0\0", msgspec.json.encode(STUDY)[:-1], b"{}", b'{"name": 3}', b"[]", b"\xff\xfe", b"null"]
)
def test_a_damaged_study_is_an_error_that_names_the_file(directory: RunDirectory, damage: bytes) -> None:
    directory.create(STUDY)
    (directory.path / "study.json").write_bytes(damage)
    with pytest.raises(ValueError, match=f"run directory {directory}: study.json cannot be read: ."):
        directory.study()


def test_a_directory_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=f"{tmp_path} holds files but no study.json: choose an empty or a new directo"):
        RunDirectory(tmp_path).study()


def test_journals_whose_study_is_missing_are_not_taken_for_a_new_study(directory: RunDirectory) -> None:
    directory.create(STUDY)
    directory.open_journal(0).close()
    (directory.path / "study.json").unlink()
    with pytest.raises(ValueError, match=r"holds files but no study\.json"):
        directory.study()


def test_an_empty_directory_is_a_new_study(tmp_path: Path) -> None:
    assert RunDirectory(tmp_path).study() is None


class Killed(BaseException):
    pass


@pytest.mark.parametrize("place", ["fsync", "replace", "mkdir"])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_study_that_was_killed_while_its_directory_was_made_can_be_started_again(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch, place: str, after: int
) -> None:
    calls = 0

    def kill(original: Any) -> Any:
        def killing(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > after:
                raise Killed
            return original(*arguments, **options)

        return killing

    owner: Any = os if place == "fsync" else Path
    with monkeypatch.context() as patch:
        patch.setattr(owner, place, kill(getattr(owner, place)))
        with contextlib.suppress(Killed):
            directory.create(STUDY)
    again = RunDirectory(directory.path)
    if again.study() is None:
        again.create(STUDY)
    assert again.study() == STUDY
    again.open_journal(0).close()


@pytest.mark.parametrize("below", ["file", "file/deeper"])
def test_a_directory_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    directory = RunDirectory(tmp_path / below)
    with pytest.raises(ValueError, match=f"^run directory {directory}: {tmp_path}/file is a file; choose another"):
        directory.check_writable()
    with pytest.raises(ValueError, match=f"^run directory {directory} cannot be written: "):
        directory.create(STUDY)
    assert directory.study() is None


def test_scratch_remembers_events_and_keeps_nothing_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scratch = Scratch()
    scratch.begin(STUDY)
    assert scratch.study() is None
    journal = scratch.open_journal(0)
    for event in EVENTS:
        journal.append(encode(event))
        scratch.remember(event)
    assert list(journal.recall()) == EVENTS
    scratch.write("summary.json", {})
    assert scratch.tested() is None
    folder = scratch.folder((0, 1))
    folder.mkdir(parents=True)
    (folder / "best.ckpt").touch()
    assert list(scratch.events()) == EVENTS
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [folder / "best.ckpt"]
    scratch.close()
    assert list(tmp_path.iterdir()) == []
    assert list(scratch.events()) == EVENTS
