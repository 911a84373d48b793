"""The makes of GPU: which ones a process may open, which ones the environment shows, and how to show one or none."""

from __future__ import annotations

import contextlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import ClassVar, final

from typing_extensions import override


class Make(ABC):
    """A make of GPU.

    Attributes:
        name: The name of the make.
        device: The beginning of its devices' names in maps and records.
        toolkit: The name in `torch.version` of the toolkit that torch must be built for.
        variables: The variables that limit which GPUs a process sees.
        identifiers: The beginnings of identifiers, which these variables may hold instead of numbers.
        tool: The command that shows these GPUs and their driver.
        sharing: A remark for users whose processes share one GPU.
    """

    name: ClassVar[str]
    device: ClassVar[str]
    toolkit: ClassVar[str]
    variables: ClassVar[tuple[str, ...]]
    identifiers: ClassVar[tuple[str, ...]] = ()
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

    def visible(self, environment: Mapping[str, str], cards: Sequence[str] = ()) -> list[str] | None:
        """The GPUs that the environment shows, as `only` takes them; None when it limits nothing.

        Args:
            environment: The environment variables.
            cards: The GPUs that `cards` has found. If there are none, any number counts as valid.
        """
        lists = [listed_gpus(value, self.identifiers, len(cards)) for value in self.limits(environment).values()]
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


def entries(value: str) -> list[str]:
    """All entries in the value of a variable such as CUDA_VISIBLE_DEVICES, whether they name GPUs or not."""
    return [entry.strip() for entry in value.split(",")]


def listed_gpus(value: str, identifiers: tuple[str, ...] = ("GPU-",), found: int = 0) -> list[str]:
    """The GPUs in the value of a variable such as CUDA_VISIBLE_DEVICES, up to the first entry that names no GPU.

    CUDA and HIP stop there as well: see "CUDA environment variables" in CUDA's programming guide.

    Args:
        value: The value of the variable.
        identifiers: The beginnings of identifiers.
        found: The number of GPUs, above which numbers are invalid. 0 means that it is not known.

    Example:
        >>> listed_gpus("0, GPU-8932f937"), listed_gpus("0,-1,1"), listed_gpus("all"), listed_gpus("1,6", found=4)
        (['0', 'GPU-8932f937'], ['0'], [], ['1'])
    """

    def is_gpu(entry: str) -> bool:
        return entry.startswith(identifiers) or (_is_number(entry) and (not found or int(entry) < found))

    return list(takewhile(is_gpu, entries(value)))


def _is_number(entry: str) -> bool:
    return entry.isascii() and entry.isdecimal()


