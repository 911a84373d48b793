"""Whole searches on one rank: from the command line and from Python."""

from __future__ import annotations

import dataclasses
import doctest
import json
import math
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mistakes
import nasty
import pytest
from helpers import Ended, Launcher, call, wait_until

import evo
import evo.run
from evo.population.events import AnyEvent, Finished, Started
from evo.propagators import InitUniform
from evo.report.records import gather_evaluations
from evo.storage.rundir import RunDirectory

EVO = [sys.executable, "-c", "import sys; from evo.cli import main; sys.exit(main())"]

SLOW = """
import time
def loss(params):
    time.sleep(0.005)
    return params["x"] ** 2
"""


def events(directory: Path) -> list[AnyEvent]:
    return list(RunDirectory(directory).events())


def finished(directory: Path) -> list[Finished]:
    return [event for event in events(directory) if isinstance(event, Finished)]


def summary(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "summary.json").read_text())  # type: ignore[no-any-return]


def check_json(file: Path) -> None:
    """Every line is JSON as the standard has it, without NaN."""

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} in {file}")

    for line in file.read_text().splitlines():
        json.loads(line, parse_constant=refuse)


def journal(directory: Path) -> str:
    text = (directory / "journal" / "0.jsonl").read_text()
    return re.sub(r'"(time|seconds)":[-+.e0-9]+|"times":{[^}]*}', r'"\1":0', text)


