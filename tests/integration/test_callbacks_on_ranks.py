"""Callbacks and commands of a search on two ranks: the first one tells them of the individuals of both."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import Ended, Launcher, wait_until

import evo

OWN = """
import json

import evo


class Diary(evo.Callback):
    def __init__(self, file: str):
        self.file = file
        self.told = []

    def on_started(self, evaluation):
        self.told.append(["started", evaluation.name])

    def on_finished(self, evaluation):
        self.told.append(["finished", evaluation.name])

    def on_improved(self, evaluation):
        self.told.append(["improved", evaluation.name])

    def on_end(self, result):
        self.told.append(["end", result.stop_kind.value])
        with open(self.file, "a") as file:
            file.write(json.dumps(self.told) + "\\n")


class Broken(evo.Callback):
    def on_started(self, evaluation):
        return self.nothing
"""

STUDY = """
objective: sphere
evaluations: 60
run_dir: run
quiet: true
callbacks:
  - {class_path: own_callbacks.Diary, init_args: {file: told.json}}
  - own_callbacks.Broken
on_improvement: 'printf "%s %s %s\\n" "$EVO_INDIVIDUAL" "$EVO_LOSS" "$EVO_PARAMS" >> better; env > environment'
on_end: 'printf "%s by %s\\n" "$EVO_STOP_KIND" "$EVO_INDIVIDUAL" >> ended; exit 9'
"""


@pytest.mark.mpi
def test_the_first_of_two_ranks_tells_callbacks_and_commands_of_everything(
    mpirun: Callable[..., Ended], launcher: Launcher
) -> None:
    folder = launcher.folder
    (folder / "own_callbacks.py").write_text(OWN)
    (folder / "study.yaml").write_text(STUDY)
    ended = mpirun(2, "-m", "evo.run", "study.yaml")
    assert ended.status == 0, ended.err
    run = evo.load(folder / "run")
    assert run.best is not None
    (line,) = (folder / "told.json").read_text().splitlines()
    told = [tuple(each) for each in json.loads(line)]
    for kind in ("started", "finished"):
        assert sorted(name for what, name in told if what == kind) == sorted(one.name for one in run.individuals)
    improved = [name for what, name in told if what == "improved"]
    losses = [run.find(name).loss for name in improved]
    assert losses == sorted(losses, reverse=True, key=lambda loss: loss or 0.0)
    assert (improved[-1], told[-1]) == (run.best.name, ("end", "evaluations"))
    better = (folder / "better").read_text().splitlines()
    name, loss, params = better[-1].split(" ", 2)
    assert (name, float(loss), json.loads(params)) == (run.best.name, run.best.loss, run.best.params)
    assert (folder / "ended").read_text() == f"evaluations by {run.best.name}\n"
    variables = (folder / "environment").read_text()
    assert "EVO_RUN_DIR=" in variables
    assert not any(line.startswith(("OMPI_", "PMIX_", "PRTE_")) for line in variables.splitlines())
    warnings = sorted(line for line in ended.err.splitlines() if line.startswith("evo: warning: "))
    assert len(warnings) == 2, ended.err
    assert "callback Broken.on_started fails: AttributeError: " in warnings[0]
    assert f"({folder}/own_callbacks.py, line 29: return self.nothing)" in warnings[0]
    assert "on_end: the command ended with status 9; " in warnings[1]


def test_a_signal_to_a_search_does_not_reach_its_command_and_neither_waits_long_for_the_other(
    launcher: Launcher,
) -> None:
    (launcher.folder / "slow.py").write_text(
        "import time\n\n\ndef loss(params):\n    time.sleep(0.01)\n    return params['x']\n"
    )
    command = "trap 'echo reached >> said' TERM; echo began >> said; sleep 100"
    process = launcher.start(
        *("python", "-m", "evo.run", "slow.py:loss", "--limits", "{x: [0.0, 1.0]}", "--evaluations", "100000"),
        *("--run-dir", "run", "--quiet", "--on-improvement", command, "--on-end", 'echo "$EVO_STOP_KIND" >> ended'),
    )
    wait_until((launcher.folder / "said").exists)
    process.send_signal(signal.SIGTERM)
    ended = launcher.finish(process)
    assert ended.status == 85, ended.err
    assert (launcher.folder / "said").read_text() == "began\n"
    assert (launcher.folder / "ended").read_text() == "requested\n"
    assert "on_improvement: the command was killed when the search ended" in ended.err
    assert Path(launcher.folder / "run" / "commands.log").exists()
    assert launcher.survivors() == []
