"""What a rank loads before its first individual."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import Ended, Launcher

# They take tens of milliseconds each, of every rank, and thousands of files from a shared file system.
FOR_THE_FIRST = {"rich", "jsonargparse", "yaml", "docstring_parser", "importlib.metadata", "email"}
FOR_CHILDREN = {"multiprocessing", "cloudpickle", "tempfile"}
LOSS = """
import json, os, sys
from pathlib import Path

def loss(params):
    rank = os.environ.get("OMPI_COMM_WORLD_RANK") or os.environ.get("PMI_RANK", "0")
    Path(f"loaded-{rank}.json").write_text(json.dumps(sorted(sys.modules)))
    return params["x"] ** 2
"""


@pytest.fixture
def folder(launcher: Launcher) -> Path:
    (launcher.folder / "probe.py").write_text(LOSS)
    (launcher.folder / "limits.yaml").write_text("x: [-1.0, 1.0]\n")
    (launcher.folder / "study.yaml").write_text(
        "objective: probe.py:loss\nlimits: limits.yaml\nbaseline: {x: 0.5}\nstart_from: [{x: 0.25}]\ngenerations: 2\n"
    )
    return launcher.folder


def loaded(folder: Path, rank: int) -> set[str]:
    return set(json.loads((folder / f"loaded-{rank}.json").read_text()))


@pytest.mark.mpi
def test_only_the_first_rank_loads_what_reads_settings_and_prints(folder: Path, mpirun: Callable[..., Ended]) -> None:
    ended = mpirun(2, "-m", "evo.run", "study.yaml", "--run-dir", "here")
    assert (ended.status, ended.err) == (0, "")
    assert {"rich", "jsonargparse", "yaml"} <= loaded(folder, 0)
    assert not (FOR_THE_FIRST | FOR_CHILDREN) & loaded(folder, 1)
    study = json.loads((folder / "here" / "study.json").read_text())
    assert study["limits"]["x"]
    assert study["versions"]["numpy"]


@pytest.mark.mpi
def test_help_and_mistakes_in_the_command_line_are_said_once_and_end_all_ranks(mpirun: Callable[..., Ended]) -> None:
    helped = mpirun(2, "-m", "evo.run", "--help")
    assert (helped.status, helped.err, helped.out.count("usage: ")) == (0, "", 1)
    mistaken = mpirun(2, "-m", "evo.run", "sphere", "--evaluations", "none")
    assert mistaken.status == 2
    assert mistaken.err.count("evo: error: evaluations is 'none'") == 1


def test_importing_what_evaluates_in_children_is_left_to_who_needs_it(launcher: Launcher) -> None:
    names = sorted(FOR_THE_FIRST | FOR_CHILDREN)
    shows = f"import evo.study.session, sys; print({{*{names}}} & {{*sys.modules}})"
    assert launcher.python("-c", shows).out == "set()\n"
