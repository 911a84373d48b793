"""Makes of GPU, one class for each; GPUs are found by the environment and the kernel's files, without a driver."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

from typing_extensions import override

ROOT = Path("/")


class Make(ABC):
    """A make of GPU.

    Attributes:
        name: The name of the make.
        device: The beginning of its devices' names in maps and records.
        toolkit: The name in `torch.version` of the toolkit that torch must be built for.
        variables: The variables that limit which GPUs a process sees.
        tool: The command that shows these GPUs and their driver.
        sharing: A remark for users whose processes share one GPU.
    """

    name: ClassVar[str]
    device: ClassVar[str]
    toolkit: ClassVar[str]
    variables: ClassVar[tuple[str, ...]]
    tool: ClassVar[str]
    sharing: ClassVar[str] = "as meant for small networks"

    @abstractmethod
    def cards(self, environment: Mapping[str, str], root: Path) -> list[str]:
        """The GPUs that this process may open, in the order of their numbers in this process.

        Args:
            environment: The environment variables.
            root: The folder that holds dev and sys.

        Returns:
            The number of each among all GPUs of the machine, including those that this process may not open.
        """

    def limits(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The variables that limit which GPUs this process sees, with their values.

        Args:
            environment: The environment variables.
        """
        return {name: environment[name] for name in self.variables if name in environment}

    def visible(self, environment: Mapping[str, str]) -> list[str] | None:
        """The GPUs that the environment shows, as `only` takes them; None when it limits nothing.

        Args:
            environment: The environment variables.
        """
        lists = [listed_gpus(value) for value in self.limits(environment).values()]
        return lists[0] if lists else None

    @abstractmethod
    def only(self, gpu: str) -> dict[str, str]:
        """The variables that show one GPU and no other.

        Args:
            gpu: The number or the identifier of the GPU.
        """

    @abstractmethod
    def none(self) -> dict[str, str]:
        """The variables that show no GPU."""


def listed_gpus(value: str) -> list[str]:
    """The GPUs in a value of a variable such as CUDA_VISIBLE_DEVICES.

    Example:
        >>> listed_gpus("0, GPU-8932f937"), listed_gpus("-1"), listed_gpus("NoDevFiles")
        (['0', 'GPU-8932f937'], [], [])
    """
    return [gpu.strip() for gpu in value.split(",") if gpu.strip() not in ("", "-1", "NoDevFiles")]


@final
class NVIDIA(Make):
    """NVIDIA. Each card has a file in /dev. Slices of cards (MIG) have identifiers, which the environment lists."""

    name = "NVIDIA"
    device = "cuda"
    toolkit = "cuda"
    variables = ("CUDA_VISIBLE_DEVICES",)
    tool = "nvidia-smi"
    sharing = "as meant for small networks, and faster with CUDA MPS"

    @override
    def cards(self, environment: Mapping[str, str], root: Path) -> list[str]:
        found = {
            int(number): path
            for path in root.glob("dev/nvidia*")
            if (number := path.name.removeprefix("nvidia")).isdecimal()
        }
        return [str(number) for number, path in sorted(found.items()) if _may_open(path)]

    @override
    def only(self, gpu: str) -> dict[str, str]:
        return {"CUDA_VISIBLE_DEVICES": gpu}

    @override
    def none(self) -> dict[str, str]:
        return {"CUDA_VISIBLE_DEVICES": ""}


@final
class AMD(Make):
    """AMD. Its GPUs are the nodes of the kernel's compute topology (KFD) that have SIMD units.

    ROCR_VISIBLE_DEVICES takes numbers or identifiers of the machine. HIP_VISIBLE_DEVICES, which applies after it, takes
    numbers among the GPUs that it has left; CUDA_VISIBLE_DEVICES may take its place. See "GPU isolation techniques" and
    "HIP environment variables" in the documentation of ROCm.
    """

    name = "AMD"
    device = "hip"
    toolkit = "hip"
    variables = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
    tool = "rocm-smi"

    @override
    def cards(self, environment: Mapping[str, str], root: Path) -> list[str]:
        if not _may_open(root / "dev/kfd"):
            return []
        nodes = [path for path in root.glob("sys/class/kfd/kfd/topology/nodes/*") if path.name.isdecimal()]
        counts = [_count_simd_units(node) for node in sorted(nodes, key=lambda node: int(node.name))]
        # A node that cannot be read is a GPU that a control group keeps from this process, so it must be counted too.
        # Processors have no SIMD units.
        gpus = [count for count in counts if count != 0]
        return [str(number) for number, count in enumerate(gpus) if count is not None]

    @override
    def limits(self, environment: Mapping[str, str]) -> dict[str, str]:
        # CUDA_VISIBLE_DEVICES counts only alone, because Slurm sets it to the same value as ROCR_VISIBLE_DEVICES, where
        # it would hide every GPU.
        limits = super().limits(environment)
        return limits or {name: environment[name] for name in NVIDIA.variables if name in environment}

    @override
    def visible(self, environment: Mapping[str, str]) -> list[str] | None:
        lists = [listed_gpus(value) for value in self.limits(environment).values()]
        if len(lists) < 2:
            return lists[0] if lists else None
        left, chosen = lists
        numbered = dict(zip(map(str, range(len(left))), left, strict=True))
        return [numbered.get(gpu, gpu) for gpu in chosen if gpu in numbered or not gpu.isdecimal()]

    @override
    def only(self, gpu: str) -> dict[str, str]:
        # The other variables apply after ROCR_VISIBLE_DEVICES, which leaves one GPU, so they must name the first one.
        return {"ROCR_VISIBLE_DEVICES": gpu, "HIP_VISIBLE_DEVICES": "0", "GPU_DEVICE_ORDINAL": "0"}

    @override
    def none(self) -> dict[str, str]:
        return {"ROCR_VISIBLE_DEVICES": "-1", "HIP_VISIBLE_DEVICES": "-1"}


