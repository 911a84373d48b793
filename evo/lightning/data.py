"""The data module of the last training, kept while its own parameters stay the same: loading may take longer than
training.
"""

from __future__ import annotations

import fcntl
import functools
import os
import random
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng

# A split that is drawn at random must be the same in all trainings, or their losses could not be compared.
_DATA_SEED = 0


@final
class DataKeeper:
    """Makes data modules, and keeps the last one.

    The `setup` of a data module runs once for each stage, and `prepare_data`, which may download, once on each node,
    while the other processes of the session wait. Both see the same random numbers in all trainings, and do not change
    the training's.
    """

    def __init__(self) -> None:
        self._key: str | None = None
        self._data: L.LightningDataModule | None = None
        self._stages: set[str] = set()

    def get(
        self, params: Mapping[str, Any], session: str, make: Callable[[], L.LightningDataModule]
    ) -> L.LightningDataModule:
        """The data module of these parameters, the kept one if it has the same.

        Args:
            params: The parameters that it is made from.
            session: The name of the session of the study.
            make: Makes a data module.
        """
        key = repr(sorted(params.items()))
        if self._data is None or key != self._key:
            self.drop()
            with same_random_numbers():
                data = make()
            if isinstance(data, L.LightningDataModule):
                self._wrap(data, f"{type(data).__module__}.{type(data).__qualname__} {key}", session)
            self._key, self._data = key, data
        return self._data

    def release(self) -> None:
        """Let go of all that belongs to a training, after its end."""
        if self._data is not None:
            self._data.trainer = None

    def drop(self) -> None:
        """Let go of the data module."""
        data, stages = self._data, self._stages
        self._data, self._stages = None, set()
        if data is not None:
            for stage in stages:
                type(data).teardown(data, stage)

    def _wrap(self, data: L.LightningDataModule, name: str, session: str) -> None:
        prepare, setup = data.prepare_data, data.setup

        @functools.wraps(prepare)
        def prepare_once() -> None:
            with same_random_numbers():
                once_per_node(name, session, prepare)

        @functools.wraps(setup)
        def setup_once(stage: str) -> None:
            if stage not in self._stages:
                with same_random_numbers():
                    setup(stage)
                self._stages.add(stage)

        data.prepare_data = prepare_once  # type: ignore[method-assign]
        data.setup = setup_once  # type: ignore[method-assign]
        data.teardown = lambda stage: None  # type: ignore[method-assign]

    def __reduce__(self) -> tuple[type[DataKeeper], tuple[()]]:
        return DataKeeper, ()  # Another process keeps its own.


def once_per_node(name: str, session: str, act: Callable[[], object]) -> None:
    """Do something unless a process of this machine has done it already; while one does it, the others wait.

    Args:
        name: The name of what is done.
        session: The session in which it is enough to do it once.
        act: Does it. If it fails, the next process tries.
    """
    number = zlib.crc32(name.encode())
    file = Path(tempfile.gettempdir()) / f"evo-{os.getuid()}-{number:08x}.done"
    # The lock dies with its owner; the file says for which session the work was done.
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        done = f"{session} {name}".encode()
        if os.pread(descriptor, len(done) + 1, 0) != done:
            act()
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, done, 0)
    finally:
        os.close(descriptor)


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """Give what runs inside the same random numbers in all trainings, and change none of those outside."""
    with isolate_rng():
        random.seed(_DATA_SEED)
        torch.manual_seed(_DATA_SEED)
        np.random.seed(_DATA_SEED)
        yield
