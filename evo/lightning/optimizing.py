"""An optimizer and a scheduler from sections of their own, applied as LightningCLI applies them."""

from __future__ import annotations

import functools
from types import MethodType
from typing import Any

import lightning as L
from lightning.pytorch.cli import LightningCLI
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.lr_scheduler import ReduceLROnPlateau as PlainReduceLROnPlateau

from evo.lightning.signatures import SectionError


def set_optimizers(module: L.LightningModule, optimizer: Any, lr_scheduler: Any, monitor: str) -> None:
    """Let a module be trained with these, whatever its own configure_optimizers does.

    Args:
        module: The module whose parameters the optimizer has.
        optimizer: The optimizer, made from its section.
        lr_scheduler: The scheduler, made from its section. None means that there is none.
        monitor: The metric that a scheduler such as ReduceLROnPlateau watches, unless it names another one itself.

    Raises:
        SectionError: One of them is neither an optimizer nor a scheduler of torch's.
    """
    for name, thing, kind in (
        ("optimizer", optimizer, Optimizer),
        ("lr_scheduler", lr_scheduler, LRScheduler | None),
    ):
        if not isinstance(thing, kind):
            raise SectionError(f"{name} is made as a {type(thing).__name__}: its class_path must name one of torch's")
    if isinstance(lr_scheduler, PlainReduceLROnPlateau) and not hasattr(lr_scheduler, "monitor"):
        lr_scheduler = _watching(lr_scheduler, monitor)
    configured = functools.partial(_configure, optimizer=optimizer, lr_scheduler=lr_scheduler)
    functools.update_wrapper(configured, LightningCLI.configure_optimizers)  # This makes it count as overridden.
    module.configure_optimizers = MethodType(configured, module)  # type: ignore[method-assign]


def _configure(module: L.LightningModule, optimizer: Optimizer, lr_scheduler: Any) -> Any:
    if isinstance(lr_scheduler, dict):
        return {"optimizer": optimizer, "lr_scheduler": lr_scheduler}
    return LightningCLI.configure_optimizers(module, optimizer, lr_scheduler)


def _watching(scheduler: PlainReduceLROnPlateau, monitor: str) -> dict[str, Any]:
    return {"scheduler": scheduler, "monitor": monitor}
