"""Signals that ask for a stop, and the file that says when they may be sent."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from evo.runtime.signals import StopSignals, say_ready

NAMES = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2")


class Clock:
    """A monotonic clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("evo.runtime.signals.time.monotonic", clock)
    return clock


@pytest.fixture
def signals() -> Iterator[StopSignals]:
    with StopSignals() as signals:
        yield signals


def get(name: str) -> None:
    """Let this process get a signal; its handler has run when this returns."""
    signal.raise_signal(getattr(signal, name))


@pytest.mark.parametrize("name", NAMES)
def test_the_first_signal_is_the_reason_to_stop(signals: StopSignals, name: str) -> None:
    told: list[str] = []
    signals.listen(told.append)
    get(name)
    assert told == [signals.reason] == [f"{name} asked to stop"]


def test_a_signal_from_before_anyone_listened_is_told_at_once(signals: StopSignals, clock: Clock) -> None:
    told: list[str] = []
    get("SIGUSR1")
    clock.now += 5
    get("SIGUSR1")
    signals.listen(told.append)
    signals.listen_to_hurry(lambda: told.append("hurry"))
    assert told == ["SIGUSR1 asked to stop", "hurry"]


def test_a_second_signal_hurries_but_not_the_same_request_from_two_sides(signals: StopSignals, clock: Clock) -> None:
    told: list[str] = []
    signals.listen(told.append)
    signals.listen_to_hurry(lambda: told.append("hurry"))
    get("SIGUSR1")
    clock.now += 0.5
    get("SIGTERM")
    assert told == ["SIGUSR1 asked to stop"]
    clock.now += 1.0
    get("SIGUSR1")
    assert told == ["SIGUSR1 asked to stop", "hurry"]


@pytest.mark.parametrize(("name", "kills"), [("SIGTERM", True), ("SIGINT", True), ("SIGUSR1", False)])
def test_a_third_signal_ends_the_process_if_it_is_one_of_those_that_do(
    signals: StopSignals, clock: Clock, name: str, kills: bool
) -> None:
    for _ in range(2):
        get(name)
        clock.now += 2
    if kills:
        with pytest.raises(KeyboardInterrupt):
            get(name)
    else:
        get(name)


def test_what_was_in_force_before_is_put_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with StopSignals():
        assert signal.getsignal(signal.SIGUSR1) != before
    assert signal.getsignal(signal.SIGUSR1) == before


def test_the_ready_file_says_how_many_ranks_there_are(tmp_path: Path) -> None:
    say_ready(4, {"EVO_READY_FILE": str(tmp_path / "ready")})
    assert (tmp_path / "ready").read_text() == "4\n"
    say_ready(4, {})
    assert os.listdir(tmp_path) == ["ready"]


def test_a_ready_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"EVO_READY_FILE is .*/none/ready, which cannot be written \(No such file"):
        say_ready(4, {"EVO_READY_FILE": str(tmp_path / "none" / "ready")})


def test_at_the_end_of_the_process_further_signals_are_ignored() -> None:
    before = {name: signal.getsignal(getattr(signal, name)) for name in NAMES}
    try:
        with StopSignals() as signals:
            signals.outlast_the_process()
        for name in NAMES:
            get(name)
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
