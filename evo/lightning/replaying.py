"""What a network computes for one batch, done again to time it and to count its operations."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, final

import lightning as L
import torch
import torchmetrics
from torch import nn
from torch.nn.modules.loss import _Loss
from torch.utils.flop_counter import FlopCounterMode

from evo.lightning.accelerators import gpu_module

# Losses and metrics; and modules of TorchScript, which are seen only as part of what calls them.
_NO_NETWORK = (torchmetrics.Metric, torchmetrics.MetricCollection, _Loss, torch.jit.ScriptModule)
WARM_UPS, TIMED = 2, 5  # Fixed numbers, because processes that train together must compute equally often.


@final
class OutermostCalls:
    """The calls of a module and its submodules that are not part of another such call, each with its arguments.

    These are the network's share of a step: the module itself where the step calls it, and where it does not, those of
    its submodules that it calls. Losses and metrics are no part of the network, and calling a metric twice would change
    it.

    Args:
        module: The module.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> calls = OutermostCalls(network)
        >>> _ = network[0](torch.zeros(4, 2))
        >>> calls.end()
        >>> calls.flops()
        48
    """

    def __init__(self, module: nn.Module) -> None:
        self._calls: list[tuple[nn.Module, tuple[Any, ...], Mapping[str, Any]]] = []
        self._within: list[bool] = []  # For each call under way whether it counts.
        self._handles: list[Any] = []
        for each in module.modules():
            if not isinstance(each, _NO_NETWORK):
                self._handles.append(each.register_forward_pre_hook(self._enter, with_kwargs=True))
                self._handles.append(each.register_forward_hook(self._leave, always_call=True))

    def __bool__(self) -> bool:
        return bool(self._calls)

    def _enter(self, module: nn.Module, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> None:
        # Strategies put a whole step in the place of forward, and then call the module.
        counts = not (isinstance(module, L.LightningModule) and "forward" in vars(module))
        if counts and not any(self._within):
            self._calls.append((module, arguments, options))
        self._within.append(counts)

    def _leave(self, *_: Any) -> None:
        self._within.pop()

    def end(self) -> None:
        """Note no further calls."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def flops(self) -> int:
        """The floating-point operations of all calls: those of convolutions, matrix products and attention.

        A multiplication and the addition that goes with it are two.
        """
        with _in_plain_operations(), FlopCounterMode(display=False) as counter:
            self._repeat()
        return int(counter.get_total_flops())

    def seconds(self, clock: Callable[[], float] = time.perf_counter) -> float:
        """The seconds that all calls take together: the median of some, after others that warm up."""
        gpus = gpu_module()
        times = []
        for _ in range(WARM_UPS + TIMED):
            if gpus:
                gpus.synchronize()
            began = clock()
            self._repeat()
            if gpus:
                gpus.synchronize()
            times.append(clock() - began)
        return statistics.median(times[WARM_UPS:])

    def _repeat(self) -> None:
        for module, arguments, options in self._calls:
            module(*arguments, **options)


@contextmanager
def _in_plain_operations() -> Iterator[None]:
    """Let recurrent layers and attention be made of matrix products; in one piece, torch counts nothing of them."""
    from torch.nn.attention import SDPBackend, sdpa_kernel  # Since torch 2.3, which only this needs.

    fast = torch.backends.mha.get_fastpath_enabled()
    with warnings.catch_warnings(), ExitStack() as settings:
        warnings.simplefilter("ignore")  # These settings warn of devices that are not there.
        settings.callback(torch.backends.mha.set_fastpath_enabled, fast)
        torch.backends.mha.set_fastpath_enabled(False)
        settings.enter_context(sdpa_kernel(SDPBackend.MATH))
        settings.enter_context(torch.backends.mkldnn.flags(enabled=False))
        settings.enter_context(torch.backends.cudnn.flags(enabled=False))
        yield
