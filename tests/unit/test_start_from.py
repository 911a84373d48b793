"""Warm starts: results that are known from elsewhere, and points that are evaluated first."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from helpers import call
from records import NOW, finished, replayed

import evo
from evo.cli import main
from evo.engine.budget import Budget
from evo.engine.starting import KnownPoint, known_events
from evo.errors import UserError
from evo.population.events import Finished, Started, decode, encode
from evo.population.population import Population
from evo.report.comparing import gather_facts
from evo.report.contributions import contributions
from evo.report.improvements import count_evaluated, ends_in_order, numbered
from evo.report.reading import Run
from evo.space.space import Space
from evo.storage.checkpoints import Weights
from evo.storage.start_weights import StartWeights
from evo.study.starting_weights import check_start_weights

LIMITS = {
    "lr": evo.Float(1e-4, 1e-1, log=True),
    "depth": evo.Int(1, 9, default=3),
    "step": evo.Float(0.0, 1.0, step=0.25, default=0.5),
    "act": evo.Choice("relu", "tanh", None),
    "momentum": evo.Float(0.0, 1.0, when={"act": "relu"}),
    "sizes": evo.Choice([8], [8, 8], default=[8]),
}
POINT = {"lr": 0.01, "depth": 4, "step": 0.25, "act": "relu", "momentum": 0.5, "sizes": [8, 8]}


def loss(params: dict[str, Any]) -> float:
    return float(params["lr"]) + float(params["depth"]) + float(params["step"])


def search(run_dir: Path, start_from: Any, evaluations: int = 4, **settings: Any) -> Run:
    evo.minimize(loss, LIMITS, evaluations=evaluations, run_dir=run_dir, seed=1, start_from=start_from, **settings)
    return evo.load(run_dir)


def known(run: Run) -> list[dict[str, Any]]:
    return [{"params": one.params, "loss": one.loss} for one in run.individuals if one.origin]


def evaluated(run: Run) -> list[dict[str, Any]]:
    return [one.params for one in run.individuals if not one.origin]


def test_known_results_are_not_evaluated_again_and_points_without_one_come_first(tmp_path: Path) -> None:
    points = [{**POINT, "loss": 0.125}, {"lr": 0.02}, {"lr": 0.03, "act": "tanh"}]
    run = search(tmp_path / "run", points)
    assert known(run) == [{"params": POINT, "loss": 0.125}]
    assert [params["lr"] for params in evaluated(run)[:2]] == [0.02, 0.03]
    assert len(evaluated(run)) == 4  # A known result takes nothing from the budget.
    assert run.best is not None
    assert (run.best.loss, run.best.origin, run.best.bred_by) == (0.125, "start_from point 1", "known")
    assert (run.best.seconds, run.best.evaluator) == (0.0, "known")
    assert "known" not in contributions(run.individuals)
    assert sum(each.improvements for each in contributions(run.individuals).values()) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["evaluations"], summary["known"], summary["completed"]) == (4, 1, 4)


def test_known_results_are_told_apart_from_evaluations_everywhere(tmp_path: Path) -> None:
    run = search(tmp_path / "run", [{**POINT, "loss": 100.0}, {**POINT, "depth": 5, "loss": 0.125}])
    assert (run.counts, run.known) == ({"completed": 4}, 2)
    facts = gather_facts(run)
    assert (facts.finished, facts.known, facts.counts) == (4, 2, {"completed": 4})
    assert (facts.steps, facts.evaluations_to(0.125), facts.best_after(0)) == ([(0, 0.125)], 0.0, 0.125)
    assert facts.span < 60
    ended = ends_in_order(run.individuals)
    assert count_evaluated(ended) == 4
    assert [number for number, _ in numbered(ended)] == [0, 0, 1, 2, 3, 4]
    lines = {name: call(name, str(tmp_path / "run")).out for name in ("best", "list", "status", "replay")}
    assert "4 evaluations (4 completed), beside 2 known results" in lines["best"]
    assert "4, beside 2 known" in lines["list"]
    assert "4 of 4 evaluations" in lines["status"]
    assert "beside 2 known results" in lines["status"]
    assert "2 known from elsewhere" in lines["replay"]
    (tmp_path / "run" / "summary.json").unlink()
    assert "4, beside 2 known" in call("list", str(tmp_path / "run")).out


def test_a_resumed_search_learns_the_same_only_once_and_what_is_new_is_added(tmp_path: Path) -> None:
    first = {**POINT, "loss": 0.125}
    assert len(known(search(tmp_path / "run", [first]))) == 1
    again = search(tmp_path / "run", [first, {**POINT, "depth": 5, "loss": 0.0625}], evaluations=6)
    assert [one["loss"] for one in known(again)] == [0.125, 0.0625]
    assert len(evaluated(again)) == 6
    complete = search(tmp_path / "run", [{**POINT, "depth": 6, "loss": 7.0}], evaluations=6)
    assert len(known(complete)) == 3
    assert len({one.individual for one in complete.individuals}) == 9
    without = search(tmp_path / "run", None, evaluations=7)
    assert (len(known(without)), len(evaluated(without))) == (3, 7)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search whose results others start from, in every form that it is exported to."""
    folder = tmp_path_factory.mktemp("source")
    search(folder / "first", [POINT, {"act": None, "lr": 0.05}], evaluations=12)
    for option in ["optuna=store.db", "optuna=store.db#second", "optuna=journal.log", "csv=x.csv", "json=x.json"]:
        name, _, file = f"--{option}".partition("=")
        assert main(["export", str(folder / "first"), name, str(folder / file)]) == 0
    return folder


