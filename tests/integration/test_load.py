"""evo.load: what a run directory tells, while its search runs, after it has died, and when it is complete."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers import Launcher

import evo
import evo.storage.rundir
from evo.population.events import Done, Finished, Joined, Started, encode
from evo.report.reading import rank_runs
from evo.storage.journal import Journal, read_journal
from evo.storage.rundir import RunDirectory, StudyRecord

LIMITS = {"x": (-5.0, 5.0)}


def loss(params: dict[str, Any], trial: Any) -> float:
    if params["x"] < -4:
        raise ArithmeticError("too small")
    trial.metrics["cube"] = params["x"] ** 3
    trial.times["solving"] = 0.25
    (trial.folder / "best.ckpt").write_text(str(params["x"]))
    return float(params["x"] ** 2)


class WithTest:
    """An objective with a test."""

    def __call__(self, params: dict[str, Any]) -> float:
        return float(params["x"] ** 2)

    def test(self, params: dict[str, Any], trial: Any) -> dict[str, float]:
        return {"x": params["x"]}


def begun(path: Path) -> StudyRecord:
    """A study in which rank 0 has finished one individual and evaluates another one, and rank 1 has just joined."""
    study = StudyRecord(
        name="half", objective="of:nobody", limits={"x": {"type": "float", "low": 0.0, "high": 1.0}}, seed=3
    )
    RunDirectory(path).create(study)
    first = Journal(path / "journal" / "0.jsonl")
    for event in (
        Joined(time=1.0, rank=0, ranks=2, host="here", device="cpu"),
        Started(time=2.0, individual=(0, 0), island=0, params={"x": 0.5}),
        Finished(time=3.0, individual=(0, 0), status="completed", loss=0.25, seconds=1.0, rank=0),
        Started(time=4.0, individual=(0, 1), island=0, params={"x": 0.25}),
    ):
        first.append(encode(event))
    first.close()
    return study


def test_a_complete_study_is_what_the_search_has_returned(tmp_path: Path) -> None:
    result = evo.minimize(loss, LIMITS, evaluations=12, seed=1, run_dir=str(tmp_path / "run"), keep_checkpoints=2)
    study = evo.load(tmp_path / "run")
    assert study.is_complete
    assert study.individuals == result.individuals
    assert study.best == result.best == study.ranking[0] == study.find()
    assert study.times == result.times
    assert (study.study.seed, list(study.study.limits)) == (1, ["x"])
    assert sorted(map(encode, study.events())) == sorted(map(encode, RunDirectory(tmp_path / "run").events()))
    assert list(study.events()) == list(result.events())
    assert len(list(study.events())) == 12 * 2 + 2
    completed = [one for one in study.individuals if one.status == "completed"]
    assert all(one.metrics == {"cube": one.params["x"] ** 3} and one.seconds >= 0 for one in completed)
    assert study.best is not None
    assert study.best.folder == tmp_path / "run" / "individuals" / study.best.name
    assert study.best.weights == [study.best.folder / "best.ckpt"]
    assert [one.name for one in study.ranking if one.weights] == [one.name for one in study.ranking[:2]]
    assert repr(study) == f"<study run in {tmp_path}/run: 12 individuals, complete>"


def test_the_test_of_the_best_individual_is_read_too(tmp_path: Path) -> None:
    result = evo.minimize(WithTest(), LIMITS, evaluations=3, run_dir=str(tmp_path))
    assert result.best is not None
    assert evo.load(str(tmp_path)).test == result.test == {"x": result.best.params["x"]}


def test_a_study_that_died_shows_what_was_recorded_and_what_was_in_flight(tmp_path: Path) -> None:
    begun(tmp_path)
    with (tmp_path / "journal" / "0.jsonl").open("ab") as stream:
        stream.write(b'{"type":"Finished","time":5.0,"indivi')
    content = (tmp_path / "journal" / "0.jsonl").read_bytes()
    study = evo.load(tmp_path)
    assert not study.is_complete
    assert study.test == {}
    assert [(one.name, one.status, one.loss) for one in study.individuals] == [
        ("0-0", "completed", 0.25),
        ("0-1", "running", None),
    ]
    assert (tmp_path / "journal" / "0.jsonl").read_bytes() == content


def test_a_search_that_runs_is_not_disturbed_and_what_it_is_just_writing_is_passed_over(tmp_path: Path) -> None:
    begun(tmp_path)
    journal = Journal(tmp_path / "journal" / "1.jsonl")  # Holds the lock, as a rank that searches does.
    line = encode(Started(time=6.0, individual=(1, 0), island=0, params={"x": 0.75}))
    descriptor = os.open(tmp_path / "journal" / "1.jsonl", os.O_WRONLY | os.O_APPEND)
    try:
        for byte in range(len(line)):
            os.write(descriptor, line[byte : byte + 1])
            assert len(evo.load(tmp_path).individuals) == 2 + (byte == len(line) - 1)
        os.write(descriptor, b"\n")
        journal.append(encode(Done(time=7.0, rank=1, reason="for now")))
    finally:
        os.close(descriptor)
        journal.close()
    assert len(list(read_journal(tmp_path / "journal" / "1.jsonl"))) == 2
    assert evo.load(tmp_path).find("1-0").params == {"x": 0.75}


def test_damage_is_named_with_its_file_and_line(tmp_path: Path) -> None:
    begun(tmp_path)
    file = tmp_path / "journal" / "0.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"Started"', b'"Startled"', 1))
    with pytest.raises(evo.errors.UserError, match=r"journal .*0\.jsonl, line 2 is damaged: .*evo repair"):
        evo.load(tmp_path)


def test_what_is_no_run_directory_and_who_is_no_individual_is_said(tmp_path: Path) -> None:
    with pytest.raises(evo.errors.UserError, match="is no run directory"):
        evo.load(tmp_path / "nothing")
    begun(tmp_path)
    study = evo.load(tmp_path)
    with pytest.raises(evo.errors.UserError, match="has no individual 7-7; evo best"):
        study.find("7-7")
    with pytest.raises(evo.errors.UserError, match="it must be rank-generation"):
        study.find("best")
    RunDirectory(tmp_path / "new").create(study.study)
    empty = evo.load(tmp_path / "new")
    assert (empty.best, empty.individuals) == (None, [])
    with pytest.raises(evo.errors.UserError, match="has completed yet"):
        empty.find()
    assert rank_runs([empty, study]) == [study, empty]


def test_journals_are_read_once_at_the_beginning_and_once_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def count(file: Path, patient: bool = False) -> Any:
        read.append(file)
        return read_journal(file, patient)

    monkeypatch.setattr(evo.storage.rundir, "read_journal", count)
    for session, evaluations in enumerate((3, 6), start=1):
        result = evo.minimize(WithTest(), LIMITS, evaluations=evaluations, run_dir=str(tmp_path), quiet=False)
        assert (len(result.individuals), len(result.test), result.times["breeding"] > 0) == (evaluations, 1, True)
        assert len(read) == 2 * session - 1  # There is none when the first session begins.


BOMB = """
import pathlib
pathlib.Path("exploded").touch()
"""

WATCH = """
import json, sys
sys.path.insert(0, "")
opened, found = [], []

