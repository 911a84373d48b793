"""Several ranks that evaluate one individual together, over a network of queues in this process."""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers import wait_until
from records import assigned

import evo.evaluation.team
from evo.engine.transport import Passive, Serial, Traffic
from evo.errors import CutOff, Stuck
from evo.evaluation import EvaluationSettings, InlineEvaluator, Team, TeamEvaluator, assist
from evo.objective.objective import Trial
from evo.population.assignment import Assignment, TakesReport
from evo.population.events import AnyEvent, Done
from evo.population.identity import Identity, individual_name
from evo.population.outcome import Outcome
from evo.population.segments import Donor, SavedState, Segment
from evo.storage.states import state_digest

Group = tuple[str, tuple[int, ...]]

GOOD = Outcome(status="completed", loss=1.0)
FAILED = Outcome(status="failed", error="ValueError: no", traceback="line 3")
INTERRUPTED = Outcome(status="interrupted")


def folder_of(identity: Identity) -> Path:
    """The folder of an individual."""
    return Path("/individuals", individual_name(identity))


class Communicator:
    """In place of one of mpi4py's."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.copy_of: Communicator | None = None

    def Dup(self) -> Communicator:
        copy = Communicator(self.group)
        copy.copy_of = self
        return copy

    def Free(self) -> None:
        assert self.copy_of is not None, "this one is not ours"
        self.copy_of = None


class Network:
    """Queues between ranks, and who has died."""

    def __init__(self, size: int) -> None:
        self.queues: dict[tuple[Group, int], deque[tuple[int, bytes]]] = defaultdict(deque)
        self.dead: set[int] = set()
        self.closed: list[tuple[str, int]] = []
        self.lock = threading.Lock()
        self.endpoints = [Endpoint(self, ("all", tuple(range(size))), rank) for rank in range(size)]


class Endpoint(Passive):
    """One rank's connection to a group of ranks; see `evo.engine.transport.Transport`."""

    def __init__(self, network: Network, group: Group, rank: int) -> None:
        self.rank = rank
        self.size = len(group[1])
        self.node: Sequence[int] = range(self.size)
        self.traffic = Traffic()
        self.communicator = Communicator(group)
        self._network = network
        self._group = group

    @property
    def dead(self) -> frozenset[int]:
        return frozenset(place for place, rank in enumerate(self._group[1]) if rank in self._network.dead)

    def send(self, message: bytes, ranks: Sequence[int]) -> None:
        with self._network.lock:
            for rank in ranks:
                assert rank != self.rank
                self._network.queues[self._group, rank].append((self.rank, message))

    def receive(self) -> list[tuple[int, bytes]]:
        with self._network.lock:
            queue = self._network.queues[self._group, self.rank]
            arrived = list(queue)
            queue.clear()
        return arrived

    def wait(self) -> None:
        time.sleep(0.001)

    def gather(self, text: str) -> list[str]:
        raise AssertionError("not for use in a search")

    def part(self, ranks: Sequence[int]) -> Endpoint:
        inside = list(ranks)
        group = (f"{self._group[0]}/{inside}", tuple(self._group[1][rank] for rank in inside))
        return Endpoint(self._network, group, inside.index(self.rank))

    def close(self) -> None:
        self._network.closed.append((self._group[0], self.rank))


@dataclass
class Scripted:
    """An evaluator that ends as it is told, or as soon as it is interrupted.

    Args:
        ending: The outcome of each evaluation; None: it goes on until it is interrupted.
    """

    ending: Callable[[Identity], Outcome | None]
    started: list[Assignment] = field(default_factory=list)
    interrupted: list[Identity] = field(default_factory=list)
    finished: list[Identity] = field(default_factory=list)
    polls: int = 0
    hurried: bool = False
    report: TakesReport | None = None
    _outcome: Outcome | None = None

    def open(self, names: Sequence[str]) -> None:
        pass

    def start(self, assignment: Assignment, report: TakesReport) -> None:
        self.started.append(assignment)
        self.report = report
        self._outcome = self.ending(assignment.individual)

    def poll(self) -> Outcome | None:
        self.polls += 1
        if self._outcome is not None:
            self.finished.append(self.started[-1].individual)
        return self._outcome

    def interrupt(self, failed: bool = False) -> None:
        self.interrupted.append(self.started[-1].individual)
        self._outcome = self._outcome or INTERRUPTED

    def hurry(self) -> None:
        self.hurried = True

    def test(self, assignment: Assignment) -> dict[str, Any]:
        return {"tested": assignment.individual}

    def close(self) -> None:
        pass