def _count_simd_units(node: Path) -> int | None:
    """The number of SIMD units of a node; None when the kernel does not describe it to this process."""
    try:
        found = re.search(r"^simd_count (\d+)$", (node / "properties").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else 0


@final
class Intel(Make):
    """Intel. Its GPUs are the cards of the kernel's graphics drivers, without the graphics of processors.

    A card may have several tiles, each of which is a device, unless ZE_FLAT_DEVICE_HIERARCHY joins them. See
    "Environment Variables" in the programming guide of oneAPI Level Zero.
    """

    name = "Intel"
    device = "xpu"
    toolkit = "xpu"
    variables = ("ZE_AFFINITY_MASK",)
    tool = "xpu-smi"
    _VENDOR = "0x8086"
    _OF_PROCESSOR = "0000:00:02.0"  # The place of a processor's graphics on the PCI bus.

    @override
    def cards(self, environment: Mapping[str, str], root: Path) -> list[str]:
        joined = environment.get("ZE_FLAT_DEVICE_HIERARCHY") == "COMPOSITE"
        ours = [path for path in sorted(root.glob("sys/class/drm/renderD*")) if self._is_card(path / "device")]
        found = []
        for number, path in enumerate(ours):
            if _may_open(root / "dev/dri" / path.name):
                tiles = 1 if joined else _count_tiles(path / "device")
                found += [str(number)] if tiles == 1 else [f"{number}.{tile}" for tile in range(tiles)]
        return found

    def _is_card(self, device: Path) -> bool:
        with contextlib.suppress(OSError):
            is_ours = (device / "vendor").read_text(encoding="utf-8").strip() == self._VENDOR
            return is_ours and device.resolve().name != self._OF_PROCESSOR
        return False

    @override
    def only(self, gpu: str) -> dict[str, str]:
        return {"ZE_AFFINITY_MASK": gpu}

    @override
    def none(self) -> dict[str, str]:
        # An empty mask would limit nothing, so another variable must hide the GPUs.
        return {"ONEAPI_DEVICE_SELECTOR": "opencl:cpu"}


def _count_tiles(device: Path) -> int:
    """The number of tiles of a card, as its driver (xe or i915) shows them."""
    return len([*device.glob("tile[0-9]*")] or [*device.glob("drm/card*/gt/gt[0-9]*")] or [device])


def _may_open(path: Path) -> bool:
    """Whether this process may use a device, which a control group may deny; the device is not opened."""
    return os.access(path, os.R_OK | os.W_OK)


MAKES: Sequence[Make] = (NVIDIA(), AMD(), Intel())
"""All makes that evo knows, the most frequent first."""


@final
@dataclass(frozen=True)
class Gpus:
    """The GPUs from which this process may choose.

    Args:
        make: The make of the GPUs; without any, the most likely one.
        cards: The numbers of the GPUs, as `Make.cards` returned them.
    """

    make: Make
    cards: Sequence[str] = ()

    def choices(self, environment: Mapping[str, str]) -> list[str]:
        """The GPUs to choose from, as `Make.only` takes them: those that the environment shows, or all.

        Args:
            environment: The environment variables.
        """
        visible = self.make.visible(environment)
        return [str(number) for number in range(len(self.cards))] if visible is None else visible

    def own_name(self, gpu: str) -> str:
        """The name of a GPU on the machine, which may differ from its name in a control group that shows it alone.

        Args:
            gpu: One of the choices.
        """
        return self.cards[int(gpu)] if gpu.isdecimal() and int(gpu) < len(self.cards) else gpu


def find_gpus(environment: Mapping[str, str], root: Path = ROOT, toolkits: Collection[str] | None = None) -> Gpus:
    """The GPUs of this machine that this process may open.

    GPUs of AMD and Intel count only where torch is built for them or one of their variables is set, because many
    processors have graphics of these makes.

    Args:
        environment: The environment variables.
        root: The folder that holds dev and sys.
        toolkits: The toolkits that torch is built for, as in `Make.toolkit`; None means those of the installed torch.
    """
    built_for = torch_toolkits() if toolkits is None else toolkits
    meant = [make for make in MAKES if make.toolkit in built_for]
    told = [make for make in MAKES if any(variable in environment for variable in make.variables)]
    likely = list(dict.fromkeys([*meant, MAKES[0], *told]))
    for make in likely:
        if cards := make.cards(environment, root):
            return Gpus(make, cards)
    return Gpus(next((make for make in likely if make in told), likely[0]))


def make_of(device: str) -> Make | None:
    """The make of a device by its name; None when it is no GPU.

    Args:
        device: The name of the device, as in maps and records.

    Example:
        >>> make_of("hip:3").name, make_of("cpu")
        ('AMD', None)
    """
    return next((make for make in MAKES if device.startswith(f"{make.device}:")), None)


@functools.cache
def torch_toolkits() -> frozenset[str]:
    """The toolkits that the installed torch is built for, read from a file of it because importing it takes seconds."""
    with contextlib.suppress(OSError, ValueError):
        found = importlib.util.find_spec("torch")
        if found and found.origin:
            text = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")
            return frozenset(re.findall(r"^(cuda|hip|xpu)\b[^=\n]*= *['\"]", text, re.MULTILINE))
    return frozenset()
