"""The batch scripts of jobs/ as texts; tests/test_jobs.py runs them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from helpers import check_golden

JOBS = Path(__file__).parents[2] / "jobs"
SCRIPTS = sorted(file.name for file in JOBS.glob("*.sh"))
README = (JOBS / "README.md").read_text()


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
