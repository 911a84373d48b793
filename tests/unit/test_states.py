"""States of trainings from which others go on: how they are taken over, and when they are deleted."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import NOW, finished

import evo.storage.retry
from evo.errors import UserError
from evo.evaluation.settings import EvaluationSettings
from evo.evaluation.trial import RunningTrial
from evo.population.assignment import Assignment
from evo.population.events import AnyEvent, Died, Finished, Started
from evo.population.identity import Identity, individual_name
from evo.population.population import Population
from evo.population.segments import Donor, SavedState, Segment
from evo.population.states import StatesInUse
from evo.population.tried import TriedPoints
from evo.space.space import Space
from evo.storage.checkpoints import INHERITED, Weights, sweep_states
from evo.storage.retry import StorageError
from evo.storage.states import StateTaker, state_digest

SPACE = Space({"x": (-1.0, 1.0)})


def start(identity: Identity, segment: Segment | None, x: float = 0.5, rank: int | None = None) -> Started:
    return Started(time=NOW, individual=identity, island=0, params={"x": x}, segment=segment, rank=rank)


def left(identity: Identity, step: int, loss: float = 0.5, *, is_over: bool = False, digest: str = "d") -> Finished:
    return finished(identity, loss, state=SavedState(step=step, digest=digest, is_over=is_over))


def donor_of(identity: Identity, step: int = 1, digest: str = "d") -> Donor:
    return Donor(individual=identity, step=step, digest=digest)


def on(identity: Identity, replaces: Identity | None = None, **more: Any) -> Segment:
    """A segment from a state, in the place of the same individual unless another one is given."""
    return Segment(until=2, donor=donor_of(identity), replaces=replaces or identity, **more)


# Who is needed after these, with A = (0, 0), B = (0, 1) and so on.
A, B, C, D = ((0, generation) for generation in range(4))
FIRST: list[AnyEvent] = [start(A, Segment(until=1)), left(A, 1)]
COURSES: list[tuple[list[AnyEvent], set[Identity]]] = [
    (FIRST, {A}),
    ([*FIRST, start(B, on(A))], {A}),
    ([*FIRST, start(B, on(A)), finished(B, None, "interrupted")], {A}),
    ([*FIRST, start(B, on(A)), finished(B, None)], {A}),
    ([*FIRST, start(B, on(A)), left(B, 2)], {B}),
    ([*FIRST, start(B, on(A)), left(B, 2, is_over=True)], set()),
    ([*FIRST, start(B, Segment(until=1, replaces=A))], set()),
    ([*FIRST, start(B, Segment(until=1))], {A}),
    ([*FIRST, start(B, Segment(until=1)), left(B, 1), start(C, on(A, B))], {A}),
    ([*FIRST, start(B, Segment(until=1)), left(B, 1), start(C, on(A, B)), left(C, 2)], {A, C}),
    ([*FIRST, start(B, on(A)), left(B, 2), start(C, on(B)), left(C, 3), start(D, on(C)), left(D, 4)], {D}),
    ([*FIRST, start(B, on(A)), start(C, on(A)), left(B, 2), left(C, 2)], {B, C}),
    ([*FIRST, start(B, on(A)), start(C, on(A)), left(B, 2), left(C, 2), start(D, on(B, drops=(C,)))], {B}),
    ([*FIRST, left(A, 1, is_over=True)], set()),
    ([start(A, None), finished(A, 0.5)], set()),
]


@pytest.mark.parametrize(("events", "needed"), COURSES)
def test_which_states_are_needed_does_not_depend_on_the_order_of_events(
    events: list[AnyEvent], needed: set[Identity]
) -> None:
    rng = np.random.default_rng(len(events))
    orders = list(itertools.permutations(events)) if len(events) < 6 else []
    for order in orders or ([events[place] for place in rng.permutation(len(events))] for _ in range(60)):
        states, population = StatesInUse(), Population(SPACE)
        for event in [*order, *order[: len(order) // 2]]:
            states.apply(event)
            population.apply(event)
        assert states.needed == population.states.needed == needed


def test_a_point_may_be_tried_once_from_each_state_in_each_place() -> None:
    tried = TriedPoints()
    tried.add(b"x", None)
    tried.add(b"x", on(A))
    segments = (None, Segment(until=1), on(A), on(A, B), on(B))
    assert [tried.has(b"x", segment) for segment in segments] == [True, True, True, False, False]
    assert [tried.has(b"y", segment) for segment in segments] == [False] * 5
    assert (len(tried), len(tried.begun)) == (2, 1)


class Files:
    """The folders of individuals."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, identity: Identity) -> Path:
        return self.root / individual_name(identity)

    def save(self, identity: Identity, write: Callable[[Path], None]) -> Donor:
        state = self.folder(identity) / "last.ckpt"
        state.parent.mkdir(parents=True, exist_ok=True)
        write(state)
        return donor_of(identity, digest=state_digest(state))

    def inherited(self, identity: Identity) -> Path:
        return self.folder(identity) / INHERITED / "last.ckpt"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "individuals")


