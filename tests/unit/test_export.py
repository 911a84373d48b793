"""Exports of a study: tables, and studies of Optuna in memory and in its stores."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
import pandas
import pytest
import sqlalchemy
from records import NOW

import evo
from evo.cli import main
from evo.population.events import AnyEvent, Finished, Reported, Started, encode
from evo.report.optuna_distributions import export_parameters
from evo.report.optuna_store import open_storage, parse_store
from evo.report.optuna_study import optuna_study
from evo.report.records import Evaluation
from evo.report.rows import table_rows, write_csv
from evo.space.space import Space
from evo.space.written import read_value, text_of_value

LIMITS = {
    "x": (-5.0, 5.0),
    "lr": evo.Float(1e-4, 1e-1, log=True),
    "step": evo.Float(0.0, 1.0, step=0.1),
    "n": evo.Int(2, 64, log=True),
    "kind": evo.Choice("flat", "deep"),
    "depth": evo.Int(1, 8, when={"kind": "deep"}),
    "sizes": evo.Choice([8], [8, 8], None),
    "mixed": evo.Choice(1, True, "1"),
    "fixed": 7,
}
STORES = ["sqlite:///{}/store.db", "{}/journal.log"]


def loss(params: dict[str, Any], trial: Any) -> float:
    value = 1e308 if params["x"] > 4 else (params["x"] - 0.3) ** 2 + params["lr"]
    for step in range(4):
        trial.report(value / 2 + 1 / (step + 1), step=step)
    trial.metrics["half"] = value / 2
    if params["x"] < -4.5:
        raise evo.Infeasible("too low")
    if params["x"] < -4:
        raise RuntimeError("<b>low</b>")
    return value


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exports") / "search"
    evo.minimize(loss, LIMITS, evaluations=60, run_dir=path, seed=3, pruning="halving", propagator="random")
    return path


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy in which one more individual is being evaluated."""
    copy = tmp_path / "search"
    (copy / "journal").mkdir(parents=True)
    (copy / "study.json").write_bytes((finished_run / "study.json").read_bytes())
    (copy / "journal" / "0.jsonl").write_bytes((finished_run / "journal" / "0.jsonl").read_bytes())
    params = evo.load(finished_run).individuals[0].params | {"x": 0.25}
    add(copy, Started(time=NOW * 3, individual=(0, 60), island=0, params=params, parents=((0, 1),), bred_by="tpe"))
    add(copy, Reported(time=NOW * 3 + 1, individual=(0, 60), step=0, loss=0.5))
    return copy


def add(run: Path, event: AnyEvent) -> None:
    with (run / "journal" / "0.jsonl").open("ab") as journal:
        journal.write(encode(event) + b"\n")


@pytest.fixture(autouse=True)
def optuna_as_before() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    yield
    optuna.logging.set_verbosity(before)


