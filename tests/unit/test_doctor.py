"""`evo doctor`: what it makes of facts."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as with_fields

from evo.doctor import examination
from evo.doctor.directory import try_directory
from evo.doctor.facts import Directory, DirView, Facts, Launch, RankFacts, RoundTrip, Torch, find_launch
from evo.doctor.judgement import judge
from evo.doctor.report import Finding, report_text
from evo.engine.transport import Serial
from evo.runtime.device import Placement
from evo.runtime.mpi import speaks


def rank_facts(number: int, per_node: int = 4, device: str = "cpu", **fields: Any) -> RankFacts:
    place = Placement(number, f"node{number // per_node + 1}", device, 4, {})
    known: dict[str, Any] = {
        "node": number - number % per_node,
        "cores": list(range(16)),
        "permitted": 16,
        "gpus": 0,
        "versions": {"evo": "0.1.0", "torch": "2.15.0"},
        "open_files": 4096,
    }
    return RankFacts(place=place, **(known | fields))


def sound(ranks: int = 8, per_node: int = 4) -> Facts:
    """Facts of ranks on the CPUs of several machines, none of which is a problem."""
    firsts = range(0, ranks, per_node)
    views = tuple(DirView(excluded=True if rank in firsts else None) for rank in range(ranks))
    return Facts(
        launch=Launch(launcher="mpirun", how="mpirun", expected=ranks, library="Open MPI v5.0.11", fault_tolerant=True),
        ranks=[rank_facts(rank, per_node) for rank in range(ranks)],
        trips=[
            RoundTrip(rank=rank, seconds=2e-5, ahead=1e-3, uncertainty=1e-5) for rank in [1, *firsts[1:]][: ranks - 1]
        ],
        directory=Directory(path="runs", free=10**12, views=views),
        torch=[Torch(rank=rank, seconds=3.0, version="2.15.0") for rank in firsts],
    )


def with_gpus(facts: Facts, gpus: int = 4, devices: int = 4, seen: bool = True, kind: str = "cuda") -> Facts:
    """The same ranks on GPUs: so many of them on each machine, of which so many are used."""
    ranks = [
        with_fields(rank, place=replace(rank.place, device=f"{kind}:{number % devices}"), gpus=gpus)
        for number, rank in enumerate(facts.ranks)
    ]
    torch = [
        Torch(
            rank=number,
            seconds=3.0,
            version="2.15.0",
            built_for="CUDA 13.2",
            gpus=("H100",) if seen else (),
            identifier=f"{rank.host} {rank.place.device}" if seen else "",
        )
        for number, rank in enumerate(ranks)
    ]
    return replace(facts, ranks=ranks, torch=torch)


def change(facts: Facts, part: str, **fields: Any) -> Facts:
    return replace(facts, **{part: with_fields(getattr(facts, part), **fields)})


def in_slurm(tasks: int, nodes: int = 2) -> Facts:
    """Ranks on two machines, in a Slurm job that is meant for so many and has so many nodes, and has two hours."""
    job = change(sound(), "launch", batch="Slurm", connecting="srun --mpi=pmix", tasks=tasks, nodes=nodes)
    return replace(job, seconds_left=7200.0)


def change_ranks(facts: Facts, which: Callable[[int], bool], **fields: Any) -> Facts:
    ranks = [with_fields(rank, **fields) if which(number) else rank for number, rank in enumerate(facts.ranks)]
    return replace(facts, ranks=ranks)


def finding(facts: Facts, what: str) -> Finding:
    (found,) = [one for one in judge(facts) if one.what == what]
    return found


def test_sound_facts_have_nothing_but_good_findings() -> None:
    for facts in (sound(), with_gpus(sound()), sound(1, 1), sound(4)):
        assert {one.verdict for one in judge(facts)} == {"ok"}
    assert [one.what for one in judge(sound())] == [
        *("versions", "MPI", "world", "ranks", "cores", "torch", "open files", "messages", "clocks", "faults"),
        *("run directory", "space", "locks"),
    ]


def test_another_projects_evo_is_a_problem_that_says_what_to_do() -> None:
    facts = change_ranks(sound(), lambda rank: rank >= 4, other_evo="another project's evo 1.38.1, in /there")
    found = finding(facts, "name")
    assert (found.verdict, found.value) == ("problem", "another project's evo 1.38.1, in /there on node2 (ranks 4-7)")
    assert found.advice == "pip uninstall evo, then pip install --force-reinstall --no-deps evo-mpi"


def test_every_problem_says_what_to_do_next() -> None:
    for _, facts, _, words in PROBLEMS:
        problems = [one for one in judge(facts) if one.verdict == "problem"]
        assert problems, words
        assert all(one.advice for one in problems)


ALONE = Launch(
    launcher="srun",
    advice="start them with srun --mpi=pmix, or with mpirun",
    expected=4,
    batch="Slurm",
    tasks=4,
)

PROBLEMS = [
    (
        "versions",
        change_ranks(sound(), lambda rank: rank >= 4, versions={"evo": "0.1.0", "torch": "2.14.0"}),
        "torch is 2.15.0 on node1, but 2.14.0 on node2 (ranks 4-7)",
        "same virtual environment",
    ),
    (
        "versions",
        change_ranks(sound(), lambda rank: rank == 5, versions={"evo": "0.1.0"}),
        "torch is 2.15.0 on node1, but absent on node2 (rank 5)",
        "same virtual environment",
    ),
    ("world", replace(sound(1, 1), launch=ALONE), "srun started 4 tasks, but each is alone", "srun --mpi=pmix"),
    (
        "world",
        replace(sound(1, 1), launch=Launch(launcher="mpirun", expected=4, library="MPICH 4.3")),
        "mpirun started 4 processes, but each is alone with MPICH 4.3",
        "this very MPI",
    ),
    (
        "world",
        replace(sound(1, 1), launch=Launch(launcher="mpirun", refusal="there is no MPI")),
        "there is no MPI",
        "install",
    ),
    (
        "world",
        replace(sound(1, 1), launch=Launch(batch="Slurm", connecting="srun --mpi=pmix", tasks=8)),
        "1 rank on 1 machine, but the Slurm allocation has 8 tasks",
        "srun --mpi=pmix, or mpirun",
    ),
    (
        "cores",
        change_ranks(sound(), lambda rank: True, cores=[0]),
        "node1 (ranks 0-3): bound to 1 core together, although the machine has 16 cores: 4 for each rank",
        "--bind-to none",
    ),
    (
        "cores",
        replace(sound(4), ranks=[with_fields(rank_facts(rank), cores=[rank]) for rank in range(4)]),
        "node1 (ranks 0-3): bound to 1 core each, although the machine has 16 cores: 4 for each rank",
        "--bind-to none, or srun --cpus-per-task=4",
    ),
    (
        "cores",
        change_ranks(sound(), lambda rank: rank in (4, 5), cores=[0, 1]),
        "node2 (ranks 4-5): bound to 2 cores together, although the machine has 16 cores: 4 for each rank",
        "--bind-to none",
    ),
    (
        "torch",
        replace(sound(), torch=[Torch(rank=0, seconds=3.0), Torch(rank=4, seconds=1.0, refusal="no module torch")]),
        "a training cannot start on node2 (rank 4): no module torch",
        "import torch, lightning",
    ),
    (
        "torch",
        with_gpus(sound(), seen=False),
        "node1, node2 (2 machines, 8 ranks): torch 2.15.0 (CUDA 13.2) sees no GPU",
        "nvidia-smi",
    ),
    (
        "torch",
        with_gpus(sound(4), seen=False, kind="hip"),
        "node1 (ranks 0-3): torch 2.15.0 (CUDA 13.2) sees no GPU",
        "rocm-smi",
    ),
    (
        "open files",
        change_ranks(sound(800), lambda rank: rank == 7, open_files=512),
        "512 for each rank, but connections to 799 others may need 900",
        "ulimit -n 1800",
    ),
    (
        "messages",
        replace(sound(), trips=[RoundTrip(rank=1, seconds=1e-6), RoundTrip(rank=4, seconds=None)]),
        "no answer from node2 (rank 4)",
        "btl_tcp_if_include",
    ),
    (
        "clocks",
        replace(sound(), trips=[RoundTrip(rank=4, seconds=1e-4, ahead=-2.5, uncertainty=5e-5)]),
        "that of node2 is 2.5 s behind that of node1",
        "NTP",
    ),
    (
        "clocks",
        replace(sound(), trips=[RoundTrip(rank=4, seconds=1e-4, ahead=1.1, uncertainty=5e-5)]),
        "that of node2 is 1.1 s ahead of that of node1",
        "NTP",
    ),
    (
        "run directory",
        change(sound(), "directory", refusal="Read-only file system", views=()),
        "runs cannot be written on node1: Read-only file system",
        "--run-dir",
    ),
    (
        "run directory",
        change(sound(), "directory", views=(DirView(),) * 4 + (DirView(unread="No such file"),) * 4),
        "runs: what node1 wrote is not there (No such file) on node2 (ranks 4-7)",
        "--run-dir",
    ),
    (
        "run directory",
        change(
            sound(),
            "directory",
            views=(DirView(),) * 4 + (DirView(unwritten="Permission denied"),) + (DirView(),) * 3,
        ),
        "runs: cannot be written (Permission denied) on node2 (rank 4)",
        "--run-dir",
    ),
    (
        "run directory",
        change(sound(), "directory", unseen=(4,)),
        "runs: node1 does not see what was written on node2 (rank 4)",
        "--run-dir",
    ),
    ("space", change(sound(), "directory", free=1_000_000), "1 MB free", "make room"),
    ("time left", replace(sound(), seconds_left=30.0), "the allocation ends in 0 h 00 min", "ask for more"),
]


@pytest.mark.parametrize(("what", "facts", "value", "advice"), PROBLEMS, ids=[case[2] for case in PROBLEMS])
def test_what_is_a_problem_names_where(what: str, facts: Facts, value: str, advice: str) -> None:
    found = finding(facts, what)
    assert (found.verdict, found.value) == ("problem", value)
    assert advice in found.advice


NOTES = [
    (
        "world",
        in_slurm(16),
        "8 ranks on 2 machines, all connected; the Slurm allocation",
    ),
    ("world", in_slurm(8, nodes=3), "8 ranks on 2 machines, all connected; the Slurm allocation has 3 nodes"),
    ("time left", replace(in_slurm(8), seconds_left=None), "Slurm does not say when this job ends"),
    ("ranks", with_gpus(sound(4), gpus=8), "8 GPUs but 4 ranks on node1 (rank 0): some are idle"),
    ("ranks", with_gpus(sound(4), gpus=2, devices=2), "2 ranks share one GPU"),
    ("cores", change_ranks(sound(), lambda rank: True, cores=[0, 1], permitted=2), "4 ranks share 2 cores of node1"),
    (
        "torch",
        replace(sound(), torch=[Torch(rank=0, seconds=3.0, version="2.15.0", built_for="CUDA 13.2")]),
        "2.15.0, loaded with Lightning in 3 s; it is built for CUDA 13.2, but there is no GPU",
    ),
    (
        "torch",
        replace(sound(), torch=[Torch(rank=0, seconds=3.0, gpus=("MI300", "MI300"))]),
        "2 GPUs that evo does not",
    ),
    (
        "torch",
        replace(with_gpus(sound(1, 1)), torch=[Torch(rank=0, seconds=3.0, gpus=("Max 1550",), remark="it is slow")]),
        ", loaded with Lightning in 3 s; sees Max 1550, but it is slow",
    ),
    ("messages", replace(sound(), trips=[RoundTrip(rank=4, seconds=0.05)]), "50 ms there and back"),
    ("faults", change(sound(), "launch", fault_tolerant=False), "mpirun --with-ft ulfm"),
    (
        "GPUs",
        change_ranks(sound(), lambda rank: rank > 3, gpu_remark="4 GPUs found, but CUDA_VISIBLE_DEVICES= hides all"),
        "node2 (ranks 4-7): 4 GPUs found, but CUDA_VISIBLE_DEVICES= hides all",
    ),
    ("run directory", change(sound(), "directory", left_behind="Device or resource busy"), "resource busy"),
    ("space", change(sound(), "directory", free=5 * 10**8), "0.5 GB free"),
    ("locks", change(sound(), "directory", views=(DirView(excluded=False),) + (DirView(),) * 7), "do not work"),
    (
        "locks",
        change(
            sound(),
            "directory",
            views=(DirView(excluded=True), *(DirView(),) * 3, DirView(excluded=False), *(DirView(),) * 3),
        ),
        "do not keep other machines out",
    ),
    ("time left", replace(sound(), seconds_left=300.0), "0 h 05 min"),
]


@pytest.mark.parametrize(("what", "facts", "value"), NOTES, ids=[case[2] for case in NOTES])
def test_what_is_worth_knowing_is_a_note(what: str, facts: Facts, value: str) -> None:
    found = finding(facts, what)
    assert found.verdict == "note"
    assert value in found.value


GOOD = [
    (
        "world",
        in_slurm(8),
        "8 ranks on 2 machines, all connected, as many as Slurm has",
    ),
    ("MPI", change(sound(), "launch", how="srun --mpi=pmix"), "started by srun --mpi=pmix"),
    ("ranks", with_gpus(sound(4)), "node1: ranks 0-3, on cuda:0, cuda:1, cuda:2, cuda:3; 4 threads each"),
    ("cores", replace(sound(4), ranks=[rank_facts(n, cores=range(4 * n, 4 * n + 4)) for n in range(4)]), "4 threads"),
    ("torch", with_gpus(sound()), "every rank sees its GPU: H100"),
    ("torch", replace(sound(), torch=[Torch(rank=0, seconds=3.0, built_for="CUDA 13.2")], gpus_wanted=False), "CPU"),
    ("open files", change_ranks(sound(), lambda rank: True, open_files=1024), "1024 for each rank"),
    ("clocks", sound(), "within 1 ms of that of node1"),
    ("clocks", replace(sound(), trips=[RoundTrip(rank=4, seconds=4.0, ahead=1.5, uncertainty=1.0)]), "within"),
    ("messages", sound(), "20 us there and back; slowest 20 us, to node1"),
    ("faults", sound(), "the others go on"),
    ("run directory", sound(), "runs can be written from every machine, and the same on all"),
    ("space", sound(), "1,000.0 GB free"),
    ("locks", sound(), "a second run in the same directory is noticed"),
    ("time left", replace(sound(), seconds_left=14400.0), "the allocation ends in 4 h 00 min"),
]


@pytest.mark.parametrize(("what", "facts", "value"), GOOD, ids=[f"{case[0]}: {case[2]}" for case in GOOD])
def test_what_is_good_is_shown_as_well(what: str, facts: Facts, value: str) -> None:
    found = finding(facts, what)
    assert found.verdict == "ok"
    assert value in found.value


def test_ranks_that_see_one_gpu_each_do_not_share_it_though_all_call_it_the_first() -> None:
    facts = with_gpus(sound(4), gpus=1, devices=1)
    apart = [with_fields(torch, identifier=f"GPU-{torch.rank}") for torch in facts.torch or ()]
    assert finding(replace(facts, torch=apart), "ranks").verdict == "ok"
    assert finding(facts, "ranks").value.endswith("4 ranks share one GPU")


@pytest.mark.parametrize("library", ["MPICH Version: 4.3.2", "Intel(R) MPI Library 2021.17"])
def test_only_under_open_mpi_its_option_for_survivors_is_advised(library: str) -> None:
    found = finding(change(sound(), "launch", fault_tolerant=False, library=library), "faults")
    assert (found.verdict, found.value) == ("note", "a rank that dies ends the job, and the same command goes on")


def test_of_hidden_gpus_nothing_is_said_to_those_who_want_none() -> None:
    hidden = change_ranks(sound(), lambda rank: True, gpu_remark="4 GPUs found, but CUDA_VISIBLE_DEVICES= hides all")
    assert "GPUs" not in [one.what for one in judge(replace(hidden, gpus_wanted=False))]


def test_an_mpi_that_cannot_be_loaded_comes_before_ranks_that_are_alone_for_it() -> None:
    refused = with_fields(ALONE, refusal="mpi4py has no MPI library")
    assert finding(replace(sound(1, 1), launch=refused), "world").value == "mpi4py has no MPI library"


def test_an_unlimited_number_of_open_files_needs_no_line() -> None:
    assert "open files" not in [one.what for one in judge(change_ranks(sound(), lambda rank: True, open_files=0))]


def test_of_a_rank_that_cannot_reach_the_others_nothing_more_is_said() -> None:
    facts = replace(sound(1, 1), launch=ALONE, connected=False)
    assert [one.what for one in judge(facts)] == ["versions", "MPI", "world"]


def test_a_thousand_ranks_take_no_more_lines_than_one() -> None:
    many = report_text(judge(with_gpus(sound(1000))), 100)
    assert len(many.splitlines()) <= 20
    where = "node1, …, node250 (250 machines): 4 ranks each, on cuda:0, cuda:1, cuda:2, cuda:3; 4 threads each"
    assert where in " ".join(many.split())
    broken = change_ranks(sound(1000), lambda rank: rank % 4 == 2, cores=[0])
    assert "(250 machines, 1000 ranks)" not in report_text(judge(broken), 100)
    assert len(report_text(judge(broken), 100).splitlines()) <= 22


@pytest.mark.parametrize("width", [0, 60, 80, 100, 200])
def test_the_report_keeps_to_the_width_of_the_terminal(width: int) -> None:
    for _, facts, _, _ in PROBLEMS:
        assert max(map(len, report_text(judge(facts), width).splitlines())) <= (min(width, 100) or 100)


def test_the_conclusion_counts_problems_and_notes() -> None:
    def last(*verdicts: Any) -> str:
        return report_text([Finding("x", "y", verdict, "z") for verdict in verdicts], 80).splitlines()[-1]

    assert last("ok") == "evo doctor: no problem found"
    assert last("ok", "note") == "evo doctor: no problem found, and 1 note"
    assert last("problem", "note", "note", "problem").startswith("evo doctor: 2 problems, and 2 notes: ")


@pytest.mark.parametrize(
    ("variables", "launcher", "how", "expected", "first"),
    [
        ("", "", "", 1, True),
        ("OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=2 PMIX_RANK=2 SLURM_PROCID=0", "mpirun", "mpirun", 4, False),
        (
            "OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=0 SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=1",
            *("mpirun", "mpirun", 4, True),
        ),
        ("PMI_SIZE=4 PMI_RANK=0 HYDI_CONTROL_FD=3", "mpirun", "mpirun", 4, True),
        ("PMIX_RANK=3 SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=3", "srun", "srun --mpi=pmix", 4, False),
        ("PMI_RANK=0 PMI_SIZE=4 SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0", "srun", "srun --mpi=pmi2", 4, True),
        ("SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=1", "srun", "srun without an MPI plugin", 4, False),
        ("SLURM_NTASKS=4 SLURM_PROCID=0", "", "", 1, True),
        ("PMI_RANK=1 PMI_SIZE=2", "another launcher", "another launcher", 2, False),
        ("PMI_SIZE=2 PALS_RANKID=1", "another launcher", "another launcher", 2, False),
        ("PMI_SIZE=2 PALS_RANKID=0", "another launcher", "another launcher", 2, True),
        ("PMI_SIZE=2", "another launcher", "another launcher", 2, True),
        ("PMI_SIZE=many PMI_RANK=0", "another launcher", "another launcher", 1, True),
        ("OMPI_COMM_WORLD_SIZE=1 OMPI_COMM_WORLD_RANK=0 PMI_SIZE=4 PMI_RANK=3", "mpirun", "mpirun", 1, True),
        ("PMIX_RANK=1 FLUX_JOB_SIZE=8 FLUX_TASK_RANK=1", "flux run", "flux run -o pmi=pmix", 8, False),
        ("FLUX_JOB_SIZE=8 FLUX_TASK_RANK=0", "flux run", "flux run without an MPI plugin", 8, True),
        ("PMIX_RANK=2 JSM_NAMESPACE_SIZE=6 JSM_NAMESPACE_RANK=2", "jsrun", "jsrun", 6, False),
    ],
)
def test_a_launcher_is_known_by_what_it_tells_its_processes(
    variables: str, launcher: str, how: str, expected: int, first: bool
) -> None:
    environment = dict(word.split("=") for word in variables.split())
    launch = find_launch(environment)
    assert (launch.launcher, launch.how, launch.expected) == (launcher, how, expected)
    assert speaks(environment) == first


@pytest.mark.parametrize(
    ("variables", "batch", "tasks", "nodes"),
    [
        ("", "", 0, 0),
        ("SLURM_JOB_ID=7 SLURM_NTASKS=8 SLURM_JOB_NUM_NODES=2", "Slurm", 8, 2),
        ("PBS_JOBID=7.server PBS_NUM_NODES=3", "PBS", 0, 3),
        ("LSB_JOBID=7 LSB_MCPU_HOSTS=a;4;b;4", "LSF", 0, 2),
        ("FLUX_JOB_ID=f7 FLUX_JOB_SIZE=8 FLUX_JOB_NNODES=2 SLURM_JOB_ID=7", "Flux", 8, 2),
    ],
)
def test_a_job_is_known_by_what_its_batch_system_tells(variables: str, batch: str, tasks: int, nodes: int) -> None:
    launch = find_launch(dict(word.replace(";", " ").split("=") for word in variables.split()))
    assert (launch.batch, launch.tasks, launch.nodes) == (batch, tasks, nodes)


@pytest.mark.parametrize("module", ["facts", "judgement", "report"])
def test_what_judges_has_no_effects(module: str) -> None:
    text = (Path(examination.__file__).parent / f"{module}.py").read_text()
    imported = {
        alias.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for alias in node.names
    }
    assert imported <= {"msgspec", "textwrap"}


# What is examined.


def test_asking_for_all_cores_leaves_the_binding_as_it_was() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert examination._count_permitted_cores() >= len(before)
        assert os.sched_getaffinity(0) == {min(before)}
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize("exists", [True, False])
def test_trying_out_a_run_directory_leaves_no_trace(tmp_path: Path, exists: bool) -> None:
    run_dir = tmp_path / "deep" / "runs"
    if exists:
        run_dir.mkdir(parents=True)
        (run_dir / "mine").touch()
    before = sorted(tmp_path.rglob("*"))
    found = try_directory(str(run_dir), Serial())
    assert found.free > 0
    assert with_fields(found, free=0) == Directory(path=str(run_dir), views=(DirView(excluded=True),))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_in_the_way_of_the_run_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = try_directory(str(tmp_path / "file" / "runs"), Serial())
    assert found == Directory(path=str(tmp_path / "file" / "runs"), refusal="Not a directory")
