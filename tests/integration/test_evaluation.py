"""Evaluation of one individual, in this process and in a child that may crash, hang or be killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import nasty
import numpy as np
import pytest
from helpers import Launcher, is_alive, wait_until
from records import assigned

from evo.errors import UserError
from evo.evaluation import EvaluationSettings, InlineEvaluator, ProcessEvaluator
from evo.objective.objective import Interrupted
from evo.objective.references import Reference
from evo.population.outcome import Outcome
from evo.population.segments import Donor, SavedState, Segment
from evo.runtime.device import bind, training_environment
from evo.runtime.gpus import Gpus
from evo.runtime.makes import NVIDIA
from evo.storage.states import state_digest

Evaluator = InlineEvaluator | ProcessEvaluator


class Told(list[tuple[int, float]]):
    """Takes reports; asks to stop at a step."""

    stop_at = -1

    def __call__(self, step: int, loss: float, further: object = None) -> bool:
        self.append((step, loss))
        return step == self.stop_at


class Folders:
    """A folder for each individual below one."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, identity: tuple[int, int]) -> Path:
        return self.root / "{}-{}".format(*identity)


def make(
    kind: str, objective: Any, root: Path, is_interrupted: Callable[[], bool] = lambda: False, **settings: Any
) -> Evaluator:
    if kind == "inline":
        loaded = objective.load() if isinstance(objective, Reference) else objective
        return InlineEvaluator(loaded, Folders(root), {}, EvaluationSettings(**settings), is_interrupted=is_interrupted)
    return ProcessEvaluator(
        objective, Folders(root), dict(os.environ), EvaluationSettings(**settings), is_interrupted=is_interrupted
    )


def evaluate(
    evaluator: Evaluator, told: Told | None = None, identity: tuple[int, int] = (0, 1), **params: Any
) -> Outcome:
    evaluator.start(assigned(identity, params), Told() if told is None else told)
    return wait_until(evaluator.poll, 60)


@pytest.fixture(scope="module", params=["inline", "process"])
def evaluator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluator]:
    """One for many tests, as a rank has one for many individuals."""
    root = tmp_path_factory.mktemp(request.param)
    with closing(make(request.param, Reference("nasty", "any_of_them"), root)) as evaluator:
        evaluator.open(["kind", "x"])
        yield evaluator


@pytest.fixture
def child(tmp_path: Path) -> Iterator[ProcessEvaluator]:
    with closing(ProcessEvaluator(nasty.any_of_them, Folders(tmp_path), dict(os.environ))) as child:
        child.open(["kind"])
        yield child


def child_process(evaluator: ProcessEvaluator) -> int:
    assert evaluator._child is not None
    process = evaluator._child.process.pid
    assert process is not None
    return process


def kill_child(evaluator: ProcessEvaluator) -> None:
    assert evaluator._child is not None
    process = evaluator._child.process
    process.kill()
    wait_until(lambda: not process.is_alive())


@pytest.mark.parametrize("kind", nasty.FAILS)
def test_a_nasty_loss_is_a_failed_outcome_and_the_next_one_is_evaluated(evaluator: Evaluator, kind: str) -> None:
    outcome = evaluate(evaluator, kind=kind, x=1.0)
    assert (outcome.status, outcome.loss) == ("failed", None)
    expected = nasty.FAILS[kind][1]
    assert outcome.error.startswith(expected)
    if expected.endswith(("number", "finite")):
        assert outcome.error == expected
    assert "Traceback (most recent call last)" in outcome.traceback
    json.dumps([outcome.error, outcome.traceback, outcome.metrics], allow_nan=False).encode()
    assert evaluate(evaluator, kind="good", x=3.0).loss == 9.0


def test_a_segment_goes_on_from_the_state_of_its_donor_and_leaves_one(evaluator: Evaluator) -> None:
    donor = Donor(individual=(7, 7), step=2, digest="d")
    for generation, (x, state) in enumerate([(0, {"step": 4}), (3, {"step": 3, "is_over": True})]):
        inherited = evaluator._folder((9, generation)) / "inherited"
        inherited.mkdir(parents=True)
        (inherited / "last.ckpt").write_text("the donor's")
        told = Told()
        segment = Segment(until=4, donor=donor)
        evaluator.start(assigned((9, generation), {"kind": "goes_on", "x": x}, segment=segment), told)
        outcome = wait_until(evaluator.poll, 60)
        assert outcome.metrics == {"begin": 2, "until": 4, "found": "the donor's"}, outcome
        digest = state_digest(inherited.parent / "last.ckpt")
        assert outcome.state == SavedState(digest=digest, **state)
        assert told == [(2, 0.25)]