def always(outcome: Outcome | None) -> Scripted:
    return Scripted(lambda identity: outcome)


class Crew:
    """A worker of several ranks: the first one here, the others each in a thread.

    Args:
        evaluators: Of these ranks, the first one's first.
    """

    def __init__(self, *evaluators: Any) -> None:
        self.network = Network(len(evaluators))
        self.teams = [Team(endpoint, len(evaluators)) for endpoint in self.network.endpoints]
        self.evaluators = evaluators
        self.first = TeamEvaluator(evaluators[0], self.teams[0], folder_of)
        self.reports: list[tuple[int, float]] = []
        self._executor = ThreadPoolExecutor(len(evaluators))
        self.others: list[Future[tuple[str, list[AnyEvent]]]] = [
            self._executor.submit(assist, team, evaluator)
            for team, evaluator in list(zip(self.teams, evaluators, strict=True))[1:]
        ]

    def start(self, identity: Identity = (0, 1), **params: Any) -> None:
        self.first.start(assigned(identity, params), self._report)

    def evaluate(self, identity: Identity = (0, 1), **params: Any) -> Outcome:
        self.start(identity, **params)
        return wait_until(self.first.poll)

    def _report(self, step: int, loss: float, further: object = None) -> bool:
        self.reports.append((step, loss))
        return False

    def dismiss(self, words: str = "the end", events: Sequence[AnyEvent] = ()) -> list[tuple[str, list[AnyEvent]]]:
        """Let the others go: with what they end."""
        self.teams[0].dismiss(words, events)
        return [other.result(10) for other in self.others]

    def close(self) -> None:
        if not all(other.done() for other in self.others):
            self.teams[0].dismiss("", [])
        self._executor.shutdown()


@pytest.fixture
def make() -> Iterator[Callable[..., Crew]]:
    made: list[Crew] = []

    def make(*evaluators: Any) -> Crew:
        made.append(Crew(*evaluators))
        return made[-1]

    yield make
    for crew in made:
        crew.close()


Make = Callable[..., Crew]


# Who belongs together.


def test_the_ranks_of_a_worker_are_next_to_each_other_and_the_first_ones_search_together() -> None:
    network = Network(6)
    teams = [Team(endpoint, 3) for endpoint in network.endpoints]
    assert [(team.place, team.size) for team in teams] == [(0, 3), (1, 3), (2, 3)] * 2
    leaders = [team.leaders for team in teams]
    assert [leader and (leader.rank, leader.size) for leader in leaders] == [(0, 2), None, None, (1, 2), None, None]
    teams[3].send(evo.evaluation.team._Interrupt(failed=False), 2)
    assert [len(list(team.receive())) for team in teams] == [0, 0, 0, 0, 0, 1]
    leaders[0].send(b"hello", [1])  # type: ignore[union-attr]
    assert leaders[3].receive() == [(0, b"hello")]  # type: ignore[union-attr]


def test_a_rank_alone_is_a_worker_and_searches_with_all_others() -> None:
    network = Network(2)
    team = Team(network.endpoints[1], 1)
    assert (team.place, team.size, team.leaders) == (0, 1, network.endpoints[1])
    team.dismiss("nobody hears this", [])
    team.close()
    assert (network.queues, network.closed) == ({}, [])
    assert Team(Serial(), 1).leaders is not None


def test_closing_a_team_ends_its_own_connections_and_leaves_the_one_to_all() -> None:
    network = Network(4)
    for endpoint in network.endpoints:
        Team(endpoint, 2).close()
    groups = [("all/[0, 1]", 0), ("all/[0, 1]", 1), ("all/[2, 3]", 0), ("all/[2, 3]", 1)]
    assert sorted(network.closed) == sorted([*groups, ("all/[0, 2]", 0), ("all/[0, 2]", 1)])