@final
class NVIDIA(Make):
    """NVIDIA. Each card has a file in /dev. Slices of cards (MIG) have identifiers, which the environment lists."""

    name = "NVIDIA"
    device = "cuda"
    toolkit = "cuda"
    variables = ("CUDA_VISIBLE_DEVICES",)
    identifiers = ("GPU-", "MIG-")
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
    numbers among the GPUs that it has left; CUDA_VISIBLE_DEVICES or GPU_DEVICE_ORDINAL may take its place. See "GPU
    isolation techniques" and "HIP environment variables" in the documentation of ROCm. An empty list hides all cards
    from ROCm's runtime (ROCR) and from torch, while HIP ignores it (rocdevice.cpp of ROCclr). evo takes it as the wish
    to use the CPU.
    """

    name = "AMD"
    device = "hip"
    toolkit = "hip"
    variables = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
    identifiers = ("GPU-",)
    tool = "rocm-smi"

    @override
    def cards(self, environment: Mapping[str, str], root: Path) -> list[str]:
        if not _may_open(root / "dev/kfd"):
            return []
        nodes = [path for path in root.glob("sys/class/kfd/kfd/topology/nodes/*") if path.name.isdecimal()]
        counts = [_count_simd_units(node) for node in sorted(nodes, key=lambda node: int(node.name))]
        # A node that cannot be read is a GPU that a control group denies, so it must be counted too. Processors have no
        # SIMD units.
        gpus = [count for count in counts if count != 0]
        return [str(number) for number, count in enumerate(gpus) if count is not None]

    @override
    def limits(self, environment: Mapping[str, str]) -> dict[str, str]:
        # The others count only alone: Slurm sets them to the value of ROCR_VISIBLE_DEVICES, after which they hide all.
        limits = super().limits(environment)
        others = {name: environment[name] for name in (*NVIDIA.variables, "GPU_DEVICE_ORDINAL") if name in environment}
        return limits or dict([*others.items()][:1])

    @override
    def visible(self, environment: Mapping[str, str], cards: Sequence[str] = ()) -> list[str] | None:
        left = super().visible(environment, cards)
        values = [*self.limits(environment).values()]
        if not left or len(values) < 2:
            return left
        return [left[int(gpu)] if _is_number(gpu) else gpu for gpu in listed_gpus(values[1], found=len(left))]

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

    A card may have several tiles, each of which is a device with a number, unless ZE_FLAT_DEVICE_HIERARCHY joins them.
    See "Environment Variables" in the programming guide of oneAPI Level Zero, and parseAffinityMask in
    execution_environment.cpp of Intel's compute-runtime: where tiles are devices, the driver ignores entries such as
    0.1 (the second tile of the first card), which are translated here into the numbers that it takes. It skips entries
    that are no device, and an empty mask limits nothing.
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
        joined = self._joins_tiles(environment)
        ours = [path for path in sorted(root.glob("sys/class/drm/renderD*")) if self._is_card(path / "device")]
        found = []
        for number, path in enumerate(ours):
            if _may_open(root / "dev/dri" / path.name):
                tiles = 1 if joined else _count_tiles(path / "device")
                found += [str(number)] if tiles == 1 else [f"{number}.{tile}" for tile in range(tiles)]
        return found

    def _joins_tiles(self, environment: Mapping[str, str]) -> bool:
        return environment.get("ZE_FLAT_DEVICE_HIERARCHY") == "COMPOSITE"

    @override
    def limits(self, environment: Mapping[str, str]) -> dict[str, str]:
        return {name: mask for name, mask in super().limits(environment).items() if mask.strip()}

    @override
    def visible(self, environment: Mapping[str, str], cards: Sequence[str] = ()) -> list[str] | None:
        masks = [entries(mask) for mask in self.limits(environment).values()]
        if not masks:
            return None
        if self._joins_tiles(environment):
            of_cards = [(gpu, gpu.partition(".")[0]) for gpu in masks[0]]
            return [gpu for gpu, card in of_cards if _is_number(card) and (not cards or int(card) < len(cards))]
        numbers = self._numbers_of_tiles(cards)
        translated = [numbers.get(gpu, gpu) for gpu in masks[0]]
        return [gpu for gpu in translated if _is_number(gpu) and (not cards or int(gpu) < len(cards))]

    def _numbers_of_tiles(self, cards: Sequence[str]) -> dict[str, str]:
        """The number of each tile as a device, by the name of it in a mask; masks count cards that may be opened."""
        tiles = [card.partition(".") for card in cards]
        places = {card: place for place, card in enumerate(dict.fromkeys(card for card, _, _ in tiles))}
        return {f"{places[card]}.{tile or 0}": str(number) for number, (card, _, tile) in enumerate(tiles)}

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
        return {"ONEAPI_DEVICE_SELECTOR": "opencl:cpu"}


def _count_tiles(device: Path) -> int:
    """The number of tiles of a card, as its driver (xe or i915) shows them."""
    return len([*device.glob("tile[0-9]*")] or [*device.glob("drm/card*/gt/gt[0-9]*")] or [device])


def _may_open(path: Path) -> bool:
    """Whether this process may use a device, which a control group may deny; the device is not opened."""
    return os.access(path, os.R_OK | os.W_OK)


MAKES: Sequence[Make] = (NVIDIA(), AMD(), Intel())
"""All makes that evo knows, the most frequent first."""
