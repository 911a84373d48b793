"""Checkpoints that a module's own callbacks write are those of the best individuals only, wherever they lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evo.population.events import Finished, Started, Status
from evo.population.identity import Identity
from evo.population.population import Population
from evo.space.space import Space
from evo.storage.checkpoints import Weights, delete_state

# What trainings may leave below an individual's folder: of callbacks and loggers, whole and sharded.
CHECKPOINTS = (
    "best.ckpt",
    "checkpoints/epoch=2-val_loss=0.123.ckpt",
    "checkpoints/last.ckpt",
    "lightning_logs/version_0/checkpoints/epoch=0-step=6.ckpt",
    "sharded/epoch=1.ckpt/__0_0.distcp",
    "sharded/epoch=1.ckpt/.metadata",
)
OTHERS = (
    "output.log",
    "events.out.tfevents.1",
    "checkpoints.txt",
    "lightning_logs/version_0/metrics.csv",
    "model.ckpt.txt",
    "samples/last.png",
)


def files(folder: Path) -> set[str]:
    return {os.fspath(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


class Search:
    """One rank, which trains one individual after another."""

    def __init__(self, root: Path, keep: int = 1) -> None:
        self.individuals = root / "individuals"
        self.population = Population(Space({"x": (-1.0, 1.0)}))
        self.weights = Weights(self.population, self.folder, rank=0, keep=keep, is_first=True)

    def folder(self, identity: Identity) -> Path:
        return self.individuals / "{}-{}".format(*identity)

    def train(self, identity: Identity) -> Path:
        self.population.apply(Started(time=0.0, individual=identity, island=0, params={"x": 0.5}))
        folder = self.folder(identity)
        for name in (*CHECKPOINTS, *OTHERS, "last.ckpt"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"123")
        return folder

    def end(self, identity: Identity, loss: float | None, status: Status = "completed") -> None:
        event = Finished(time=0.0, individual=identity, status=status, loss=loss, rank=0)
        self.population.apply(event)
        self.weights(event)


def test_beaten_ones_lose_all_checkpoints_and_the_best_one_only_what_it_would_have_gone_on_from(tmp_path: Path) -> None:
    search = Search(tmp_path)
    first, second = search.train((0, 0)), search.train((0, 1))
    search.end((0, 0), 1.0)
    assert files(first) == {*CHECKPOINTS, *OTHERS}  # Of the user's own last.ckpt nothing is known.
    search.end((0, 1), 2.0)
    assert files(second) == set(OTHERS)
    assert not (second / "checkpoints").exists()
    assert not (second / "sharded").exists()
    assert (second / "lightning_logs" / "version_0").is_dir()
    assert files(first) == {*CHECKPOINTS, *OTHERS}


@pytest.mark.parametrize("status", ["failed", "pruned"])
def test_one_that_has_no_place_among_the_best_loses_its_checkpoints_at_once(tmp_path: Path, status: Status) -> None:
    search = Search(tmp_path)
    folder = search.train((0, 0))
    search.end((0, 0), None, status)
    assert files(folder) == set(OTHERS)


def test_a_sweep_deletes_those_of_earlier_sessions_and_nothing_of_one_in_flight(tmp_path: Path) -> None:
    search = Search(tmp_path)
    folders = [search.train((7, generation)) for generation in range(4)]
    for generation, loss in ((0, 1.0), (1, 2.0)):
        search.population.apply(
            Finished(time=0.0, individual=(7, generation), status="completed", loss=loss, rank=9, seconds=1.0)
        )
    search.end((7, 2), None, "interrupted")
    size = 3 * (len(CHECKPOINTS) + len(OTHERS) + len(OTHERS) + 2 * (len(CHECKPOINTS) + len(OTHERS) + 1))
    assert search.weights.sweep(search.individuals) == size
    everything = {*CHECKPOINTS, *OTHERS, "last.ckpt"}
    assert [files(folder) for folder in folders] == [
        everything - {"last.ckpt"},
        set(OTHERS),
        everything,
        everything,
    ]


def test_links_are_deleted_and_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "below").mkdir(parents=True)
    for name in ("pretrained.ckpt", "below/mine.ckpt"):
        (elsewhere / name).write_bytes(b"123")
    search = Search(tmp_path)
    folder = search.train((0, 0))
    (folder / "pretrained").symlink_to(elsewhere)
    (folder / "start.ckpt").symlink_to(elsewhere / "pretrained.ckpt")
    (folder / "all.ckpt").symlink_to(elsewhere)
    (folder / "gone.ckpt").symlink_to(tmp_path / "nothing")
    search.end((0, 0), None, "failed")
    assert files(elsewhere) == {"pretrained.ckpt", "below/mine.ckpt"}
    assert sorted(path.name for path in folder.iterdir() if path.is_symlink()) == ["pretrained"]
    search.weights.sweep(search.individuals)
    assert files(elsewhere) == {"pretrained.ckpt", "below/mine.ckpt"}


def test_the_state_of_a_training_is_deleted_at_the_top_only(tmp_path: Path) -> None:
    for name in ("last.ckpt", "last.part.ckpt", "last-v1.ckpt", "checkpoints/last.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    delete_state(tmp_path)
    assert files(tmp_path) == {"last-v1.ckpt", "checkpoints/last.ckpt"}