# What they make of it.


def test_every_rank_evaluates_every_individual_and_the_loss_of_the_first_one_counts(make: Make) -> None:
    first, second, third = (
        Scripted(lambda identity, rank=rank: Outcome(status="completed", loss=10.0 * rank + identity[1]))
        for rank in range(3)
    )
    crew = make(first, second, third)
    for generation in range(5):
        assert crew.evaluate((0, generation), lr=0.5, name=None) == first.ending((0, generation))
    expected = [assigned((0, generation), {"lr": 0.5, "name": None}) for generation in range(5)]
    assert first.started == second.started == third.started == expected
    assert crew.first.test(assigned((0, 3))) == {"tested": (0, 3)}
    assert crew.dismiss("words") == [("words", [])] * 2
    assert first.interrupted == second.interrupted == []


def test_the_first_rank_waits_for_the_others(make: Make) -> None:
    go = threading.Event()
    crew = make(always(GOOD), Scripted(lambda identity: go.wait(10) and GOOD))
    crew.start()
    for _ in range(20):
        assert crew.first.poll() is None
    go.set()
    assert wait_until(crew.first.poll) == GOOD
    assert crew.evaluators[0].polls == 1, "an evaluator that has ended was asked again"


def test_only_the_first_rank_reports(make: Make) -> None:
    crew = make(always(GOOD), always(GOOD))
    crew.evaluate()
    for evaluator in crew.evaluators:
        assert evaluator.report(0, 0.5) is False
    assert crew.reports == [(0, 0.5)]


@pytest.mark.parametrize(
    ("outcomes", "status", "error"),
    [
        ([GOOD, FAILED], "failed", "on rank 1 of the worker: ValueError: no"),
        ([GOOD, GOOD, FAILED], "failed", "on rank 2 of the worker: ValueError: no"),
        ([FAILED, GOOD], "failed", "ValueError: no"),
        ([FAILED, FAILED], "failed", "ValueError: no"),
        ([GOOD, FAILED, FAILED], "failed", "on rank 1 of the worker: ValueError: no"),
        ([GOOD, INTERRUPTED], "interrupted", ""),
        ([INTERRUPTED, GOOD], "interrupted", ""),
        ([INTERRUPTED, FAILED], "failed", "on rank 1 of the worker: ValueError: no"),
        ([GOOD, Outcome(status="pruned", loss=3.0)], "completed", ""),
        ([Outcome(status="pruned", loss=3.0), GOOD], "pruned", ""),
    ],
)
def test_an_individual_that_failed_on_one_rank_has_failed_and_is_told_where(
    make: Make, outcomes: list[Outcome], status: str, error: str
) -> None:
    crew = make(*map(always, outcomes))
    for generation in range(3):
        outcome = crew.evaluate((0, generation))
        assert (outcome.status, outcome.error) == (status, error)
        assert outcome.traceback == ("line 3" if status == "failed" else "")
    if status in ("completed", "pruned"):
        assert outcome == outcomes[0]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_when_one_rank_has_failed_the_others_are_interrupted_and_the_next_individual_is_evaluated(
    make: Make, failing: int
) -> None:
    def ending(rank: int) -> Callable[[Identity], Outcome | None]:
        return lambda identity: GOOD if identity[1] else FAILED if rank == failing else None

    crew = make(*(Scripted(ending(rank)) for rank in range(3)))
    outcome = crew.evaluate((0, 0))
    assert outcome.status == "failed"
    assert outcome.error == (f"on rank {failing} of the worker: " if failing else "") + "ValueError: no"
    assert crew.evaluate((0, 1)) == GOOD
    for rank, evaluator in enumerate(crew.evaluators):
        assert set(evaluator.interrupted) == (set() if rank == failing else {(0, 0)})
        assert [assignment.individual for assignment in evaluator.started] == [(0, 0), (0, 1)]


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_when_one_rank_was_interrupted_alone_the_others_are_as_well(make: Make, asked: int) -> None:
    crew = make(*(Scripted(lambda identity, own=rank: INTERRUPTED if own == asked else None) for rank in range(3)))
    assert crew.evaluate((0, 0)).status == "interrupted"


