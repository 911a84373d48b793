"""A training that is done segment after segment, each going on from the state that the one before has left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from evo.errors import UserError
from evo.population.identity import Identity
from evo.population.outcome import Outcome
from evo.population.segments import Donor, SavedState, Segment
from evo.posthoc.past import make_folder
from evo.posthoc.schedules import PlannedSegment, TrainingPlan
from evo.posthoc.single import PosthocError, SingleEvaluator
from evo.report.lineages import steps_text
from evo.storage.checkpoints import INHERITED, delete_state, find_weights, remove_path
from evo.storage.files import write_whole
from evo.storage.states import StateTaker
from evo.texts import readable

_RECORD = "segments.json"
_EARLIER = "-segments"


class TrainedSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A segment that has been trained.

    Args:
        begin: The step from which it went on.
        until: The step at which it was to end.
        loss: Its loss.
        seconds: The time that it took.
        metrics: What its training recorded beside the loss.
        state: The state that it has left; None if it has left none.
    """

    begin: int
    until: int
    loss: float
    seconds: float
    metrics: dict[str, Any] = {}
    state: SavedState | None = None


class _Record(msgspec.Struct, frozen=True):
    """How far a training has come; it goes on from there when it was stopped."""

    plan: Any
    seeds: list[int]
    trained: list[TrainedSegment]


class SegmentChain:
    """Trains a plan: the last segment in a folder of its own, the others in folders beside that one.

    Args:
        name: What messages call the training.
        plan: What is trained.
        seeds: The seed of each segment.
        folder: The folder of the last one.

    Raises:
        UserError: The folder holds a training that was stopped, and is another one.
    """

    def __init__(self, name: str, plan: TrainingPlan, seeds: Sequence[int], folder: Path) -> None:
        self._name, self._segments, self._seeds = name, plan.segments, list(seeds)
        self._folder, self._before = make_folder(folder), folder.with_name(f"{folder.name}{_EARLIER}")
        self._plan = msgspec.json.decode(msgspec.json.encode(plan.segments))
        self._trained: list[TrainedSegment] = self._read()

    def train(self, evaluator: SingleEvaluator) -> Sequence[TrainedSegment]:
        """Train all segments that are not trained yet.

        Args:
            evaluator: Trains them.

        Returns:
            All segments; fewer than planned when the training was at its end before, by early stopping, say.

        Raises:
            PosthocError: A segment failed, or has left no state.
            Interrupted: A signal stopped it: the same call goes on.
        """
        make_folder(self._before)
        self._write()  # What is in the folder from now on belongs to this plan.
        for number in range(len(self._trained), len(self._segments)):
            if self._is_over:
                break
            place = make_folder(self._place(number))
            outcome = evaluator.train_part(self._called(number), self._assign(number, place, evaluator))
            assert outcome.loss is not None
            self._trained.append(
                TrainedSegment(
                    begin=self._begin,
                    until=self._segments[number].until,
                    loss=outcome.loss,
                    seconds=outcome.seconds,
                    metrics=outcome.metrics,
                    state=self._checked_state(number, outcome),
                )
            )
            self._write()
            if number:
                self._clear(number - 1)  # It is recorded that nobody goes on from there any more.
        delete_state(self._place(len(self._trained) - 1))
        (self._before / _RECORD).unlink(missing_ok=True)
        return self._trained

    def _clear(self, number: int) -> None:
        """Remove what takes room in the folder of a segment that is not the last."""
        place = self._place(number)
        delete_state(place)
        for file in find_weights(place):
            remove_path(file)

    @property
    def place(self) -> Path:
        """The folder with the weights of the last segment that was trained."""
        return self._place(len(self._trained) - 1)

    @property
    def _begin(self) -> int:
        """The step from which the next segment goes on."""
        state = self._trained[-1].state if self._trained else None
        return state.step if state else 0

    @property
    def _is_over(self) -> bool:
        state = self._trained[-1].state if self._trained else None
        return state is not None and state.is_over

    def _place(self, number: int) -> Path:
        if number == len(self._segments) - 1:
            return self._folder
        begin = self._segments[number - 1].until if number else 0
        return self._before / steps_text(begin, self._segments[number].until)

    def _called(self, number: int) -> str:
        return f"{self._name} from step {self._begin} to {self._segments[number].until}"

    def _assign(self, number: int, place: Path, evaluator: SingleEvaluator) -> Any:
        """What trains a segment, whose folder gets the state of the one before."""
        planned: PlannedSegment = self._segments[number]
        donor = None
        if number:
            state = self._trained[-1].state
            assert state is not None, "a segment without a state has another one after it"
            donor = Donor(individual=self._segments[number - 1].individual, step=state.step, digest=state.digest)
            before: Mapping[Identity, Path] = {donor.individual: self._place(number - 1), planned.individual: place}
            if not StateTaker(before.__getitem__)(planned.individual, donor):
                raise PosthocError(
                    f"{self._called(number)} cannot begin: the state in {before[donor.individual]} is gone or damaged; "
                    f"remove {self._before} and {self._folder} to train from the start"
                )
        return msgspec.structs.replace(
            evaluator.assign(planned.individual, planned.params, place),
            seed=self._seeds[number],
            segment=Segment(until=planned.until, donor=donor),
            inherited=readable(str((place / INHERITED).absolute())) if donor else "",
        )

    def _checked_state(self, number: int, outcome: Outcome) -> SavedState | None:
        if outcome.state is None and number < len(self._segments) - 1:
            raise PosthocError(
                f"{self._called(number)} has left no state to go on from: an objective leaves last.ckpt in trial.folder"
            )
        return outcome.state

    def _read(self) -> list[TrainedSegment]:
        file = self._before / _RECORD
        try:
            record = msgspec.json.decode(file.read_bytes(), type=_Record)
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            raise UserError(f"{file} cannot be read: {error}; remove {self._before} to train from the start") from None
        if (record.plan, record.seeds) != (self._plan, self._seeds):
            raise UserError(
                f"{self._folder} holds a training that was stopped, with another schedule or seed: run the command "
                f"that has begun it, or remove that folder and {self._before}"
            )
        return record.trained

    def _write(self) -> None:
        content = msgspec.json.encode(_Record(self._plan, self._seeds, self._trained))
        write_whole(self._before / _RECORD, lambda stream: stream.write(content))
