"""Which GPU and how many threads a rank gets, and what its trainings see of the launcher."""

from __future__ import annotations

import doctest
import os
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import final

import pytest
from typing_extensions import override

import evo.runtime.device
import evo.runtime.gpus
import evo.runtime.makes
from evo.engine.transport import Serial
from evo.errors import UserError
from evo.runtime.device import (
    Placement,
    available_cores,
    bind,
    bind_ranks,
    share_of_cores,
    told_apart,
    training_environment,
)
from evo.runtime.gpus import Gpus, find_gpus, make_of, torch_toolkits
from evo.runtime.makes import MAKES, NVIDIA, Make, listed_gpus

GPUS = "CUDA_VISIBLE_DEVICES"
ROCR, HIP, ZE = "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"
ORDINAL, HIERARCHY = "GPU_DEVICE_ORDINAL", "ZE_FLAT_DEVICE_HIERARCHY"


def nvidia(found: int) -> Gpus:
    return Gpus(NVIDIA(), [str(number) for number in range(found)])


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
        (2, "MIG-a,MIG-b,MIG-c", None, 1, "MIG-c"),  # More slices than cards.
        (3, "MIG-a,MIG-b,MIG-c", 3, 1, "MIG-a"),
        (1, "7", None, 8, "7"),
        (1, "0,-1,1", None, 4, "0"),  # CUDA stops at the first that is none.
        (1, "1,6,0", None, 4, "1"),
        (1, "6,7", None, 0, "7"),
    ],
)
def test_a_rank_is_bound_to_the_gpu_of_its_place_on_the_node(
    local_rank: int, visible: str | None, gpus_per_node: int | None, found: int, gpu: str
) -> None:
    environment = {} if visible is None else {GPUS: visible}
    binding = bind(local_rank, environment, gpus_per_node, nvidia(found), threads=3)
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
    binding = bind(1, {} if visible is None else {GPUS: visible}, gpus_per_node, nvidia(found), threads=1)
    assert binding.device == "cpu"
    assert binding.environment[GPUS] == ""


def test_where_no_gpu_was_found_none_is_hidden_since_not_all_makes_show_in_dev() -> None:
    binding = bind(1, {}, None, nvidia(0), threads=1)
    assert binding.device == "cpu"
    assert GPUS not in binding.environment


@pytest.mark.parametrize(("visible", "asked", "shown"), [("0,1", 3, 2), ("", 1, 0), ("-1", 1, 0)])
def test_more_gpus_than_are_visible_are_an_error_that_counts_them(visible: str, asked: int, shown: int) -> None:
    with pytest.raises(ValueError, match=f"gpus_per_node is {asked}, but {GPUS}={visible} shows {shown}:"):
        bind(0, {GPUS: visible}, asked, nvidia(8), threads=1)


@pytest.mark.parametrize(
    ("visible", "found", "numbers"), [("6,7", 4, "0 to 3"), ("all", 2, "0 to 1"), ("1", 1, "0"), ("4,0", 4, "0 to 3")]
)
def test_a_list_of_gpus_none_of_which_is_here_is_an_error_that_says_which_ones_are(
    visible: str, found: int, numbers: str
) -> None:
    message = f"{GPUS}={visible} shows none of the GPUs that this process may open, whose numbers are {numbers}: list"
    with pytest.raises(UserError, match=message):
        bind(0, {GPUS: visible}, None, nvidia(found), threads=1)
    assert bind(0, {GPUS: visible}, 0, nvidia(found), threads=1).device == "cpu"
    assert bind(0, {GPUS: "all"}, None, nvidia(0), threads=1).device == "cpu"


