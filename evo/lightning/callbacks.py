"""More callbacks of evo's in a Lightning training: early stopping, and the caller's signal handler."""

from __future__ import annotations

import signal
import threading
from typing import Any, final

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor
from typing_extensions import override

from evo.lightning.reports import TrialReport


@final
class Stopping(EarlyStopping):
    """Lightning's EarlyStopping, whose patience counts only new values of the metric.

    Lightning's own also counts an old value, whenever it looks and nothing new was logged, as one without improvement.
    An absent metric is no error here unless `strict` is set.

    Args:
        report: The report of the same training.
        yields: Whether to leave it to another EarlyStopping, of the module's or the trainer's, if there is one.
        settings: Arguments of Lightning's EarlyStopping.
    """

    def __init__(self, report: TrialReport, yields: bool, **settings: Any) -> None:
        super().__init__(**{"strict": False} | settings)
        self._report = report
        self._yields = yields
        self._seen: Tensor | None = None

    @property
    @override
    def _legacy_state_key(self) -> Any:  # The key in states that were saved when this was Lightning's own class.
        return EarlyStopping(self.monitor, mode=self.mode).state_key

    @override
    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() if self._report.is_kept else {}

    @override
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self._yields = self._yields and any(other is not self for other in trainer.early_stopping_callbacks)

    @override
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking and not self._check_on_train_epoch_end and self._is_news(trainer):
            super().on_validation_end(trainer, pl_module)

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # The report comes first, to find out whether all processes have the metric: later they wait for each other.
        self._report.end_epoch(trainer)
        if self._check_on_train_epoch_end and self._is_news(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def _is_news(self, trainer: L.Trainer) -> bool:
        """Whether to look at the metric; it is another tensor when it was logged again."""
        if self._yields:
            return False
        value = trainer.callback_metrics.get(self.monitor)
        if value is not None and value is self._seen:
            return False
        self._seen = value
        return True


@final
class KeepSigterm(L.Callback):
    """Puts the caller's SIGTERM handler back, which Lightning replaces while it trains.

    Lightning's own only notes the signal and raises SystemExit, status 0, after the batch: a hung batch would survive
    it, and a caller that only wants to know of the signal would lose the training.
    """

    def __init__(self) -> None:
        super().__init__()
        self._handler = signal.getsignal(signal.SIGTERM)

    def _put_back(self) -> None:
        if self._handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)

    @override
    def on_sanity_check_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._put_back()

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._put_back()

    @override
    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._put_back()
