"""Warm starts on several ranks, and exports as other programs see them."""

from __future__ import annotations

import json
import socket
import sys
from collections import Counter
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from helpers import Launcher, wait_until
from ranks import start_ranks

import evo
from evo.population.events import Started

LOSS = """
def loss(params, trial):
    for step in range(3):
        trial.report(params["x"] ** 2 + 1 / (step + 1), step=step)
    if params["x"] > 0.9:
        raise RuntimeError("too high")
    return params["x"] ** 2
"""
# Two sessions of one study and a search without files, in one mpirun, whose start takes longer than they do.
SEARCHES = """
import json, sys
import evo
from evo.run import main
from loss import loss

search = ["loss.py:loss", "--limits", "{x: [0.0, 1.0]}", "--islands", "2", "--debug", "--run-dir", "run"]
for evaluations in ("6", "10"):
    assert main([*search, "--start-from", "points.csv", "--evaluations", evaluations], ends=False) == 0
result = evo.minimize(loss, {"x": (0.0, 1.0)}, evaluations=4, start_from=[{"x": 0.5, "loss": 0.25}, {"x": 0.25}])
found = [(one.params["x"], one.loss, one.origin) for one in result.individuals if one.params["x"] in (0.5, 0.25)]
open(f"found-{result.rank}.json", "w").write(json.dumps([found, len(result.individuals)]))
"""


@pytest.mark.mpi
def test_all_ranks_know_the_same_from_the_start_and_after_a_resume_too(launcher: Launcher, mpirun_command: str) -> None:
    folder = launcher.folder
    (folder / "loss.py").write_text(LOSS)
    (folder / "searches.py").write_text(SEARCHES)
    known = [place / 16 for place in range(1, 9)]
    (folder / "points.csv").write_text("x,loss\n" + "".join(f"{x},{x * x}\n" for x in known) + "0.75,\n")
    ended = launcher.finish(start_ranks(launcher, mpirun_command, 2, "searches.py"), 120)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.count("note: start_from points.csv: 8 results are known, and are not evaluated again") == 2
    assert ended.out.count("all 2 ranks hold the same population") == 2
    run = evo.load(folder / "run")
    imported = [one for one in run.individuals if one.origin]
    assert sorted(one.params["x"] for one in imported) == known
    assert Counter(one.island for one in imported) == {0: 4, 1: 4}
    assert [one.origin for one in run.ranking if one.origin][:2] == ["points.csv row 2", "points.csv row 3"]
    evaluated = [one for one in run.individuals if not one.origin]
    assert 10 <= len(evaluated) <= 11
    assert not {one.params["x"] for one in evaluated} & set(known)
    assert any(one.params["x"] == 0.75 and one.bred_by == "start" for one in evaluated)
    starts = Counter(event.individual for event in run.events() if isinstance(event, Started) and event.origin)
    assert set(starts.values()) == {1}
    for rank in (0, 1):
        found, individuals = json.loads((folder / f"found-{rank}.json").read_text())
        assert sorted(found) == [[0.25, 0.0625, ""], [0.5, 0.25, "start_from point 1"]]
        assert 5 <= individuals <= 6


def test_the_dashboard_of_optuna_shows_the_best_that_evo_shows(launcher: Launcher) -> None:
    pytest.importorskip("optuna_dashboard")
    folder = launcher.folder
    (folder / "loss.py").write_text(LOSS)
    options = ["--limits", "{x: [0.0, 1.0]}", "--evaluations", "40", "--pruning", "halving", "--propagator", "random"]
    assert launcher.evo("loss.py:loss", *options, "--run-dir", "run", "--quiet").status == 0
    exported = launcher.python("-m", "evo", "export", "run", "--optuna", "sqlite:///study.db")
    assert (exported.status, exported.err) == (0, "")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = "from optuna_dashboard._cli import main; main()"
    launcher.start(sys.executable, "-c", command, "sqlite:///study.db", "--host", "127.0.0.1", "--port", str(port))

    def ask(what: str) -> Any:
        try:
            with urlopen(f"http://127.0.0.1:{port}/api/{what}", timeout=30) as answer:
                return json.load(answer)
        except URLError:
            return None

    (study,) = wait_until(lambda: ask("studies"), 120)["study_summaries"]
    assert (study["study_name"], study["directions"]) == ("run", ["minimize"])
    trials = ask(f"studies/{study['study_id']}?after=0")["trials"]
    run = evo.load(folder / "run")
    names = {"completed": "Complete", "pruned": "Pruned", "failed": "Fail"}
    assert Counter(trial["state"] for trial in trials) == Counter(names[one.status] for one in run.individuals)
    assert {"Complete", "Pruned", "Fail"} == {trial["state"] for trial in trials}
    best = min((trial for trial in trials if trial["state"] == "Complete"), key=lambda trial: trial["values"][0])
    assert run.best is not None
    assert best["values"] == [run.best.loss]
    attributes = {each["key"]: each["value"] for each in best["user_attrs"]}
    assert attributes["name"] == run.best.name
    assert best["params"][0]["param_internal_value"] == run.best.params["x"]
    assert [each["step"] for each in best["intermediate_values"]] == [0, 1, 2]