@pytest.mark.parametrize(
    ("visible", "remark"),
    [
        (None, ""),
        ("0,3", ""),
        ("2,", ""),
        ("", f"4 GPUs found, but {GPUS}= hides all"),
        ("-1", f"4 GPUs found, but {GPUS}=-1 hides all"),
        ("0,-1,1", f"{GPUS}=0,-1,1 shows 0 only: the others are no GPUs here, or follow one that is none"),
        ("0,1,6,7", f"{GPUS}=0,1,6,7 shows 0, 1 only: the others are no GPUs here, or follow one that is none"),
    ],
)
def test_what_a_list_hides_of_the_gpus_is_remarked(visible: str | None, remark: str) -> None:
    environment = {} if visible is None else {GPUS: visible}
    assert nvidia(4).remark(environment) == remark
    assert nvidia(0).remark(environment) == ""
    assert nvidia(4).refusal(environment) == ""


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
        "MV2_COMM_WORLD_RANK": "1",
        "PALS_RANKID": "1",
        "ALPS_APP_PE": "1",
        "SLURM_PROCID": "1",
        "FLUX_TASK_RANK": "1",
        "JSM_NAMESPACE_RANK": "1",
        "PBS_JOBID": "7.server",
        "LSB_JOBID": "7",
        "RANK": "1",
        "LOCAL_RANK": "1",
        "GROUP_RANK": "0",
        "GROUP_WORLD_SIZE": "1",
        "ROLE_NAME": "default",
        "ROLE_RANK": "1",
        "ROLE_WORLD_SIZE": "4",
        "TORCHELASTIC_RUN_ID": "none",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "WORLD_SIZE": "4",
        "MASTER_ADDR": "h",
    }
    before = dict(rank)
    seen = training_environment(rank, {"OMP_NUM_THREADS": "2", GPUS: "5"})
    kept = {"PATH": "/bin", "HOME": "/home/me", "RANKING": "kept", "SLURMY": "kept"}
    kept |= {"PBS_JOBID": "7.server", "LSB_JOBID": "7"}  # Of the job, and of no launcher.
    assert seen == {**kept, "OMP_NUM_THREADS": "2", GPUS: "5"}
    assert rank == before


def test_the_cores_of_this_process_are_those_that_it_may_run_on() -> None:
    cores = available_cores()
    assert len(cores) >= 1
    if hasattr(os, "sched_getaffinity"):
        assert set(cores) == os.sched_getaffinity(0)


def test_the_examples_in_the_documentation_run() -> None:
    for module in (evo.runtime.device, evo.runtime.gpus, evo.runtime.makes):
        tried = doctest.testmod(module)
        assert tried.attempted > 0
        assert tried.failed == 0


# Makes of GPU, on machines that are made up.


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


class Machine:
    """A made-up /dev and /sys.

    A file that a control group keeps from this process is a link to nowhere: even root may not open it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def device(self, name: str, denied: bool = False) -> None:
        file = self.root / "dev" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if denied:
            file.symlink_to(self.root / "nowhere")
        else:
            file.touch()

    def kfd(self, counts: Sequence[int | None]) -> None:
        """Nodes of AMD's topology, by their numbers of SIMD units; None: the kernel does not describe it."""
        self.device("kfd")
        for number, count in enumerate(counts):
            node = self.root / f"sys/class/kfd/kfd/topology/nodes/{number}"
            node.mkdir(parents=True)
            if count is not None:
                (node / "properties").write_text(f"cpu_cores_count {0 if count else 64}\nsimd_count {count}\n")

    def drm(self, number: int, address: str, vendor: str = "0x8086", tiles: int = 1, driver: str = "xe") -> None:
        """A card of the kernel's graphics drivers."""
        self.device(f"dri/renderD{number}")
        card = self.root / "sys/devices/pci0000:00" / address
        for tile in range(tiles):
            (card / (f"tile{tile}" if driver == "xe" else f"drm/card{number}/gt/gt{tile}")).mkdir(parents=True)
        (card / "vendor").write_text(f"{vendor}\n")
        link = self.root / f"sys/class/drm/renderD{number}/device"
        link.parent.mkdir(parents=True)
        link.symlink_to(card)

    def gpus(self, environment: Mapping[str, str], *toolkits: str) -> Gpus:
        return find_gpus(environment, self.root, toolkits)


def test_nvidia_has_a_file_for_each_card_and_others_that_are_none(machine: Machine) -> None:
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "nvidia-caps/nvidia-cap1"):
        machine.device(name)
    gpus = machine.gpus({}, "cuda")
    assert (gpus.make.name, gpus.cards) == ("NVIDIA", ["0", "2", "10"])
    assert gpus.choices({}) == ["0", "1", "2"]
    assert machine.gpus({}).make.name == "NVIDIA"  # Whatever torch is built for: evo doctor tells what is wrong.


def test_a_card_that_a_control_group_denies_is_not_counted(machine: Machine) -> None:
    for number in range(4):
        machine.device(f"nvidia{number}", denied=number != 2)
    gpus = machine.gpus({}, "cuda")
    assert gpus.cards == ["2"]
    for environment in ({}, {GPUS: "0"}):
        binding = bind(3, environment, None, gpus, threads=1)
        assert (binding.device, binding.card, binding.environment[GPUS]) == ("cuda:0", "cuda:2", "0")