def test_the_traceback_names_the_line_that_failed(evaluator: Evaluator) -> None:
    outcome = evaluate(evaluator, kind="raises", x=1.0)
    assert outcome.error == "ArithmeticError: the learning rate exploded"
    assert 'raise ArithmeticError("the learning rate' in outcome.traceback
    assert "in raises" in outcome.traceback


@pytest.mark.parametrize("kind", nasty.DIES)
def test_a_loss_that_ends_its_process_is_a_failed_outcome_and_the_next_one_is_evaluated(
    child: ProcessEvaluator, kind: str
) -> None:
    before = child_process(child)
    outcome = evaluate(child, kind=kind)
    assert (outcome.status, outcome.loss) == ("failed", None)
    assert outcome.error.startswith(nasty.DIES[kind][1])
    assert evaluate(child, kind="good", x=3.0).loss == 9.0
    assert child_process(child) != before
    assert not is_alive(before)


def test_the_last_words_of_a_dead_child_are_kept(child: ProcessEvaluator) -> None:
    assert "my last words" in evaluate(child, kind="exits_at_once").traceback
    crash = evaluate(child, kind="crashes").traceback
    assert "Segmentation fault" in crash
    assert "in crashes" in crash
    assert "my last words" not in crash.partition("Segmentation fault")[2]


def numbers_of(params: dict[str, Any], trial: Any) -> float:
    trial.metrics |= {
        "rank": trial.individual[0],
        "generation": trial.individual[1],
        "seed": trial.seed,
        "threads": trial.threads,
        "here": os.getpid(),
        "accuracy": np.float32(0.5),
        "not_finite": float("nan"),
        "shape": (1, 2),
    }
    (trial.folder / "weights").write_text("w")
    params["x"] = -1.0
    return 0.25


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_a_loss_gets_its_trial_and_its_metrics_are_kept(kind: str, tmp_path: Path) -> None:
    params = {"x": 1.0}
    with closing(make(kind, numbers_of, tmp_path, threads=3)) as evaluator:
        evaluator.open(["x"])
        evaluator.start(assigned((2, 7), params), Told())
        outcome = wait_until(evaluator.poll)
    assert (outcome.status, outcome.loss, outcome.error, outcome.traceback) == ("completed", 0.25, "", "")
    assert (outcome.metrics.pop("here") == os.getpid()) == (kind == "inline")
    expected = {"rank": 2, "generation": 7, "seed": 5, "threads": 3, "accuracy": 0.5, "shape": "(1, 2)"}
    assert outcome.metrics == expected
    assert (tmp_path / "2-7" / "weights").read_text() == "w"
    assert params == {"x": 1.0}


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_without_other_ranks_an_objective_is_the_first_of_one(kind: str, tmp_path: Path) -> None:
    with closing(make(kind, tells_its_place, tmp_path)) as evaluator:
        evaluator.open([])
        metrics = evaluate(evaluator).metrics
        assert (metrics["rank"], metrics["size"]) == (0, 1)


def tells_its_place(params: dict[str, Any], trial: Any) -> float:
    trial.metrics |= {"rank": trial.rank, "size": trial.size}
    print(f"rank {trial.rank} was here")
    if params.get("dies"):
        os._exit(1)
    return float(trial.communicator.Get_size()) if params.get("communicates") else 0.0


@pytest.mark.parametrize("place", [0, 1])
def test_a_child_of_several_ranks_knows_its_place_and_prints_into_a_log_of_its_own(tmp_path: Path, place: int) -> None:
    with closing(make("process", tells_its_place, tmp_path, rank=place, size=2)) as evaluator:
        evaluator.open([])
        outcome = evaluate(evaluator)
        assert outcome.metrics == {"rank": place, "size": 2}
        log = tmp_path / "0-1" / ("output-1.log" if place else "output.log")
        assert log.read_text() == f"rank {place} was here\n"
        other = tmp_path / "0-1" / ("output.log" if place else "output-1.log")
        assert not other.exists()
        other.write_text("rank 7 was here\n")
        died = evaluate(evaluator, dies=True)
        assert died.error == "ProcessDied: the evaluation process exited with status 1"
        assert died.traceback.endswith(f"rank {place} was here\n")


def test_a_child_has_no_communicator_and_says_what_to_use(tmp_path: Path) -> None:
    with closing(make("process", tells_its_place, tmp_path)) as evaluator:
        evaluator.open([])
        error = evaluate(evaluator, communicates=True).error
    assert error == (
        "RuntimeError: a child process has no MPI communicator: use trial.rank and trial.size, or run inline"
    )