def test_every_individual_is_a_trial_in_memory_with_all_that_is_known_of_it(run: Path) -> None:
    study = evo.load(run)
    exported = optuna_study(study)
    states = {"completed": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL", "infeasible": "FAIL", "running": "RUNNING"}
    assert exported.study_name == "search"
    assert {"COMPLETE", "PRUNED", "FAIL", "RUNNING"} == {trial.state.name for trial in exported.trials}
    assert study.best is not None
    assert (exported.best_value, exported.best_trial.user_attrs["name"]) == (study.best.loss, study.best.name)
    for one, trial in zip(study.individuals, exported.trials, strict=True):
        attributes = trial.user_attrs
        assert (attributes["name"], attributes["status"]) == (one.name, one.status)
        assert trial.state.name == states[one.status]
        assert trial.value == one.loss
        assert set(trial.params) == set(one.params)
        assert ("depth" in trial.params) == (one.params["kind"] == "deep")
        assert (attributes["bred_by"], attributes["island"]) == (one.bred_by, one.island)
        assert attributes.get("metrics.half") == one.metrics.get("half")
        assert attributes.get("error", "") == one.error
        assert trial.datetime_start == datetime.fromtimestamp(one.started)
        if one.status == "completed":
            assert list(trial.intermediate_values) == [0, 1, 2, 3]
            assert trial.duration is not None
            assert abs(trial.duration.total_seconds() - one.seconds) < 0.5
    assert exported.trials[-1].intermediate_values == {0: 0.5}
    assert exported.trials[-1].user_attrs["parents"] == ["0-1"]


def test_values_are_the_same_in_optuna_and_back() -> None:
    space = Space(LIMITS)
    values: dict[str, list[Any]] = {
        "lr": [1e-4, 0.013],
        "n": [2, 64],
        "step": [0.3, 1.0],
        "kind": ["flat"],
        "sizes": [[8], [8, 8], None],
        "mixed": [1, True, "1"],
        "fixed": [7],
    }
    for name, each in values.items():
        exported = export_parameters([space], [])[name]
        for value in each:
            written = exported.value_of(value)
            stored = exported.distribution.to_external_repr(exported.distribution.to_internal_repr(written))
            for text in (stored, text_of_value(value)):
                read = read_value(space.parameters[name], text)
                assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize(
    ("before", "values", "expected"),
    [
        ((0.0, 1.0), [0.5], "FloatDistribution(high=1.0, log=False, low=0.0, step=None)"),
        ((0.0, 1.0), [0.5, 3.0], "FloatDistribution(high=3.0, log=False, low=0.0, step=None)"),
        (evo.Float(0.1, 1.0, log=True), [0.01], "FloatDistribution(high=1.0, log=True, low=0.01, step=None)"),
        (evo.Float(0.0, 1.0, step=0.3), [0.3], "FloatDistribution(high=0.9, log=False, low=0.0, step=0.3)"),
        (evo.Float(0.1, 1.0, step=0.3, log=True), [], "FloatDistribution(high=1.0, log=True, low=0.1, step=None)"),
        (evo.Int(0, 10, step=4), [4], "IntDistribution(high=8, log=False, low=0, step=4)"),
        (evo.Int(0, 10, step=4), [4, 5], "IntDistribution(high=10, log=False, low=0, step=1)"),
        (evo.Int(1, 9, step=2, log=True), [3], "IntDistribution(high=9, log=True, low=1, step=1)"),
        (evo.Int(2**62, 2**62 + 9), [2**62 + 1], "CategoricalDistribution(choices=(4611686018427387905,))"),
        (["a", "b"], ["c"], "CategoricalDistribution(choices=('a', 'b', 'c'))"),
        ((0.0, 1.0), ["c", 0.5], "CategoricalDistribution(choices=('c', 0.5))"),
    ],
)
def test_a_distribution_suits_the_limits_and_holds_all_values(before: Any, values: list[Any], expected: str) -> None:
    space = Space({"p": before})
    found = export_parameters([space], [{"p": value} for value in values])["p"]
    assert repr(found.distribution) == expected
    for value in values:
        stored = found.distribution.to_internal_repr(found.value_of(value))
        assert found.distribution.to_external_repr(stored) == value


def test_what_is_outside_of_changed_limits_is_not_the_best_in_optuna_either(tmp_path: Path) -> None:
    def sphere(params: dict[str, Any]) -> float:
        return float(params["x"] ** 2)

    run = tmp_path / "run"
    evo.minimize(sphere, {"x": (-1.0, 1.0)}, evaluations=20, run_dir=run, seed=1)
    evo.minimize(sphere, {"x": (0.5, 2.0)}, evaluations=25, run_dir=run, seed=1, change_limits=True)
    study = evo.load(run)
    exported = optuna_study(study)
    assert study.best is not None
    assert exported.best_value == study.best.loss
    assert exported.best_value > min(trial.value or 0.0 for trial in exported.trials)


@pytest.mark.parametrize("store", STORES)
def test_a_store_holds_what_memory_holds_and_is_brought_up_to_date(
    store: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = store.format(tmp_path)
    command = ["export", str(run), "--optuna", where]
    assert main(command) == 0
    assert "61 trials added, 0 updated, 61 in all" in capsys.readouterr().out
    assert stored(where) == in_memory(run)
    ended = NOW * 3 + 60
    add(run, Reported(time=NOW * 3 + 2, individual=(0, 60), step=1, loss=0.4))
    add(run, Finished(time=ended, individual=(0, 60), status="completed", loss=-1.0, rank=0, seconds=60.0))
    add(run, Started(time=ended, individual=(0, 61), island=0, params=evo.load(run).individuals[0].params))
    (run / "summary.json").write_text('{"test": {}}')
    assert main([*command, "--follow"]) == 0  # The search is complete, so there is nothing more to wait for.
    assert "1 trials added, 1 updated, 62 in all; best loss -1.0 by 0-60" in capsys.readouterr().out
    assert stored(where) == in_memory(run)
    updated = stored(where)[60]
    assert updated.duration == timedelta(seconds=60)
    assert updated.intermediate_values == {0: 0.5, 1: 0.4}
    assert main(command) == 0
    assert "0 trials added, 0 updated" in capsys.readouterr().out


def test_a_search_that_runs_is_followed_until_it_does_not_run_any_more(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = run / "journal" / "0.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b'"Done"' not in line))
    held = journal.open("ab")
    fcntl.flock(held, fcntl.LOCK_EX)
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            ended = NOW * 3 + 60
            add(run, Finished(time=ended, individual=(0, 60), status="completed", loss=-1.0, rank=0, seconds=60.0))
        if len(waits) == 4:
            held.close()
            os.utime(journal, (NOW, NOW))

    monkeypatch.setattr(time, "sleep", wait)
    assert main(["export", str(run), "--optuna", f"sqlite:///{tmp_path}/store.db", "--follow"]) == 0
    first, *_, last, why = capsys.readouterr().out.splitlines()
    assert "61 trials added, 0 updated" in first
    assert "61 in all; best loss -1.0 by 0-60" in last
    assert why.endswith(
        "search: killed: its processes are gone; the same command goes on, with what was in evaluation first"
    )
    assert len(waits) == 4
    assert stored(f"sqlite:///{tmp_path}/store.db")[60].value == -1.0


def stored(where: str) -> list[optuna.trial.FrozenTrial]:
    storage: Any = where
    if "://" not in where:
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(where))
    return with_ids(optuna.load_study(study_name="search", storage=storage).trials)


def in_memory(run: Path) -> list[optuna.trial.FrozenTrial]:
    return with_ids(optuna_study(evo.load(run)).trials)


def with_ids(trials: list[optuna.trial.FrozenTrial]) -> list[optuna.trial.FrozenTrial]:
    for trial in trials:
        trial._trial_id = trial.number
    return trials


def test_the_name_of_a_database_may_hold_any_character_and_its_address_any_form(tmp_path: Path) -> None:
    file = tmp_path / "50%25 ?#.db"
    with contextlib.closing(sqlite3.connect(file)) as own:
        own.execute("CREATE TABLE mine (number INTEGER)")
    names = [
        str(file),
        f"sqlite:///file:{quote(quote(str(file)))}?uri=true",
        f"sqlite+pysqlite:///{tmp_path}/50%2525 %3F%23.db",
    ]
    for name in names[: 3 if sqlalchemy.__version__ >= "2.1" else 1]:
        with pytest.raises(evo.UserError, match="is a database of something else"):
            open_storage(parse_store(name))


@pytest.mark.parametrize("store", STORES)
def test_another_study_of_that_name_is_left_alone(
    store: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = store.format(tmp_path)
    storage: Any = where
    if "://" not in where:
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(where))
    optuna.create_study(study_name="search", storage=storage)
    assert main(["export", str(run), "--optuna", where]) == 2
    error = capsys.readouterr().err
    assert f"the Optuna store {where} has a study 'search' already, which is no export of evo" in error
    assert f"as in {where}#another" in error
    assert main(["export", str(run), "--optuna", f"{where}#another"]) == 0
    assert "study another in" in capsys.readouterr().out


def test_what_a_journal_cannot_take_back_is_said(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["export", str(run), "--optuna", str(tmp_path / "journal.log")]
    assert main(command) == 0
    failed = next(one for one in evo.load(run).individuals if one.status == "failed")
    add(run, Finished(time=NOW * 4, individual=failed.individual, status="completed", loss=3.0, rank=1))
    assert main(command) == 0
    assert "1 finished trials have changed since they were exported" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("--optuna {}/absent/journal.log", "absent/journal.log cannot be used: No such file or directory"),
        ("--optuna sqlite:///{}/absent/store.db", "cannot be used: unable to open database file"),
        ("--optuna {}/search/study.json", "study.json is no journal of Optuna"),
        ("--optuna {}/search/journal/0.jsonl", "0.jsonl is no journal of Optuna, so it is left as it is"),
        ("--optuna nothing://there", "nothing://there cannot be used"),
        ("--optuna sqlite:///{}/own.db", "own.db is a database of something else, with the tables mine: it is left"),
        ("--optuna {}/own.db", "name a new file"),
        ("--optuna postgresql://u:secret@h:port5/db", "store postgresql://***@h:port5/db is no address of a database"),
        ("--optuna nothing://u:secret/s@h/db", "nothing://u:***@h/db cannot be used"),
        ("--optuna nothing://u:secret@secret@h/db", "nothing://***@h/db cannot be used"),
        ("--optuna nothing://u@h/db?password=secret", "nothing://u@h/db cannot be used"),
        ("--optuna=", "an Optuna store has no name; name one, such as sqlite:///study.db"),
        ("--csv=", ". cannot be written: Is a directory; name another file"),
        ("--csv {}/absent/x.csv", "absent/x.csv cannot be written: No such file or directory"),
        ("--parquet {}/absent/x.parquet", "absent/x.parquet cannot be written"),
        ("--csv --follow", "--follow goes with --optuna only"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    options: str, problem: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "own.db")) as own:
        own.execute("CREATE TABLE mine (number INTEGER)")
    before = (tmp_path / "own.db").read_bytes()
    assert main(["export", str(run), *options.format(tmp_path).split()]) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert "secret" not in error
    assert error.count("\n") == 1
    assert (tmp_path / "own.db").read_bytes() == before
    assert main(["replay", str(run)]) in (0, 1, 2)  # The run is as it was: nothing was added to its files.
    assert "is damaged" not in capsys.readouterr().err


def test_an_absent_extra_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pandas", "optuna"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(evo.UserError, match=r'pip install "evo-mpi\[report\]"'):
        evo.load(run).to_pandas()
    with pytest.raises(evo.UserError, match=r'pip install "evo-mpi\[report\]"'):
        optuna_study(evo.load(run))
    assert main(["export", str(run), "--csv", str(run.parent / "x.csv")]) == 0


def test_a_table_in_csv_says_everything_once() -> None:
    individuals = [
        Evaluation(individual=(0, 0), params={"kind": "deep", "depth": 3, "sizes": [8, 8]}, started=0.0),
        Evaluation(
            individual=(1, 2),
            params={"kind": "1", "sizes": None},
            status="failed",
            started=1.5,
            ended=9.5,
            seconds=2.0,
            rank=1,
            host="node",
            device="cpu",
            island=1,
            bred_by="tpe",
            metrics={"note": "a,b"},
            error='said "no"\nand left',
        ),
    ]
    parents = Started(time=0.0, individual=(1, 2), island=1, params={}, parents=((0, 0), (3, 1)))
    stream = io.StringIO()
    write_csv(individuals, [parents], stream)
    assert stream.getvalue() == (
        "name,status,loss,started,ended,seconds,rank,host,device,island,bred_by,origin,parents,"
        "params.kind,params.depth,params.sizes,metrics.note,error\n"
        '0-0,running,,1970-01-01T00:00:00+00:00,,0.0,,,,0,,,,deep,3,"[8, 8]",,\n'
        "1-2,failed,,1970-01-01T00:00:01.500000+00:00,1970-01-01T00:00:09.500000+00:00,2.0,1,node,cpu,1,tpe,,0-0 3-1,"
        '"""1""",,null,"a,b","said ""no""\nand left"\n'
    )


def test_tables_agree_whatever_their_form(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = evo.load(run)
    for option, name in (("--csv", "x.csv"), ("--json", "x.json"), ("--parquet", "x.parquet")):
        assert main(["export", str(run), option, str(tmp_path / name)]) == 0
    assert main(["export", str(run), "--csv"]) == 0
    assert capsys.readouterr().out == (tmp_path / "x.csv").read_text()
    rows = table_rows(study.individuals, study.events())
    table = list(csv.DictReader((tmp_path / "x.csv").open(newline="")))
    frame, parquet = study.to_pandas(), pandas.read_parquet(tmp_path / "x.parquet")
    objects = json.loads((tmp_path / "x.json").read_text())
    assert list(table[0]) == list(frame.columns) == list(parquet.columns) == list(rows[0])
    losses = [one.loss for one in study.individuals]
    assert [float(row["loss"]) if row["loss"] else None for row in table] == losses
    assert [each["loss"] for each in objects] == losses
    for found in (frame, parquet):
        assert [None if pandas.isna(value) else value for value in found["loss"]] == losses
        assert [None if pandas.isna(value) else value for value in found["params.depth"]] == [
            one.params.get("depth") for one in study.individuals
        ]
    assert [each["params"] for each in objects] == [one.params for one in study.individuals]
    assert Counter(frame["status"]) == Counter(one.status for one in study.individuals)


def test_a_pipe_a_device_and_the_target_of_a_link_are_written(run: Path, tmp_path: Path) -> None:
    assert main(["export", str(run), "--csv", str(tmp_path / "x.csv")]) == 0
    table = (tmp_path / "x.csv").read_bytes()
    (tmp_path / "link.csv").symlink_to("target.csv")
    (tmp_path / "target.csv").write_text("before")
    os.mkfifo(tmp_path / "pipe")
    found = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    for name in ("link.csv", "pipe"):
        assert main(["export", str(run), "--csv", str(tmp_path / name)]) == 0
    reader.join()
    assert (found, (tmp_path / "target.csv").read_bytes()) == ([table], table)
    assert (tmp_path / "link.csv").is_symlink()
    (tmp_path / "log").write_bytes(b"before\n")
    with (tmp_path / "log").open("ab") as log:  # What it holds stays, as with a command of the shell.
        command = [sys.executable, "-m", "evo", "export", str(run), "--csv"]
        subprocess.run([*command, "/dev/stdout"], stdout=log, check=True)
        subprocess.run([*command, "/dev/stderr"], stderr=log, check=True)
    assert (tmp_path / "log").read_bytes() == b"before\n" + 2 * table


def test_a_result_has_the_same_table_without_files() -> None:
    result = evo.minimize(lambda params: params["x"] ** 2, {"x": (0.0, 1.0)}, evaluations=3)
    frame = result.to_pandas()
    assert frame["params.x"].tolist() == [one.params["x"] for one in result.individuals]
    assert frame["loss"].min() == (result.best and result.best.loss)