def watch(event, arguments):
    if event == "open":
        opened.append(str(arguments[0]))
    elif event == "pickle.find_class":
        found.append(list(map(str, arguments)))

sys.addaudithook(watch)
from evo.cli import main
import evo

study = evo.load("run")
print(study, study.best.loss, study.best.weights[0].name, [one.status for one in study.individuals])
assert [main(["best", "run"]), main(["best", "run", "run", "--json"]), main(["repair", "run"])] == [0, 0, 0]
assert found == [], found
assert not [name for name in opened if name.endswith(".ckpt")], opened
assert not {"torch", "lightning", "bomb"} & set(sys.modules)
"""


class Bomb:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("exploded"),)


def test_reading_loads_no_torch_no_code_that_is_named_and_no_checkpoint(launcher: Launcher) -> None:
    run = launcher.folder / "run"
    study = begun(run)
    file = launcher.folder / "bomb.py"
    file.write_text(BOMB)
    definition = msgspec.structs.replace(study.definition, file=str(file))
    (run / "study.json").write_bytes(
        msgspec.json.encode(msgspec.structs.replace(study, objective="bomb:loss", definition=definition))
    )
    (run / "individuals" / "0-0").mkdir()
    (run / "individuals" / "0-0" / "best.ckpt").write_bytes(pickle.dumps(Bomb()))
    ended = launcher.run(sys.executable, "-c", WATCH)
    assert ended.status == 0, ended.err
    assert ended.out.startswith("<study half in run: 2 individuals, not complete> 0.25 best.ckpt ['completed'")
    assert not (launcher.folder / "exploded").exists()
