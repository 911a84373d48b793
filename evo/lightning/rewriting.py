"""A training's own hyperparameters, written after the donor's state was loaded, and found to be there."""

from __future__ import annotations

import copy
import operator
from collections.abc import Collection, Mapping
from typing import Any, final

import lightning as L

from evo.lightning.hyperparameters import (
    LEARNING_RATES,
    SCHEDULED,
    check_written,
    group_values,
    is_same,
    optimizer_records,
    own_state,
    own_values,
    scheduler_records,
    set_group_values,
)
from evo.lightning.schedules import Scheduled, scheduled_by


@final
class OwnHyperparameters:
    """What the optimizers and schedulers of a training were made with.

    Args:
        trainer: The Trainer, into whose optimizers and schedulers nothing was loaded yet.
        module: The module.

    Attributes:
        records: All of it as plain values: "optimizers" and "schedulers", see `evo.lightning.hyperparameters`.
    """

    def __init__(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._trainer = trainer
        self._module = module
        self.records = {"optimizers": optimizer_records(trainer, module), "schedulers": scheduler_records(trainer)}
        self._values = [group_values(optimizer) for optimizer in trainer.optimizers]
        # A callback may put others in their place later.
        self._schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        self._states = [copy.deepcopy(scheduler.state_dict()) for scheduler in self._schedulers]
        self._scheduled: list[Scheduled | None] = [None] * len(self._states)
        # What was written, and what had been loaded: of which optimizer's groups, and of which scheduler.
        self._groups: dict[int, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}
        self._schedules: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}

    @property
    def _is_replaced(self) -> bool:
        """Whether a callback that trains on at rates of its own has put its scheduler in the place of these."""
        present = [config.scheduler for config in self._trainer.lr_scheduler_configs]
        return len(present) != len(self._schedulers) or any(map(operator.is_not, present, self._schedulers))

    def are_those_of(self, donors: Mapping[str, Any]) -> bool:
        """Whether the donor was made with the same values."""
        return all(name in donors and is_same(record, donors[name]) for name, record in self.records.items())

    def follow_schedules(self, epochs: int, donors: Mapping[str, Any]) -> None:
        """Find out what the schedules say after so many epochs, see `evo.lightning.schedules.scheduled_by`."""
        self._scheduled = scheduled_by(self._trainer, self._module, epochs, donors)

    def write(self, donors: Mapping[str, Any], kept: Collection[int]) -> None:
        """Write them into optimizers and schedulers.

        Args:
            donors: What the donor has recorded, as in `records`; and "finds_rate", whether its learning rate was found
                by a search.
            kept: The numbers of the optimizers whose state is the donor's.

        Raises:
            UserError: They did not take effect.
        """
        for number, optimizer in enumerate(self._trainer.optimizers):
            theirs = donors["optimizers"][number]["groups"] if number in kept else None
            restored = group_values(optimizer)
            own = self._values[number]
            wanted = [
                own_values(
                    own[group],
                    theirs[group]["values"] if theirs else None,
                    restored[group],
                    self._by_schedule(number, group, donors),
                    is_rate_found=donors.get("finds_rate", False),
                )
                for group in range(min(len(own), len(restored)))
            ]
            if self._is_replaced:
                kept_rates = ({key: one[key] for key in LEARNING_RATES if key in one} for one in restored)
                wanted = [{**values, **rates} for values, rates in zip(wanted, kept_rates, strict=False)]
            set_group_values(optimizer, wanted)
            self._groups[number] = wanted, restored
        for number, scheduler in enumerate(() if self._is_replaced else self._schedulers):
            self._schedules[number] = self._write_schedule(number, scheduler, donors, kept)
        self._check(strictly=True)

    def check(self) -> None:
        """Make sure that what was written is still there.

        Raises:
            UserError: The donor's values are there instead.
        """
        self._check(strictly=False)

    def _write_schedule(
        self, number: int, scheduler: Any, donors: Mapping[str, Any], kept: Collection[int]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Write the state of a scheduler; returns it, and the one that was loaded."""
        optimizer = getattr(scheduler, "optimizer", None)
        restored = copy.deepcopy(scheduler.state_dict())
        scheduled = self._scheduled[number]
        goes_on = self.goes_on(number, donors, kept)
        wanted = own_state(
            self._states[number],
            donors["schedulers"][number]["state"] if goes_on else None,
            restored,
            scheduled.state if scheduled else None,
        )
        if "_last_lr" in wanted and optimizer is not None:
            wanted["_last_lr"] = [group["lr"] for group in optimizer.param_groups]
        scheduler.load_state_dict(copy.deepcopy(wanted))
        return wanted, restored

    def goes_on(self, number: int, donors: Mapping[str, Any], kept: Collection[int]) -> bool:
        """Whether a scheduler can go on from the donor's: it is of the same class, and so is its optimizer."""
        theirs = donors.get("schedulers", [])
        optimizer = getattr(self._schedulers[number], "optimizer", None)
        is_kept = all(n in kept for n, each in enumerate(self._trainer.optimizers) if each is optimizer)
        own = self.records["schedulers"][number]["name"]
        return is_kept and number < len(theirs) and theirs[number]["name"] == own

    def _by_schedule(self, number: int, group: int, donors: Mapping[str, Any]) -> dict[str, Any] | None:
        """What a group has at this place of the training whatever the donor has, as far as it does not depend on that.

        Without a schedule that is what it was made with, if a schedule has changed the donor's.
        """
        optimizer = self._trainer.optimizers[number]
        for scheduler, scheduled in zip(self._schedulers, self._scheduled, strict=True):
            if scheduled and getattr(scheduler, "optimizer", None) is optimizer:
                return scheduled.values[group]
        own, theirs = ([each["name"] for each in one.get("schedulers", [])] for one in (self.records, donors))
        return None if own == theirs else self._values[number][group]

    def _check(self, *, strictly: bool) -> None:
        for number, (wanted, restored) in self._groups.items():
            optimizer = self._trainer.optimizers[number]
            for group, values in enumerate(wanted):
                if not strictly and self._is_replaced:
                    values = {key: value for key, value in values.items() if key not in SCHEDULED}
                what = f"group {group + 1} of {type(optimizer).__name__}"
                check_written(what, optimizer.param_groups[group], values, None if strictly else restored[group])
        for number, (state, loaded) in self._schedules.items():
            scheduler = self._schedulers[number]
            check_written(type(scheduler).__name__, scheduler.state_dict(), state, None if strictly else loaded)
