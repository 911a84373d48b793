"""A training that is a part of a longer one: it ends after an epoch, and leaves its state for those that go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import lightning as L
from lightning.pytorch.callbacks import Checkpoint
from typing_extensions import override

from evo.errors import UserError
from evo.lightning.checkpoints import is_trusted
from evo.objective.objective import Trial
from evo.storage.checkpoints import STATE


@final
class SegmentEnd(Checkpoint):
    """Ends a training after the last epoch of its segment.

    The Trainer keeps its max_epochs, because schedulers and modules reckon with the length of the whole training. This
    callback comes last of all, as callbacks for checkpoints do, so that it knows whether another one has ended the
    training before.

    Args:
        trial: The trial, which says where the segment ends.

    Attributes:
        is_over: Whether the whole training is at its end, by its own limits or because something has stopped it.
        is_reached: Whether this training has ended; a state that was saved then has nothing left to train.
    """

    def __init__(self, trial: Trial) -> None:
        super().__init__()
        self._trial = trial
        self.is_over = False
        self.is_reached = False

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._trial.until is not None and epochs_trained(trainer) >= self._trial.until:
            self.is_over = trainer.should_stop and trainer.fit_loop._can_stop_early
            self.stop(trainer)

    def stop(self, trainer: L.Trainer) -> None:
        """Let nothing more be trained."""
        # A shortest length that the user has set is one of the whole training.
        trainer.fit_loop.min_epochs = trainer.fit_loop.epoch_loop.min_steps = None
        trainer.should_stop = self.is_reached = True

    def close(self, trainer: L.Trainer) -> None:
        """Find out, when a training has ended, whether the whole one has, too."""
        loop = trainer.fit_loop
        limits = ((epochs_trained(trainer), trainer.max_epochs), (trainer.global_step, trainer.max_steps))
        at_limit = any(limit is not None and limit != -1 and value >= limit for value, limit in limits)
        # Something has stopped it before the end of the segment, or the search is no longer interested in it.
        stopped = not self.is_reached or self._trial.should_stop
        self.is_over = self.is_over or stopped or at_limit or loop.max_batches == 0
        self.is_reached = True


def epochs_trained(trainer: L.Trainer) -> int:
    """How many epochs were trained in all, those of the donors included."""
    return int(trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]


def starting_state(trial: Trial) -> Path | None:
    """The file from which a training goes on: what an earlier attempt has saved, or else the state of its donor."""
    own = trial.folder / STATE
    if own.exists():
        return own
    return trial.inherit / STATE if trial.inherit else None


def check_segment(trial: Trial, trainer: L.Trainer) -> None:
    """Make sure that there is something to train in a segment, and a validation.

    Args:
        trial: The trial.
        trainer: The Trainer that will train.

    Raises:
        UserError: There is not.
    """
    begin, until = trial.begin, trial.until
    if until is None:
        return
    longest = trainer.max_epochs
    if longest is not None and longest != -1 and begin >= longest:
        raise UserError(
            f"the donor of this individual has trained {begin} epochs, but max_epochs is {longest}: nothing is left to "
            "train. Let the length of the training be the same for all individuals: say mutable=False for it"
        )
    every, batches = trainer.check_val_every_n_epoch, trainer.limit_val_batches
    end = until if longest in (None, -1) else min(until, longest)
    if isinstance(every, int) and batches != 0 and end // every == begin // every:
        raise UserError(
            f"epochs {begin + 1} to {end}, which one individual trains, have no validation, because trainer sets "
            f"check_val_every_n_epoch to {every}: make the propagator's interval a multiple of that, or "
            "check_val_every_n_epoch smaller; or set limit_val_batches to 0 if there is to be no validation"
        )


def load_again(trainer: L.Trainer, trial: Trial) -> None:
    """Load the state again from which a training goes on.

    A search for a batch size before the training puts its own file in the place of that state.
    """
    if state := starting_state(trial):
        trainer._checkpoint_connector.resume_start(state, weights_only=not is_trusted(state, trial.trust))


def fit(trainer: L.Trainer, module: L.LightningModule, data: Any, trial: Trial) -> None:
    """Train, from the beginning or from a state.

    Args:
        trainer: The Trainer.
        module: The module.
        data: The data module, or None.
        trial: The trial.

    Raises:
        Exception: Whatever the training raises.
    """
    state = starting_state(trial)
    # The user's own file may hold more than weights.
    weights_only = None if state is None else not is_trusted(state, trial.trust)
    trainer.fit(module, datamodule=data, ckpt_path=state, weights_only=weights_only)