def test_an_evaluation_that_is_interrupted_ends_on_all_ranks(make: Make) -> None:
    crew = make(*(Scripted(lambda identity: GOOD if identity[1] else None) for _ in range(3)))
    crew.start((0, 0))
    assert crew.first.poll() is None
    crew.first.interrupt()
    crew.first.interrupt()
    outcome = wait_until(crew.first.poll)
    assert (outcome.status, outcome.loss, outcome.error) == ("interrupted", None, "")
    assert [evaluator.interrupted for evaluator in crew.evaluators[1:]] == [[(0, 0)], [(0, 0)]]
    assert crew.evaluate((0, 1)) == GOOD


def test_an_interruption_that_comes_too_late_does_not_touch_the_next_individual(make: Make) -> None:
    crew = make(Scripted(lambda identity: GOOD if identity[1] else None), always(GOOD))
    crew.start((0, 0))
    wait_until(lambda: crew.evaluators[1].finished)  # The other one has ended; the first one goes on.
    crew.first.interrupt()
    assert wait_until(crew.first.poll).status == "interrupted"
    assert crew.evaluate((0, 1)) == GOOD
    assert crew.evaluators[1].interrupted == []


def test_the_others_go_with_the_conclusion_and_the_events_that_they_cannot_read(make: Make) -> None:
    events: list[AnyEvent] = [Done(time=1.0, rank=0, reason="2 generations are complete")]
    crew = make(always(GOOD), always(GOOD), always(GOOD))
    assert crew.dismiss('{"é": 1}', events) == [('{"é": 1}', events)] * 2


class Mailbox(Communicator):
    """A communicator whose messages wait in a queue that all of its copies share."""

    def __init__(self, group: Group, queue: deque[bytes]) -> None:
        super().__init__(group)
        self.queue = queue

    def Dup(self) -> Mailbox:
        copy = Mailbox(self.group, self.queue)
        copy.copy_of = self
        return copy

    def Send(self, message: bytes, dest: int) -> None:
        self.queue.append(bytes(message))

    def Recv(self, buffer: bytearray, source: int) -> None:
        message = self.queue.popleft()
        assert len(message) == len(buffer), "MPI would cut it, or leave a part of the last message"
        buffer[:] = message


@pytest.fixture
def voters(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Team], deque[bytes]]:
    """Two ranks of a worker, and the messages by which they agree."""
    queue: deque[bytes] = deque()
    monkeypatch.setitem(globals(), "Communicator", lambda group: Mailbox(group, queue))
    return [Team(endpoint, 2) for endpoint in Network(2).endpoints], queue


def test_all_ranks_go_by_what_the_first_one_wants_in_the_same_evaluation(
    voters: tuple[list[Team], deque[bytes]],
) -> None:
    (first, second), _ = voters
    assert first.agree(2**53, True) is True
    assert second.agree(2**53, False) is True
    first.agree(1, True)
    first.agree(1, True)
    assert first.agree(2, False) is False
    assert second.agree(2, True) is False  # What was asked in an earlier evaluation is passed over.


def test_votes_are_records_in_json_that_are_checked_when_they_are_read(
    voters: tuple[list[Team], deque[bytes]],
) -> None:
    (first, second), queue = voters
    first.agree(7, True)
    assert json.loads(queue[0]) == {"attempt": 7, "wanted": True}
    message = queue.pop()
    for wrong in (message.replace(b"true", b'"no"')[: len(message)], pickle.dumps((7, True)).ljust(len(message))):
        queue.append(wrong)
        with pytest.raises(msgspec.DecodeError):
            second.agree(7, False)


# What goes wrong.