def as_file(state: Path) -> None:
    state.write_bytes(b"state")


def as_directory(state: Path) -> None:
    (state / "däta" / "leer").mkdir(parents=True)
    (state / "däta" / "a\nb").write_bytes(b"1")
    (state / os.fsdecode(b"\xff name")).write_bytes(b"2")


def as_link(state: Path) -> None:
    (state.parent / "epoch=3.ckpt").write_bytes(b"state")
    state.symlink_to("epoch=3.ckpt")


def as_linked_directory(state: Path) -> None:
    as_directory(state.parent / "step.ckpt")
    state.symlink_to("step.ckpt")


KINDS = [as_file, as_directory, as_link, as_linked_directory]


@pytest.mark.parametrize("write", KINDS)
@pytest.mark.parametrize("links", [True, False])
def test_a_state_is_taken_over_and_stays_when_the_donors_goes(
    files: Files, write: Callable[[Path], None], links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*names: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    donor = files.save(A, write)
    taker = StateTaker(files.folder)
    assert taker(B, donor)
    shutil.rmtree(files.folder(A))
    assert state_digest(files.inherited(B)) == donor.digest
    assert taker(B, donor)  # It is there already.


def test_what_is_linked_takes_no_room(files: Files) -> None:
    donor = files.save(A, as_file)
    assert StateTaker(files.folder)(B, donor)
    assert files.inherited(B).samefile(files.folder(A) / "last.ckpt")


def damage(what: str, state: Path) -> None:
    if what == "missing":
        state.unlink()
    elif what == "folder missing":
        shutil.rmtree(state.parent)
    elif what == "torn":
        state.write_bytes(b"sta")
    elif what == "changed":
        state.write_bytes(b"other")
    elif what == "a pipe":
        state.unlink()
        os.mkfifo(state)
    elif what == "a broken link":
        state.unlink()
        state.symlink_to("nowhere")
    elif what == "a link to itself":
        state.unlink()
        state.symlink_to("last.ckpt")
    elif what == "an empty directory":
        state.unlink()
        state.mkdir()
    else:
        shutil.rmtree(state.parent)
        state.parent.write_text("a file")


DAMAGES = "missing, folder missing, torn, changed, a pipe, a broken link, a link to itself, an empty directory, a file"


@pytest.mark.parametrize("what", DAMAGES.split(", "))
def test_a_state_that_is_not_what_the_donor_has_left_is_passed_over(
    files: Files, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evo.storage.retry, "_PATIENCE", 0.0)
    donor = files.save(A, as_file)
    damage(what, files.folder(A) / "last.ckpt")
    assert not StateTaker(files.folder)(B, donor)
    assert not (files.folder(B) / INHERITED).exists()


def test_what_stands_where_a_state_is_taken_to_is_replaced_and_links_are_not_followed(
    files: Files, tmp_path: Path
) -> None:
    donor = files.save(A, as_file)
    (tmp_path / "mine").write_bytes(b"mine")
    ways: list[Callable[[Path], object]] = [
        lambda place: place.write_text("a file"),
        lambda place: place.symlink_to(tmp_path),
        lambda place: (place / "last.ckpt").mkdir(parents=True),
    ]
    for number, lay in enumerate(ways):
        identity = (1, number)
        files.folder(identity).mkdir()
        lay(files.folder(identity) / INHERITED)
        assert StateTaker(files.folder)(identity, donor)
        assert files.inherited(identity).read_bytes() == b"state"
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_an_interrupted_segment_goes_on_from_its_own_state_whatever_has_become_of_the_donor(files: Files) -> None:
    donor = files.save(A, as_file)
    files.save(B, as_file)
    shutil.rmtree(files.folder(A))
    assert StateTaker(files.folder)(B, donor)
    assert not StateTaker(files.folder)(C, donor)


@pytest.mark.parametrize("trust", [False, True])
def test_where_it_cannot_be_linked_another_users_state_is_copied_only_with_trust(
    files: Files, trust: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*names: Any) -> None:  # As Linux does for files of others, with fs.protected_hardlinks.
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    donor = files.save(A, as_file)
    (files.folder(A) / "last.ckpt").chmod(0o666)  # Anybody may have written it.
    assert StateTaker(files.folder, trust)(B, donor) == trust


def test_a_donor_that_goes_while_it_is_copied_is_passed_over(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    donor = files.save(A, as_directory)
    real = os.link

    def link_and_remove(source: str, target: Path) -> None:
        real(source, target)
        shutil.rmtree(files.folder(A))

    monkeypatch.setattr(os, "link", link_and_remove)
    assert not StateTaker(files.folder)(B, donor)


@pytest.mark.parametrize("lasts", [False, True])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE])
def test_a_full_disk_loses_no_donor(
    files: Files, number: int, lasts: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    donor = files.save(A, as_file)
    monkeypatch.setattr(evo.storage.retry, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(evo.storage.retry, "_PATIENCE", 0.02 if lasts else 30.0)
    fails = iter([True] * 3)
    real = Path.mkdir

    def mkdir(path: Path, *more: Any, **options: Any) -> None:
        if str(path).startswith(str(files.folder(B))) and (lasts or next(fails, False)):
            raise OSError(number, os.strerror(number))
        real(path, *more, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    taker = StateTaker(files.folder)
    if lasts:
        with pytest.raises(StorageError, match=r"the state of 0-0 cannot be taken over"):
            taker(B, donor)
    else:
        assert taker(B, donor)
    assert capsys.readouterr().err.count("\n") == 1
    assert (files.folder(A) / "last.ckpt").read_bytes() == b"state"


class Study:
    """Ranks that share a folder, and learn of everything at once."""

    def __init__(self, files: Files, ranks: int = 2, keep: int = 1, population: Population | None = None) -> None:
        self.files, self.population = files, population or Population(SPACE)
        self.weights = [Weights(self.population, files.folder, rank, keep, is_first=rank == 0) for rank in range(ranks)]

    def tell(self, event: AnyEvent, dead: tuple[int, ...] = ()) -> None:
        self.population.apply(event)
        for rank, weights in enumerate(self.weights):
            if rank not in dead:
                weights(event)

    def train(self, identity: Identity, segment: Segment, loss: float, **more: Any) -> None:
        self.tell(start(identity, segment))
        folder = self.files.folder(identity)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("best.ckpt", "last.ckpt", "last.part.ckpt", "output.log"):
            (folder / name).write_bytes(b"12345")
        (folder / INHERITED).mkdir(exist_ok=True)
        self.tell(left(identity, segment.until, loss), **more)

    def found(self, name: str) -> set[str]:
        return {file.parent.name for file in self.files.root.rglob(name)}


def test_states_that_are_needed_stay_and_keep_checkpoints_counts_apart(files: Files) -> None:
    study = Study(files)
    study.train(A, Segment(until=1), 3.0)
    study.train(B, Segment(until=1), 1.0)
    assert (study.found("best.ckpt"), study.found("last.ckpt")) == ({"0-1"}, {"0-0", "0-1"})
    study.train(C, on(A), 2.0)
    assert (study.found("best.ckpt"), study.found("last.ckpt")) == ({"0-1"}, {"0-1", "0-2"})
    study.train(D, on(B), 0.5)
    assert (study.found("best.ckpt"), study.found("last.ckpt")) == ({"0-3"}, {"0-2", "0-3"})
    assert study.found("last.part.ckpt") == study.found(INHERITED) == set()
    study.tell(start((0, 4), Segment(until=1, replaces=C)))
    assert study.found("last.ckpt") == {"0-3"}
    assert study.found("output.log") == {"0-0", "0-1", "0-2", "0-3"}


def test_a_state_of_a_rank_that_has_died_is_deleted_by_who_takes_its_place(files: Files) -> None:
    study = Study(files)
    study.train((1, 0), Segment(until=1), 1.0)
    study.train((1, 1), Segment(until=1), 2.0)
    study.tell(start((0, 0), on((1, 0), (1, 1))), dead=(1,))
    assert study.found("last.ckpt") == {"1-0"}
    study.tell(Died(time=NOW, rank=1, heir=0), dead=(1,))
    study.train((0, 1), on((1, 0)), 3.0, dead=(1,))
    assert study.found("last.ckpt") == {"0-1"}


def test_a_later_session_deletes_what_a_kill_has_left(files: Files) -> None:
    study = Study(files)
    study.train(A, Segment(until=1), 1.0)
    study.train(B, on(A), 2.0)
    study.tell(start(C, on(B)))
    for identity in (A, C, D):  # D was killed before its start was recorded.
        files.save(identity, as_file)
        files.inherited(identity).parent.mkdir(exist_ok=True)
        files.inherited(identity).write_bytes(b"state")
    sweep_states(study.population, files.folder, files.root)
    assert {str(file.relative_to(files.root)) for file in files.root.rglob("last.ckpt")} == {
        "0-1/last.ckpt",
        "0-2/last.ckpt",
        "0-2/inherited/last.ckpt",
    }
    later = Study(files, population=study.population)
    later.tell(left(C, 3))
    assert study.found("last.ckpt") == {"0-2"}


def test_a_state_that_is_a_link_keeps_what_it_links_to(files: Files) -> None:
    study = Study(files)
    study.tell(start(A, Segment(until=1)))
    files.save(A, as_link)
    study.tell(left(A, 1, 9.0))
    study.train(B, Segment(until=1), 1.0)
    assert (files.folder(A) / "last.ckpt").read_bytes() == b"state"


def trial_of(files: Files, segment: Segment | None, rank: int = 0, stop: bool = False) -> RunningTrial:
    files.folder(A).mkdir(parents=True, exist_ok=True)
    settings = EvaluationSettings(rank=rank, size=2)
    assignment = Assignment(individual=A, params={}, seed=1, folder=str(files.folder(A)), segment=segment)
    return RunningTrial(assignment, settings, lambda *report: stop)


def test_the_trial_says_what_state_was_left(files: Files) -> None:
    files.save(A, as_file)
    digest = state_digest(files.folder(A) / "last.ckpt")
    assert trial_of(files, None).saved_state() is None  # A whole training.
    assert trial_of(files, Segment(until=4)).saved_state() == SavedState(step=4, digest=digest)
    assert trial_of(files, Segment(until=4), rank=1).saved_state() is None
    stopped = trial_of(files, Segment(until=4), stop=True)
    stopped.report(0.5)
    assert stopped.saved_state() is None  # It has not reached the step, and does not say which one it has.
    stopped.note_state(np.int64(1), is_over=True)  # type: ignore[arg-type]
    assert stopped.saved_state() == SavedState(step=1, digest=digest, is_over=True)
    for step in (-1, 1.5, True, "3", None, 2**60):
        with pytest.raises(UserError, match=r"trial\.note_state is given .*: a step is a whole number from 0"):
            stopped.note_state(step)  # type: ignore[arg-type]
    (files.folder(A) / "last.ckpt").unlink()
    assert stopped.saved_state() is None
    (files.folder(A) / "last.ckpt" / "empty").mkdir(parents=True)
    assert stopped.saved_state() is None
    with pytest.raises(FileNotFoundError, match="it has left no state, from which others would go on"):
        trial_of(files, Segment(until=4)).saved_state()


def test_steps_that_are_left_out_count_on_from_the_donors(files: Files) -> None:
    told: list[int] = []

    def report(step: int, loss: float, further: object = None) -> bool:
        told.append(step)
        return False

    assignment = Assignment(individual=B, params={}, seed=1, folder=str(files.root), segment=on(A))
    trial = RunningTrial(assignment, EvaluationSettings(), report)
    trial.report(0.5)
    trial.report(0.5)
    assert (trial.begin, trial.until, told) == (1, 2, [1, 2])
