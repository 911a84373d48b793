"""GPUs: one class for each make. The environment tells of them, and what the kernel shows; no driver is loaded."""

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
        name: What people call it.
        device: Names of its devices begin so in maps and records.
        toolkit: What `torch.version` calls that which torch must be built for.
        variables: Those that limit which GPUs a process sees.
        tool: The command that shows these GPUs and their driver.
        sharing: What to know when several processes share one.
    """

    name: ClassVar[str]
    device: ClassVar[str]
    toolkit: ClassVar[str]
    variables: ClassVar[tuple[str, ...]]
    tool: ClassVar[str]
    sharing: ClassVar[str] = "as meant for small networks"

    @abstractmethod
    def cards(self, environment: Mapping[str, str], root: Path) -> list[str]:
        """The GPUs that this process may open, in the order in which its numbers count them.

        Args:
            environment: Environment variables.
            root: Where dev and sys are.

        Returns:
            The number of each among all of the machine, be they open to this process or not.
        """

    def limits(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The variables that limit which GPUs this process sees, with their values.

        Args:
            environment: Environment variables.
        """
        return {name: environment[name] for name in self.variables if name in environment}

    def visible(self, environment: Mapping[str, str]) -> list[str] | None:
        """The GPUs that the environment shows, as `only` takes them; None when it limits nothing.

        Args:
            environment: Environment variables.
        """
        lists = [listed_gpus(value) for value in self.limits(environment).values()]
        return lists[0] if lists else None

    @abstractmethod
    def only(self, gpu: str) -> dict[str, str]:
        """The variables that show one GPU and no other.

        Args:
            gpu: Its number, or its identifier.
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
    """NVIDIA: a file in /dev for each card. Slices of cards (MIG) have identifiers, which the environment lists."""

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
    """AMD: nodes of the kernel's topology for computing (KFD) that have SIMD units.

    ROCR_VISIBLE_DEVICES takes numbers or identifiers of the machine; HIP_VISIBLE_DEVICES, which is asked after it,
    takes numbers among what that has left, and CUDA_VISIBLE_DEVICES may be in its place. See "GPU isolation techniques"
    and "HIP environment variables" in the documentation of ROCm.
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
        # The kernel refuses to describe those that a control group keeps from this process; processors it describes.
        gpus = [count for count in counts if count != 0]
        return [str(number) for number, count in enumerate(gpus) if count is not None]

    @override
    def limits(self, environment: Mapping[str, str]) -> dict[str, str]:
        # Beside ROCR_VISIBLE_DEVICES, Slurm sets CUDA_VISIBLE_DEVICES to the same, where it would hide all.
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
        # What is asked later than ROCR_VISIBLE_DEVICES finds one GPU left, whatever it was set to before.
        return {"ROCR_VISIBLE_DEVICES": gpu, "HIP_VISIBLE_DEVICES": "0", "GPU_DEVICE_ORDINAL": "0"}

    @override
    def none(self) -> dict[str, str]:
        return {"ROCR_VISIBLE_DEVICES": "-1", "HIP_VISIBLE_DEVICES": "-1"}


def _count_simd_units(node: Path) -> int | None:
    """How many SIMD units a node has; None when the kernel does not describe it to this process."""
    try:
        found = re.search(r"^simd_count (\d+)$", (node / "properties").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else 0


@final
class Intel(Make):
    """Intel: cards of the kernel's graphics drivers, but for the graphics of a processor.

    A card may have several tiles, each of which is a device, unless ZE_FLAT_DEVICE_HIERARCHY joins them. See
    "Environment Variables" in the programming guide of oneAPI Level Zero.
    """

    name = "Intel"
    device = "xpu"
    toolkit = "xpu"
    variables = ("ZE_AFFINITY_MASK",)
    tool = "xpu-smi"
    _VENDOR = "0x8086"
    _OF_PROCESSOR = "0000:00:02.0"  # Where the graphics of a processor are on the PCI bus.

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
        # An empty mask limits nothing.
        return {"ONEAPI_DEVICE_SELECTOR": "opencl:cpu"}


def _count_tiles(device: Path) -> int:
    """How many tiles a card has, by its driver, which is xe or i915."""
    return len([*device.glob("tile[0-9]*")] or [*device.glob("drm/card*/gt/gt[0-9]*")] or [device])


def _may_open(path: Path) -> bool:
    """Whether this process may use a device: asks for the right, which a control group may deny, and opens nothing."""
    return os.access(path, os.R_OK | os.W_OK)


MAKES: Sequence[Make] = (NVIDIA(), AMD(), Intel())
"""All that evo knows, the most frequent first."""


@final
@dataclass(frozen=True)
class Gpus:
    """The GPUs from which this process may choose.

    Args:
        make: Their make, or that of those which there would be.
        cards: What `Make.cards` has found.
    """

    make: Make
    cards: Sequence[str] = ()

    def choices(self, environment: Mapping[str, str]) -> list[str]:
        """As `Make.only` takes them: what the environment shows, or else all.

        Args:
            environment: Environment variables.
        """
        visible = self.make.visible(environment)
        return [str(number) for number in range(len(self.cards))] if visible is None else visible

    def own_name(self, gpu: str) -> str:
        """How the machine calls a GPU that this process may call otherwise: a control group may show it alone, as 0.

        Args:
            gpu: One of the choices.
        """
        return self.cards[int(gpu)] if gpu.isdecimal() and int(gpu) < len(self.cards) else gpu


def find_gpus(environment: Mapping[str, str], root: Path = ROOT, toolkits: Collection[str] | None = None) -> Gpus:
    """The GPUs of this machine that this process may open.

    Those of AMD and Intel count where torch is built for them or a variable of theirs is set, since many a processor
    has graphics of these makes.

    Args:
        environment: Environment variables.
        root: Where dev and sys are.
        toolkits: What torch is built for, as `Make.toolkit`; None: what the installed one says.
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
        device: As in maps and records.

    Example:
        >>> make_of("hip:3").name, make_of("cpu")
        ('AMD', None)
    """
    return next((make for make in MAKES if device.startswith(f"{make.device}:")), None)


@functools.cache
def torch_toolkits() -> frozenset[str]:
    """What the installed torch is built for, read from its file of versions, since importing it takes seconds."""
    with contextlib.suppress(OSError, ValueError):
        found = importlib.util.find_spec("torch")
        if found and found.origin:
            text = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")
            return frozenset(re.findall(r"^(cuda|hip|xpu)\b[^=\n]*= *['\"]", text, re.MULTILINE))
    return frozenset()
