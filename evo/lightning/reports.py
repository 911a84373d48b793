"""What a training tells the trial: its losses one after another, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, final

import lightning as L
from torch import Tensor
from typing_extensions import override

from evo.errors import UserError
from evo.lightning.group import ALONE, Group
from evo.lightning.measuring import Measuring, combined
from evo.objective.objective import Trial
from evo.objective.ready import COUNTED, READY_METRICS

Mode = Literal["min", "max"]


@final
@dataclass(frozen=True)
class Best:
    """The best value of a training: its epoch (counted from 1), loss (minimised) and finite metrics."""

    epoch: int
    loss: float
    metrics: dict[str, float]


class NotLoggedError(UserError):
    """A training has not logged the metric that is the loss."""


@final
class TrialReport(L.Callback):
    """Reports every monitored value to the trial, remembers the best one, and ends the training when the trial says so.

    The loss is the monitored metric, with its sign turned for mode "max". A metric that is logged in validations is
    taken from these, and a step is one validation, counted from 0; with Lightning's defaults, an epoch. One that only
    training logs, in its steps or in `on_train_epoch_end`, is taken at the end of each epoch, and a step is an epoch.
    A validation or epoch without the metric is not reported. A sanity check, the validation before any training, is
    ignored. Of equal values the earliest is the best, as for ModelCheckpoint.

    With objectives or bounds, the other metrics that they name are taken from the same validation, or epoch, and what
    evo measures itself is added. All values that are known are reported.

    Args:
        trial: The trial that gets the reports.
        monitor: The name of the metric.
        mode: Whether the metric is to be small or large.
        group: The processes that train together.

    Attributes:
        epochs: How many epochs were trained, including one that was cut short.
        measuring: Measures what objectives and bounds name, another callback.
        best: The best value; None before the first one.
        is_unsaved: Whether the weights that the best value belongs to are still to be saved.
        is_kept: Whether the state of this report belongs into the checkpoint that is being made.

    Raises:
        UserError: Only some of the processes that train together have the monitored metric; or one that an objective or
            a bound names is not logged beside it.
        FloatingPointError: The monitored metric, or one that an objective or a bound names, was NaN or infinite.
    """

    def __init__(self, trial: Trial, monitor: str, mode: Mode, group: Group = ALONE) -> None:
        super().__init__()
        self.epochs = trial.begin
        self.best: Best | None = None
        self.is_unsaved = self.is_kept = False
        self.monitor, self.mode = monitor, mode
        self.measuring = Measuring(trial.objectives.metrics)
        self._group = group
        self._trial = trial
        self._sign = 1.0 if mode == "min" else -1.0
        self._step = 0
        self._looked_at = trial.begin  # the last epoch whose end was looked at
        # A metric that was logged again is another tensor; callback_metrics keeps the old tensors of all others.
        self._before_validation: dict[str, Tensor] = {}
        self._before_epoch: dict[str, Tensor] = {}
        # The names that any process has logged.
        self._in_training: set[str] = set()
        self._in_validation: set[str] = set()
        # Whether the monitored metric was logged where callbacks do not see it.
        self._in_validation_steps = False

    @override
    def state_dict(self) -> dict[str, Any]:
        if not self.is_kept:
            return {}
        best = None if self.best is None else asdict(self.best)
        logged = {"training": sorted(self._in_training), "validation": sorted(self._in_validation)}
        measured = {"measured": state} if (state := self.measuring.state()) else {}
        return {"epochs": self.epochs, "best": best, "logged": logged, "step": self._step, **measured}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs, self._step = state_dict["epochs"], state_dict["step"]
        self._looked_at = self.epochs
        logged = state_dict["logged"]
        if not isinstance(logged, Mapping):  # Earlier versions kept one list, and knew metrics of validations only.
            logged = {"training": [], "validation": logged}
        self._in_training, self._in_validation = set(logged["training"]), set(logged["validation"])
        self.best = None if state_dict["best"] is None else Best(**state_dict["best"])
        self.measuring.load(state_dict.get("measured", {}))

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._before_epoch = dict(trainer.callback_metrics)

    @override
    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._before_validation = dict(trainer.callback_metrics)

    @override
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        metrics = self._gather(trainer, self._before_validation)
        if self.monitor in metrics and self.monitor not in self._in_validation:
            self.best = None  # A value of the same name that training had logged is another thing.
        self._in_validation.update(metrics)
        if self.monitor in metrics:
            # Segments are compared at equal steps, so there a step is an epoch, however often there are validations.
            self._take(trainer, metrics, self._step if self._trial.until is None else trainer.current_epoch)
        elif self.monitor in trainer.logged_metrics.keys() - trainer.callback_metrics.keys():
            self._in_validation_steps = True
        self._step += 1

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.epochs += 1

    def end_epoch(self, trainer: L.Trainer) -> None:
        """Take in, once, what is known only when an epoch is over; for callbacks that Lightning calls last of all."""
        if self._looked_at == self.epochs:
            return
        self._looked_at = self.epochs
        metrics = self._gather(trainer, self._before_epoch)
        self._in_training.update(metrics.keys() - self._in_validation)
        if self.monitor in metrics and self.monitor not in self._in_validation:
            self._take(trainer, metrics, self.epochs - 1)
        if self._step and not self._trial.objectives.is_plain:
            self._check_known([self.monitor], self._in_validation | self._in_training, "in its first epoch")

    def values(self) -> dict[str, float]:
        """What objectives and bounds name, by these names: at the best value, and of the whole training.

        All processes that train together ask for it equally often.

        Raises:
            NotLoggedError: The module did not log it.
        """
        best = self.result()
        return self._named({**best.metrics, **self._counts(self.epochs, best)})

    def result(self) -> Best:
        """The best value of the finished training.

        Raises:
            NotLoggedError: The module did not log it.
        """
        if self.best is None:
            raise NotLoggedError(self._why_no_loss())
        return self.best

    def _why_no_loss(self) -> str:
        if self._trial.until is not None and not self._in_validation:
            return (
                f"there was no validation in this part of the training, epoch {self._trial.begin + 1} to {self.epochs},"
                " so there is no loss: let the propagator's interval have one, and give the length of the whole "
                "training in epochs, by max_epochs"
            )
        return (
            f"The module did not log {self.monitor!r}, so there is no loss. It logged in training: "
            f"{_listed(self._in_training)}; in validation: {_listed(self._in_validation)}. "
            + (
                "It was logged for steps of validations, which callbacks do not see: log it with on_epoch=True."
                if self._in_validation_steps
                else "Set monitor to one of them, or log it."
            )
        )

    def _gather(self, trainer: L.Trainer, before: Mapping[str, Tensor]) -> dict[str, float]:
        """What was logged since then, as means over the processes, since each has seen a share of the data."""
        logged = trainer.callback_metrics
        new = {name: float(value) for name, value in logged.items() if value is not before.get(name)}
        shares = self._group.gather(new)
        having = [rank for rank, share in enumerate(shares) if self.monitor in share]
        if having and len(having) < len(shares):
            raise UserError(
                f"Only {_ranks(having)} of the {len(shares)} that train together logged {self.monitor!r}, which is the "
                "loss: log it on all of them, without rank_zero_only."
            )
        return combine(shares)

    def _take(self, trainer: L.Trainer, metrics: Mapping[str, float], step: int) -> None:
        value = metrics[self.monitor]
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{self.monitor} is {value} in epoch {trainer.current_epoch + 1}: the training diverged. A smaller "
                "learning rate or gradient_clip_val helps where this happens often."
            )
        self._check_named(metrics, trainer.current_epoch)
        loss = self._sign * value
        if self.best is None or loss < self.best.loss:
            finite = {name: number for name, number in metrics.items() if math.isfinite(number)}
            self.best = Best(trainer.current_epoch + 1, loss, finite)
            self.is_unsaved = True
        values = self._named({**metrics, **self._counts(trainer.current_epoch + 1, self.best)})
        self._trial.report(values if self._trial.objectives.modes else loss, step=step)
        if self._group.highest(self._trial.should_stop):
            trainer.should_stop = True

    def _counts(self, epochs: int, best: Best) -> dict[str, float]:
        return dict(zip(COUNTED, (epochs, best.epoch), strict=True))

    def _named(self, logged: Mapping[str, float]) -> dict[str, float]:
        """Those of all values that objectives and bounds name; what the module has logged wins."""
        names = self._trial.objectives.metrics
        if not names:
            return {}
        known = {**combined(self._group.gather(self.measuring.values())), **logged}
        return {name: known[name] for name in names if name in known}

    def _check_named(self, metrics: Mapping[str, float], epoch: int) -> None:
        names = self._trial.objectives.metrics
        self._check_known(names, metrics, "where the monitored metric was, which counts together with it")
        for name in names:
            if not math.isfinite(metrics.get(name, 0.0)):
                raise FloatingPointError(f"{name} is {metrics[name]} in epoch {epoch + 1}: it must be finite.")

    def _check_known(self, names: Collection[str], logged: Collection[str], where: str) -> None:
        """Make sure that all is known that objectives and bounds name, rather than train to the end without it."""
        for name in names:
            if name in logged or name in COUNTED or name in self.measuring.known:
                continue
            if refusal := self.measuring.refusals.get(name):
                raise UserError(refusal)
            modes = self._trial.objectives.modes
            role = "is an objective" if name in modes else "is monitored" if name == self.monitor else "has a bound"
            ready = ", ".join((*READY_METRICS, *COUNTED))
            raise UserError(
                f"{name!r} {role}, but the module did not log it {where}. It logged there: {_listed(logged)}. Log it, "
                f"or name one of them, or what evo measures itself: {ready}."
            )


def combine(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Metrics of processes that train together: means of those that all have, the others from the first that has them.

    Args:
        shares: The metrics of each process, in their order.

    Example:
        >>> combine([{"loss": 1.0, "hits": 5.0}, {"loss": 2.0, "size": 7.0}])
        {'loss': 1.5, 'hits': 5.0, 'size': 7.0}
    """
    if len(shares) == 1:
        return dict(shares[0])
    first: dict[str, float] = {}
    for share in shares:
        first = {**share, **first}
    names = [name for share in shares for name in share]
    return {
        name: math.fsum(share[name] for share in shares) / len(shares)
        if all(name in share for share in shares)
        else first[name]
        for name in dict.fromkeys(names)
    }


def check_validations(epochs: int | None, every: int | None, batches: float | None) -> None:
    """Make sure that a training has a validation at all.

    Args:
        epochs: The most epochs that it may take; -1 means no limit.
        every: The number of epochs between validations. None means it is not set, or they do not go by epochs.
        batches: Lightning's limit_val_batches, the batches of a validation; 0 means that there is to be none.

    Raises:
        UserError: The training ends before its first validation.
    """
    if isinstance(epochs, int) and isinstance(every, int) and batches != 0 and 0 < epochs < every:
        raise UserError(
            f"trainer sets check_val_every_n_epoch to {every}, but max_epochs is {epochs}: there would be no "
            "validation. Make it smaller; or set limit_val_batches to 0 if there is to be none."
        )


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _ranks(ranks: Sequence[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"
