"""Storage that fails: for a moment, for good, in the middle of a line."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from records import finished, started

import evo.storage.retry
from evo.population.events import encode
from evo.storage.completion import RecordedTests
from evo.storage.journal import Journal, read_journal
from evo.storage.retry import StorageError, persist
from evo.storage.rundir import RunDirectory, StudyRecord

LINES = [encode(event) for event in (started((0, 0), {"x": 0.5}), finished((0, 0), 0.25), started((0, 1), {"x": 0.75}))]
STUDY = StudyRecord(name="n", objective="m:f", limits={"x": {"type": "float", "low": 0.0, "high": 1.0}}, seed=3)


class Clock:
    """Time that passes only while somebody sleeps.

    Args:
        began: Seconds.
    """

    def __init__(self, began: float) -> None:
        self.now = began
        self.naps = 0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.naps += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(1000.0)
    monkeypatch.setattr(evo.storage.retry, "time", clock)
    return clock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "0.jsonl"


def fails(clock: Clock, seconds: float, number: int, call: Callable[..., int]) -> Callable[..., int]:
    """A call to the system that fails until some time has passed."""
    end = clock.now + seconds

    def failing(*arguments: object) -> int:
        if clock.now < end:
            raise OSError(number, os.strerror(number))
        return call(*arguments)

    return failing


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOTCONN])
@pytest.mark.parametrize("call", ["write", "open"])
def test_a_share_that_is_away_for_ten_seconds_costs_nothing(
    file: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    call: str,
) -> None:
    journal = Journal(file)
    journal.append(LINES[0])
    if call == "open":  # Reached only if the write has failed too.
        monkeypatch.setattr(os, "write", fails(clock, 1.0, errno.EIO, os.write))
    monkeypatch.setattr(os, call, fails(clock, 10.0, number, getattr(os, call)))
    for line in LINES[1:]:
        journal.append(line)
    assert 1010 <= clock.now <= 1012
    journal.close()
    assert set(file.read_bytes().splitlines()) == set(LINES)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith(f"evo: journal {file} cannot be written: ")


@pytest.mark.parametrize("taken", range(1, len(LINES[1]) + 1))
def test_the_rest_of_a_line_follows_when_there_is_room_again(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    journal = Journal(file)
    journal.append(LINES[0])
    answers = iter([taken, None, None])
    write = os.write

    def full(descriptor: int, content: bytes) -> int:
        room = next(answers, len(content))
        if room is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content[:room])

    monkeypatch.setattr(os, "write", full)
    journal.append(LINES[1])
    journal.append(LINES[2])
    journal.close()
    assert file.read_bytes().splitlines() == LINES


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_journal_that_stays_unwritable_ends_the_search_and_its_half_line_is_never_trusted(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    journal = Journal(file)
    journal.append(LINES[0])
    with monkeypatch.context() as patch:
        write, taken = os.write, iter([20])

        def full(descriptor: int, content: bytes) -> int:
            if room := next(taken, 0):
                return write(descriptor, content[:room])
            raise OSError(number, os.strerror(number))

        patch.setattr(os, "write", full)
        with pytest.raises(
            StorageError, match=f"^journal {file} cannot be written: .*, for 30 s now; nothing that was"
        ):
            journal.append(LINES[1])
        assert clock.now == 1030
        journal.close()
        assert clock.now == 1030, "closing waited as well"
    assert file.read_bytes().startswith(LINES[0] + b"\n" + LINES[1][: 20 * (number == errno.ENOSPC)])
    assert [encode(event) for event in read_journal(file)] == LINES[:1]
    again = Journal(file)
    again.append(LINES[2])
    again.close()
    assert file.read_bytes().splitlines() == [LINES[0], LINES[2]]


def test_what_could_not_be_synced_is_written_again(file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(file)
    journal.append(LINES[0])
    journal._sync()
    journal.append(LINES[1])
    journal.append(LINES[2])
    monkeypatch.setattr(os, "fsync", fails(clock, 0.05, errno.ENOSPC, os.fsync))
    journal.close()
    assert file.read_bytes().splitlines() == [*LINES, *LINES[1:]]


def test_a_journal_whose_open_file_is_lost_is_opened_again_but_never_made_anew(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(file)
    journal.append(LINES[0])
    os.close(journal._file)
    away = file.with_name("away")
    file.rename(away)
    sleep = clock.sleep

    def come_back(seconds: float) -> None:
        sleep(seconds)
        assert not file.exists()
        if clock.now > 1005:
            away.rename(file)
            monkeypatch.setattr(clock, "sleep", sleep)

    monkeypatch.setattr(clock, "sleep", come_back)
    journal.append(LINES[1])
    assert 1005 < clock.now < 1010
    assert set(file.read_bytes().splitlines()) == set(LINES[:2])
    with pytest.raises(ValueError, match="is being written by another run"):
        Journal(file)
    journal.close()


def test_a_journal_that_another_run_took_over_meanwhile_is_left_to_it(file: Path, clock: Clock) -> None:
    journal = Journal(file)
    with file.open("ab") as other:
        os.close(journal._file)
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match=f"journal {file} is being written by another run in this directory"):
            journal.append(LINES[0])
        journal.close()
    assert file.read_bytes() == b""


def test_a_file_is_written_as_soon_as_that_is_possible(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.create(STUDY)
    monkeypatch.setattr(os, "fsync", fails(clock, 10.0, errno.ENOSPC, os.fsync))
    directory.write("summary.json", {"test": {}})
    assert directory.tested() == RecordedTests({})
    assert 1010 <= clock.now <= 1012


def test_a_file_that_cannot_be_written_is_replaced_by_nothing_and_leaves_nothing(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.create(STUDY)
    monkeypatch.setattr(os, "fsync", fails(clock, 99.0, errno.ENOSPC, os.fsync))
    with pytest.raises(StorageError, match=r"study\.json cannot be written: No space left on device, for 30 s now"):
        directory.write("study.json", {"half": "written"})
    assert directory.study() == STUDY
    assert sorted(path.name for path in directory.path.iterdir()) == ["individuals", "journal", "study.json"]


def test_what_succeeds_at_once_waits_for_nothing_and_says_nothing(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert persist("it fails", lambda: 3) == 3
    assert (clock.naps, capsys.readouterr().err) == (0, "")


def test_a_mistake_in_the_program_is_not_tried_again(clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError):
        persist("it fails", lambda: 1 // 0)
    assert clock.naps == 0


def test_a_search_does_not_begin_on_journals_that_another_run_has_written_since_they_were_read(tmp_path: Path) -> None:
    earlier = RunDirectory(tmp_path / "run")
    earlier.create(STUDY)
    journal = earlier.open_journal(0)
    journal.append(LINES[0])
    later = RunDirectory(earlier.path)
    assert len(list(later.events())) == 1
    with pytest.raises(ValueError, match=r"0\.jsonl is being written by another run"):
        later.begin(STUDY)
    journal.append(LINES[1])
    journal.close()
    with pytest.raises(ValueError, match=r"another run has just written .*/0\.jsonl; run the same command again"):
        later.begin(STUDY)
    assert len(list(later.events())) == 2
    later.begin(STUDY)
