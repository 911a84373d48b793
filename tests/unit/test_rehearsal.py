"""What `evo check` makes of what it has tried, and the mistakes that it finds before anything is tried."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any

import mistakes
import pytest
from helpers import call

from evo.drafting.command import draft_and_try
from evo.errors import UserError
from evo.evaluation.stages import Stage, note_stage, read_stages
from evo.objective.facts import ClassFacts
from evo.population.outcome import Outcome
from evo.rehearsal.command import try_points
from evo.rehearsal.estimate import measure_pace, search_seconds
from evo.rehearsal.preparing import check_may_begin, least_ranks
from evo.rehearsal.trying import Patience, Tried, why_late
from evo.space.values import Params
from evo.storage.journal import open_locked
from evo.storage.rundir import RunDirectory
from evo.study.config import Config


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    mistakes.prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# These need a child process, or fail only where a search has several ranks.
ASIDE = ("no_loss", "too_many_islands", "incomplete_workers", "sizes_that_do_not_add_up")


def test_a_mistake_that_ends_a_search_ends_a_check_with_the_same_words_and_nothing_is_written(folder: Path) -> None:
    before = mistakes.contents(folder)
    for name, (arguments, words) in mistakes.MISTAKES.items():
        if name not in ASIDE:
            ended = call("check", *shlex.split(arguments))
            assert ended.status == 2, name
            assert all(word in ended.err for word in words), f"{name}: {ended.err}"
            assert ended.err.count("\n") == 1
    for name in ("too_many_islands", "incomplete_workers", "sizes_that_do_not_add_up"):
        arguments, words = mistakes.MISTAKES[name]
        ended = call("check", *shlex.split(arguments), "--ranks", "1")
        assert ended.status == 2, name
        assert all(word in ended.err for word in words), f"{name}: {ended.err}"
    assert mistakes.contents(folder) == before


def test_a_directory_in_which_no_search_could_begin_is_refused_and_left_as_it_is(folder: Path) -> None:
    assert call("run", "sphere", "--evaluations", "1", "--run-dir", "mine", "--evaluate", "inline").status == 0
    before = mistakes.contents(folder)
    study = ["check", "sphere", "--evaluations", "2", "--run-dir"]
    with open_locked(folder / "mine" / "journal" / "0.jsonl"):
        ended = call(*study, "mine")
    assert ended.status == 2
    assert "0.jsonl is being written by another run in this directory" in ended.err
    ended = call(*study, "/proc/x")
    assert ended.status == 2
    assert "run directory /proc/x" in ended.err
    assert "cannot be written" in ended.err
    check_may_begin(RunDirectory(folder / "mine"))
    check_may_begin(RunDirectory(folder / "new" / "one"))
    assert mistakes.contents(folder) == before


def test_options_of_its_own_are_checked_too(folder: Path) -> None:
    for words, said in (
        (["--ranks", "0"], "ranks is 0"),
        (["--ranks", "many"], "ranks is 'many': give a whole number of at least 1, such as 4"),
        (["--ranks", "2.5"], "ranks is '2.5': give a whole number"),
        (["--timeout", "-1"], "timeout"),
    ):
        ended = call("check", "sphere", *words)
        assert ended.status == 2
        assert said in ended.err


def test_without_a_number_of_ranks_the_fewest_are_taken_that_the_settings_allow() -> None:
    assert least_ranks(Config()) == 1
    assert least_ranks(Config(islands=4)) == 4
    assert least_ranks(Config(islands=[{"workers": 2}, {"workers": 3}], ranks_per_worker=2)) == 10
    assert least_ranks(Config(islands=2, island_sizes=[3, 1])) == 4


def batches(kind: str, begin: float, *times: float) -> list[Stage]:
    found, now = [Stage(doing=kind, number=1, time=begin)], begin
    for number, seconds in enumerate(times, 2):
        now += seconds
        found.append(Stage(doing=kind, number=number, time=now))
    return found


def test_a_batch_hangs_only_if_it_takes_much_longer_than_those_before() -> None:
    patience = Patience(training=100.0, call=5.0)
    slow = batches("training batch", 0.0, 2.0, 2.0)
    assert why_late(slow, 0.0, 30.0, patience) == ""
    assert "training batch 3 has taken 46 s, and the longest before it 2 s" in why_late(slow, 0.0, 50.0, patience)
    validating = [*slow, *batches("validation batch", 5.0, 1.0)]
    assert why_late(validating, 0.0, 40.0, patience) == ""
    assert "validation batch 2 has taken 44 s" in why_late(validating, 0.0, 50.0, patience)
    ending = [*validating, Stage(doing="validation batch", number=3, time=7.0, facts={"last": True})]
    assert why_late(ending, 0.0, 90.0, patience) == ""
    first = batches("training batch", 0.0)
    assert why_late(first, 0.0, 90.0, patience) == ""
    assert "training batch 1 was not over after 101 s" in why_late(first, 0.0, 101.0, patience)
    assert "the beginning" in why_late([], 0.0, 101.0, patience)
    assert why_late([Stage(doing="calling the loss", time=1.0)], 0.0, 6.5, patience)
    assert why_late([Stage(doing="ended", time=1.0)], 0.0, 500.0, patience) == ""


def test_after_a_training_that_takes_too_long_no_other_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Path] = []

    def late(evaluator: object, params: Params, folder: Path, patience: Patience) -> Tried:
        begun.append(folder)
        stages = [Stage(doing="training batch", number=2)]
        return Tried(params=params, outcome=Outcome(status="interrupted"), stages=stages, late="it hangs")

    monkeypatch.setattr("evo.rehearsal.command.try_point", late)
    monkeypatch.setattr("evo.drafting.command.try_point", late)
    nobody: Any = None
    with pytest.raises(UserError, match="at x=1 it fails in training batch 2: it hangs"):
        try_points(nobody, [{"x": 1}, {"x": 2}, {"x": 3}], tmp_path, Patience(10.0, 5.0))
    assert len(begun) == 1
    facts = ClassFacts(path="n.N", arguments=[])  # Its own optimizer would be kept if another one made it fail.
    draft, findings = draft_and_try(nobody, (facts, None), tmp_path, time.monotonic() + 10.0)
    assert draft.replaces
    assert findings.problem == "it hangs"
    assert len(begun) == 2


def test_the_pace_of_a_training_leaves_out_the_batch_that_warms_up_and_counts_whole_epochs() -> None:
    stages = [Stage(doing="making the parts", time=0.0, memory=5), *batches("training batch", 3.0, 4.0, 0.5, 0.5, 0.7)]
    stages[1] = Stage(
        doing="training batch", time=3.0, facts={"batches": {"train": 100, "validation": 10}, "weights": 7}
    )
    stages += [*batches("validation batch", 9.0, 0.2, 0.1), Stage(doing="ended", time=9.5, memory=9)]
    pace = measure_pace(stages, {})
    assert (pace.set_up, pace.first_batch, pace.batch) == (3.0, 4.0, 0.5)
    assert (pace.batches, pace.all_batches, pace.memory, pace.weights) == ((4, 2), (100, 10), 9, 7)
    assert pace.epoch == pytest.approx(51.0)
    assert measure_pace(stages, {"limit_train_batches": 0.1}).epoch == pytest.approx(6.0)
    stages[1] = Stage(doing="training batch", time=3.0, facts={"batches": {"train": None, "validation": 10}})
    assert measure_pace(stages, {}).epoch is None


def test_a_search_takes_as_long_as_the_most_that_one_worker_trains() -> None:
    assert search_seconds(10.0, 9, 4) == 30.0
    assert search_seconds(None, 9, 4) is None
    assert search_seconds(10.0, 9, 4, walltime=12.0) == 12.0
    assert search_seconds(None, None, 4, walltime=12.0) == 12.0


def test_notes_are_read_while_they_are_written_but_for_a_line_that_is_not_whole(tmp_path: Path) -> None:
    assert read_stages(tmp_path) == []
    note_stage(tmp_path, "training batch", 2, batches={"train": 3})
    with (tmp_path / "stages.jsonl").open("a") as file:
        file.write('{"doing": "tra')
    (stage,) = read_stages(tmp_path)
    assert (stage.text, stage.facts) == ("training batch 2", {"batches": {"train": 3}})
    assert stage.memory > 1_000_000
