"""`evo check` and `evo init` as steps of a Slurm job: the first task speaks, and none hangs."""

from __future__ import annotations

import sys

import pytest
from helpers import Launcher
from slurm import Slurm


@pytest.mark.mpi
@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("plugin", ["pmix", "none"])
def test_one_task_of_two_speaks_whether_mpi_connects_them_or_not(plugin: str, launcher: Launcher, slurm: Slurm) -> None:
    folder = launcher.folder
    (folder / "study.yaml").touch()
    evo = f'srun --mpi={plugin} "{sys.executable}" -m evo'
    script = folder / "job.sh"
    script.write_text(
        f"#!/bin/bash\n{evo} check sphere >out.txt 2>err.txt && {evo} init network.Network 2>refused.txt\n"
    )
    job = slurm.submit(launcher, "--nodes=2", "--ntasks-per-node=1", "--time=5", "--output=job.out", script)
    assert slurm.wait(job, 120) == 2
    out, refused = (folder / "out.txt").read_text(), (folder / "refused.txt").read_text()
    assert out.count("evo: nothing stands in the way of this search") == 1, (folder / "err.txt").read_text()
    assert "on 2 ranks" in out
    assert refused.count("evo: error: study.yaml exists") == 1
