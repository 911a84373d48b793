"""Storage that fails: for a moment, for good, in the middle of a line; and disks that are really full."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import Ended, Launcher, wait_until
from ranks import start_ranks
from records import finished, started

import evo.storage.retry
from evo.population.events import encode
from evo.report.records import gather_evaluations
from evo.storage.journal import Journal, read_journal
from evo.storage.retry import StorageError, persist
from evo.storage.rundir import RunDirectory, Study

LINES = [encode(event) for event in (started((0, 0), {"x": 0.5}), finished((0, 0), 0.25), started((0, 1), {"x": 0.75}))]
STUDY = Study(name="n", objective="m:f", limits={"x": {"type": "float", "low": 0.0, "high": 1.0}}, seed=3)


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
    assert directory.is_complete
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


LOSSES = """
import time

def steady(params):
    time.sleep(0.01)
    return (params["x"] - 0.5) ** 2

def heavy(params, trial):
    (trial.folder / "weights.bin").write_bytes(bytes(params["n"] * 1_000_000))
    return float(params["n"])
"""
SETTINGS = ["losses.py:steady", "--limits", "{x: [0.0, 1.0]}", "--evaluations", "600", "--seed", "1"]
SEARCH = ["-m", "evo.run", *SETTINGS]
HASTY = """
import sys
import evo.storage.retry
from evo.run import main
evo.storage.retry._PATIENCE = 4.0
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def small(launcher: Launcher) -> Iterator[Path]:
    """A file system of 4 MB, which only root can make."""
    (launcher.folder / "losses.py").write_text(LOSSES)
    mounted = launcher.folder / "small"
    mounted.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", mounted], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"a small file system cannot be mounted: {made.stderr.strip()}")
    yield mounted
    launcher.kill()
    wait_until(lambda: subprocess.run(["umount", mounted], capture_output=True).returncode == 0)


def fill(folder: Path) -> Path:
    """Take all the room that there is, to the last byte of the last page that is begun."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


def known(directory: Path) -> set[bytes]:
    """The whole lines of all journals."""
    contents = [file.read_bytes() for file in (directory / "journal").glob("*.jsonl")]
    return {line for content in contents for line in content.split(b"\n")[:-1]}


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.mpi
def test_on_a_full_disk_nothing_is_lost_and_with_room_again_the_same_command_completes(
    launcher: Launcher, small: Path, mpirun: Callable[..., Ended], mpirun_command: str
) -> None:
    (launcher.folder / "hasty.py").write_text(HASTY)
    two = start_ranks(launcher, mpirun_command, 2, "hasty.py", *SETTINGS, "--run-dir", small / "two")
    wait_until(lambda: len(known(small / "two")) > 50)
    alone = launcher.start(sys.executable, "hasty.py", *SETTINGS, "--run-dir", small / "alone")
    wait_until(lambda: len(known(small / "alone")) > 50)
    ballast = fill(small)
    recorded = {name: known(small / name) for name in ("alone", "two")}
    for name, ended in (("alone", launcher.finish(alone)), ("two", launcher.finish(two))):
        assert ended.status == 85, ended.err
        assert "Traceback" not in ended.err
        file = rf"{small / name}/journal/\d\.jsonl"
        full = f"journal {file} cannot be written: No space left on device"
        assert re.search(f"^evo: {full}; trying again for 4 s$", ended.err, re.M)
        told = rf"^evo: error: {full}, for \d+ s now; nothing that was recorded before is lost: "
        assert re.search(told, ended.err, re.M)
        assert not (small / name / "summary.json").exists()
    ballast.unlink()
    for name, again in (
        ("alone", launcher.python(*SEARCH, "--run-dir", small / "alone")),
        ("two", mpirun(2, *SEARCH, "--run-dir", small / "two")),
    ):
        assert (again.status, again.err) == (0, "")
        assert recorded[name] <= known(small / name)
        evaluations = gather_evaluations(RunDirectory(small / name).events())
        assert {evaluation.status for evaluation in evaluations} == {"completed"}
        assert 600 <= len(evaluations) <= 601
        assert (small / name / "summary.json").exists()


@pytest.mark.root
def test_a_disk_that_is_full_for_a_moment_costs_that_moment(launcher: Launcher, small: Path) -> None:
    search = launcher.start(sys.executable, *SEARCH, "--run-dir", small / "run", "--quiet", "--evaluations", "400")
    wait_until(lambda: len(known(small / "run")) > 20)
    ballast = fill(small)
    assert search.stderr is not None
    assert search.stderr.readline().endswith("No space left on device; trying again for 30 s\n")
    ballast.unlink()
    assert (launcher.finish(search).status, search.returncode) == (0, 0)
    assert len(gather_evaluations(RunDirectory(small / "run").events())) == 400


@pytest.mark.root
@pytest.mark.parametrize("evaluate", ["inline", "process"])
def test_an_evaluation_that_fails_for_want_of_room_is_interrupted_and_taken_up_again(
    launcher: Launcher, small: Path, evaluate: str
) -> None:
    search = ["losses.py:heavy", "--limits", "{n: [3, 8]}", "--evaluate", evaluate, "--run-dir", "small/run", "--quiet"]
    ended = launcher.evo(*search)
    assert ended.status == 85
    told = (
        r"^evo: \d-\d is interrupted: .*/small/run/individuals/\d-\d cannot be written: No space left on device \(OSErr"
    )
    assert re.search(told, ended.err)
    assert ended.err.count("\n") == 1
    subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
    assert launcher.evo(*search).status == 0
    evaluations = gather_evaluations(RunDirectory(small / "run").events())
    assert [evaluation.status for evaluation in evaluations] == ["completed"] * 6


@pytest.mark.root
def test_a_read_only_directory_is_named_at_once(launcher: Launcher, small: Path) -> None:
    assert launcher.python(*SEARCH, "--run-dir", "small/run", "--evaluations", "10").status == 0
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    for run_dir in ("small/run", "small/new"):
        began = time.monotonic()
        ended = launcher.python(*SEARCH, "--run-dir", run_dir)
        assert ended.status == 2
        assert re.fullmatch(
            rf"evo: error: run directory {run_dir}: .* cannot be written; choose another .*\n", ended.err
        )
        assert time.monotonic() - began < 5
    subprocess.run(["mount", "-o", "remount,rw", small], check=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_search_goes_on_when_what_it_prints_cannot_be_written(launcher: Launcher, tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        search = launcher.start(sys.executable, "-m", "evo.run", "sphere", "--run-dir", "run", stdout=full.fileno())
        assert (launcher.finish(search).status, search.returncode) == (0, 0)
    assert (tmp_path / "run" / "summary.json").exists()


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
