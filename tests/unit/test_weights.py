"""Only the best individuals keep their checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evo.population.events import Finished, Started, Status
from evo.population.identity import Identity
from evo.population.population import Population
from evo.space.space import Space
from evo.storage.checkpoints import Weights

SPACE = Space({"x": (-1.0, 1.0)})


def folder_in(root: Path, identity: Identity) -> Path:
    return root / "individuals" / "{}-{}".format(*identity)


def checkpoints(root: Path) -> set[str]:
    return {file.parent.name for file in (root / "individuals").glob("*/*.ckpt")}


class Study:
    """Ranks that share a folder, and learn of everything at once."""

    def __init__(self, root: Path, ranks: int, keep: int, population: Population | None = None) -> None:
        self.root = root
        self.population = population or Population(SPACE)
        self.weights = [
            Weights(self.population, lambda identity: folder_in(root, identity), rank, keep, is_first=rank == 0)
            for rank in range(ranks)
        ]

    def start(self, identity: Identity) -> None:
        self.population.apply(Started(time=0.0, individual=identity, island=0, params={"x": 0.5}))
        folder = folder_in(self.root, identity)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("best.ckpt", "last.ckpt", "output.log"):
            (folder / name).write_bytes(b"12345")

    def finish(self, identity: Identity, loss: float | None, status: Status = "completed", rank: int = 0) -> None:
        event = Finished(time=0.0, individual=identity, status=status, loss=loss, rank=rank)
        self.population.apply(event)
        for weights in self.weights:
            weights(event)


def test_the_best_keep_theirs_and_others_lose_them_as_soon_as_they_are_beaten(tmp_path: Path) -> None:
    study = Study(tmp_path, ranks=2, keep=2)
    for generation, loss in enumerate([5.0, 3.0, 4.0, 1.0]):
        study.start((0, generation))
        study.finish((0, generation), loss, rank=generation % 2)
    assert checkpoints(tmp_path) == {"0-1", "0-3"}
    assert (folder_in(tmp_path, (0, 0)) / "output.log").exists()


def test_what_a_training_would_go_on_from_is_kept_until_its_end_is_recorded(tmp_path: Path) -> None:
    study = Study(tmp_path, ranks=2, keep=2)
    study.start((0, 0))
    study.finish((0, 0), None, "interrupted", rank=1)
    assert (folder_in(tmp_path, (0, 0)) / "last.ckpt").exists()
    study.finish((0, 0), 1.0, rank=1)
    assert [file.name for file in tmp_path.rglob("*.ckpt")] == ["best.ckpt"]


def test_a_failed_one_loses_its_checkpoints_and_an_interrupted_one_keeps_them(tmp_path: Path) -> None:
    study = Study(tmp_path, ranks=1, keep=2)
    for generation, status in enumerate(("failed", "interrupted", "pruned")):
        study.start((0, generation))
        study.finish((0, generation), None, status)
    assert checkpoints(tmp_path) == {"0-1"}


def test_a_sweep_takes_what_earlier_sessions_left_and_says_what_remains(tmp_path: Path) -> None:
    study = Study(tmp_path, ranks=1, keep=1)
    for generation in range(3):
        study.start((7, generation))
        study.finish((7, generation), float(generation), rank=5)  # Of a rank that is no more.
    study.start((7, 3))
    assert checkpoints(tmp_path) == {"7-0", "7-1", "7-2", "7-3"}
    assert study.weights[0].sweep(tmp_path / "individuals") == (4 + 1 + 2) * 5
    assert checkpoints(tmp_path) == {"7-0", "7-3"}  # The best one, and the one in flight, which has a state as well.
    assert [file.parent.name for file in tmp_path.rglob("last.ckpt")] == ["7-3"]
    assert study.weights[0].sweep(tmp_path / "nothing") == 0


def test_what_an_earlier_session_has_kept_goes_as_soon_as_it_is_beaten(tmp_path: Path) -> None:
    before = Study(tmp_path, ranks=2, keep=1)
    before.start((0, 0))
    before.finish((0, 0), 2.0, rank=1)
    after = Study(tmp_path, ranks=2, keep=1, population=before.population)
    after.start((1, 0))
    after.finish((1, 0), 1.0, rank=1)
    assert checkpoints(tmp_path) == {"1-0"}


def test_what_cannot_be_deleted_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(path)

    study = Study(tmp_path, ranks=1, keep=1)
    monkeypatch.setattr(Path, "unlink", refuse)
    for generation, loss in enumerate((2.0, 1.0)):
        study.start((0, generation))
        study.finish((0, generation), loss)
    assert study.weights[0].sweep(tmp_path / "individuals") == 2 * 3 * 5


@given(st.lists(st.floats(0, 10), max_size=30), st.integers(1, 5), st.randoms(use_true_random=False))
def test_whatever_the_order_exactly_the_best_are_kept(
    tmp_path_factory: object, losses: list[float], keep: int, random: object
) -> None:
    root = tmp_path_factory.mktemp("study")  # type: ignore[attr-defined]
    study = Study(root, ranks=3, keep=keep)
    for generation in range(len(losses)):
        study.start((0, generation))
    order = list(range(len(losses)))
    random.shuffle(order)  # type: ignore[attr-defined]
    for generation in order:
        study.finish((0, generation), losses[generation], rank=generation % 3)
    best = sorted((loss, generation) for generation, loss in enumerate(losses))[:keep]
    assert checkpoints(root) == {f"0-{generation}" for _, generation in best}