@pytest.mark.root
def test_the_right_to_open_a_device_is_asked_of_its_control_group(tmp_path: Path) -> None:
    groups = Path("/sys/fs/cgroup/devices")
    if not (groups / "devices.deny").exists() and not (groups / "cgroup.procs").exists():
        pytest.skip("this machine has no control groups for devices (version 1)")
    (tmp_path / "dev").mkdir()
    try:
        for minor in range(2):
            os.mknod(tmp_path / f"dev/nvidia{minor}", stat.S_IFCHR | 0o666, os.makedev(195, minor))
        group = groups / f"evo-{os.getpid()}"
        group.mkdir()
    except OSError as error:
        pytest.skip(f"this machine permits no device or control group: {error}")
    try:
        (group / "devices.deny").write_text("c 195:0 rwm")
        text = "import sys\nfrom pathlib import Path\nfrom evo.runtime.gpus import find_gpus\n"
        text += "Path(sys.argv[1]).write_text('0')\nprint(find_gpus({}, Path(sys.argv[2])).cards)"
        command = [sys.executable, "-c", text, group / "cgroup.procs", tmp_path]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        assert ended.stdout == "['1']\n"
        assert find_gpus({}, tmp_path).cards == ["0", "1"]
    finally:
        group.rmdir()


def test_amd_has_a_node_of_the_topology_for_each_card(machine: Machine) -> None:
    machine.kfd([0, 0, 440, 440, 440])
    gpus = machine.gpus({}, "hip")
    assert (gpus.make.name, gpus.cards) == ("AMD", ["0", "1", "2"])
    binding = bind(4, {}, None, gpus, threads=1)
    assert (binding.device, binding.card) == ("hip:1", "hip:1")
    assert (binding.environment[ROCR], binding.environment[HIP]) == ("1", "0")
    assert GPUS not in binding.environment


def test_a_card_of_amd_that_the_kernel_does_not_describe_belongs_to_others(machine: Machine) -> None:
    machine.kfd([0, None, None, 440, None])
    gpus = machine.gpus({ROCR: "0"}, "hip")
    binding = bind(2, {ROCR: "0"}, None, gpus, threads=1)
    assert (binding.device, binding.card, binding.environment[ROCR]) == ("hip:0", "hip:2", "0")


def test_without_the_right_to_compute_there_is_no_card_of_amd(machine: Machine) -> None:
    machine.kfd([0, 440])
    (machine.root / "dev/kfd").unlink()
    assert machine.gpus({}, "hip").cards == ()


@pytest.mark.parametrize(
    ("environment", "choices"),
    [
        ({ROCR: "2,3"}, ["2", "3"]),
        ({HIP: "2,3"}, ["2", "3"]),
        ({GPUS: "2,3"}, ["2", "3"]),
        ({ROCR: "4,5,6,7", HIP: "2,3"}, ["6", "7"]),
        ({ROCR: "4,5", HIP: "1,7"}, ["5"]),
        ({ROCR: "2,3", GPUS: "2,3"}, ["2", "3"]),  # As Slurm sets both where it does not know the make.
        ({ROCR: "GPU-4b2c,GPU-9e1d"}, ["GPU-4b2c", "GPU-9e1d"]),
        ({ROCR: "GPU-4b2c,GPU-9e1d", HIP: "1"}, ["GPU-9e1d"]),
        ({ORDINAL: "2,3"}, ["2", "3"]),
        ({ROCR: "2,3", GPUS: "2,3", ORDINAL: "2,3"}, ["2", "3"]),
        ({HIP: "1", ORDINAL: "2,3"}, ["1"]),
        ({HIP: "1,9,2"}, ["1"]),
        ({ROCR: "4,5,6", HIP: "2,-1,0"}, ["6"]),
        ({HIP: ""}, []),
        ({HIP: "-1"}, []),
        ({ROCR: ""}, []),
    ],
)
def test_what_limits_the_choice_of_amds_cards_leaves_the_right_one(
    machine: Machine, environment: dict[str, str], choices: list[str]
) -> None:
    machine.kfd([0, *[440] * 8])
    gpus = machine.gpus(environment, "hip")
    assert gpus.choices(environment) == choices
    seen = bind(1, environment, None, gpus, threads=1).environment
    # HIP counts what ROCR has left.
    assert (seen[ROCR], seen[HIP]) == ((choices[-1], "0") if choices else ("-1", "-1"))