@pytest.mark.parametrize("at_work", [False, True])
@pytest.mark.parametrize("dead", [0, 2])
def test_a_rank_ends_when_another_one_of_its_worker_has_died(make: Make, at_work: bool, dead: int) -> None:
    crew = make(always(None), always(None), always(None))
    if at_work:
        crew.start()
        wait_until(lambda: all(evaluator.started for evaluator in crew.evaluators))
    crew.network.dead.add(dead)
    with pytest.raises(CutOff, match=f"^rank 1 of a worker ends, because rank {dead} of it has died$"):
        crew.others[0].result(10)
    if dead and at_work:
        with pytest.raises(CutOff, match=f"^rank 0 of a worker ends, because rank {dead} of it has died$"):
            crew.first.poll()


def test_the_death_of_a_rank_of_another_worker_is_not_seen_in_the_team() -> None:
    network = Network(4)
    teams = [Team(endpoint, 2) for endpoint in network.endpoints]
    network.dead.add(3)
    assert list(teams[0].receive()) == list(teams[1].receive()) == []
    with pytest.raises(CutOff, match="because rank 1 of it has died"):
        list(teams[2].receive())


def test_what_a_rank_had_said_before_it_died_is_heard() -> None:
    network = Network(2)
    teams = [Team(endpoint, 2) for endpoint in network.endpoints]
    teams[0].dismiss("the last words", [])
    network.dead.add(0)
    assert assist(teams[1], always(GOOD)) == ("the last words", [])


def test_the_first_rank_hurries_itself_alone_as_the_others_get_the_signal_too(make: Make) -> None:
    crew = make(always(None), always(None))
    crew.first.hurry()
    assert [evaluator.hurried for evaluator in crew.evaluators] == [True, False]


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(evo.evaluation.team, "_PATIENCE", 0.1)
    return 0.1


def uses_communicator(crew: Crew) -> None:
    for team in crew.teams:
        team.lends = True


def test_a_rank_that_fails_while_another_waits_for_it_in_the_communicator_gives_up(make: Make, patience: float) -> None:
    """Inside MPI, the other one hears nothing; the launcher ends it."""
    release = threading.Event()
    crew = make(Scripted(lambda identity: release.wait(10) and GOOD), always(FAILED))
    uses_communicator(crew)
    threading.Thread(target=crew.start, daemon=True).start()
    message = r"failed on rank 1 of the 2 of a worker \(ValueError: no\).*0 s others seem to wait .*let all of them"
    with pytest.raises(Stuck, match=message):
        crew.others[0].result(10)
    release.set()


def test_the_first_rank_that_fails_while_another_waits_for_it_in_the_communicator_gives_up(
    make: Make, patience: float
) -> None:
    release = threading.Event()
    crew = make(always(FAILED), Scripted(lambda identity: release.wait(10) and GOOD))
    uses_communicator(crew)
    crew.start()
    with pytest.raises(Stuck, match=r"failed on rank 0 of the 2 of a worker \(ValueError: no\)"):
        wait_until(crew.first.poll)
    release.set()


def test_of_three_ranks_one_that_fails_gives_up_also_when_the_first_one_has_ended(make: Make, patience: float) -> None:
    release = threading.Event()
    crew = make(always(GOOD), always(FAILED), Scripted(lambda identity: release.wait(10) and GOOD))
    uses_communicator(crew)
    crew.start()

    def is_over() -> bool:
        return crew.first.poll() is not None or crew.others[0].done()

    wait_until(is_over)
    with pytest.raises(Stuck, match=r"failed on rank 1 of the 3 of a worker \(ValueError: no\)"):
        crew.others[0].result(0)
    release.set()


def slow(identity: Identity) -> Outcome:
    time.sleep(0.3)
    return GOOD


@pytest.mark.parametrize(
    ("first", "second", "lent"),
    [
        (always(GOOD), Scripted(slow), True),  # Nothing has failed.
        (always(FAILED), Scripted(slow), False),  # Nobody has a communicator to wait in.
        (always(FAILED), always(FAILED), True),
        (always(GOOD), always(FAILED), True),
        (Scripted(slow), always(FAILED), False),
    ],
)
def test_nobody_gives_up_while_no_rank_can_wait_for_one_that_failed(
    make: Make, patience: float, first: Scripted, second: Scripted, lent: bool
) -> None:
    crew = make(first, second)
    if lent:
        uses_communicator(crew)
    for generation in range(2):
        crew.evaluate((0, generation))
        time.sleep(3 * patience)  # The first rank has nothing to do: it waits for other workers.
    assert crew.dismiss() == [("the end", [])]


