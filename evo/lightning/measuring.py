"""What evo measures of a training by itself when objectives or bounds name it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, final

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.data import extract_batch_size
from typing_extensions import override

from evo.errors import UserError
from evo.lightning.accelerators import gpu_module
from evo.lightning.meters import EnergyMeter, energy_meters, forget_peak, peak_bytes
from evo.lightning.replaying import OutermostCalls
from evo.objective.ready import READY_METRICS
from evo.population.objectives import Objectives

_OF_A_BATCH = ("flops", "latency")
_SPENT = ("peak_memory", "seconds", "energy")
_ENERGY = "energy of "  # Before the name of a meter.


def check_measurable(objectives: Objectives) -> None:
    """Make sure that what objectives and bounds name can be measured here, before anything is trained.

    Args:
        objectives: The objectives and bounds.

    Raises:
        UserError: Energy cannot.
    """
    if "energy" in objectives.metrics:
        energy_meters()


@final
class Measuring(L.Callback):
    """Measures a training, but only what is asked for.

    The number of parameters, the operations and the latency are known from the first batch of the first validation on,
    so that also a training that is pruned has them. What a training spends is known at any time, up to that. A training
    that goes on adds to what its earlier attempts have spent until they saved their state.

    Args:
        names: The names of what is wanted; those that are no ready metrics are ignored.
        clock: Tells the time in seconds.

    Attributes:
        refusals: Why something could not be measured, by its name. The module may log it all the same.

    Raises:
        UserError: Energy cannot be measured.
    """

    def __init__(self, names: Collection[str], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._names = [name for name in READY_METRICS if name in names]
        self._clock = clock
        self._fixed: dict[str, float] = {}  # What is known once and for all.
        self._spent: dict[str, float] = {}
        self.refusals: dict[str, str] = {}
        self._calls: OutermostCalls | None = None
        self._meters: Sequence[EnergyMeter] = energy_meters() if "energy" in self._names else ()
        self._readings: dict[str, float] = {}
        self._last: float | None = None

    @property
    def known(self) -> set[str]:
        """The names of what has a value by now."""
        return {*self._fixed, *(name for name in self._names if name in _SPENT)}

    def state(self) -> dict[str, dict[str, float]]:
        """What a training needs to know when it goes on."""
        if not self._names:
            return {}
        self._count()
        return {"fixed": dict(self._fixed), "spent": dict(self._spent)}

    def load(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Go on from what `state` has returned."""
        self._fixed, self._spent = dict(state.get("fixed", {})), dict(state.get("spent", {}))

    def values(self) -> dict[str, float]:
        """What is known so far; energy has a value for each meter, see `combined`."""
        self._count()
        return {**self._fixed, **self._spent}

    @override
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if "peak_memory" in self._names:
            forget_peak()
        self._last = self._clock()
        self._readings = {meter.name: meter.read() for meter in self._meters}

    @override
    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        wanted = [name for name in _OF_A_BATCH if name in self._names]
        if batch_idx == dataloader_idx == 0 and not all(
            name in self._fixed or name in self.refusals for name in wanted
        ):
            self._calls = OutermostCalls(pl_module)

    @override
    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._count_parameters(pl_module)
        if self._calls is None:
            return
        calls, self._calls = self._calls, None
        calls.end()
        with _same_generators(), trainer.precision_plugin.val_step_context():
            for name in _OF_A_BATCH:
                if name in self._names:
                    self._measure(name, calls, batch)

    def _measure(self, name: str, calls: OutermostCalls, batch: Any) -> None:
        if not calls:
            why = "validation_step calls neither self(...) nor a layer of the module; let it call one"
            self.refusals[name] = f"{name} cannot be measured: {why}"
            return
        try:
            self._fixed[name] = _flops(calls, batch) if name == "flops" else calls.seconds()
        except UserError as error:
            self.refusals[name] = str(error)

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._count_parameters(pl_module)  # There may be no validation.

    def _count_parameters(self, module: L.LightningModule) -> None:
        # Layers that find their sizes by their first batch have them when it is over.
        if "parameters" in self._names and "parameters" not in self._fixed:
            self._fixed["parameters"] = sum(each.numel() for each in module.parameters())

    def _count(self) -> None:
        """Add what was spent since the last time."""
        if self._last is None:
            return
        before, self._last = self._last, self._clock()
        if "seconds" in self._names:
            self._spent["seconds"] = self._spent.get("seconds", 0.0) + self._last - before
        if "peak_memory" in self._names:
            self._spent["peak_memory"] = max(self._spent.get("peak_memory", 0), peak_bytes())
        for meter in self._meters:
            name, now = f"{_ENERGY}{meter.name}", meter.read()
            spent = meter.since(self._readings[meter.name], now)
            self._spent[name] = self._spent.get(name, 0.0) + spent
            self._readings[meter.name] = now


def combined(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What processes that train together have measured: the highest peak, the energy of all meters, else the first's.

    Args:
        shares: The values of each process, see `Measuring.values`.

    Example:
        >>> one, other = {"seconds": 5.0, "energy of A": 2.0}, {"seconds": 6.0, "energy of A": 2.5, "energy of B": 1.0}
        >>> combined([one, other])
        {'seconds': 5.0, 'energy': 3.5}
    """
    first = {name: value for name, value in shares[0].items() if not name.startswith(_ENERGY)}
    if "peak_memory" in first:
        first["peak_memory"] = max(share["peak_memory"] for share in shares)
    meters: dict[str, float] = {}
    for share in shares:
        for name, joules in share.items():
            if name.startswith(_ENERGY):
                # Processes on one device all read its meter.
                meters[name] = max(meters.get(name, 0.0), joules)
    return {**first, "energy": sum(meters.values())} if meters else first


def _flops(calls: OutermostCalls, batch: Any) -> float:
    flops = calls.flops()
    if not flops:
        raise UserError(
            "flops cannot be measured: torch counts none in the layers that validation_step calls, which are neither "
            "convolutions nor matrix products nor attention"
        )
    try:
        return flops / extract_batch_size(batch)
    except (MisconfigurationException, RecursionError) as error:
        raise UserError(
            "flops cannot be told for one example, because the batch of the validation has no tensor whose first "
            "dimension is the number of examples"
        ) from error


def _same_generators() -> Any:
    """Let torch's random numbers go on afterwards as if nothing had been measured."""
    gpus = gpu_module()
    kind = "xpu" if gpus is torch.xpu else "cuda"
    return torch.random.fork_rng(range(gpus.device_count()) if gpus else (), device_type=kind)
