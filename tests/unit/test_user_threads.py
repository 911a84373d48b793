"""How many threads a training has, where the user has said so."""

from __future__ import annotations

import pytest

from evo.runtime.device import bind
from evo.runtime.gpus import Gpus
from evo.runtime.makes import NVIDIA

OMP, MKL = "OMP_NUM_THREADS", "MKL_NUM_THREADS"


@pytest.mark.parametrize(
    ("environment", "threads", "omp", "mkl"),
    [
        ({}, 3, "3", "3"),
        ({OMP: "5"}, 5, "5", "5"),
        ({MKL: "2"}, 2, "2", "2"),
        ({OMP: "5", MKL: "2"}, 5, "5", "2"),
        ({OMP: " 8 "}, 8, " 8 ", "8"),
        ({OMP: "4,2"}, 4, "4,2", "4"),
        ({OMP: "many", MKL: ""}, 3, "3", "3"),
        ({OMP: "0"}, 3, "3", "3"),
        ({OMP: "-2"}, 3, "3", "3"),
        ({OMP: "1.5", MKL: "6"}, 6, "6", "6"),
        ({OMP: "\u0663"}, 3, "3", "3"),
        ({OMP: "1", "TORCHELASTIC_RUN_ID": "none"}, 3, "3", "3"),
        ({OMP: "2", "TORCHELASTIC_RUN_ID": "none"}, 2, "2", "2"),
        ({OMP: "16", "PBS_JOBID": "7.server", "NCPUS": "16"}, 3, "3", "3"),
        ({OMP: "4", "PBS_JOBID": "7.server", "NCPUS": "16"}, 4, "4", "4"),
        ({OMP: "4", "SLURM_CPUS_PER_TASK": "4"}, 4, "4", "4"),
    ],
)
def test_the_users_own_number_of_threads_is_kept_and_is_that_of_the_training(
    environment: dict[str, str], threads: int, omp: str, mkl: str
) -> None:
    binding = bind(0, environment, 0, Gpus(NVIDIA()), threads=3)
    assert (binding.threads, binding.environment[OMP], binding.environment[MKL]) == (threads, omp, mkl)
