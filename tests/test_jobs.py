"""The batch scripts of jobs/, as they are, run by a real Slurm."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers import Launcher, check_golden, make_environment
from slurm import NODES, Slurm

from evo.events import AnyEvent, Joined
from evo.rundir import RunDirectory

JOBS = Path(__file__).parents[1] / "jobs"
SCRIPTS = sorted(file.name for file in JOBS.glob("*.sh"))
README = (JOBS / "README.md").read_text()
LAUNCHERS = {"mpirun": {}, "srun": {"LAUNCH": "srun --mpi=pmix --cpus-per-task=2"}}
SHORT = ["rastrigin", "--evaluations", "60", "--run-dir", "here"]

on_slurm = [pytest.mark.slow, pytest.mark.mpi, pytest.mark.root]


@pytest.fixture
def folder(launcher: Launcher, mpirun_command: str) -> Path:
    """Where a user is: the scripts in jobs/, an environment in .venv."""
    shutil.copytree(JOBS, launcher.folder / "jobs")
    make_environment(launcher.folder, mpirun_command)
    return launcher.folder


def output(folder: Path) -> str:
    return "".join(file.read_text() for file in sorted(folder.glob("*.out")))


def events(directory: Path) -> list[AnyEvent]:
    return list(RunDirectory(directory).events()) if (directory / "journal").exists() else []


def ranks_on_nodes(directory: Path) -> Counter[str]:
    return Counter({event.rank: event.host for event in events(directory) if isinstance(event, Joined)}.values())


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_sound_bash_and_says_what_to_change(name: str) -> None:
    subprocess.run(["bash", "-n", JOBS / name], check=True, timeout=30)
    text = (JOBS / name).read_text()
    marks = re.findall(r"# <- (\d)\.", text)
    assert marks == ["1", "2", "3"][: 2 + ("$launch" in text)]
    assert text.startswith("#!/bin/bash\n# ")
    assert len(text.splitlines()) < 50


def test_what_the_scripts_ask_of_slurm_and_how_they_launch_is_as_agreed() -> None:
    """What users have copied would go on without a change; let one be meant."""
    told = re.compile(r"^#*SBATCH .*|^launch=.*|^.*(?:\$launch|evo best).*", re.M)
    lines = [f"{name}\n" + "\n".join(told.findall((JOBS / name).read_text())) for name in SCRIPTS]
    check_golden("jobs.txt", "\n\n".join(lines))


def test_every_script_is_explained_in_the_readme_and_every_one_explained_exists() -> None:
    assert set(re.findall(r"\b\w+\.sh\b", README)) == set(SCRIPTS)


class TestOnSlurm:
    """Jobs."""

    pytestmark = on_slurm

    @pytest.mark.parametrize("launcher_name", LAUNCHERS)
    @pytest.mark.parametrize(
        ("script", "ranks"),
        [
            ("one_node.sh", [4]),
            ("several_nodes.sh", [4, 4]),
        ],
    )
    def test_a_job_completes(
        self,
        slurm: Slurm,
        launcher: Launcher,
        folder: Path,
        script: str,
        ranks: Sequence[int],
        launcher_name: str,
    ) -> None:
        job = slurm.submit(launcher, f"jobs/{script}", *SHORT, **LAUNCHERS[launcher_name])
        assert slurm.wait(job) == 0, output(folder)
        assert json.loads((folder / "here" / "summary.json").read_text())["evaluations"] >= 60
        assert ranks_on_nodes(folder / "here") == dict(zip(NODES, ranks, strict=False))