# With evaluators as they are.


def test_an_objective_knows_its_place_and_gets_a_communicator_of_its_own(make: Make, tmp_path: Path) -> None:
    seen: dict[int, tuple[Any, ...]] = {}

    def loss(params: dict[str, Any], trial: Trial) -> float:
        seen[trial.rank] = (trial.size, trial.individual, trial.seed, params["x"], trial.communicator)
        trial.metrics["rank"] = trial.rank
        return float(trial.rank)

    network = Network(2)
    teams = [Team(endpoint, 2) for endpoint in network.endpoints]
    evaluators = [
        InlineEvaluator(loss, lambda identity: tmp_path, {}, EvaluationSettings(rank=rank, size=2), team)
        for rank, team in enumerate(teams)
    ]
    first = TeamEvaluator(evaluators[0], teams[0], folder_of)
    with ThreadPoolExecutor(1) as executor:
        other = executor.submit(assist, teams[1], evaluators[1])
        first.start(assigned((0, 7), {"x": 0.5}), lambda *report: False)
        outcome = wait_until(first.poll)
        teams[0].dismiss("the end", [])
        assert other.result(10) == ("the end", [])
    assert (outcome.loss, outcome.metrics) == (0.0, {"rank": 0})
    assert {rank: values[:-1] for rank, values in seen.items()} == dict.fromkeys(range(2), (2, (0, 7), 5, 0.5))
    for rank, (*_, communicator) in seen.items():
        assert communicator.group == ("all/[0, 1]", (0, 1)), rank
        assert communicator.copy_of is not None, "the objective would read the team's own messages"


def test_all_ranks_go_on_from_the_state_that_the_first_one_has_taken_over(tmp_path: Path) -> None:
    def loss(params: dict[str, Any], trial: Trial) -> float:
        assert trial.inherit is not None
        found[trial.rank] = (trial.inherit, trial.begin)
        (trial.folder / "last.ckpt").write_text(f"of rank {trial.rank}")
        return 0.0

    found: dict[int, Any] = {}
    network = Network(2)
    teams = [Team(endpoint, 2) for endpoint in network.endpoints]
    folders = [lambda identity, rank=rank: tmp_path / str(rank) / individual_name(identity) for rank in range(2)]
    evaluators = [
        InlineEvaluator(loss, folder, {}, EvaluationSettings(rank=rank, size=2), team)
        for rank, (team, folder) in enumerate(zip(teams, folders, strict=True))
    ]
    first = TeamEvaluator(evaluators[0], teams[0], folders[0])
    segment = Segment(until=4, donor=Donor(individual=(0, 1), step=2, digest="d"))
    with ThreadPoolExecutor(1) as executor:
        other = executor.submit(assist, teams[1], evaluators[1])
        first.start(assigned((0, 7), segment=segment), lambda *report: False)
        outcome = wait_until(first.poll)
        teams[0].dismiss("the end", [])
        other.result(10)
    assert found == dict.fromkeys(range(2), (tmp_path / "0" / "0-7" / "inherited", 2))
    digest = state_digest(tmp_path / "0" / "0-7" / "last.ckpt")
    assert outcome.state == SavedState(step=4, digest=digest)  # That of the first rank counts.


def test_a_test_is_made_by_one_rank_alone(tmp_path: Path) -> None:
    class Loss:
        def __call__(self, params: dict[str, Any], trial: Trial) -> float:
            return 0.0

        def test(self, params: dict[str, Any], trial: Trial) -> dict[str, Any]:
            return {"rank": trial.rank, "size": trial.size}

    network = Network(2)
    teams = [Team(endpoint, 2) for endpoint in network.endpoints]
    evaluator = InlineEvaluator(Loss(), lambda identity: tmp_path, {}, EvaluationSettings(size=2), teams[0])
    assert TeamEvaluator(evaluator, teams[0], folder_of).test(assigned()) == {"rank": 0, "size": 1}
    assert not any(network.queues.values())
