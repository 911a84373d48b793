"""The data module is kept while its parameters stay the same, and prepared once on each node."""

from __future__ import annotations

import multiprocessing
import pickle
import random
import tempfile
import time
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch

from evo.lightning.data import DataKeeper, once_per_node


class Noted(L.LightningDataModule):
    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.notes: list[str] = ["made"]
        self.size = size

    def _note(self, what: str) -> None:
        self.notes.append(f"{what} {torch.rand(1).item() + np.random.rand() + random.random():.6f}")

    def prepare_data(self) -> None:
        self._note("prepared")

    def setup(self, stage: str) -> None:
        self._note(stage)

    def teardown(self, stage: str) -> None:
        self.notes.append(f"end of {stage}")


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def use(keeper: DataKeeper, size: int = 1, session: str = "a") -> Noted:
    """As a Trainer uses it."""
    data = keeper.get({"size": size}, session, lambda: Noted(size))
    data.prepare_data()
    data.setup("fit")
    data.teardown("fit")
    assert isinstance(data, Noted)
    return data


def test_it_is_kept_and_set_up_once_for_each_stage() -> None:
    keeper = DataKeeper()
    first = use(keeper)
    assert use(keeper) is first
    first.setup("test")
    assert [note.split()[0] for note in first.notes] == ["made", "prepared", "fit", "test"]


def test_with_other_parameters_it_is_made_anew_and_the_last_one_is_torn_down() -> None:
    keeper = DataKeeper()
    first = use(keeper)
    second = use(keeper, size=2)
    assert second is not first
    assert second.size == 2
    assert first.notes[-1] == "end of fit"
    assert use(keeper) is not first


def test_a_setup_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = DataKeeper()
    with monkeypatch.context() as patch:
        patch.setattr(Noted, "setup", lambda self, stage: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            use(keeper)
    keeper.drop()
    assert [note.split()[0] for note in use(keeper, session="b").notes] == ["made", "prepared", "fit"]


def test_all_trainings_see_the_same_split_and_it_costs_them_no_random_numbers() -> None:
    notes = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        expected = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[union-attr, index]
        notes.append(use(DataKeeper(), session=str(seed)).notes)
        found = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[union-attr, index]
        assert torch.equal(found[0], expected[0])
        assert found[1:] == expected[1:]
    assert notes[0] == notes[1]


def test_another_process_keeps_its_own() -> None:
    keeper = DataKeeper()
    first = use(keeper)
    assert use(pickle.loads(pickle.dumps(keeper))) is not first


@pytest.mark.parametrize("fails", [False, True])
def test_something_is_done_once_for_a_session_and_tried_again_when_it_failed(fails: bool) -> None:
    done = []

    def act() -> None:
        done.append(1)
        if fails and len(done) == 1:
            raise OSError

    for session in ("a", "a", "a", "b", "b"):
        try:
            once_per_node("download", session, act)
        except OSError:
            assert len(done) == 1
    assert len(done) == (3 if fails else 2)


def prepare(folder: Path) -> None:
    log = folder / "download"

    def act() -> None:
        log.write_text("begun")
        time.sleep(0.5)
        log.write_text("whole")
        with (folder / "acts").open("a") as stream:
            stream.write("x")

    once_per_node("download", "session", act)
    assert log.read_text() == "whole"


def test_the_other_processes_of_a_node_wait_while_one_of_them_prepares(tmp_path: Path) -> None:
    processes = [multiprocessing.get_context("fork").Process(target=prepare, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "acts").read_text() == "x"