def test_more_of_amds_cards_than_are_visible_are_an_error_that_names_its_variables(machine: Machine) -> None:
    machine.kfd([0, 440, 440])
    environment = {ROCR: "0,1", HIP: "0"}
    with pytest.raises(UserError, match=f"gpus_per_node is 2, but {ROCR}=0,1 {HIP}=0 shows 1: ask for no more"):
        bind(0, environment, 2, machine.gpus(environment, "hip"), threads=1)


@pytest.mark.parametrize("driver", ["xe", "i915"])
def test_intel_has_a_device_for_each_tile_but_where_they_are_joined(machine: Machine, driver: str) -> None:
    machine.drm(128, "0000:29:00.0", tiles=2, driver=driver)
    machine.drm(129, "0000:3a:00.0", tiles=2, driver=driver)
    assert machine.gpus({}, "xpu").cards == ["0.0", "0.1", "1.0", "1.1"]
    assert machine.gpus({"ZE_FLAT_DEVICE_HIERARCHY": "COMPOSITE"}, "xpu").cards == ["0", "1"]
    binding = bind(3, {}, None, machine.gpus({}, "xpu"), threads=1)
    assert (binding.device, binding.card, binding.environment[ZE]) == ("xpu:3", "xpu:1.1", "3")
    binding = bind(1, {ZE: "2,3"}, None, machine.gpus({ZE: "2,3"}, "xpu"), threads=1)
    assert (binding.device, binding.environment[ZE]) == ("xpu:3", "3")


@pytest.mark.parametrize(
    ("environment", "choices"),
    [
        ({ZE: "0.0,0.1"}, ["0", "1"]),  # Which the driver ignores as they are, where tiles are devices.
        ({ZE: "1.1,2.0"}, ["3", "4"]),
        ({ZE: "1.1", HIERARCHY: "FLAT"}, ["3"]),
        ({ZE: "0,-1,9,4,7.0"}, ["0", "4"]),  # It passes over what is no device.
        ({ZE: "", HIERARCHY: "FLAT"}, ["0", "1", "2", "3", "4"]),
        ({ZE: "0.1,2,1.0,3", HIERARCHY: "COMPOSITE"}, ["0.1", "2", "1.0"]),
        ({ZE: "", HIERARCHY: "COMPOSITE"}, ["0", "1", "2"]),
    ],
)
def test_a_mask_of_intel_names_tiles_by_card_or_by_number_and_an_empty_one_limits_nothing(
    machine: Machine, environment: dict[str, str], choices: list[str]
) -> None:
    machine.drm(127, "0000:18:00.0", tiles=2)
    machine.drm(128, "0000:29:00.0", tiles=2)
    machine.drm(129, "0000:3a:00.0")
    gpus = machine.gpus(environment, "xpu")
    assert gpus.choices(environment) == choices
    binding = bind(1, environment, None, gpus, threads=1)
    assert binding.environment[ZE] == choices[1 % len(choices)]
    assert gpus.remark({ZE: ""}) == ""


def test_a_mask_of_intel_counts_only_cards_that_may_be_opened(machine: Machine) -> None:
    machine.drm(128, "0000:29:00.0", tiles=2)
    machine.drm(129, "0000:3a:00.0", tiles=2)
    (machine.root / "dev/dri/renderD128").unlink()
    gpus = machine.gpus({}, "xpu")
    binding = bind(0, {ZE: "0.1"}, None, gpus, threads=1)
    assert (binding.device, binding.card, binding.environment[ZE]) == ("xpu:1", "xpu:1.1", "1")
    with pytest.raises(UserError, match=f"{ZE}=1.1 shows none of the GPUs that this process may open, .* 0 to 1: list"):
        bind(0, {ZE: "1.1"}, None, gpus, threads=1)


def test_the_graphics_of_a_processor_and_of_other_makes_are_no_cards_of_intel(machine: Machine) -> None:
    machine.drm(128, "0000:00:02.0")
    machine.drm(129, "0000:03:00.0", vendor="0x1002")
    machine.drm(130, "0000:04:00.0")
    assert machine.gpus({}, "xpu").cards == ["0"]


