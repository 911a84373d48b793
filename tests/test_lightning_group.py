"""Ranks that train one network together, as one training on all of their batches."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import journals
import pytest
from helpers import Ended, FakeTrial, Launcher, wait_until
from ranks import start_ranks

from evo.breeding import training_seed
from evo.events import Finished
from evo.lightning import LightningObjective
from evo.problems.digits import Digits, DigitsNet

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

MpiRun = Callable[..., Ended]

STUDY = """
model: {class_path: evo.problems.digits.DigitsNet, init_args: {optimizer: sgd}}
data: {class_path: evo.problems.digits.Digits, init_args: {batch_size: 2000}}
trainer: {max_epochs: 12}
early_stopping: false
limits: {lr: {type: float, low: 0.01, high: 0.1, log: true}, channels: [4, 16], dropout: [0.0, 0.0001]}
ranks_per_worker: 2
"""

NOTED = """
import os
import lightning as L
from pathlib import Path
from evo import LightningObjective
from evo.problems.digits import Digits, DigitsNet

class Noted(DigitsNet):
    def __init__(self, lr=0.01):
        super().__init__(channels=4, lr=lr)
    def on_train_batch_start(self, batch, number):
        Path("trained").mkdir(exist_ok=True)
        Path("trained", str(os.getpid())).touch()
        self.log("open_files", float(len(os.listdir("/proc/self/fd"))))
    def on_validation_end(self):
        files = len(os.listdir("/proc/self/fd"))
        with Path("open", str(os.getpid())).open("a") as stream:
            stream.write(f"{files}\\n")

Path("open").mkdir(exist_ok=True)
long = LightningObjective(Noted, Digits, max_epochs=100000, early_stopping=False)
short = LightningObjective(Noted, lambda: Digits(500), max_epochs=1)
"""


def test_two_ranks_train_as_one_does_with_both_of_their_batches(mpirun: MpiRun, launcher: Launcher) -> None:
    (launcher.folder / "study.yaml").write_text(STUDY)
    ended = mpirun(4, "-m", "evo.run", "study.yaml", "--evaluations", "8", "--run-dir", "here", timeout=240)
    assert (ended.status, ended.err) == (0, "")
    alone = LightningObjective(
        lambda **params: DigitsNet(optimizer="sgd", **params),
        lambda: Digits(2000),
        max_epochs=12,
        early_stopping=False,
    )
    here = launcher.folder / "here"
    assert 8 <= journals.check_complete(here) <= 9
    for identity, params in journals.started(here).items():
        trial = FakeTrial(launcher.folder / "alone", seed=training_seed(0, identity))
        trial.folder.mkdir(exist_ok=True)
        loss = alone(params, trial)
        # One image counts twice, so that both have as many.
        assert journals.finished(here)[identity].loss == pytest.approx(loss, rel=0.02)
    wait_until(lambda: not launcher.survivors(), 10)
    assert not list(here.glob("individuals/*/meeting-*"))
    # Of the processes that train an individual, one writes for TensorBoard.
    assert len(list(here.glob("individuals/*/events.out.tfevents.*"))) == len(journals.started(here))


def test_a_process_of_a_worker_that_is_killed_is_one_failure_and_the_search_goes_on(
    mpirun_command: str, launcher: Launcher
) -> None:
    folder = launcher.folder
    (folder / "noted.py").write_text(NOTED)
    search = ["-m", "evo.run", "noted.py:long", "--limits", "{lr: [0.001, 0.1]}", "--run-dir", "here"]
    process = start_ranks(launcher, mpirun_command, 4, *search, "--ranks-per-worker", "2", "--generations", "2")
    trained = folder / "trained"
    wait_until(lambda: trained.exists() and len(list(trained.iterdir())) == 4, 60)
    os.kill(int(next(trained.iterdir()).name), signal.SIGKILL)
    here = folder / "here"
    wait_until(lambda: [end for end in journals.events(here) if isinstance(end, Finished)], 15)
    ends = [end for end in journals.events(here) if isinstance(end, Finished)]
    assert [end.status for end in ends] == ["failed"]
    assert "killed by SIGKILL" in ends[0].error
    # Its worker trains the next one, with new processes.
    wait_until(lambda: len(list(trained.iterdir())) >= 5, 40)
    process.send_signal(signal.SIGUSR1)
    ended = launcher.finish(process, timeout=30)
    assert ended.status == 85
    statuses = sorted(end.status for end in journals.events(here) if isinstance(end, Finished))
    assert statuses == ["failed", "interrupted", "interrupted"]
    wait_until(lambda: not launcher.survivors(), 10)


def test_two_studies_train_at_once_and_many_trainings_leave_nothing_open(
    mpirun_command: str, launcher: Launcher
) -> None:
    (launcher.folder / "noted.py").write_text(NOTED)
    search = ["-m", "evo.run", "noted.py:short", "--limits", "{lr: [0.001, 0.1]}", "--ranks-per-worker", "2"]
    runs = [
        start_ranks(launcher, mpirun_command, 2, *search, "--evaluations", "25", "--run-dir", name) for name in "ab"
    ]
    for process in runs:
        ended = launcher.finish(process, timeout=120)
        assert (ended.status, ended.err) == (0, "")
    for name in "ab":
        assert journals.check_complete(launcher.folder / name) == 25
        assert journals.summary(launcher.folder / name)["failed"] == 0
    noted = [[int(line) for line in file.read_text().split()] for file in (launcher.folder / "open").iterdir()]
    assert sorted(map(len, noted)) == [25] * 4
    assert all(max(files[10:]) <= max(files[:10]) + 2 for files in noted)