@pytest.fixture
def folder(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, of this process as well."""
    monkeypatch.chdir(launcher.folder)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return launcher.folder


def test_a_search_prints_what_it_does_and_writes_its_run_directory(folder: Path) -> None:
    ended = call("run", "sphere", "--evaluations", "30", "--seed", "1")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("evo: study sphere in runs/sphere; 30 evaluations\n")
    assert re.search(r"^\[ +\d+\.\d s\] 30/30 evaluations, best [-.e0-9]+ by 0-\d+", ended.out, re.M)
    assert "The best candidates" in ended.out
    assert "\n30 evaluations (30 completed) in " in ended.out
    assert ": 30 evaluations are complete\n" in ended.out
    assert "everything is in runs/sphere: study.json, journal/, individuals/, summary.json\n" in ended.out
    directory = folder / "runs" / "sphere"
    found = summary(directory)
    best = min(finished(directory), key=lambda event: event.loss or 0.0)
    assert found["best"]["loss"] == best.loss
    assert tuple(found["best"]["individual"]) == best.individual
    assert found["best"]["loss"] == sum(x * x for x in found["best"]["params"].values())
    counts = {name: found[name] for name in ("study", "seed", "ranks", "evaluations", "completed", "pruned", "failed")}
    assert counts == {
        "study": "sphere", "seed": 1, "ranks": 1, "evaluations": 30, "completed": 30, "pruned": 0, "failed": 0,
    }  # fmt: skip
    study = json.loads((directory / "study.json").read_text())
    assert (study["objective"], study["seed"]) == ("evo.problems.functions:sphere", 1)
    assert set(study["versions"]) >= {"numpy", "mpi4py"}


def test_without_a_budget_there_are_ten_generations(folder: Path) -> None:
    assert call("run", "sphere").status == 0
    assert len(finished(folder / "runs" / "sphere")) == 10


def test_a_quiet_search_prints_nothing(folder: Path) -> None:
    assert call("run", "sphere", "--quiet", "--run-dir", "here") == Ended(0, "", "")
    assert summary(folder / "here")["evaluations"] == 10


def test_a_search_that_is_extended_too_late_in_its_job_is_not_complete(launcher: Launcher, folder: Path) -> None:
    search = ["sphere", "--run-dir", "here", "--evaluations"]
    assert call("run", *search, "8").status == 0
    job = {"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": str(int(time.time()) + 5)}
    late = launcher.run(*EVO, "run", *search, "12", **job)
    assert late.status == 85
    assert ": the end of the batch job is near\n" in late.out
    assert call("run", *search, "12").status == 0
    assert len(finished(folder / "here")) == 12


def test_a_search_in_a_job_of_pbs_stops_before_its_end_and_says_how_to_go_on(launcher: Launcher, folder: Path) -> None:
    command = folder / "bin" / "qstat"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho '    Walltime.Remaining = 5'\n")
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    ended = launcher.run(*EVO, "run", "sphere", "--run-dir", "here", PBS_JOBID="7.server", PATH=path)
    assert ended.status == 85
    assert "the end of the batch job is near" in ended.out
    assert ended.out.endswith("to go on (PBS: qsub the same script again)\n")


def test_the_same_command_extends_a_search(folder: Path) -> None:
    first = call("run", "sphere", "--evaluations", "8", "--run-dir", "here")
    before = (folder / "here" / "journal" / "0.jsonl").read_bytes()
    again = call("run", "sphere", "--evaluations", "8", "--run-dir", "here")
    assert (first.status, again.status) == (0, 0)
    assert "8 evaluations (8 completed) in earlier sessions: 8 evaluations are complete\n" in again.out
    assert len(finished(folder / "here")) == 8
    assert (folder / "here" / "journal" / "0.jsonl").read_bytes() == before
    more = call("run", "sphere", "--evaluations", "20", "--run-dir", "here")
    assert "resumed: 8 individuals are known\n" in more.out
    assert more.status == 0
    assert len(finished(folder / "here")) == 20
    assert (folder / "here" / "journal" / "0.jsonl").read_bytes().startswith(before)
    assert summary(folder / "here")["evaluations"] == 20


def bred(directory: Path) -> list[dict[str, Any]]:
    return [dict(event.params) for event in events(directory) if isinstance(event, Started)]


def test_a_search_in_two_sessions_breeds_what_one_session_breeds(folder: Path) -> None:
    call("run", "sphere", "--evaluations", "25", "--run-dir", "one")
    call("run", "sphere", "--evaluations", "9", "--run-dir", "two")
    call("run", "sphere", "--evaluations", "25", "--run-dir", "two")
    assert len(bred(folder / "one")) == 25
    assert bred(folder / "two") == bred(folder / "one")


def test_the_same_seed_gives_the_same_journal_but_for_times_and_another_seed_another(
    launcher: Launcher, folder: Path
) -> None:
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        # With noise from the seed of each training, and a categorical and a conditional parameter.
        limits = "{x: [-1, 1], y: [-1.0, 1.0], kind: [good, raises], z: {type: float, low: 1e-3, high: 1, log: true, "
        limits += "when: {kind: good}}}"
        command = ["nasty:any_of_them", "--limits", limits, "--evaluations", "40", "--max-failed-share", "1"]
        assert launcher.evo(*command, "--seed", seed, "--run-dir", f"{name}/run", "--allow-duplicates").status == 0
    assert journal(folder / "a" / "run") == journal(folder / "b" / "run")
    assert journal(folder / "a" / "run") != journal(folder / "c" / "run")
    studies = [(folder / name / "run" / "study.json").read_text() for name in "ab"]
    assert len({re.sub(r'"created": [.0-9]+', "", study) for study in studies}) == 1


def test_the_target_loss_ends_a_search(folder: Path) -> None:
    ended = call("run", "sphere", "--target", "0.5")
    assert ended.status == 0
    assert ": the target loss 0.5 is reached\n" in ended.out
    losses = [event.loss for event in finished(folder / "runs" / "sphere")]
    assert losses[-1] is not None
    assert losses[-1] <= 0.5
    assert all(loss is not None and loss > 0.5 for loss in losses[:-1])


def test_the_walltime_ends_a_search_that_goes_on_with_the_same_command(launcher: Launcher, folder: Path) -> None:
    (folder / "slow.py").write_text(SLOW)
    command = ["slow.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--run-dir", "here"]
    ended = launcher.evo(*command, "--walltime", "1s")
    assert ended.status == 85
    assert ": the walltime is over\n" in ended.out or ": the time left is too short for another" in ended.out
    assert ended.out.endswith("not complete: run the same command again to go on\n")
    assert not (folder / "here" / "summary.json").exists()
    known = len(finished(folder / "here"))
    assert 1 <= known <= 200
    ended = launcher.evo(*command, "--walltime", "1h", "--evaluations", str(known + 3))
    assert ended.status == 0
    assert len(finished(folder / "here")) == known + 3


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_stops_a_search_that_goes_on_with_the_same_command(
    launcher: Launcher, folder: Path, name: str
) -> None:
    (folder / "slow.py").write_text(SLOW)
    command = ["-m", "evo.run", "slow.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--run-dir", "here"]
    process = launcher.start(sys.executable, *command, "--evaluations", "100000")
    wait_until(lambda: (folder / "here" / "journal" / "0.jsonl").exists() and len(finished(folder / "here")) > 3)
    process.send_signal(getattr(signal, name))
    ended = launcher.finish(process, timeout=40)
    assert (ended.status, ended.err) == (85, "")
    assert f": {name} asked to stop\n" in ended.out
    assert ended.out.endswith("not complete: run the same command again to go on\n")
    assert not (folder / "here" / "summary.json").exists()
    before = finished(folder / "here")
    assert all(event.status == "completed" for event in before)
    again = launcher.python(*command, "--evaluations", str(len(before) + 5))
    assert again.status == 0
    assert finished(folder / "here")[: len(before)] == before
    assert len(finished(folder / "here")) == len(before) + 5
    assert (folder / "here" / "summary.json").exists()


WAITS = """
import time
from pathlib import Path
def loss(params, trial):
    while not Path("go").exists():
        (trial.folder / "waiting").touch()
        time.sleep(0.01)
    return 0.0
"""


def test_a_signal_interrupts_an_evaluation_in_a_child_which_is_taken_up_again(launcher: Launcher, folder: Path) -> None:
    (folder / "waits.py").write_text(WAITS)
    command = ["-m", "evo.run", "waits.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--run-dir", "here", "--evaluations"]
    command += ["3", "--evaluate", "process"]
    process = launcher.start(sys.executable, *command)
    wait_until((folder / "here" / "individuals" / "0-0" / "waiting").exists)
    process.send_signal(signal.SIGUSR1)
    ended = launcher.finish(process, timeout=40)
    assert (ended.status, ended.err) == (85, "")
    assert [(event.individual, event.status) for event in finished(folder / "here")] == [((0, 0), "interrupted")]
    wait_until(lambda: not launcher.survivors())
    (folder / "go").touch()
    again = launcher.python(*command)
    assert again.status == 0
    assert "resumed: 1 individuals are known, 1 of them in flight, which are evaluated first\n" in again.out
    evaluations = gather_evaluations(events(folder / "here"))
    assert [(one.name, one.status) for one in evaluations] == [(f"0-{index}", "completed") for index in range(3)]


def test_a_second_signal_gives_up_an_evaluation_in_this_process_which_is_taken_up_again(
    launcher: Launcher, folder: Path
) -> None:
    (folder / "waits.py").write_text(WAITS)
    command = ["-m", "evo.run", "waits.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--run-dir", "here", "--evaluations"]
    process = launcher.start(sys.executable, *command, "2")
    wait_until((folder / "here" / "individuals" / "0-0" / "waiting").exists)
    process.send_signal(signal.SIGUSR2)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5)
    process.send_signal(signal.SIGUSR2)
    ended = launcher.finish(process, timeout=40)
    assert (ended.status, ended.err) == (85, "")
    (folder / "go").touch()
    assert launcher.python(*command, "2").status == 0
    outcomes = [(event.individual, event.status) for event in finished(folder / "here")]
    assert outcomes == [((0, 0), "interrupted"), ((0, 0), "completed"), ((0, 1), "completed")]


def test_signals_are_handled_before_anything_heavy_is_imported(launcher: Launcher, folder: Path) -> None:
    shows = "import sys, evo.run; print({'numpy', 'msgspec', 'jsonargparse', 'mpi4py', 'torch'} & {*sys.modules})"
    assert launcher.python("-c", shows).out == "set()\n"
    (folder / "numpy.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGUSR1)\n1 / 0\n")
    ended = launcher.python("-c", "import evo.run; evo.run.main(['sphere'])", PYTHONPATH=str(folder))
    assert ended.status == 1  # The handler was there; what ends it is the error after the signal.
    assert "ZeroDivisionError" in ended.err


def test_the_ready_file_is_there_when_a_search_has_begun(launcher: Launcher, folder: Path) -> None:
    ended = launcher.python("-m", "evo.run", "sphere", "--evaluations", "1", EVO_READY_FILE="ready")
    assert ended.status == 0
    assert (folder / "ready").read_text() == "1\n"
    ended = launcher.python("-m", "evo.run", "sphere", "--evaluations", "1", EVO_READY_FILE="none/ready")
    assert ended.status == 2
    assert ended.err.startswith("evo: error: EVO_READY_FILE is none/ready, which cannot be written")


def test_a_search_that_was_killed_goes_on_with_what_was_in_flight(launcher: Launcher, folder: Path) -> None:
    (folder / "waits.py").write_text(WAITS)
    command = ["-m", "evo.run", "waits.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--run-dir", "here", "--evaluations"]
    process = launcher.start(sys.executable, *command, "2")
    wait_until((folder / "here" / "individuals" / "0-0" / "waiting").exists)
    process.kill()
    process.wait()
    in_flight = bred(folder / "here")[0]
    (folder / "go").touch()
    assert launcher.python(*command, "2").status == 0
    evaluations = gather_evaluations(events(folder / "here"))
    assert [one.name for one in evaluations] == ["0-0", "0-1"]
    assert evaluations[0].params == in_flight


def test_a_finite_space_ends_with_its_last_point(launcher: Launcher, folder: Path) -> None:
    limits = "{a: [true, false], b: [x, y, z], c: {type: int, low: 1, high: 2, when: {a: true}}}"
    (folder / "zero.py").write_text("def loss(params): return len(str(params))")
    ended = launcher.evo("zero.py:loss", "--limits", limits, "--evaluations", "1000", "--run-dir", "here")
    assert ended.status == 0
    assert ": all 9 points of the space have been tried\n" in ended.out
    points = bred(folder / "here")
    assert len({json.dumps(point, sort_keys=True) for point in points}) == len(points) == 9


def test_a_loss_that_always_fails_ends_the_search_with_its_reason(launcher: Launcher, folder: Path) -> None:
    ended = launcher.evo("nasty:raises", "--limits", "{x: [-1.0, 1.0]}", "--evaluations", "100", "--run-dir", "here")
    assert ended.status == 1
    reason = r"  20 x ArithmeticError at nasty\.py:\d+: the learning rate exploded \(0-0, 0-1, "
    assert re.search(f"^20 of 20 evaluations failed:\n{reason}", ended.out, re.M)
    assert "20 evaluations (20 failed) in" in ended.out
    assert "no evaluation completed, so there is no best candidate\n" in ended.out
    assert not (folder / "here" / "summary.json").exists()
    assert "Traceback" in finished(folder / "here")[0].traceback


@pytest.mark.parametrize(
    "objective", ["users_module:loss", "users_module.py:loss", "deep/users_module.py:loss", "users_module:Losses.loss"]
)
def test_a_users_own_function_is_searched_with_a_file_of_limits(
    launcher: Launcher, folder: Path, objective: str
) -> None:
    (folder / "deep").mkdir()
    for place in (folder, folder / "deep"):
        source = "def loss(params, trial):\n    trial.metrics['twice'] = 2 * params['x']\n    return params['x'] ** 2\n"
        (place / "users_module.py").write_text(source + "class Losses:\n    loss = staticmethod(loss)\n")
    (folder / "limits.yaml").write_text("x: [-1e-3, 1e-3]\nlayers: [1, 3]\n")
    ended = launcher.evo(objective, "--limits", "limits.yaml", "--evaluations", "12")
    assert (ended.status, ended.err) == (0, "")
    name = objective.split("/")[-1].replace(":", "-").replace(".py", "")
    evaluations = gather_evaluations(events(folder / "runs" / name))
    assert len(evaluations) == 12
    for evaluation in evaluations:
        assert evaluation.loss == evaluation.params["x"] ** 2 <= 1e-6
        assert evaluation.metrics == {"twice": 2 * evaluation.params["x"]}


def test_a_study_file_says_it_all(launcher: Launcher, folder: Path) -> None:
    (folder / "study.yaml").write_text(
        "objective: nasty:good\nlimits: {x: [1e-4, 1e-2]}\nevaluations: 5\nrun_dir: here\nseed: 4\n"
    )
    assert launcher.evo("study.yaml").status == 0
    assert (summary(folder / "here")["evaluations"], summary(folder / "here")["seed"]) == (5, 4)
    assert launcher.evo("study.yaml", "--evaluations", "7").status == 0
    assert summary(folder / "here")["evaluations"] == 7


OWN = """
from evo.propagators import InitUniform, SelectMin
def loss(params): return params["x"] ** 2
class Breed(InitUniform): pass
class Leave(SelectMin): pass
"""


@pytest.mark.parametrize("objective", ["own.py:loss", "own:loss", "sphere"])
def test_the_evo_command_finds_classes_in_the_working_directory(
    launcher: Launcher, folder: Path, objective: str
) -> None:
    (folder / "own.py").write_text(OWN)
    (folder / "bin").mkdir()
    (folder / "bin" / "command.py").write_text("import sys; from evo.cli import main; sys.exit(main())\n")
    own = ["--propagator", "{class_path: own.Breed}", "--emigration", "own.Leave", "--limits", "{x: [-1.0, 1.0]}"]
    if objective == "sphere":
        own[-1] = "{x0: [-1.0, 1.0]}"
    ended = launcher.python("bin/command.py", "run", objective, *own, "--run-dir", "here")
    assert (ended.status, ended.err) == (0, "")
    assert json.loads((folder / "here" / "study.json").read_text())["propagator"] == "Breed()"


ALL_KINDS = [*nasty.FAILS, "good"]


def nasty_search(launcher: Launcher, kinds: list[str], *arguments: str) -> Ended:
    limits = json.dumps({"kind": kinds, "x": [0, 1]})
    command = ["nasty:any_of_them", "--limits", limits, "--max-failed-share", "1", "--evaluations", "1000"]
    return launcher.evo(*command, "--run-dir", "here", *arguments, timeout=120)


def check_nasty_search(folder: Path, ended: Ended, expected: dict[str, str]) -> None:
    """Every kind was tried twice and failed with its reason, and the search found the best of the rest."""
    assert ended.status == 0, ended.err
    evaluations = gather_evaluations(events(folder / "here"))
    by_kind: dict[str, list[Any]] = {}
    for evaluation in evaluations:
        by_kind.setdefault(str(evaluation.params["kind"]), []).append(evaluation)
    assert set(by_kind) == {*expected, "good"}
    for kind, error in expected.items():
        assert [(one.status, one.loss) for one in by_kind[kind]] == [("failed", None)] * 2, kind
        assert all(one.error.startswith(error) for one in by_kind[kind]), kind
    assert sorted(one.loss for one in by_kind["good"]) == [0.0, 1.0]
    found = summary(folder / "here")
    assert found["best"]["loss"] == 0.0
    assert found["best"]["params"] == {"kind": "good", "x": 0}
    assert found["failed"] == 2 * len(expected)
    assert f"{2 * len(expected)} of {2 * len(expected) + 2} evaluations failed:\n" in ended.out
    assert re.search(r"^  \d+ x \w+( at \S+)?(, for example)?: ", ended.out, re.M)
    check_json(folder / "here" / "journal" / "0.jsonl")


def test_a_search_goes_on_after_every_kind_of_nasty_loss(launcher: Launcher, folder: Path) -> None:
    ended = nasty_search(launcher, ALL_KINDS)
    check_nasty_search(folder, ended, {kind: error for kind, (_, error) in nasty.FAILS.items()})


@pytest.mark.slow
def test_a_search_goes_on_after_every_kind_of_nasty_loss_in_a_child(launcher: Launcher, folder: Path) -> None:
    every = nasty.FAILS | nasty.DIES
    ended = nasty_search(launcher, [*every, "sleeps", "hangs_in_c", "good"], "--time-limit", "1s")
    over = "TimeLimit: it took longer than the time limit of 1 s"
    expected = {kind: error for kind, (_, error) in every.items()} | {"sleeps": over, "hangs_in_c": over}
    check_nasty_search(folder, ended, expected)
    assert not launcher.survivors()


def test_each_mistake_gives_one_line_and_leaves_everything_as_it_was(launcher: Launcher, folder: Path) -> None:
    mistakes.prepare(folder)
    (folder / "all.py").write_text(mistakes.ALL)
    before = mistakes.contents(folder)
    traps = f"{folder / 'traps'}{os.pathsep}{launcher.environment()['PYTHONPATH']}"
    ended = launcher.python("all.py", PYTHONPATH=traps)
    assert (ended.status, "Traceback" in ended.out) == (0, False), ended
    said = re.findall(r"^(.*)\nafter (\w+)\n", ended.err, re.M)
    assert ended.err == "".join(f"{line}\nafter {name}\n" for line, name in said)
    assert [name for _, name in said] == list(mistakes.MISTAKES)
    for line, name in said:
        assert line.startswith("evo: error: "), name
        assert all(word in line for word in mistakes.MISTAKES[name][1]), line
    assert mistakes.contents(folder) == before


def test_a_mistake_ends_with_status_2(launcher: Launcher) -> None:
    ended = launcher.evo("spere")
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("arguments", [["--help"], ["sphere", "--help"]])
def test_the_help_is_printed(launcher: Launcher, arguments: list[str]) -> None:
    ended = launcher.evo(*arguments)
    assert (ended.status, ended.err) == (0, "")
    assert "usage: python -m evo.run [OBJECTIVE | STUDY.yaml] [options]" in ended.out


def test_a_search_on_a_terminal_shows_a_live_view(launcher: Launcher, folder: Path) -> None:
    import fcntl
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    (folder / "slow.py").write_text(SLOW)
    command = [sys.executable, "-m", "evo.run", "slow.py:loss", "--limits", "{x: [-1.0, 1.0]}", "--evaluations", "100"]
    process = launcher.start(*command, stdout=theirs, TERM="xterm")
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += (part := os.read(ours, 10_000))
        except OSError:  # As Linux says that the other side is closed.
            break
        if not part:
            break
    os.close(ours)
    assert process.wait(30) == 0
    text = shown.decode()
    assert "\x1b[" in text
    assert "100 of 100 evaluations" in text
    assert "The best candidates" in text


def test_the_best_individual_is_shown_as_text_and_as_json(folder: Path) -> None:
    call("run", "sphere", "--evaluations", "20", "--run-dir", "here", "--quiet")
    found = summary(folder / "here")["best"]
    text = call("best", "here")
    assert (text.status, text.err) == (0, "")
    assert re.search(rf"^loss +{re.escape(str(found['loss']))}$", text.out, re.M)
    assert re.search(rf"^  x0 +{re.escape(str(found['params']['x0']))}$", text.out, re.M)
    as_json = call("best", "here", "--json")
    assert (as_json.status, as_json.err, as_json.out.count("\n")) == (0, "", 1)
    record = json.loads(as_json.out)
    assert {name: record[name] for name in found} == found


def test_several_runs_are_compared_a_line_for_each_and_the_best_of_them_is_shown(folder: Path) -> None:
    for seed, evaluations in enumerate([5, 40]):
        call("run", "sphere", "--evaluations", str(evaluations), "--run-dir", str(seed), "--seed", str(seed), "--quiet")
    shutil.copytree(folder / "1", folder / "begun")
    (folder / "begun" / "summary.json").unlink()
    (folder / "begun" / "journal" / "0.jsonl").write_text("")
    losses = [summary(folder / run)["best"]["loss"] for run in ("0", "1")]
    ended = call("best", "begun", "0", "1")
    assert (ended.status, ended.err) == (0, "")
    lines = [line.split() for line in ended.out.splitlines()]
    assert lines[0] == ["run", "best", "loss", "individual", "evaluations"]
    order = sorted((0, 1), key=losses.__getitem__)
    assert [line[:2] for line in lines[1:3]] == [[str(run), str(losses[run])] for run in order]
    assert [line[-1] for line in lines[1:3]] == [["5", "40"][run] for run in order]
    assert lines[3] == ["begun", "none", "yet", "0,", "not", "complete"]
    assert f"The best of them, of {order[0]}:\nindividual " in ended.out
    records = [json.loads(line) for line in call("best", "begun", "0", "1", "--json").out.splitlines()]
    assert [(record["run"], record.get("loss")) for record in records] == [
        *((str(run), losses[run]) for run in order),
        ("begun", None),
    ]
    without = call("best", "absent", "0")
    assert without.status == 2
    assert without.err == "evo: error: absent is no run directory: it has no study.json; evo list FOLDER finds some\n"
    assert without.out.startswith("individual ")


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("absent", "absent is no run directory: it has no study.json"),
        ("thesis", "thesis is no run directory: it has no study.json"),
        ("damaged", "run directory damaged: study.json cannot be read"),
        ("rotten", r"journal \S*rotten/journal/0.jsonl, line 1 is damaged"),
        ("other", "no individual in other has completed yet"),
    ],
)
def test_the_best_of_what_is_no_study_is_an_error(
    folder: Path, run: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistakes.prepare(folder)
    monkeypatch.chdir(folder)
    ended = call("best", run)
    assert (ended.status, ended.out) == (2, "")
    assert re.fullmatch(rf"evo: error: {message}.*\n", ended.err)


@pytest.mark.parametrize(
    ("arguments", "status", "out", "err"),
    [
        (["--version"], 0, f"evo {evo.__version__}\n", ""),
        (["--help"], 0, "usage: evo COMMAND", ""),
        ([], 0, "evo finds the hyperparameters", ""),
        (["walk"], 2, "", "evo: error: 'walk' is no command; use run, init, check, status, best, list, compare, "),
        (["run", "spere"], 2, "", "evo: error: objective 'spere'"),
        (["run", "sphere", "--generations", "1"], 0, "evo: study sphere", ""),
    ],
)
def test_the_evo_command_has_its_commands(folder: Path, arguments: list[str], status: int, out: str, err: str) -> None:
    ended = call(*arguments)
    assert ended.status == status
    assert ended.out.startswith(out)
    assert bool(ended.out) == bool(out)
    assert ended.err.startswith(err)
    assert bool(ended.err) == bool(err)


# From Python.


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, and beside it one for temporary files."""
    for name in ("work", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "work"


LIMITS = {"x": (-5.0, 5.0), "kind": ("a", "b")}


def test_minimize_finds_the_minimum_prints_nothing_and_keeps_no_files(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = evo.minimize(lambda params: (params["x"] - 1) ** 2 + (params["kind"] == "a"), LIMITS, evaluations=200)
    assert found.best is not None
    assert found.best.params["kind"] == "b"
    assert found.best.loss is not None
    assert found.best.loss < 0.01
    assert len(found.individuals) == 200
    assert (found.interrupted, found.run_dir, found.stop_reason) == (False, None, "200 evaluations are complete")
    assert list(here.parent.rglob("*")) == [here, here.parent / "temporary"] or not any(
        path.is_file() for path in here.parent.rglob("*")
    )
    assert capfd.readouterr() == ("", "")


def test_minimize_with_a_run_directory_is_resumed_by_the_same_call(here: Path) -> None:
    def search(evaluations: int) -> Any:
        return evo.minimize(nasty.good, LIMITS, evaluations=evaluations, run_dir="some/where", seed=2)

    first = search(10)
    known = [one.params for one in first.individuals]  # Read when first asked for: now.
    second = search(25)
    assert first.run_dir == second.run_dir == Path("some/where")
    assert [one.params for one in second.individuals[:10]] == known
    assert len(second.individuals) == 25
    assert summary(here / "some" / "where")["evaluations"] == 25
    whole = evo.minimize(nasty.good, LIMITS, evaluations=25, seed=2)
    assert [one.params for one in whole.individuals] == [one.params for one in second.individuals]


class CountsItsCalls(evo.Propagator):
    calls = 0

    def breed(self, parents: Any, space: Any, rng: Any) -> Any:
        self.calls += 1
        return InitUniform()(parents, space, rng)


def test_a_propagator_breeds_whether_it_is_an_instance_or_only_named(here: Path) -> None:
    own = CountsItsCalls()
    random = evo.minimize(nasty.good, LIMITS, evaluations=30, propagator=own)
    assert own.calls >= 30
    genetic = evo.minimize(nasty.good, LIMITS, evaluations=30)
    for what in ("random", {"name": "random"}, {"class_path": "InitUniform"}):
        named = evo.minimize(nasty.good, LIMITS, evaluations=30, propagator=what)
        assert [one.params for one in named.individuals] == [one.params for one in random.individuals]
        assert [one.params for one in named.individuals] != [one.params for one in genetic.individuals]
    with pytest.raises(ValueError, match=r"^propagator 'radnom' is no ready one: .* did you mean random\?$"):
        evo.minimize(nasty.good, LIMITS, propagator="radnom")


def test_minimize_prints_when_it_is_told_to(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    evo.minimize(nasty.good, LIMITS, evaluations=10, quiet=False)
    assert "10 evaluations (10 completed)" in capfd.readouterr().out


def test_minimize_changes_nothing_in_its_process(here: Path) -> None:
    def state() -> list[Any]:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
        files = sorted(os.listdir("/proc/self/fd"))
        return [dict(os.environ), handlers, sys.excepthook, os.getcwd(), list(sys.path), files]

    before = state()
    evo.minimize(nasty.good, LIMITS, evaluations=10)
    with pytest.raises(ValueError, match="generations"):
        evo.minimize(nasty.good, LIMITS, generations=0)
    assert state() == before


def test_a_loss_evaluated_by_minimize_uses_its_share_of_the_cores(here: Path) -> None:
    def loss(params: dict[str, Any], trial: Any) -> float:
        trial.metrics |= {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
        trial.metrics["threads"] = trial.threads
        return 0.0

    found = evo.minimize(loss, LIMITS, evaluations=1, gpus_per_node=0)
    cores = len(os.sched_getaffinity(0))
    expected = {"OMP_NUM_THREADS": str(cores), "CUDA_VISIBLE_DEVICES": "", "threads": cores}
    assert found.individuals[0].metrics == expected


class WithTest:
    def __call__(self, params: dict[str, Any], trial: Any) -> float:
        (trial.folder / "weights").write_text(str(params["x"]))
        return float(params["x"]) ** 2

    def test(self, params: dict[str, Any], trial: Any) -> dict[str, Any]:
        return {"weight": float((trial.folder / "weights").read_text())}


@pytest.mark.parametrize("run_dir", [None, "here"])
@pytest.mark.parametrize("evaluate", ["inline", "process"])
def test_the_best_individual_is_tested_with_the_files_of_its_evaluation(
    here: Path, run_dir: str | None, evaluate: str
) -> None:
    found = evo.minimize(WithTest(), {"x": (-5.0, 5.0)}, evaluations=10, run_dir=run_dir, evaluate=evaluate)
    assert found.best is not None
    assert (found.test_error, found.test) == ("", {"weight": found.best.params["x"]})
    assert list((here.parent / "temporary").iterdir()) == []


def test_intermediate_losses_are_journalled(here: Path) -> None:
    def loss(params: dict[str, Any]) -> Iterator[float]:
        yield 3.0
        yield 2.0

    found = evo.minimize(loss, LIMITS, evaluations=2, run_dir="here")
    assert found.best is not None
    assert found.best.loss == 2.0
    records = [json.loads(line) for line in (here / "here" / "journal" / "0.jsonl").read_text().splitlines()]
    reported = [(record["step"], record["loss"]) for record in records if record["type"] == "Reported"]
    assert reported == [(0, 3.0), (1, 2.0)] * 2


def test_losses_of_nan_are_never_the_best_and_never_on_disk(here: Path) -> None:
    def loss(params: dict[str, Any]) -> float:
        return math.nan if params["x"] < 0 else float(params["x"])

    found = evo.minimize(loss, LIMITS, evaluations=60, run_dir="here")
    failed = [one for one in found.individuals if one.status == "failed"]
    assert failed
    assert all(one.params["x"] < 0 and one.loss is None for one in failed)  # type: ignore[operator]
    assert found.best is not None
    assert found.best.params["x"] == found.best.loss
    check_json(here / "here" / "journal" / "0.jsonl")


@pytest.mark.parametrize(
    ("loss", "limits", "settings", "message"),
    [
        (nasty.good, {}, {}, "limits are {}"),
        (nasty.good, {"x": (1.0, "a")}, {}, "'x'"),
        (nasty.good, LIMITS, {"evaluations": 2.5}, "evaluations is 2.5"),
        (nasty.good, LIMITS, {"evaluate": "fast"}, "evaluate is 'fast'"),
        (lambda: 0.0, LIMITS, {}, "an objective takes"),
        (partial(print, (n for n in ())), LIMITS, {"evaluate": "process"}, "cannot be sent to a child process"),
        (partial(print, (n for n in ())), LIMITS, {"time_limit": 5}, "cannot be sent to a child process"),
        (nasty.good, LIMITS, {"run_dir": "/dev/null/below"}, "/dev/null/below"),
    ],
)
def test_a_mistake_in_python_is_a_value_error(
    here: Path, loss: Callable[..., float], limits: Any, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        evo.minimize(loss, limits, **settings)
    assert list(here.iterdir()) == []
    assert list((here.parent / "temporary").iterdir()) == []


def test_a_setting_that_does_not_exist_is_named(here: Path) -> None:
    with pytest.raises(ValueError, match=r"^generatons is no setting of a search; did you mean generations\?"):
        evo.minimize(nasty.good, LIMITS, generatons=3)  # type: ignore[call-arg]


SCRIPT = """
import evo
def loss(params): return params["x"] ** 2
{guard}result = evo.minimize(loss, {{"x": (-1.0, 1.0)}}, evaluations=5, evaluate="process", run_dir="here")
{guard}print(len(result.individuals), result.best.loss >= 0)
"""


@pytest.mark.parametrize("guard", ['if __name__ == "__main__": ', ""])
def test_a_script_may_evaluate_its_own_function_in_a_child(launcher: Launcher, folder: Path, guard: str) -> None:
    (folder / "script.py").write_text(SCRIPT.format(guard=guard))
    assert launcher.python("script.py") == Ended(0, "5 True\n", "")


def test_a_loss_written_for_several_ranks_runs_on_one_without_a_launcher(launcher: Launcher, folder: Path) -> None:
    (folder / "alone.py").write_text(
        "import evo\n"
        "def loss(params, trial):\n"
        "    trial.metrics['sum'] = trial.communicator.allreduce(trial.size)\n"
        "    return params['x'] + trial.rank\n"
        "result = evo.minimize(loss, {'x': (0.0, 1.0)}, evaluations=3)\n"
        "print([one.metrics for one in result.individuals])\n"
    )
    assert launcher.python("alone.py") == Ended(0, f"{[{'sum': 1}] * 3}\n", "")


def test_a_search_that_a_thread_makes_is_a_search(here: Path) -> None:
    import threading

    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(evo.minimize(nasty.good, LIMITS, evaluations=5)))
    thread.start()
    thread.join(30)
    assert len(found[0].individuals) == 5


def test_a_loss_that_changes_the_working_directory_does_not_move_the_run_directory(here: Path, tmp_path: Path) -> None:
    def loss(params: dict[str, Any]) -> float:
        os.chdir(tmp_path)
        return 0.0

    found = evo.minimize(loss, LIMITS, evaluations=5, run_dir="here")
    assert len(found.individuals) == 5
    assert summary(here / "here")["evaluations"] == 5


def test_the_result_of_a_search_is_one_that_people_can_read() -> None:
    found = evo.minimize(nasty.good, LIMITS, evaluations=3)
    assert len(repr(found)) < 2000
    assert dataclasses.is_dataclass(found)


def test_the_examples_in_the_documentation_run() -> None:
    assert doctest.testmod(evo.run).failed == 0
    assert doctest.testmod(evo).failed == 0
