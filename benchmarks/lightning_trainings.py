"""The trainings that lightning.py compares, in a process for each way.

    python benchmarks/lightning_trainings.py WAY JOB ADDRESS

serves the trainings that are asked for at that Unix socket. A search of evo breeds its candidates itself: the socket
says which is next, and when it may begin; or that the process which trains for it is to train something without evo.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing.connection import Client, Connection
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar, final

if __name__ == "__main__":  # Rather than this folder, where lightning.py would hide the library.
    sys.path[0] = str(Path(__file__).parents[1] / "tutorials")

import lightning as L
import mnist
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler

import evo
from evo.objective.objective import Trial

SEARCHES = {"evo": None, "evo, kept in memory": "memory"}  # What they give as keep_data.
WORKERS = {"new trainer": 2, "new trainer, no workers": 0, "new process": 2}


@final
@dataclass(frozen=True)
class Job:
    """What is trained, but for the candidate.

    Args:
        images: Folder with the files of MNIST.
        runs: Folder for what the trainings write.
        batch_size: For training; a validation has ten batches of 100.
        batches: How many an epoch has.
        epochs: How many a training has, unless it is stopped early.
        threads: CPU threads of a training.
        candidates: How many there are.
        seed: Of the search.
    """

    images: str
    runs: str
    batch_size: int
    batches: int
    epochs: int
    threads: int
    candidates: int
    seed: int

    @property
    def trainer(self) -> dict[str, Any]:
        """Arguments of the Trainer that all ways have."""
        return {"max_epochs": self.epochs, "limit_train_batches": self.batches, "limit_val_batches": 10}


@final
class Images(L.LightningDataModule):
    """The tutorial's images with a batch size, and processes that load them.

    Their order depends on the training's seed alone, not on who loads them.
    """

    def __init__(self, folder: str, batch_size: int, workers: int = 0) -> None:
        super().__init__()
        self.folder, self.batch_size, self.workers = Path(folder), batch_size, workers
        self.parts: dict[str, Any] = {}

    def setup(self, stage: str) -> None:
        if not self.parts:
            self.parts = mnist.read_parts.__wrapped__(self.folder)  # Not the tutorial's cache.

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        order = RandomSampler(self.parts["train"], generator=torch.Generator().manual_seed(torch.initial_seed()))
        return self._load("train", batch_size=self.batch_size, sampler=order)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return self._load("val", batch_size=100)

    def _load(self, part: str, **settings: Any) -> DataLoader[tuple[Tensor, ...]]:
        pinned = torch.cuda.is_available() and self.workers > 0
        settings |= {"num_workers": self.workers, "persistent_workers": self.workers > 0, "pin_memory": pinned}
        return DataLoader(self.parts[part], **settings)


@final
@dataclass(frozen=True)
class InTurn:
    """An objective that says what is asked for, and waits for its turn; meanwhile it trains bare what it is told."""

    separate_process: ClassVar[bool] = True
    objective: evo.LightningObjective
    job: Job
    address: str

    def check(self, names: list[str]) -> None:
        self.objective.check(names)

    def __call__(self, params: dict[str, Any], trial: Trial) -> float:
        channel = _connect(self.address)
        channel.send(("asked", (params, trial.seed)))
        while bare := channel.recv():
            began = time.process_time()
            loss = train(replace(self.job, runs=mkdtemp(dir=self.job.runs)), *bare, _load(self.job))
            channel.send(("bare", (loss, time.process_time() - began)))
        trial.threads = self.job.threads
        loss = self.objective(params, trial)
        channel.send(("loss", loss))
        return loss


@cache
def _connect(address: str) -> Connection:
    return Client(address)


@cache
def _load(job: Job) -> Images:
    """Images that are already read."""
    data = Images(job.images, job.batch_size)
    data.setup("fit")
    return data


def search(way: str, job: Job, address: str) -> None:
    """Search as a user does; candidates are drawn at random, whatever their losses: so all searches meet the same."""
    objective = evo.LightningObjective(
        mnist.Network,
        partial(Images, folder=job.images, batch_size=job.batch_size),
        monitor="val_acc",
        mode="max",
        early_stopping={"monitor": "val_loss"},
        trainer=job.trainer,
        keep_data=SEARCHES[way],
    )
    evo.minimize(
        InTurn(objective, job, address),
        mnist.LIMITS,
        propagator="random",
        evaluations=job.candidates + 1,  # One more than is trained: when it is asked for, the last one is complete.
        run_dir=f"{job.runs}/search",
        seed=job.seed,
    )


def serve(way: str, job: Job, address: str) -> None:
    """Train what is asked for, one after the other, until the connection is closed."""
    channel = Client(address)
    for number in range(job.candidates):
        try:
            params, seed = channel.recv()
        except EOFError:
            return
        data = Images(job.images, job.batch_size, WORKERS[way])
        channel.send(train(replace(job, runs=f"{job.runs}/{number}"), params, seed, data))


def train(job: Job, params: Mapping[str, Any], seed: int, data: Images) -> float:
    """The loss of a candidate: by Lightning alone, with everything that is of use to a user.

    Args:
        job: With a folder for this training.
        params: The candidate.
        seed: Of this training.
        data: What it is trained on.
    """
    torch.set_num_threads(job.threads)
    L.seed_everything(seed, workers=True, verbose=False)
    module = mnist.Network(**params)
    best = ModelCheckpoint(job.runs, monitor="val_acc", mode="max", save_weights_only=True)
    trainer = L.Trainer(
        **job.trainer,
        callbacks=[EarlyStopping("val_loss"), best],
        logger=TensorBoardLogger(job.runs, name="", version=""),
        devices=1,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data)
    return -float(best.best_model_score)


def main() -> None:
    """Serve as one of the ways, or train once."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    way, job_text, address = sys.argv[1:4]
    job = Job(**json.loads(job_text))
    if way in SEARCHES:
        search(way, job, address)
    elif address:
        serve(way, job, address)
    else:
        params, seed = json.loads(sys.argv[4])
        print(train(job, params, seed, Images(job.images, job.batch_size, WORKERS[way])), flush=True)


if __name__ == "__main__":
    main()
