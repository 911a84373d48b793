"""A point that the objective refuses: an outcome of its own, neither a failure nor bred from."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from records import assigned, evaluated, finished, replayed, started
from test_team import FAILED, GOOD, Crew, always

import evo
from evo.cli import main as command
from evo.engine.budget import Budget
from evo.evaluation import ProcessEvaluator
from evo.evaluation.execution import evaluate
from evo.evaluation.settings import USUAL
from evo.evaluation.team import TeamEvaluator
from evo.evaluation.trial import RunningTrial
from evo.objective.objective import Infeasible, prepare
from evo.population.individual import precedence
from evo.population.outcome import Outcome
from evo.report.tables import nothing_found_text
from evo.space.space import Space
from evo.storage.rundir import RunDirectory
from evo.testing.trials import FakeTrial

SPACE = Space({"x": (-1.0, 1.0)})


def positive_only(params: Any) -> float:
    if params["x"] < 0:
        raise evo.Infeasible(f"x is {'far ' * (params['x'] < -0.5)}below 0")
    return float(params["x"])


def never(params: Any) -> float:
    raise evo.Infeasible


def in_a_library(params: Any) -> float:
    try:
        raise Infeasible("too  many\nweights: 7")
    except Infeasible as error:
        raise RuntimeError("could not build") from error


def of_losses(params: Any) -> Any:
    yield 1.0
    raise Infeasible("diverges")


def outcome_of(objective: Any, folder: Path, **more: Any) -> Outcome:
    trial = RunningTrial(assigned((0, 0), folder=str(folder)), USUAL, lambda *report: False, **more)
    trial.metrics["weights"] = 7
    return evaluate(prepare(objective), {"x": -1.0}, trial)


@pytest.mark.parametrize(
    ("objective", "reason"),
    [
        (positive_only, "x is far below 0"),
        (never, "no reason was given"),
        (in_a_library, "too many weights: 7"),
        (of_losses, "diverges"),
    ],
)
def test_wherever_it_is_raised_the_reason_is_the_outcome(objective: Any, reason: str, tmp_path: Path) -> None:
    outcome = outcome_of(objective, tmp_path)
    assert (outcome.status, outcome.error, outcome.loss, outcome.traceback) == ("infeasible", reason, None, "")
    assert outcome.metrics == {"weights": 7}


def test_it_counts_although_the_evaluation_was_asked_to_stop(tmp_path: Path) -> None:
    assert outcome_of(never, tmp_path, is_interrupted=lambda: True).status == "infeasible"


def test_it_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(Infeasible("why")))
    assert isinstance(error, Infeasible)
    assert str(error) == "why"


def test_it_comes_out_of_a_child_process(tmp_path: Path) -> None:
    evaluator = ProcessEvaluator(positive_only, lambda identity: tmp_path, {"PATH": ""})
    evaluator.open(["x"])
    try:
        evaluator.start(assigned((0, 0), {"x": -0.1}), lambda *report: False)
        while (outcome := evaluator.poll()) is None:
            pass
    finally:
        evaluator.close()
    assert (outcome.status, outcome.error) == ("infeasible", "x is below 0")


REFUSED = Outcome(status="infeasible", error="too large")
HINDERED = Outcome(status="interrupted", error="the disk is full")


@pytest.mark.parametrize(
    ("outcomes", "error"),
    [
        ([GOOD, REFUSED], "on rank 1 of the worker: too large"),
        ([FAILED, REFUSED], "on rank 1 of the worker: too large"),
        ([REFUSED, FAILED], "too large"),
        ([HINDERED, REFUSED], "on rank 1 of the worker: too large"),
    ],
)
def test_of_several_ranks_one_that_refuses_wins(outcomes: list[Outcome], error: str) -> None:
    crew = Crew(*(always(outcome) for outcome in outcomes))
    try:
        assert isinstance(crew.first, TeamEvaluator)
        outcome = crew.evaluate()
    finally:
        crew.close()
    assert (outcome.status, outcome.error) == ("infeasible", error)


def test_a_replica_keeps_it_apart_from_all_others() -> None:
    events = [started((0, n), {"x": n / 10}) for n in range(4)]
    events += [finished((0, 0), 1.0), finished((0, 1), None, "infeasible"), finished((0, 2), None)]
    population = replayed(SPACE, events)
    assert population.counts == {"completed": 1, "infeasible": 1, "failed": 1, "running": 1}
    assert population.finished == 3
    assert [individual.identity for individual in population.active] == [(0, 0)]
    assert population.has_tried({"x": 0.1})
    assert [individual.identity for individual in population.running] == [(0, 3)]


def test_of_two_outcomes_of_one_individual_a_loss_counts_more_and_a_failure_less() -> None:
    statuses = ["completed", "pruned", "infeasible", "failed", "interrupted"]
    outcomes = [finished((0, 0), 1.0 if status in statuses[:2] else None, status) for status in statuses]  # type: ignore[arg-type]
    assert sorted(outcomes, key=precedence) == outcomes


def test_it_has_no_share_in_giving_up() -> None:
    events = [event for n in range(60) for event in (started((0, n), {"x": n / 100}),)]
    refused = [finished((0, n), None, "infeasible") for n in range(40)]
    failed = [finished((0, n), None) for n in range(40, 59)]
    budget = Budget(max_failed_share=0.5)
    assert not budget.too_many_failed(replayed(SPACE, [*events, *refused]))
    assert not budget.too_many_failed(replayed(SPACE, [*events, *refused, *failed]))  # Of 20 at least.
    known = replayed(SPACE, [*events, *refused, *failed, finished((0, 59), 1.0)])
    assert budget.too_many_failed(known)
    assert str(budget.why_stop_now(known, 0.0)) == "19 of 60 evaluations failed, and 40 were infeasible"
    assert not budget.too_many_failed(evaluated(SPACE, [({"x": 0.1}, 1.0)]))


def test_a_search_counts_and_shows_them_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    settings: dict[str, Any] = {"run_dir": str(run), "seed": 2, "propagator": "random"}  # Others avoid them.
    result = evo.minimize(positive_only, SPACE.describe(), evaluations=60, quiet=False, **settings)
    shown = capsys.readouterr().out
    refused = [each for each in result.individuals if each.status == "infeasible"]
    assert len(result.individuals) == 60
    assert len(refused) > 20 > sum(each.status == "failed" for each in result.individuals) == 0
    assert {each.error for each in refused} == {"x is below 0", "x is far below 0"}
    assert f"60/60 evaluations ({len(refused)} infeasible)" in shown
    assert f"{len(refused)} of 60 evaluations are infeasible:" in shown
    assert "x is far below 0 (0-" in shown
    assert f"({60 - len(refused)} completed, {len(refused)} infeasible)" in shown
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["infeasible"], summary["failed"]) == (len(refused), 0)
    assert command(["best", str(run)]) == 0
    assert f"{len(refused)} infeasible" in capsys.readouterr().out
    assert command(["best", str(run), str(run)]) == 0
    assert f"60, {len(refused)} infeasible" in capsys.readouterr().out
    # A later session knows them: it takes none up again, and tries none again.
    again = evo.minimize(positive_only, SPACE.describe(), evaluations=70, run_dir=str(run))
    assert len({each.params["x"] for each in again.individuals}) == len(again.individuals) == 70


def test_its_checkpoints_are_removed(tmp_path: Path) -> None:
    def loss(params: Any, trial: Any) -> float:
        (trial.folder / "best.ckpt").touch()
        (trial.folder / "last.ckpt").touch()
        return positive_only(params)

    evo.minimize(loss, SPACE.describe(), evaluations=20, run_dir=str(tmp_path), keep_checkpoints=2, seed=1)
    kept = {file.parent.name for file in tmp_path.glob("individuals/*/*.ckpt")}
    events = {event.individual: event for event in RunDirectory(tmp_path).events() if hasattr(event, "loss")}
    assert len(kept) == 2
    assert all(events[tuple(map(int, name.split("-")))].status == "completed" for name in kept)  # type: ignore[index]


def test_where_nothing_else_came_the_end_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from evo.run import main

    (tmp_path / "refusing.py").write_text(
        "import evo\ndef loss(params):\n    raise evo.Infeasible('never: it is too warm')\n"
    )
    arguments = ["--limits", "{x: [0.0, 1.0]}", "--evaluations", "30", "--run-dir", str(tmp_path / "run"), "--quiet"]
    assert main([f"{tmp_path / 'refusing.py'}:loss", *arguments], ends=False) == 1
    text = capsys.readouterr().err
    assert "all are infeasible, the most frequent reason: 30 x never: it is too warm" in text
    assert command(["best", str(tmp_path / "run")]) == 2
    assert "30 are infeasible" in capsys.readouterr().err


def test_that_some_are_infeasible_and_the_others_failed_is_said_too() -> None:
    def loss(params: Any) -> float:
        if params["x"] < 0:
            raise Infeasible("below 0")
        raise ValueError("no")

    from evo.engine.transport import Serial
    from evo.runtime.signals import StopSignals
    from evo.study.config import Config
    from evo.study.job import Job
    from evo.study.running import run_study

    with StopSignals() as signals:
        job = Job(config=Config(evaluations=10, quiet=True), objective=loss, limits=SPACE.describe())
        result = run_study(job, Serial(), signals)
    text = nothing_found_text(result)
    assert "of 10 are infeasible" in text
    assert "ValueError at test_infeasible.py" in text


def test_a_row_of_tensorboard_is_neither_a_success_nor_a_failure(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.api_pb2 import Status

    from evo.lightning.hparams import row_logger

    statuses = {}
    for name, error in (("refused", Infeasible("no")), ("failed", ValueError("no"))):
        trial: Any = FakeTrial(tmp_path / name)
        with pytest.raises(type(error)), row_logger(trial, {"x": 1.0}, writes=True):
            raise error
        accumulator = EventAccumulator(str(trial.folder))
        accumulator.Reload()
        content = accumulator.SummaryMetadata(metadata.SESSION_END_INFO_TAG).plugin_data.content
        statuses[name] = metadata.parse_session_end_info_plugin_data(content).status
    assert statuses == {"refused": Status.STATUS_UNKNOWN, "failed": Status.STATUS_FAILURE}