FORMS = ["first", "store.db#first", "sqlite:///{}/store.db#second", "journal.log", "x.csv", "x.json"]


@pytest.mark.parametrize("form", FORMS)
def test_an_export_gives_another_search_the_same_individuals(form: str, source: Path, tmp_path: Path) -> None:
    name = form.format(source) if "{}" in form else str(source / form)
    run = search(tmp_path / "run", name, evaluations=3)
    earlier = [{"params": one.params, "loss": one.loss} for one in evo.load(source / "first").individuals]
    found = known(run)
    assert sorted(found, key=str) == sorted(earlier, key=str)
    assert [one["loss"] for one in found] == sorted(one["loss"] for one in found)
    assert len(evaluated(run)) == 3
    assert not any(params == one["params"] for params in evaluated(run) for one in earlier)
    assert all(one.origin.startswith(name) for one in run.individuals[:12])


def test_results_outside_of_the_limits_are_left_out_with_a_note(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = {**LIMITS, "lr": evo.Float(1e-3, 2e-2, log=True), "width": evo.Int(1, 3, default=2)}
    result = evo.minimize(
        loss, narrow, evaluations=2, start_from=source / "first", quiet=False, run_dir=tmp_path / "run", seed=1
    )
    fitting = [one for one in evo.load(source / "first").individuals if 1e-3 <= one.params["lr"] <= 2e-2]
    found = [one for one in result.individuals if one.origin]
    assert 0 < len(found) == len(fitting) < 12
    assert all(one.params["width"] == 2 for one in found)  # What they lack has its default.
    said = capsys.readouterr().out
    assert (
        f"first: {len(fitting)} results are known, and are not evaluated again; left out: {12 - len(fitting)} that"
        in said
    )
    assert "lr is 0.05: it must be a number from 0.001 to 0.02" in said
    with pytest.raises(
        evo.UserError, match=r"first has no result that fits: left out: 12 that do not fit, for example"
    ):
        evo.minimize(loss, {"lr": (5.0, 6.0)}, evaluations=2, start_from=str(source / "first"))


BAD_ROWS = {
    "0.5x,1,0.25,tanh,,,1": "lr is '0.5x': it must be a number from 0.0001 to 0.1",
    "0.5,1,0.25,tanh,,,1": "lr is '0.5': it must be a number from 0.0001 to 0.1",
    "nan,1,0.25,tanh,,,1": "lr is 'nan': it must be a number",
    "true,1,0.25,tanh,,,1": "lr is 'true': it must be a number",
    "0.01,2.5,0.25,tanh,,,1": "depth is '2.5': it must be a whole number from 1 to 9",
    "0.01,10,0.25,tanh,,,1": "depth is '10': it must be a whole number from 1 to 9",
    "0.01,two,0.25,tanh,,,1": "depth is 'two': it must be a whole number",
    "0.01,1,0.3,tanh,,,1": "step is '0.3': it must be a number from 0.0 to 1.0 in steps of 0.25",
    "0.01,1,0.25,Tanh,,,1": "act is 'Tanh': it must be one of 'relu', 'tanh', None",
    "0.01,1,0.25,tanh,0.5,,1": "parameter 'momentum' is given in",
    "0.01,1,0.25,relu,,,1": "it lacks momentum: a result belongs to a complete point",
    ",1,0.25,tanh,,,1": "it lacks lr: a result belongs to a complete point",
    "0.01,1,0.25,tanh,,[8;8],1": "sizes is '[8;8]': it must be one of [8], [8, 8]",
    '0.01,1,0.25,tanh,,"[8,9]",1': "sizes is '[8,9]': it must be one of [8], [8, 8]",
    "0.01,1,0.25,tanh,,,low": "loss is 'low': it must be a finite number",
    "0.01,1,0.25,tanh,,,nan": "loss is 'nan': it must be a finite number",
    "0.01,1,0.25,tanh,,,1e999": "loss is '1e999': it must be a finite number",
    "0.01,1,0.25,tanh": "it has 4 cells, and the first row names 7",
    "0.01,1,0.25,tanh,,,1,2": "it has 8 cells, and the first row names 7",
    f"{'9' * 400},1,0.25,tanh,,,1": "lr is '999",
}


def test_twenty_bad_rows_are_each_named_by_their_number(tmp_path: Path) -> None:
    header = "lr,depth,step,act,momentum,sizes,loss"
    good = '0.01,1,0.25,tanh,,"[8, 8]",1'
    assert len(BAD_ROWS) == 20
    for row, problem in BAD_ROWS.items():
        (tmp_path / "points.csv").write_text(f"{header}\n{good}\n\n{row}\n")
        with pytest.raises(evo.UserError) as raised:
            search(tmp_path / "run", tmp_path / "points.csv")
        assert str(raised.value).startswith(f"{tmp_path}/points.csv, row 4: ")
        assert problem in str(raised.value)
    (tmp_path / "points.csv").write_text("\n".join([header, good, *BAD_ROWS]))
    with pytest.raises(evo.UserError) as raised:
        search(tmp_path / "run", str(tmp_path / "points.csv"))
    lines = str(raised.value).splitlines()
    assert [line.strip().partition(":")[0] for line in lines[:-1]] == [
        f"{tmp_path}/points.csv, row {n}" for n in range(3, 13)
    ]
    assert lines[-1].strip() == "and 10 more"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty: its first row must name parameters"),
        (b"lr,act\n\n", "has no point below its first row"),
        (b"params.lr,status\n0.01,failed\n", "has no point below its first row that completed: 1 failed"),
        (b"lr,dept\n0.1,2\n", "row 1: 'dept' is no parameter; did you mean depth?"),
        (b"lr,lr\n0.1,2\n", "row 1: 'lr' stands there twice"),
        (b"lr\n0.\xff1\n", "is no text in UTF-8"),
        (b"params.lr,params.act,status,loss\n0.01,tanh,ok,1\n", "row 2: status is 'ok': it must be one of completed"),
        (b"params.rate,status,loss\n0.01,completed,1\n", "row 2: rate is no parameter of this search"),
        (b'[{"lr": 0.01, "act": "tanh", "loss": "?"}, 3]', "point 1: loss is '?'"),
        (b'[{"params": {"lr": 1}, "loss": 1}]', "point 1: lr is 1: it must be a number"),
        (b'["lr", 0.01]', "point 1: it is 'lr', which is no mapping"),
    ],
)
def test_a_bad_file_is_named(content: bytes, problem: str, tmp_path: Path) -> None:
    file = tmp_path / ("points.json" if content[:1] in b"[{" and content else "points.csv")
    file.write_bytes(content)
    with pytest.raises(evo.UserError) as raised:
        search(tmp_path / "run", file)
    assert problem in str(raised.value)
    assert file.name in str(raised.value)


