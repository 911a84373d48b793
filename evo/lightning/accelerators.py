"""Which GPUs torch sees, of any make, and what Lightning is to train on."""

from __future__ import annotations

from types import ModuleType

import torch
from lightning.pytorch.accelerators import AcceleratorRegistry


def gpu_module() -> ModuleType | None:
    """The module of torch for the GPUs that it sees: `torch.cuda`, for those of AMD as well, or `torch.xpu`."""
    return next((module for module in (torch.cuda, torch.xpu) if module.is_available()), None)


def usual_accelerator() -> str:
    """The accelerator of a Trainer whose user names none: Lightning's own choice, but for GPUs of Intel.

    Lightning has none for these; a package beside it may have registered one.
    """
    return "xpu" if gpu_module() is torch.xpu and knows_xpu() else "auto"


def knows_xpu() -> bool:
    """Whether Lightning can train on GPUs of Intel."""
    return "xpu" in AcceleratorRegistry.available_accelerators()
