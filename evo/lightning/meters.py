"""Meters of a machine: the memory that a training uses, and its energy."""

from __future__ import annotations

import importlib
import re
import resource
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from evo.errors import UserError
from evo.lightning.accelerators import gpu_module

POWERCAP = Path("/sys/class/powercap")  # Linux's interface to the counters of processors (RAPL).
_PROCESS = Path("/proc/self")
_INSTEAD = (
    "Leave energy out of objectives and constraint_metrics, or let the module log a metric of its own with another name"
)


def forget_peak(process: Path = _PROCESS) -> None:
    """Let `peak_bytes` begin anew.

    Args:
        process: The folder by which Linux tells about this process.
    """
    if gpus := gpu_module():
        gpus.reset_peak_memory_stats()
        return
    with suppress(OSError):  # Where Linux does not allow it, the peak is that of the whole process.
        (process / "clear_refs").write_text("5")


def peak_bytes(process: Path = _PROCESS) -> int:
    """The most bytes that were in use at a time: tensors on the GPU, or without one all memory of this process.

    The memory of the process is its resident set, in which libraries are, some hundred megabytes.

    Args:
        process: The folder by which Linux tells about this process.
    """
    if gpus := gpu_module():
        return int(gpus.max_memory_allocated())
    with suppress(OSError):
        if found := re.search(r"^VmHWM:\s+(\d+) kB", (process / "status").read_text(), re.M):
            return int(found[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@final
@dataclass(frozen=True)
class EnergyMeter:
    """A counter of energy.

    Args:
        name: What it measures; another process that measures the same has a meter of the same name.
        read: Returns the joules that it has counted so far.
        turns_over: The joules at which it begins from 0 again.
    """

    name: str
    read: Callable[[], float]
    turns_over: float = float("inf")

    def since(self, before: float, now: float) -> float:
        """The joules between two readings, between which it has turned over once at most.

        Example:
            >>> EnergyMeter("package", lambda: 0.0, turns_over=100.0).since(90.0, 5.0)
            15.0
        """
        return now - before if now >= before else now - before + self.turns_over


def energy_meters() -> list[EnergyMeter]:
    """The meters of what a training uses: its GPU; without one, the processors of this machine.

    Raises:
        UserError: There is none that can be read; the message says why.
    """
    if gpus := gpu_module():
        if gpus is torch.cuda and not torch.version.hip:
            return [_nvidia_meter()]
        raise UserError(f"energy cannot be measured here: only NVIDIA's GPUs tell it to evo. {_INSTEAD}")
    meters, reason = [], f"{POWERCAP} has no counter of a processor"
    # A package has zones for its parts, whose names have a second number.
    for zone in sorted(POWERCAP.glob("*-rapl:*")):
        if zone.name.count(":") != 1:
            continue
        try:
            meters.append(_processor_meter(zone))
        except (OSError, ValueError) as error:
            reason = f"{zone / 'energy_uj'} cannot be read: {error}"
    if not meters:
        raise UserError(f"energy cannot be measured here: torch sees no GPU, and {reason}. {_INSTEAD}")
    return meters


def _processor_meter(zone: Path) -> EnergyMeter:
    counter = zone / "energy_uj"

    def read() -> float:
        return int(counter.read_text()) / 1e6

    read()
    most = int((zone / "max_energy_range_uj").read_text()) / 1e6
    return EnergyMeter(f"{socket.gethostname()} {zone.name}", read, most)


def _nvidia_meter() -> EnergyMeter:
    nvml = _nvml()
    uuid = f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)

        def read() -> float:
            return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000  # It counts in millijoules.

        read()
    except nvml.NVMLError as error:
        raise UserError(
            f"energy cannot be measured here: NVML says {str(error)!r} of {uuid}; GPUs count it since Volta. {_INSTEAD}"
        ) from error
    return EnergyMeter(uuid, read)


def _nvml() -> Any:
    try:
        pynvml = importlib.import_module("pynvml")
    except ImportError as error:
        raise UserError(
            "energy of a GPU is measured by NVML, for which a package is absent: pip install nvidia-ml-py"
        ) from error
    return pynvml