def test_stores_that_do_not_say_what_is_meant_are_refused(source: Path, tmp_path: Path) -> None:
    maximised = f"sqlite:///{tmp_path}/other.db"
    optuna.create_study(study_name="up", direction="maximize", storage=maximised)
    with contextlib.closing(sqlite3.connect(tmp_path / "own.db")) as own:
        own.execute("CREATE TABLE mine (number INTEGER)")
    (tmp_path / "empty.db").touch()
    before = {name: (tmp_path / name).read_bytes() for name in ("own.db", "other.db", "empty.db")}
    for store, problem in {
        str(source / "store.db"): "has 2 studies, 'first', 'second': name one of them, as in sqlite:///",
        str(source / "store.db#third"): "has no study 'third': it has 'first', 'second'",
        maximised: "study 'up' does not minimise one value",
        str(tmp_path / "own.db"): "is a database of something else, with the tables mine: it holds no study of Optuna",
        str(tmp_path / "empty.db"): "is empty: it holds no study of Optuna",
        f"sqlite:///{tmp_path}/absent.db": "there is no file",
        str(tmp_path / "absent.csv"): "No such file or directory",
        str(tmp_path): "is no run directory: it has no study.json",
        " ": "start_from is empty: name a run directory",
    }.items():
        with pytest.raises(evo.UserError, match=r"start_from|run directory|Optuna store") as raised:
            search(tmp_path / "run", store)
        assert problem in str(raised.value)
    assert not (tmp_path / "absent.db").exists()
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


