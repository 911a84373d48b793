"""With several objectives, individuals of the front keep their weights."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo.population.events import Finished, Started
from evo.population.identity import Identity
from evo.population.population import Population
from evo.space.space import Space
from evo.storage.checkpoints import Weights

SPACE = Space({"x": (-1.0, 1.0)})


class Ranks:
    """Ranks that share a folder, each with a population of its own, which learn of ends in any order."""

    def __init__(self, root: Path, ranks: int, keep: int) -> None:
        self.root, self.keep = root, keep
        self.populations = [Population(SPACE) for _ in range(ranks)]
        self.begin()

    def begin(self) -> None:
        """Begin a session: what each rank knows of weights is what it finds."""
        self.weights = [
            Weights(population, self.folder, rank, self.keep, is_first=rank == 0)
            for rank, population in enumerate(self.populations)
        ]

    def folder(self, identity: Identity) -> Path:
        return self.root / "individuals" / "{}-{}".format(*identity)

    def train(self, identity: Identity, losses: tuple[float, ...], violation: float = 0.0) -> Finished:
        folder = self.folder(identity)
        folder.mkdir(parents=True)
        (folder / "best.ckpt").write_bytes(b"1")
        started = Started(time=0.0, individual=identity, island=0, params={"x": 0.5})
        for population in self.populations:
            population.apply(started)
        several = {"loss": losses[0], "losses": losses, "violation": violation}
        return Finished(time=1.0, individual=identity, status="completed", rank=identity[0], **several)

    def tell(self, rank: int, event: Finished) -> None:
        self.populations[rank].apply(event)
        self.weights[rank](event)

    def sweep(self) -> None:
        self.weights[0].sweep(self.root / "individuals")

    @property
    def kept(self) -> set[Identity]:
        return {
            tuple(map(int, file.parent.name.split("-")))  # type: ignore[misc]
            for file in (self.root / "individuals").glob("*/*.ckpt")
        }

    @property
    def front(self) -> set[Identity]:
        return {one.identity for one in self.populations[0].front}


def test_the_front_is_thinned_by_what_each_adds_and_its_extremes_stay(tmp_path: Path) -> None:
    ranks = Ranks(tmp_path, ranks=1, keep=3)
    points = [(0.0, 10.0), (10.0, 0.0), (5.0, 4.0), (5.1, 3.9), (9.0, 3.8), (20.0, 20.0), (30.0, 1.0)]
    for number, losses in enumerate(points):
        ranks.tell(0, ranks.train((0, number), losses))
    assert len(ranks.kept) == 6
    ranks.sweep()
    assert ranks.kept == {(0, 0), (0, 1), (0, 2)}
    assert ranks.weights[0].to_test(sees_all=True) == [(0, 0), (0, 2), (0, 1)]


def test_the_next_best_keep_theirs_while_the_front_is_small(tmp_path: Path) -> None:
    ranks = Ranks(tmp_path, ranks=1, keep=2)
    for number, (losses, violation) in enumerate(
        [((5.0, 5.0), 1.0), ((4.0, 4.0), 0.0), ((1.0, 1.0), 0.0), ((2.0, 2.0), 0.0)]
    ):
        ranks.tell(0, ranks.train((0, number), losses, violation))
    ranks.sweep()
    assert ranks.kept == {(0, 2), (0, 3)}
    assert ranks.weights[0].to_test(sees_all=True) == [(0, 2)]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), ranks=st.integers(1, 4), keep=st.integers(1, 4), kill=st.booleans())
def test_in_any_order_the_front_keeps_weights_also_after_a_kill(
    tmp_path_factory: pytest.TempPathFactory, seed: int, ranks: int, keep: int, kill: bool
) -> None:
    random = Random(seed)
    study = Ranks(tmp_path_factory.mktemp("runs"), ranks, keep)
    waiting: list[list[Finished]] = [[] for _ in range(ranks)]
    for number in range(30):
        rank = number % ranks
        along = random.random()
        # Better and better fronts, of which earlier members are dominated now and then.
        away = random.choice([0.0, 0.1, 1.0]) - number / 40
        event = study.train((rank, number // ranks), (along + away, (1 - along) ** 2 + away))
        study.tell(rank, event)
        for other in range(ranks):
            if other != rank:
                waiting[other].append(event)
            while waiting[other] and random.random() < 0.7:
                study.tell(other, waiting[other].pop(0))
        if kill and number == 15:
            for other, events in enumerate(waiting):
                while events:
                    study.populations[other].apply(events.pop(0))  # From the journals, by the next session.
            study.begin()
    for other, events in enumerate(waiting):
        for event in events:
            study.tell(other, event)
    before = study.kept
    # As many members of the front as were kept are so in the end, and others only if there are no more of these.
    study.sweep()
    front_before = before & study.front
    assert len(study.kept & study.front) == min(keep, len(front_before))
    assert len(study.kept) == min(keep, len(before))
    assert front_before
    assert study.kept <= before