def descends(params: dict[str, Any], trial: Any) -> Iterator[float]:
    for step in range(5):
        trial.metrics["step"] = step
        yield 5.0 - step


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_intermediate_losses_are_reported_while_it_runs(kind: str, tmp_path: Path) -> None:
    with closing(make(kind, descends, tmp_path)) as evaluator:
        evaluator.open([])
        told = Told()
        outcome = evaluate(evaluator, told)
        assert (outcome.status, outcome.loss) == ("completed", 1.0)
        assert told == [(0, 5.0), (1, 4.0), (2, 3.0), (3, 2.0), (4, 1.0)]


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_an_evaluation_that_is_told_to_stop_is_pruned_with_the_loss_so_far(kind: str, tmp_path: Path) -> None:
    with closing(make(kind, descends, tmp_path)) as evaluator:
        evaluator.open([])
        told = Told()
        told.stop_at = 2
        outcome = evaluate(evaluator, told)
        assert (outcome.status, outcome.loss, outcome.metrics) == ("pruned", 3.0, {"step": 2})
        assert [step for step, _ in told] == [0, 1, 2]
        assert evaluate(evaluator).status == "completed"


def returns_tensor(params: dict[str, Any], trial: Any) -> Any:
    import torch

    trial.metrics["accuracy"] = torch.tensor(0.5)
    return torch.full((int(params["size"]),), 0.5) if params["size"] else torch.tensor(0.5)