def test_a_study_that_optuna_made_itself_is_known_too(tmp_path: Path) -> None:
    def objective(trial: optuna.Trial) -> float:
        return (
            trial.suggest_float("x", -1, 1) ** 2
            + trial.suggest_int("n", 1, 3)
            + len(trial.suggest_categorical("k", "ab"))
        )

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with contextlib.closing(sqlite3.connect(tmp_path / "s.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")  # For which SQLite makes more files, even for readers.
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/s.db", sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(objective, n_trials=5)
    study._storage._backend.engine.dispose()  # type: ignore[attr-defined]
    limits = {"x": (-1.0, 1.0), "n": (1, 3), "k": ("a", "b")}
    result = evo.minimize(lambda params: 9.0, limits, evaluations=2, start_from=tmp_path / "s.db")
    assert [file.name for file in tmp_path.iterdir()] == ["s.db"]
    assert result.best is not None
    assert (result.best.loss, result.best.params) == (study.best_value, study.best_params)


def test_any_text_survives_a_table(tmp_path: Path) -> None:
    texts = ["", " ", "\x00", "a\u2028b", "a\x85b", "a\x0cb", "a\x1cb", "a\r\nb", "a\nb", "\r", "7", '"', " , ", "null"]
    limits = {"text": evo.Choice(*texts)}

    def number(params: dict[str, Any]) -> float:
        return float(texts.index(params["text"]))

    points = [{"text": text} for text in texts]
    evo.minimize(number, limits, evaluations=len(texts), run_dir=tmp_path / "first", start_from=points)
    assert main(["export", str(tmp_path / "first"), "--csv", str(tmp_path / "x.csv")]) == 0
    result = evo.minimize(number, limits, evaluations=1, start_from=tmp_path / "x.csv")
    assert sorted((one.loss, one.params["text"]) for one in result.individuals if one.origin) == list(enumerate(texts))
    (tmp_path / "y.csv").write_text('text\n"a\u2028b"\n"a\nb"\n\n"a\x0cB"\n')
    with pytest.raises(evo.UserError, match=r"y\.csv, row 5: text is 'a\\x0cB'"):
        evo.minimize(number, limits, evaluations=1, start_from=tmp_path / "y.csv")


def test_of_two_results_of_one_point_the_lower_counts(tmp_path: Path) -> None:
    run = search(tmp_path / "run", [{**POINT, "loss": 3}, {**POINT, "loss": 2.0}])
    assert known(run) == [{"params": POINT, "loss": 2.0}]


SPACE = Space({"x": (0.0, 1.0)})
POINTS = [KnownPoint({"x": place / 10}, float(place), f"here {place}") for place in (3, 1, 2, 4)]


def test_known_individuals_are_dealt_out_to_the_islands_the_best_first() -> None:
    events = known_events(POINTS, Population(SPACE, islands=2), NOW)
    assert [(event.individual, event.island, event.params["x"]) for event in events if isinstance(event, Started)] == [
        ((0, 0), 0, 0.1),
        ((0, 1), 1, 0.2),
        ((0, 2), 0, 0.3),
        ((0, 3), 1, 0.4),
    ]
    assert [decode(encode(event)) for event in events] == events
    population = replayed(SPACE, reversed(events))
    assert population.digest() == replayed(SPACE, events).digest()
    assert known_events(POINTS, population, NOW) == []


def test_known_individuals_take_nothing_from_any_budget_and_no_time() -> None:
    population = replayed(SPACE, known_events(POINTS, Population(SPACE), NOW))
    assert (population.started, population.finished, len(population.ranking)) == (0, 0, 4)
    assert (population.next_generation(0), population.imported.of(0), population.imported.of(1)) == (4, 4, 0)
    assert Budget(evaluations=3).evaluations_left(population) == 3
    population.apply(Started(time=NOW, individual=(0, 4), island=0, params={"x": 0.9}))
    population.apply(finished((0, 4), 5.0, seconds=2.0))
    population.apply(Finished(time=NOW, individual=(0, 0), status="completed", loss=0.0, rank=0))
    assert (population.started, population.finished, population.fastest) == (1, 1, 2.0)


@pytest.mark.parametrize("generations", [1, 3])
def test_a_number_of_generations_counts_those_that_are_bred(generations: int) -> None:
    start = [{"x": place / 8, "loss": 1.0} for place in range(5)]
    result = evo.minimize(lambda params: params["x"], {"x": (0.0, 1.0)}, generations=generations, start_from=start)
    assert sum(not one.origin for one in result.individuals) == generations


def test_a_known_individual_keeps_no_trained_one_from_keeping_its_weights(tmp_path: Path) -> None:
    population = replayed(SPACE, known_events(POINTS, Population(SPACE), NOW))
    folder: Callable[[tuple[int, int]], Path] = lambda identity: tmp_path / "{}-{}".format(*identity)  # noqa: E731
    weights = Weights(population, folder, rank=0, keep=1, is_first=True)
    for generation, value in ((4, 8.0), (5, 7.0)):
        (folder((0, generation))).mkdir()
        (folder((0, generation)) / "best.ckpt").write_bytes(b"weights")
        population.apply(Started(time=NOW, individual=(0, generation), island=0, params={"x": 0.5 + generation / 100}))
        event = finished((0, generation), value)
        population.apply(event)
        weights(event)
    assert [file.parent.name for file in tmp_path.glob("*/best.ckpt")] == ["0-5"]


def test_the_best_that_was_never_trained_here_cannot_be_tested_and_the_message_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    evo.minimize(loss, LIMITS, evaluations=2, run_dir=run, start_from=[{**POINT, "loss": 0.0}])
    assert main(["best", str(run)]) == 0
    assert "0-0, known from start_from point 1" in capsys.readouterr().out
    assert main(["test", str(run)]) == 2
    assert (
        f"individual 0-0 has no weights in {run}: its loss is known from start_from point 1, and it was not trained "
        f"here; evo train {run} --individual 0-0 trains it"
    ) in capsys.readouterr().err


def test_a_study_that_began_from_weights_names_the_option_that_gives_them() -> None:
    with pytest.raises(UserError, match=r"begin from w\.ckpt: name that with --start-from\.weights, or"):
        check_start_weights("run", StartWeights(path="w.ckpt", digest="0"), None)