@pytest.mark.parametrize("make", MAKES, ids=lambda make: make.name)
def test_where_no_gpu_is_wanted_none_is_shown(make: Make) -> None:
    binding = bind(0, {}, 0, Gpus(make, ["0", "1"]), threads=1)
    assert (binding.device, binding.card) == ("cpu", "cpu")
    assert binding.environment.items() >= make.none().items()
    assert make.none()


def test_cards_of_which_torch_knows_nothing_are_not_used_unless_a_variable_says_so(machine: Machine) -> None:
    machine.kfd([0, 4])  # The graphics of a laptop's processor.
    machine.drm(128, "0000:03:00.0")
    assert machine.gpus({}, "cuda") == Gpus(machine.gpus({}, "cuda").make)
    assert machine.gpus({}).make.name == "NVIDIA"
    assert machine.gpus({ROCR: "0"}).make.name == "AMD"
    assert machine.gpus({ZE: "0"}, "cuda").make.name == "Intel"


def test_of_several_makes_the_one_counts_that_torch_is_built_for(machine: Machine) -> None:
    machine.device("nvidia0")
    machine.kfd([0, 440])
    everything = {GPUS: "0", ROCR: "0", ZE: "0"}  # As Slurm sets them where it does not know the make.
    assert machine.gpus(everything, "cuda").make.name == "NVIDIA"
    assert machine.gpus(everything).make.name == "NVIDIA"
    assert machine.gpus({}, "hip").make.name == "AMD"


def test_where_nothing_is_found_the_environment_tells_the_make(tmp_path: Path) -> None:
    for environment, make in (({}, "NVIDIA"), ({GPUS: "0"}, "NVIDIA"), ({ROCR: "0"}, "AMD"), ({ZE: "0"}, "Intel")):
        assert find_gpus(environment, tmp_path, ()).make.name == make
    assert bind(1, {}, 4, find_gpus({}, tmp_path, ["hip"]), threads=1).device == "hip:1"
    assert find_gpus({}, tmp_path, None).cards == ()


def test_what_torch_is_built_for_is_read_without_importing_it() -> None:
    import torch

    built = {name for name in ("cuda", "hip", "xpu") if getattr(torch.version, name, None)}
    assert torch_toolkits() == built


def test_a_device_tells_its_make() -> None:
    assert [make_of(f"{make.device}:1") for make in MAKES] == list(MAKES)
    assert make_of("cpu") is None
    assert listed_gpus(" 2 , 3,, 4") == ["2", "3"]


def placed(rank: int, host: str, device: str, card: str) -> Placement:
    return Placement(rank, host, device, 1, {}, card)


def test_tasks_that_each_see_one_card_of_their_own_are_not_shown_as_sharing_one() -> None:
    own = [placed(rank, "node1", "cuda:0", f"cuda:{rank}") for rank in range(4)]
    assert [each.device for each in told_apart(own)] == ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]
    assert [each.environment for each in told_apart(own)] == [each.environment for each in own]


def test_ranks_that_share_a_card_or_are_on_different_machines_keep_its_name() -> None:
    alike = [placed(0, "node1", "cuda:0", "cuda:0"), placed(1, "node1", "cuda:0", "cuda:0")]
    alike += [placed(2, "node2", "cuda:0", "cuda:3"), placed(3, "node2", "cuda:0", "cuda:3")]
    assert told_apart(alike) == alike
    half = [placed(rank, "node1", "hip:0", f"hip:{rank // 2}") for rank in range(4)]
    assert [each.device for each in told_apart(half)] == ["hip:0", "hip:0", "hip:1", "hip:1"]


def test_a_rank_alone_is_placed_on_this_machine() -> None:
    (placement,) = bind_ranks(0, Serial())
    assert (placement.rank, placement.device, placement.card) == (0, "cpu", "cpu")


@final
class BesideAnother(Serial):
    """Rank 0, and a rank 1 on the same machine that says the same of itself, but for its number and its card."""

    size = 2
    node = (0, 1)

    @override
    def gather(self, text: str) -> list[str]:
        return [text, text.replace('"rank":0', '"rank":1').replace("cuda:2", "cuda:3")]


def test_ranks_are_bound_together_and_learn_of_each_others_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evo.runtime.device, "find_gpus", lambda environment: Gpus(NVIDIA(), ["2"]))
    monkeypatch.delenv(GPUS, raising=False)
    placements = bind_ranks(None, BesideAnother())
    assert [(each.rank, each.device, each.environment[GPUS]) for each in placements] == [
        (0, "cuda:2", "0"),
        (1, "cuda:3", "0"),
    ]
