"""Ranks that train one network together, as one training on all of their batches."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import journals
import pytest
from helpers import Launcher, wait_until
from ranks import start_ranks

from evo.lightning import LightningObjective
from evo.population.events import Finished
from evo.problems.digits import Digits, DigitsNet
from evo.randomness import training_seed
from evo.testing.trials import FakeTrial

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

MANY = int(os.environ.get("EVO_TRAININGS", "2"))

NOTED = """
import os
import lightning as L
from pathlib import Path
from evo import LightningObjective
from evo.problems.digits import Digits, DigitsNet

class Noted(DigitsNet):
    def __init__(self, lr=0.01, channels=4, dropout=0.0):
        super().__init__(optimizer="sgd", channels=channels, dropout=dropout, lr=lr)
    def on_train_batch_start(self, batch, number):
        Path("trained").mkdir(exist_ok=True)
        Path("trained", f"{self.global_rank}-{os.getpid()}").touch()
        self.log("open_files", float(len(os.listdir("/proc/self/fd"))))
    def on_validation_end(self):
        files = len(os.listdir("/proc/self/fd"))
        with Path("open", str(os.getpid())).open("a") as stream:
            stream.write(f"{files}\\n")

Path("open").mkdir(exist_ok=True)
long = LightningObjective(Noted, Digits, max_epochs=100000, early_stopping=False)
"""
STUDY = """
model: {class_path: noted.Noted}
data: {class_path: evo.problems.digits.Digits, init_args: {batch_size: 2000}}
trainer: {max_epochs: 4}
early_stopping: false
limits: {lr: {type: float, low: 0.01, high: 0.1, log: true}, channels: [4, 16], dropout: [0.0, 0.0001]}
ranks_per_worker: 2
"""


def test_two_studies_at_once_train_on_two_ranks_as_one_does_with_both_of_their_batches_and_leave_nothing_open(
    mpirun_command: str, launcher: Launcher
) -> None:
    (launcher.folder / "noted.py").write_text(NOTED)
    (launcher.folder / "study.yaml").write_text(STUDY)
    search = ["-m", "evo.run", "study.yaml", "--evaluations", str(MANY), "--run-dir"]
    runs = [start_ranks(launcher, mpirun_command, 2, *search, name, "--seed", str(ord(name))) for name in "ab"]
    for process in runs:
        ended = launcher.finish(process, timeout=120 + MANY)
        assert (ended.status, ended.err) == (0, "")
    wait_until(lambda: not launcher.survivors())
    for name in "ab":
        here = launcher.folder / name
        assert journals.check_complete(here) == MANY
        assert journals.summary(here)["failed"] == 0
        assert not list(here.glob("individuals/*/meeting-*"))
        # Of the processes that train an individual, one writes for TensorBoard.
        assert len(list(here.glob("individuals/*/events.out.tfevents.*"))) == MANY
        check_losses(launcher.folder, name)
    noted = [[int(line) for line in file.read_text().split()] for file in (launcher.folder / "open").iterdir()]
    assert sorted(map(len, noted)) == [4 * MANY] * 4
    assert all(max(files[2 * MANY :]) <= max(files[: 2 * MANY]) + 2 for files in noted)


def check_losses(folder: Path, name: str) -> None:
    """Check the first losses of a study against those of one process."""
    alone = LightningObjective(
        lambda **params: DigitsNet(optimizer="sgd", **params),
        lambda: Digits(2000),
        max_epochs=4,
        early_stopping=False,
    )
    for identity, params in list(journals.started(folder / name).items())[:2]:
        trial = FakeTrial(folder / "alone", seed=training_seed(ord(name), identity))
        trial.folder.mkdir(exist_ok=True)
        loss = alone(params, trial)
        # One image counts twice, so that both have as many.
        assert journals.finished(folder / name)[identity].loss == pytest.approx(loss, rel=0.02)


def test_a_process_of_a_worker_that_is_killed_is_one_failure_and_the_search_goes_on(
    mpirun_command: str, launcher: Launcher
) -> None:
    folder = launcher.folder
    (folder / "noted.py").write_text(NOTED)
    search = ["-m", "evo.run", "noted.py:long", "--limits", "{lr: [0.001, 0.1]}", "--run-dir", "here"]
    process = start_ranks(launcher, mpirun_command, 2, *search, "--ranks-per-worker", "2", "--generations", "2")
    trained = folder / "trained"
    wait_until(lambda: trained.exists() and len(list(trained.iterdir())) == 2, 60)
    (first,) = trained.glob("0-*")  # Whose end is told, whatever its partner makes of it.
    os.kill(int(first.name.removeprefix("0-")), signal.SIGKILL)
    here = folder / "here"
    wait_until(lambda: [end for end in journals.events(here) if isinstance(end, Finished)])
    ends = [end for end in journals.events(here) if isinstance(end, Finished)]
    assert [end.status for end in ends] == ["failed"]
    assert "killed by SIGKILL" in ends[0].error
    # Its worker trains the next one, with new processes.
    wait_until(lambda: len(list(trained.iterdir())) >= 3, 40)
    process.send_signal(signal.SIGUSR1)
    ended = launcher.finish(process, timeout=40)
    assert ended.status == 85
    statuses = sorted(end.status for end in journals.events(here) if isinstance(end, Finished))
    assert statuses == ["failed", "interrupted"]
    wait_until(lambda: not launcher.survivors())
