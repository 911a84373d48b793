"""Ctrl-C in a script: the search stops, everything is saved, and then the script ends too."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import Launcher, wait_until
from ranks import find_ranks, start_ranks

import evo

LIMITS = {"x": (-1.0, 1.0)}


class Signals:
    """A loss that gets a signal in its third evaluation; and one in its test, if it is told to."""

    def __init__(self, name: str, when_tested: bool = False) -> None:
        self._signal, self._when_tested = getattr(signal, name), when_tested
        self.calls = 0

    def __call__(self, params: dict[str, Any]) -> float:
        self.calls += 1
        if self.calls == 3 and not self._when_tested:
            signal.raise_signal(self._signal)
        return float(params["x"]) ** 2

    def test(self, params: dict[str, Any], trial: Any) -> dict[str, float]:
        if self._when_tested:
            signal.raise_signal(self._signal)
        return {"x": params["x"]}


def search(loss: Any, **settings: Any) -> Any:
    return evo.minimize(loss, LIMITS, evaluations=5, **settings)


def test_ctrl_c_is_raised_again_after_the_stop_with_what_was_found(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as raised:
        search(Signals("SIGINT"), run_dir=str(tmp_path / "run"))
    found = raised.value.result  # type: ignore[attr-defined]
    assert (found.interrupted, found.by_keyboard, len(found.individuals)) == (True, True, 3)
    assert found.best is not None
    assert str(raised.value) == "Ctrl-C has stopped the search: the same call goes on with it"
    assert signal.getsignal(signal.SIGINT) == before
    assert len(search(Signals("SIGINT"), run_dir=str(tmp_path / "run")).individuals) == 5


def test_a_script_may_ask_for_the_result_instead() -> None:
    found = search(Signals("SIGINT"), on_interrupt="return")
    assert (found.interrupted, found.by_keyboard, len(found.individuals)) == (True, True, 3)
    with pytest.raises(ValueError, match="on_interrupt is 'stop': it must be 'raise' or 'return'"):
        search(Signals("SIGINT"), on_interrupt="stop")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGUSR2"])
def test_other_signals_return_the_result(name: str) -> None:
    found = search(Signals(name))
    assert (found.interrupted, found.by_keyboard, len(found.individuals)) == (True, False, 3)


def test_ctrl_c_at_the_very_end_of_a_search_is_not_lost() -> None:
    with pytest.raises(KeyboardInterrupt) as raised:
        search(Signals("SIGINT", when_tested=True))
    found = raised.value.result  # type: ignore[attr-defined]
    assert (found.interrupted, found.by_keyboard, len(found.individuals)) == (False, True, 5)
    assert found.best is not None
    assert found.test == {"x": found.best.params["x"]}


SCRIPT = """
import sys, time
from pathlib import Path
import evo

def loss(params, trial):
    Path(f"begun-{trial.individual[0]}").touch()
    time.sleep(0.02)
    return params["x"] ** 2

if __name__ == "__main__":
    for name in ("first", "second"):
        evo.minimize(loss, {"x": (-1.0, 1.0)}, evaluations=100_000, run_dir=name)
    print("the end")
"""


def test_one_ctrl_c_ends_a_script_with_several_searches(launcher: Launcher) -> None:
    (launcher.folder / "script.py").write_text(SCRIPT)
    process = launcher.start(sys.executable, "script.py")
    wait_until((launcher.folder / "begun-0").exists)
    process.send_signal(signal.SIGINT)
    ended = launcher.finish(process, timeout=40)
    assert (ended.status, ended.out) == (-signal.SIGINT, "")
    assert ended.err.splitlines()[-1].startswith("KeyboardInterrupt: Ctrl-C has stopped the search")
    assert len(ended.err.splitlines()) < 12
    assert {path.name for path in launcher.folder.iterdir() if path.is_dir()} == {"first"}


@pytest.mark.mpi
def test_on_several_ranks_one_line_says_so_and_all_end(launcher: Launcher, mpirun_command: str) -> None:
    (launcher.folder / "script.py").write_text(SCRIPT)
    process = start_ranks(launcher, mpirun_command, 2, "script.py")
    wait_until(lambda: len(list(launcher.folder.glob("begun-*"))) == 2)
    for rank in find_ranks(launcher).values():
        os.kill(rank, signal.SIGINT)
    ended = launcher.finish(process, timeout=40)
    assert (ended.status, ended.out, "Traceback" in ended.err) == (130, "", False), ended
    lines = [line for line in ended.err.splitlines() if line.startswith("evo: ")]
    assert lines == ["evo: Ctrl-C has stopped the search: the same call goes on with it"]
    assert not (launcher.folder / "second").exists()


def test_on_the_command_line_the_status_asks_for_another_session(launcher: Launcher) -> None:
    (launcher.folder / "script.py").write_text(SCRIPT)
    limits = ["--limits", "{x: [-1.0, 1.0]}", "--evaluations", "100000"]
    process = launcher.start(sys.executable, "-m", "evo.run", "script.py:loss", *limits)
    wait_until((launcher.folder / "begun-0").exists)
    process.send_signal(signal.SIGINT)
    ended = launcher.finish(process, timeout=40)
    assert (ended.status, ended.err) == (85, "")
    assert "SIGINT asked to stop\n" in ended.out
