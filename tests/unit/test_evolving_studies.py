"""Whole studies of one rank whose trainings go on from each other's states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import evolving
import journals
import pytest
from segmented import GoOn

import evo
from evo.algorithms import PopulationBasedTraining
from evo.cli import main
from evo.errors import UserError
from evo.population.events import AnyEvent, Finished, Started
from evo.study.inheritance import remarks_on

PBT = PopulationBasedTraining(interval=evolving.INTERVAL, population=evolving.POPULATION)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evolving, "_SECONDS", 0.0)


def search(run_dir: Path | None, evaluations: int, **more: Any) -> Any:
    more = {"propagator": PBT, "seed": 1, "quiet": True, **more}
    return evo.minimize(evolving.loss, evolving.LIMITS, evaluations=evaluations, run_dir=run_dir, **more)


def test_a_study_keeps_the_states_of_its_population_and_goes_on(tmp_path: Path) -> None:
    for evaluations in (5, 6, 40):
        search(tmp_path, evaluations)
        evolving.check_ended(tmp_path, ranks=1, islands=1)
    evolving.check_places(tmp_path, [0])


def test_a_study_without_files_goes_on_from_its_own_states_as_well(tmp_path: Path) -> None:
    with_files = search(tmp_path, 30)
    without = search(None, 30)
    assert [one.loss for one in without.individuals] == [one.loss for one in with_files.individuals]
    assert without.best.loss < 0.5


def test_whole_trainings_and_parts_of_trainings_are_not_ranked_in_one_study(tmp_path: Path) -> None:
    search(tmp_path / "parts", 12)
    with pytest.raises(UserError, match="parts of trainings, and its propagator is now one for whole trainings"):
        search(tmp_path / "parts", 24, propagator="portfolio")
    evolving.check_files(tmp_path / "parts")
    search(tmp_path / "whole", 3, propagator="random")
    with pytest.raises(UserError, match="whole trainings, and its propagator is now one for parts"):
        search(tmp_path / "whole", 24)


class Own:
    """An objective whose attributes mean what they mean to its user."""

    max_epochs = 1
    trainer = "somebody"

    def __call__(self, params: dict[str, Any], trial: evo.Trial) -> float:
        return evolving.loss(params, trial)


def test_what_attributes_of_an_own_objective_or_algorithm_are_called_says_nothing(tmp_path: Path) -> None:
    found = evo.minimize(Own(), evolving.LIMITS, propagator=PBT, evaluations=6, run_dir=tmp_path, seed=1, quiet=True)
    assert len(found.individuals) == 6
    algorithm = GoOn(places=3)
    object.__setattr__(algorithm, "population", ["a", "b"])
    assert remarks_on([algorithm], 1, 1) == []


def test_a_part_of_a_training_that_leaves_no_state_fails_with_what_to_do(tmp_path: Path) -> None:
    def loss(params: dict[str, Any], trial: evo.Trial) -> float:
        return float(params["rate"])

    with pytest.raises(evo.SearchFailed, match="it has left no state, from which others would go on: save it as"):
        evo.minimize(loss, evolving.LIMITS, propagator=PBT, evaluations=3, run_dir=tmp_path, quiet=True)


def is_idle(event: AnyEvent, needed: Any) -> bool:
    return isinstance(event, Finished) and event.individual in needed


def is_past(event: AnyEvent, needed: Any) -> bool:
    return isinstance(event, Finished) and event.individual not in needed


def has_begun(event: AnyEvent, needed: Any) -> bool:
    return isinstance(event, Started) and event.individual in needed


@pytest.mark.parametrize("is_lost", [is_idle, is_past, has_begun])
def test_a_study_goes_on_when_records_of_its_states_were_lost(
    tmp_path: Path, is_lost: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    search(tmp_path, 20)
    needed, events = set(evolving.population_of(tmp_path).states.needed), journals.events(tmp_path)
    journal = tmp_path / "journal" / "0.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    which = next(event.individual for event in events if is_lost(event, needed))  # type: ignore[union-attr]
    kind = b"Started" if is_lost is has_begun else b"Finished"
    mention = b'"individual":[%d,%d]' % which
    hit = next(number for number, line in enumerate(lines) if line.startswith(b'{"type":"' + kind) and mention in line)
    lines[hit] = b"\0" * 10 + b"\n"
    journal.write_bytes(b"".join(lines))
    assert main(["repair", str(tmp_path)]) == 0
    capsys.readouterr()
    search(tmp_path, 40)
    if is_lost is has_begun:
        evolving.check_files(tmp_path)
    else:
        evolving.check_ended(tmp_path, ranks=1, islands=1)
