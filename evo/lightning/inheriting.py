"""What a training takes over from the state of its donor, and what it has of its own."""

from __future__ import annotations

from typing import Any, final

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping
from typing_extensions import override

from evo.objective.objective import Trial
from evo.storage.checkpoints import STATE


@final
class Inheriting(L.Callback):
    """Lets a training begin from the state of a donor, with hyperparameters of its own.

    Args:
        trial: The trial, which names the donor.
        anew: The callbacks that begin anew, because what they know is about the donor as an individual.
    """

    def __init__(self, trial: Trial, anew: list[L.Callback]) -> None:
        super().__init__()
        self._inherits = trial.inherit is not None and not (trial.folder / STATE).exists()
        self._anew = anew

    def prepare(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """See to it that the donor's state is fitted to this training before anything is loaded from it.

        Args:
            trainer: The Trainer.
            module: The module, which has not been trained yet.
        """
        if not self._inherits:
            return
        theirs = module.on_load_checkpoint

        def on_load_checkpoint(checkpoint: dict[str, Any]) -> None:
            del module.on_load_checkpoint  # It is for this checkpoint only.
            theirs(checkpoint)
            self._fit_callbacks(trainer, checkpoint)

        module.on_load_checkpoint = on_load_checkpoint  # type: ignore[method-assign]

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._inherits:
            # The donor's last epoch is complete: this one begins as any other, rather than in the midst of one.
            trainer.fit_loop.restarting = False

    def _fit_callbacks(self, trainer: L.Trainer, checkpoint: dict[str, Any]) -> None:
        states = checkpoint.get("callbacks", {})
        for callback in self._anew:
            states.pop(callback.state_key, None)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            state = states.get(callback.state_key)
            if state and isinstance(callback, EarlyStopping):
                state["patience"] = callback.patience  # It would be the donor's.
        # The place in the data at which the donor has stopped is the end of an epoch.
        checkpoint["loops"]["fit_loop"]["state_dict"].pop("combined_loader", None)
