"""One training: evo's callbacks beside the user's, and the state from which it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import lightning as L
from lightning.pytorch.loggers import Logger

from evo.lightning.blueprint import Blueprint, Shares
from evo.lightning.callbacks import KeepSigterm
from evo.lightning.checkpoints import BestWeights
from evo.lightning.group import Group
from evo.lightning.inheriting import Inheriting
from evo.lightning.reports import TrialReport, check_validations
from evo.lightning.segments import SegmentEnd, check_segment, epochs_trained, fit
from evo.lightning.state import SaveState
from evo.lightning.trainers import Seat, make_trainer
from evo.objective.objective import Trial


@final
@dataclass(frozen=True)
class AttendedTraining:
    """The training of an individual.

    Args:
        blueprint: What it is made of.
        shares: The parts and their parameters.
        trial: The individual's trial.
        report: The report of the training.
        group: The processes that train together.
    """

    blueprint: Blueprint
    shares: Shares
    trial: Trial
    report: TrialReport
    group: Group

    def run(
        self,
        module: L.LightningModule,
        data: L.LightningDataModule | None,
        logger: Logger | list[Logger],
        stopping: Sequence[L.Callback],
    ) -> L.Trainer:
        """Train, from the beginning, from what an earlier attempt has saved, or from the state of a donor.

        Args:
            module: The module.
            data: The data module, if any.
            logger: The loggers.
            stopping: Callbacks that may stop it early.

        Returns:
            The Trainer.

        Raises:
            Exception: Whatever the training raises.
        """
        trial, report, shares = self.trial, self.report, self.shares
        weights, end = BestWeights(trial.folder, report), SegmentEnd(trial)
        # SaveState comes first, so that the best weights are saved before another callback changes them.
        state = SaveState(trial, report, weights, end, self.group)
        params = {name: params for name, (_, params) in shares.items()}
        inheriting = Inheriting(trial, params, report, [state, weights])
        # What is measured of a validation is known when that is reported.
        callbacks = [KeepSigterm(), state, inheriting, report.measuring, report, *stopping, weights, end]
        self.blueprint.check_length([f"trainer.{name}" for name in params["trainer"]])
        seat = Seat(trial.folder, trial.rank, trial.size, trial.trust)
        trainer, profiler = make_trainer(self.blueprint, shares, seat, callbacks, logger)
        check_validations(trainer.max_epochs, trainer.check_val_every_n_epoch, trainer.limit_val_batches)
        check_segment(trial, trainer)
        trial.times = profiler.seconds
        inheriting.prepare(module, data)
        with profiler.ended():
            fit(trainer, module, data, trial)
        trial.metrics.update(inheriting.counts)
        if trial.until is not None:
            trial.note_state(epochs_trained(trainer), is_over=end.is_over)
        return trainer
