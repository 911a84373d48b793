"""Which GPU and how many threads a rank gets, and what its trainings see of the launcher."""

from __future__ import annotations

import doctest
import os
from collections.abc import Sequence

import pytest

import evo.runtime.device
from evo.runtime.device import available_cores, bind, count_gpus, share_of_cores, training_environment

GPUS = "CUDA_VISIBLE_DEVICES"


@pytest.mark.parametrize(
    ("local_rank", "visible", "gpus_per_node", "found", "gpu"),
    [
        (0, None, None, 4, "0"),
        (3, None, None, 4, "3"),
        (4, None, None, 4, "0"),
        (5, None, 2, 4, "1"),
        (3, None, 4, 0, "3"),  # Of a make that leaves no trace in /dev.
        (0, "2,3", None, 4, "2"),
        (1, "2,3", None, 4, "3"),
        (2, "2,3", None, 4, "2"),
        (1, "2,3", 1, 4, "2"),
        (1, " 2 , 3 ", None, 4, "3"),
        (1, "GPU-8932f937,GPU-10b2a8a5", None, 2, "GPU-10b2a8a5"),
        (0, "MIG-GPU-8932f937/1/0", None, 1, "MIG-GPU-8932f937/1/0"),
        (1, "7", None, 8, "7"),
    ],
)
def test_a_rank_is_bound_to_the_gpu_of_its_place_on_the_node(
    local_rank: int, visible: str | None, gpus_per_node: int | None, found: int, gpu: str
) -> None:
    environment = {} if visible is None else {GPUS: visible}
    binding = bind(local_rank, environment, gpus_per_node, found, threads=3)
    assert binding.device == f"cuda:{gpu}"
    threads = {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3", "OMP_WAIT_POLICY": "PASSIVE"}
    assert binding.environment == {GPUS: gpu, **threads}
    assert binding.threads == 3


@pytest.mark.parametrize(
    ("visible", "gpus_per_node", "found"),
    [
        (None, 0, 4),
        ("", None, 4),
        ("-1", None, 4),
        ("NoDevFiles", None, 4),
        ("0,1", 0, 4),
        ("", 0, 4),
    ],
)
def test_a_rank_without_a_gpu_uses_the_cpu_and_hides_all_gpus(
    visible: str | None, gpus_per_node: int | None, found: int
) -> None:
    binding = bind(1, {} if visible is None else {GPUS: visible}, gpus_per_node, found, threads=1)
    assert binding.device == "cpu"
    assert binding.environment[GPUS] == ""


def test_where_no_gpu_was_found_none_is_hidden_since_not_all_makes_show_in_dev() -> None:
    binding = bind(1, {}, None, 0, threads=1)
    assert binding.device == "cpu"
    assert GPUS not in binding.environment


@pytest.mark.parametrize(("visible", "asked", "shown"), [("0,1", 3, 2), ("", 1, 0), ("-1", 1, 0)])
def test_more_gpus_than_are_visible_are_an_error_that_counts_them(visible: str, asked: int, shown: int) -> None:
    with pytest.raises(ValueError, match=f"gpus_per_node is {asked}, but {GPUS}={visible} shows {shown}:"):
        bind(0, {GPUS: visible}, asked, 8, threads=1)


@pytest.mark.parametrize(
    ("cores", "shares"),
    [
        ([[0, 1, 2, 3]], [4]),
        ([[0, 1, 2, 3]] * 2, [2, 2]),
        ([[0, 1, 2, 3]] * 3, [1, 1, 1]),
        ([[0], [1], [2]], [1, 1, 1]),
        ([[0, 1], [2, 3, 4]], [2, 3]),
        ([[0, 1, 2, 3], [2, 3]], [3, 1]),
        ([[0]] * 64, [1] * 64),
        ([list(range(128))] * 7, [18] * 7),
        ([list(range(9))] * 3, [3] * 3),  # 9 / 3, without a rounding error.
    ],
)
def test_ranks_on_a_node_share_its_cores_without_crowding_each_other(
    cores: Sequence[Sequence[int]], shares: list[int]
) -> None:
    assert [share_of_cores(cores, rank) for rank in range(len(cores))] == shares


def test_a_training_sees_its_device_and_no_trace_of_mpi_or_slurm() -> None:
    rank = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "OMP_NUM_THREADS": "64",
        "RANKING": "kept",
        "SLURMY": "kept",
        "OMPI_COMM_WORLD_SIZE": "4",
        "OPAL_PREFIX": "",
        "PMIX_RANK": "1",
        "PMI_RANK": "1",
        "PRTE_LAUNCHED": "1",
        "I_MPI_RANK": "1",
        "MPI_LOCALNRANKS": "2",
        "MPIEXEC_HOSTNAME": "h",
        "HYDRA_LAUNCHER": "h",
        "HYDI_CONTROL_FD": "3",
        "SLURM_PROCID": "1",
        "RANK": "1",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "4",
        "MASTER_ADDR": "h",
    }
    before = dict(rank)
    seen = training_environment(rank, {"OMP_NUM_THREADS": "2", GPUS: "5"})
    kept = {"PATH": "/bin", "HOME": "/home/me", "RANKING": "kept", "SLURMY": "kept"}
    assert seen == {**kept, "OMP_NUM_THREADS": "2", GPUS: "5"}
    assert rank == before


def test_the_cores_of_this_process_are_those_that_it_may_run_on() -> None:
    cores = available_cores()
    assert len(cores) >= 1
    if hasattr(os, "sched_getaffinity"):
        assert set(cores) == os.sched_getaffinity(0)


def test_counting_gpus_needs_none() -> None:
    assert count_gpus() >= 0


def test_the_examples_in_the_documentation_run() -> None:
    assert doctest.testmod(evo.runtime.device).failed == 0