@pytest.mark.slow
def test_a_tensor_from_the_child_is_a_loss_when_it_holds_one_number(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with closing(make("process", returns_tensor, tmp_path)) as evaluator:
        evaluator.open(["size"])
        alone = evaluate(evaluator, size=0)
        assert (alone.loss, alone.metrics) == (0.5, {"accuracy": 0.5})
        assert evaluate(evaluator, size=1).loss == 0.5
        several = evaluate(evaluator, size=2)
        assert several.error == "TypeError: the loss is a Tensor of shape (2,): it must be one number"


def prints_megabytes(params: dict[str, Any]) -> float:
    for _ in range(40):
        print("x" * 100_000)
        print("y" * 100_000, file=sys.stderr)
    os.write(1, b"from C, too\n")
    if params["dies"]:
        os._exit(1)
    return 0.0


def test_what_the_child_prints_goes_to_the_individuals_own_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with closing(make("process", prints_megabytes, tmp_path)) as evaluator:
        evaluator.open(["dies"])
        assert evaluate(evaluator, identity=(0, 1), dies=False).loss == 0.0
        outcome = evaluate(evaluator, identity=(0, 2), dies=True)
        assert outcome.error == "ProcessDied: the evaluation process exited with status 1"
        assert 0 < len(outcome.traceback) < 10_000
        assert evaluate(evaluator, identity=(0, 3), dies=False).loss == 0.0
    for name in ("0-1", "0-2", "0-3"):
        text = (tmp_path / name / "output.log").read_text()
        assert text.count("from C, too\n") == 1
        if name != "0-2":
            assert (text.count("x"), text.count("y" * 100_000)) == (4_000_000, 40)
    assert capfd.readouterr() == ("", "")


def test_an_evaluation_over_its_time_limit_fails_and_the_next_one_is_evaluated(tmp_path: Path) -> None:
    for kind in ("sleeps", "hangs_in_c"):
        folder = tmp_path / kind
        folder.mkdir()
        with closing(make("process", nasty.any_of_them, folder, time_limit=1)) as evaluator:
            evaluator.open(["kind"])
            before = child_process(evaluator)
            outcome = evaluate(evaluator, kind=kind)
            assert outcome.status == "failed"
            assert outcome.error == "TimeLimit: it took longer than the time limit of 1 s"
            assert 1 <= outcome.seconds < 10
            assert not is_alive(before)
            assert evaluate(evaluator, kind="good", x=3.0).loss == 9.0


def test_the_time_limit_counts_the_evaluation_and_not_the_start_of_the_child(tmp_path: Path) -> None:
    with closing(make("process", Reference("slow_to_load", "loss"), tmp_path, time_limit=1)) as evaluator:
        evaluator.open([])
        kill_child(evaluator)
        assert evaluate(evaluator).loss == 0.0


@pytest.fixture(autouse=True)
def _slow_to_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "start_of_the_child" in request.node.name:
        (tmp_path / "slow_to_load.py").write_text("import time\ntime.sleep(1.5)\ndef loss(params): return 0.0\n")
        monkeypatch.syspath_prepend(str(tmp_path))


def test_a_child_that_someone_else_kills_is_a_failed_outcome(child: ProcessEvaluator) -> None:
    child.start(assigned((0, 1), {"kind": "sleeps"}), Told())
    assert child.poll() is None
    os.kill(child_process(child), signal.SIGKILL)
    assert wait_until(child.poll).error == nasty.DIES["is_killed"][1]
    assert evaluate(child, kind="good", x=3.0).loss == 9.0


def test_a_child_that_died_between_two_evaluations_is_replaced(child: ProcessEvaluator) -> None:
    kill_child(child)
    assert evaluate(child, kind="good", x=3.0).loss == 9.0


def test_an_objective_that_can_no_longer_be_loaded_is_a_failed_outcome_each_time(tmp_path: Path) -> None:
    file = tmp_path / "changing.py"
    file.write_text("import os\ndef loss(params): os._exit(1) if params['dies'] else None; return 0.0\n")
    with closing(make("process", Reference(str(file), "loss"), tmp_path)) as evaluator:
        evaluator.open(["dies"])
        good = file.read_text()
        file.write_text("1 / 0\n")
        assert evaluate(evaluator, dies=True).error == "ProcessDied: the evaluation process exited with status 1"
        for _ in range(2):
            outcome = evaluate(evaluator, dies=False)
            assert outcome.status == "failed"
            reason = f"cannot be imported: ZeroDivisionError: division by zero ({file}, line 1: 1 / 0)"
            assert outcome.error.endswith(reason)
        file.write_text(good)
        assert evaluate(evaluator, dies=False).loss == 0.0


def test_one_child_evaluates_many_individuals(child: ProcessEvaluator) -> None:
    losses = {evaluate(child, kind="tells_its_process").loss for _ in range(20)}
    assert losses == {float(child_process(child))}


@pytest.mark.parametrize("kind", ["sleeps", "hangs_in_c"])
def test_an_evaluation_that_is_interrupted_ends_at_once(child: ProcessEvaluator, kind: str) -> None:
    child.start(assigned((0, 1), {"kind": kind}), Told())
    assert child.poll() is None
    began = time.monotonic()
    child.interrupt()
    outcome = wait_until(child.poll)
    assert (outcome.status, outcome.loss, outcome.error) == ("interrupted", None, "")
    assert time.monotonic() - began < 20
    assert evaluate(child, kind="good", x=3.0).loss == 9.0


def saves(params: dict[str, Any], trial: Any) -> float:
    while not trial.interrupted:
        trial.report(1.0, step=0)
        time.sleep(0.01)
    if params["hangs"]:
        time.sleep(1000)
    (trial.folder / "state").touch()
    raise Interrupted


def ignores(params: dict[str, Any], trial: Any) -> float:
    trial.report(1.0, step=0)
    time.sleep(1000)
    return 0.0


def gives_itself_up(params: dict[str, Any]) -> float:
    raise Interrupted


def test_an_interrupted_evaluation_may_save_its_state(tmp_path: Path) -> None:
    with closing(make("process", saves, tmp_path)) as evaluator:
        evaluator.open(["hangs"])
        told = Told()
        evaluator.start(assigned((0, 1), {"hangs": False}), told)
        wait_until(lambda: evaluator.poll() or told)
        evaluator.interrupt()
        evaluator.interrupt()
        assert wait_until(evaluator.poll).status == "interrupted"
        assert (tmp_path / "0-1" / "state").exists()


@pytest.mark.parametrize("hurried", [False, True])
def test_but_it_is_killed_when_its_time_for_that_is_over_or_the_stop_is_hurried(tmp_path: Path, hurried: bool) -> None:
    with closing(make("process", saves, tmp_path, grace=100.0 if hurried else 0.5)) as evaluator:
        evaluator.open(["hangs"])
        told = Told()
        evaluator.start(assigned((0, 1), {"hangs": True}), told)
        wait_until(lambda: evaluator.poll() or told)
        evaluator.interrupt()
        assert evaluator.poll() is None
        if hurried:
            evaluator.hurry()
        assert wait_until(evaluator.poll).status == "interrupted"


def test_an_evaluation_that_never_looks_whether_it_is_interrupted_ends_at_once(tmp_path: Path) -> None:
    with closing(make("process", ignores, tmp_path, grace=100.0)) as evaluator:
        evaluator.open([])
        # In an instant in which the child hears the verdict, or is about to sleep, or already does.
        for generation in range(30):
            told = Told()
            evaluator.start(assigned((0, generation), {}), told)
            wait_until(lambda told=told: evaluator.poll() or told)
            evaluator.interrupt()
            assert wait_until(evaluator.poll).status == "interrupted"


def fails_when_told(params: dict[str, Any], trial: Any) -> float:
    trial.report(1.0, step=0)
    while not trial.interrupted:
        time.sleep(0.01)
    raise RuntimeError("DataLoader worker exited unexpectedly")


def test_an_evaluation_whose_own_processes_are_told_to_end_as_well_is_interrupted(tmp_path: Path) -> None:
    with closing(make("process", fails_when_told, tmp_path)) as evaluator:
        evaluator.open([])
        told = Told()
        evaluator.start(assigned((0, 1), {}), told)
        wait_until(lambda: evaluator.poll() or told)
        evaluator.interrupt()
        assert wait_until(evaluator.poll).status == "interrupted"
    with closing(make("inline", fails_when_told, tmp_path, is_interrupted=lambda: True)) as evaluator:
        evaluator.open([])
        assert evaluate(evaluator).status == "interrupted"


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGTERM", "SIGINT"])
def test_a_child_that_is_being_started_outlives_the_signals_meant_for_its_rank(tmp_path: Path, name: str) -> None:
    (tmp_path / "takes_long.py").write_text("import time\ntime.sleep(0.5)\ndef loss(params): return 0.0\n")
    evaluator = make("process", Reference(str(tmp_path / "takes_long.py"), "loss"), tmp_path)

    def signal_at_once() -> bool:
        if not told:
            told.append(evaluator._child.process.pid)
            os.kill(told[0], getattr(signal, name))
        return False

    told: list[int] = []
    evaluator._is_interrupted = signal_at_once
    with closing(evaluator):
        evaluator.open(["x"])
        assert evaluate(evaluator).loss == 0.0
    assert told


def test_an_objective_is_not_waited_for_when_a_stop_is_asked_for_while_it_loads(tmp_path: Path) -> None:
    (tmp_path / "slow_to_load.py").write_text("import time\ntime.sleep(1000)\ndef loss(params): return 0.0\n")
    objective = Reference(str(tmp_path / "slow_to_load.py"), "loss")
    polls = iter([False] * 20)
    with closing(make("process", objective, tmp_path, is_interrupted=lambda: next(polls, True))) as evaluator:
        evaluator.open(["x"])
    assert next(polls, None) is None


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_an_objective_that_gives_itself_up_has_failed(kind: str, tmp_path: Path) -> None:
    with closing(make(kind, gives_itself_up, tmp_path)) as evaluator:
        evaluator.open([])
        outcome = evaluate(evaluator)
        assert (outcome.status, outcome.error) == ("failed", "Interrupted")


def test_an_evaluation_in_this_process_is_given_up_when_a_stop_is_hurried(tmp_path: Path) -> None:
    def hurries(params: dict[str, Any], trial: Any) -> float:
        signal.raise_signal(signal.SIGUSR2)
        return 0.0

    def reports(params: dict[str, Any], trial: Any) -> float:
        trial.report(1.0, step=0)
        return 2.0

    def hurry_in_the_report(step: int, loss: float, further: object) -> bool:
        signal.raise_signal(signal.SIGUSR2)
        return False

    def handle(number: int, frame: object) -> None:
        evaluator.hurry()

    before = signal.signal(signal.SIGUSR2, handle)
    try:
        evaluator = InlineEvaluator(hurries, Folders(tmp_path), {}, is_interrupted=lambda: True)
        assert evaluate(evaluator).status == "interrupted"
        # What evo does with a report is not torn in the middle.
        evaluator = InlineEvaluator(reports, Folders(tmp_path), {}, is_interrupted=lambda: True)
        evaluator.start(assigned(), hurry_in_the_report)
        outcome = evaluator.poll()
        assert outcome is not None
        assert (outcome.status, outcome.loss) == ("completed", 2.0)
        evaluator.hurry()  # Between two evaluations: nothing.
    finally:
        signal.signal(signal.SIGUSR2, before)


WITH_A_DAEMON = """
import subprocess, time
def loss(params, trial):
    subprocess.run(["sh", "-c", "setsid sleep 1000 &"])
    (trial.folder / "started").touch()
    time.sleep(1000)
"""


def test_a_daemon_that_an_evaluation_started_does_not_outlive_a_rank_that_is_killed(launcher: Launcher) -> None:
    (launcher.folder / "daemon.py").write_text(WITH_A_DAEMON)
    command = ["-m", "evo.run", "daemon.py:loss", "--limits", "{x: [0, 9]}", "--evaluate", "process", "--run-dir", "r"]
    rank = launcher.start(sys.executable, *command)
    wait_until((launcher.folder / "r" / "individuals" / "0-0" / "started").exists)
    rank.kill()
    rank.wait(10)
    wait_until(lambda: not launcher.survivors())


def test_a_child_answers_polls_while_it_evaluates(child: ProcessEvaluator) -> None:
    child.start(assigned((0, 1), {"kind": "sleeps"}), Told())
    began = time.monotonic()
    assert [child.poll() for _ in range(5)] == [None] * 5
    assert time.monotonic() - began < 20
    child.interrupt()


def starts_others(params: dict[str, Any], trial: Any) -> float:
    command = "setsid sleep 1000 & echo $!" if params["daemon"] else "sleep 1000 & echo $!"
    with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        trial.metrics["other"] = int(shell.stdout.readline())
        shell.stdout.close()
    if params["dies"]:
        (trial.folder / "other").write_text(str(trial.metrics["other"]))
        os._exit(1)
    return 0.0


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("dies", [False, True])
def test_nothing_that_an_evaluation_started_outlives_the_evaluator(tmp_path: Path, dies: bool, daemon: bool) -> None:
    with closing(make("process", starts_others, tmp_path)) as evaluator:
        evaluator.open(["dies", "daemon"])
        outcome = evaluate(evaluator, dies=dies, daemon=daemon)
        other = int((tmp_path / "0-1" / "other").read_text()) if dies else outcome.metrics["other"]
        own = child_process(evaluator)
    wait_until(lambda: not is_alive(other))
    assert not is_alive(own)


def test_an_evaluator_that_is_closed_in_an_evaluation_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    evaluator = ProcessEvaluator(nasty.any_of_them, Folders(tmp_path), dict(os.environ))
    evaluator.open(["kind"])
    evaluator.start(assigned((0, 1), {"kind": "hangs_in_c"}), Told())
    wait_until((tmp_path / "0-1" / "hanging").exists)
    own = child_process(evaluator)
    evaluator.close()
    evaluator.close()
    assert not is_alive(own)
    assert [path.name for path in tmp_path.iterdir()] == ["0-1"]


PARENT = """
import os, sys
from pathlib import Path
from evo.evaluation import ProcessEvaluator
from evo.objective.references import Reference
from evo.population.assignment import Assignment

if __name__ == "__main__":
    evaluator = ProcessEvaluator(Reference("nasty", "any_of_them"), lambda identity: Path("folder"), dict(os.environ))
    evaluator.open(["kind"])
    print(evaluator._child.process.pid, flush=True)
    if sys.argv[1] != "nothing":
        evaluator.start(Assignment(individual=(0, 0), params={"kind": sys.argv[1]}, seed=0), print)
    while True:
        evaluator.poll()
"""


@pytest.mark.parametrize("doing", ["nothing", "sleeps", "hangs_in_c"])
def test_the_child_dies_when_its_rank_is_killed(launcher: Launcher, doing: str) -> None:
    (launcher.folder / "parent.py").write_text(PARENT)
    parent = launcher.start(sys.executable, "parent.py", doing)
    assert parent.stdout is not None
    own = int(parent.stdout.readline())
    if doing == "hangs_in_c":
        wait_until((launcher.folder / "folder" / "hanging").exists)
    assert is_alive(own)
    parent.kill()
    parent.wait(10)
    wait_until(lambda: not is_alive(own))
    wait_until(lambda: not launcher.survivors())


def tells_how_it_starts_others(params: dict[str, Any], trial: Any) -> float:
    trial.metrics["method"] = multiprocessing.get_start_method()
    return 0.0


def test_a_child_starts_others_as_a_script_would_rather_than_as_it_was_started(tmp_path: Path) -> None:
    program = "import multiprocessing; print(multiprocessing.get_start_method())"
    usual = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    with closing(make("process", tells_how_it_starts_others, tmp_path)) as evaluator:
        evaluator.open([])
        assert evaluate(evaluator).metrics == {"method": usual}


def shows_environment(params: dict[str, Any], trial: Any) -> float:
    trial.metrics |= dict(os.environ)
    return 0.0


def test_the_child_sees_one_gpu_its_threads_and_no_trace_of_a_launcher(tmp_path: Path) -> None:
    launched = {
        name: "1"
        for name in (
            "OMPI_COMM_WORLD_RANK",
            "OMPI_COMM_WORLD_SIZE",
            "PMIX_RANK",
            "PMI_RANK",
            "PMI_SIZE",
            "PRTE_LAUNCHED",
            "HYDI_CONTROL_FD",
            "I_MPI_INFO",
            "MPI_LOCALNRANKS",
            "SLURM_PROCID",
            "SLURM_NTASKS",
            "SLURM_JOB_NAME",
            "RANK",
            "LOCAL_RANK",
            "WORLD_SIZE",
            "MASTER_ADDR",
        )
    }
    binding = bind(1, {"CUDA_VISIBLE_DEVICES": "4,6"}, None, Gpus(NVIDIA()), threads=3)
    rank = {"PATH": os.environ["PATH"], "HOME": "/home/me", **launched, "CUDA_VISIBLE_DEVICES": "4,6"}
    environment = training_environment(rank, binding.environment)
    before = dict(os.environ)
    with closing(ProcessEvaluator(shows_environment, Folders(tmp_path), environment)) as evaluator:
        evaluator.open([])
        assert dict(os.environ) == before
        seen = evaluate(evaluator).metrics
    assert {name for name in launched if name in seen} == set()
    assert seen["CUDA_VISIBLE_DEVICES"] == "6"
    assert seen["OMP_NUM_THREADS"] == seen["MKL_NUM_THREADS"] == "3"
    assert seen["HOME"] == "/home/me"


def tells_its_settings(params: dict[str, Any], trial: Any) -> float:
    names = ["threads", "rank", "size", "checkpoint_interval", "session", "gpu_memory", "collective_timeout", "attempt"]
    trial.metrics |= {name: getattr(trial, name) for name in names}
    trial.metrics["environment"] = ", ".join(name for name in os.environ if name.startswith("EVO_"))
    return 0.0


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_settings_reach_the_trial_and_none_of_them_the_environment(kind: str, tmp_path: Path) -> None:
    settings = {
        "threads": 3,
        "rank": 1,
        "size": 2,
        "checkpoint_interval": 7.5,
        "session": "é",
        "gpu_memory": 0.25,
        "collective_timeout": 9.0,
    }
    before = ", ".join(name for name in os.environ if name.startswith("EVO_"))
    with closing(make(kind, tells_its_settings, tmp_path, **settings)) as evaluator:
        evaluator.open([])
        evaluator.start(assigned(attempt=4), Told())
        metrics = wait_until(evaluator.poll, 60).metrics
        mark = "EVO_EVALUATION" if kind == "process" else ""  # By which the processes are found that it starts.
        assert metrics == {**settings, "attempt": 4, "environment": ", ".join(filter(None, [before, mark]))}


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_without_an_interval_a_state_is_never_due(kind: str, tmp_path: Path) -> None:
    with closing(make(kind, is_never_due, tmp_path)) as evaluator:
        evaluator.open([])
        assert evaluate(evaluator).loss == 1.0


def is_never_due(params: dict[str, Any], trial: Any) -> float:
    return float(trial.checkpoint_interval == float("inf"))


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_an_assignment_may_name_its_own_folder(kind: str, tmp_path: Path) -> None:
    with closing(make(kind, numbers_of, tmp_path)) as evaluator:
        evaluator.open(["x"])
        evaluator.start(assigned((2, 7), {"x": 1.0}, folder=str(tmp_path / "elsewhere")), Told())
        assert wait_until(evaluator.poll, 60).status == "completed"
    assert (tmp_path / "elsewhere" / "weights").exists()
    assert not (tmp_path / "2-7").exists()


def reads_parents(params: dict[str, Any], trial: Any) -> float:
    trial.metrics["parents"] = str(list(trial.parents))
    return sum(float((folder / "state").read_text()) for folder in trial.parents.values())


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_an_evaluation_knows_its_parents_and_their_folders(kind: str, tmp_path: Path) -> None:
    for name, state in (("0-1", "0.25"), ("3-2", "0.5")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state").write_text(state)
    with closing(make(kind, reads_parents, tmp_path)) as evaluator:
        evaluator.open(["x"])
        evaluator.start(assigned((2, 7), {"x": 1.0}, parents=((3, 2), (0, 1))), Told())
        outcome = wait_until(evaluator.poll, 60)
    assert (outcome.loss, outcome.metrics["parents"]) == (0.75, "[(3, 2), (0, 1)]")


def swaps(params: dict[str, Any], trial: Any) -> float:
    trial.report(3, 0.5)
    return 0.0


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_a_report_in_the_former_order_is_a_failed_outcome_that_says_the_new_one(kind: str, tmp_path: Path) -> None:
    with closing(make(kind, swaps, tmp_path)) as evaluator:
        evaluator.open([])
        outcome = evaluate(evaluator)
    assert outcome.status == "failed"
    assert outcome.error.startswith("UserError: trial.report(3, 0.5) gives more than the loss by position")
    assert outcome.error.endswith("trial.report(loss, step=3)")
    assert "in swaps" in outcome.traceback


@pytest.mark.parametrize("before", [None, "7"])
def test_an_evaluation_in_this_process_has_its_environment_and_the_process_its_own_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if before is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", before)
    variables = dict(os.environ)
    evaluator = InlineEvaluator(shows_environment, Folders(tmp_path), {"OMP_NUM_THREADS": "3"})
    evaluator.open([])
    assert evaluate(evaluator).metrics["OMP_NUM_THREADS"] == "3"
    evaluator.close()
    assert dict(os.environ) == variables


class Unpicklable:
    def __call__(self, params: dict[str, Any]) -> float:
        return 0.0

    def __reduce__(self) -> str:
        raise TypeError("it holds a lock")


class PicklesBadly:
    def __call__(self, params: dict[str, Any]) -> float:
        return 0.0

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.stat, ("/no/such/file",)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (partial(nasty.good, trial=(n for n in ())), "its argument 'trial' is a builtins.generator .*inline"),
        (Unpicklable(), "cannot be sent to a child process.*it holds a lock"),
        (PicklesBadly(), "FileNotFoundError.*/no/such/file"),
        (Reference("no_such_module", "loss"), "there is no module 'no_such_module'"),
        (Reference("nasty", "no_such_loss"), "nasty has no 'no_such_loss'"),
        (nasty.Unprintable, "takes"),
    ],
)
def test_an_objective_that_cannot_come_to_the_child_is_refused_with_the_reason(
    tmp_path: Path, objective: Any, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if message == "takes":
        objective, message = without_parameters, r"objective 'without_parameters' has the signature \(\)"
    with closing(make("process", objective, tmp_path)) as evaluator, pytest.raises(ValueError, match=message) as caught:
        evaluator.open(["x"])
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def without_parameters() -> float:
    return 0.0


class Checked:
    """Takes x only; its test reads what its evaluation wrote."""

    def check(self, names: list[str]) -> None:
        if list(names) != ["x"]:
            raise ValueError(f"Checked takes x, not {', '.join(names)}")

    def __call__(self, params: dict[str, Any], trial: Any) -> float:
        (trial.folder / "weights").write_text(str(params["x"]))
        return float(params["x"])

    def test(self, params: dict[str, Any], trial: Any) -> dict[str, Any]:
        return {"weight": float((trial.folder / "weights").read_text()), "seed": trial.seed, "nan": float("nan")}


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_an_objective_may_refuse_the_names_of_the_parameters(kind: str, tmp_path: Path) -> None:
    said = "the check of objective test_evaluation:Checked fails: Checked takes x, not x, y"
    where = rf"{__file__}, line \d+: raise ValueError\(.*\)"
    refusal = pytest.raises(UserError, match=rf"^{said} \({where}\)$")
    with closing(make(kind, Checked(), tmp_path)) as evaluator, refusal:
        evaluator.open(["x", "y"])


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_an_evaluated_individual_is_tested_with_the_files_of_its_evaluation(kind: str, tmp_path: Path) -> None:
    with closing(make(kind, Checked(), tmp_path)) as evaluator:
        evaluator.open(["x"])
        for generation in (1, 2):
            evaluate(evaluator, identity=(0, generation), x=float(generation))
        assert evaluator.test(assigned((0, 1), {"x": 1.0}, seed=9)) == {"weight": 1.0, "seed": 9}
        with pytest.raises(RuntimeError, match=r"^FileNotFoundError: .*0-3/weights"):
            evaluator.test(assigned((0, 3), {"x": 1.0}, seed=9))
        assert evaluate(evaluator, x=3.0).loss == 3.0


@pytest.mark.parametrize("kind", ["inline", "process"])
def test_an_objective_without_a_test_gives_no_metrics(kind: str, tmp_path: Path) -> None:
    with closing(make(kind, nasty.good, tmp_path)) as evaluator:
        evaluator.open(["x"])
        assert evaluator.test(assigned((0, 1), {"x": 1.0}, seed=9)) == {}


class Dies(Checked):
    def test(self, params: dict[str, Any], trial: Any) -> dict[str, Any]:
        os._exit(3)


def test_a_test_that_ends_its_process_is_an_error(tmp_path: Path) -> None:
    with closing(make("process", Dies(), tmp_path)) as evaluator:
        evaluator.open(["x"])
        with pytest.raises(RuntimeError, match=r"^ProcessDied: the evaluation process exited with status 3$"):
            evaluator.test(assigned((0, 1), {"x": 1.0}, seed=9))
        assert evaluate(evaluator, x=3.0).loss == 3.0


def test_an_evaluation_in_this_process_that_is_cancelled_by_its_user_is_not_an_outcome(tmp_path: Path) -> None:
    evaluator = make("inline", nasty.is_cancelled, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        evaluate(evaluator)
