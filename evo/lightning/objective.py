"""A loss that is a Lightning training: parameters in, best validation loss out."""

from __future__ import annotations

import copy
import gc
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final, get_args

import lightning as L
import torch
from lightning.pytorch.loggers import Logger

from evo.errors import UserError
from evo.lightning.activities import check_profiler
from evo.lightning.blueprint import Blueprint, Shares, check_kinds
from evo.lightning.callbacks import Stopping
from evo.lightning.checking import check_start_of, check_training
from evo.lightning.checkpoints import short_refusals
from evo.lightning.data import DataKeeper
from evo.lightning.environment import quiet
from evo.lightning.examining import check_there, examine_weights
from evo.lightning.group import Group, process_group
from evo.lightning.hparams import RowLogger, row_logger
from evo.lightning.leftovers import remove_leftovers
from evo.lightning.loggers import as_sections, has_loggers
from evo.lightning.measuring import check_measurable
from evo.lightning.memory import limited_memory
from evo.lightning.parts import Section
from evo.lightning.reports import Mode, TrialReport, check_validations
from evo.lightning.runs import Make, logged_runs
from evo.lightning.stacked import MemoryKind, keep_stacked
from evo.lightning.training import AttendedTraining
from evo.objective.lightningcli import settle_trainer
from evo.objective.objective import Trial
from evo.objective.ready import USUAL_MONITOR, judged_by
from evo.population.objectives import Objectives
from evo.storage.checkpoints import STATE


@final
@dataclass(frozen=True)
class LightningObjective:
    """Trains a LightningModule on a LightningDataModule; the loss is the best monitored value of the training.

    Each constructor receives those of the individual's parameters that it takes by name; `**kwargs` takes the ones that
    no constructor takes by name. A dotted name says where a parameter goes: `model.lr`, `data.batch_size`,
    `trainer.gradient_clip_val`, `early_stopping.patience`; `model.init_args.lr` is the same as `model.lr`. An absent
    parameter (an inactive conditional one) has the constructor's default.

    Training is seeded with the trial's seed and writes into the trial's folder: TensorBoard's event file,
    `hparams.yaml`, and `best.ckpt` (the weights of the best value). An attempt that was interrupted or killed is
    continued from the state that it saved. Without a state, the training begins anew, and what is left in the folder is
    removed first. Module-level classes and plain values keep an objective picklable, which it must be to reach the
    process that trains.

    Args:
        model: A LightningModule class, a function that makes one (of parameters by name, or of `params`, all of them),
            or a section as LightningCLI has them: an import path, or a mapping of class_path and init_args.
        data: A LightningDataModule in the same way; None for a module with its own dataloaders. The last one is kept,
            with the data that it has loaded, while its own parameters stay the same: `setup` runs once for each stage,
            `prepare_data` once on each node.
        max_epochs: The most epochs that a training may take, at least 1; -1 for no limit (then trainer needs max_time
            or max_steps). It may also be given in trainer, or be searched as `trainer.max_epochs`.
        monitor: Name of the metric that serves as the loss. The module logs it in its validations, or some of them; or
            else in training, or in `on_train_epoch_end`. With objectives, it chooses the epoch whose values
            count, and val_loss stands for the first objective that the module logs itself.
        mode: "min" when smaller is better; "max" when larger is, and then the loss is the negative value. An objective
            has its own mode.
        early_stopping: Arguments of Lightning's EarlyStopping. By default it watches the monitored metric with a
            patience of 3 of its values, and an absent value is no error unless `strict` is set. True means these
            defaults, unless the module or trainer has an EarlyStopping, or it is a part of a training. False or None
            means no early stopping.
        trainer: Further arguments of Lightning's Trainer. They win over evo's (no progress bar, the best kind of
            device, no sanity check, TensorBoard's logger); None means evo's. They are copied for every training, so
            that no callback remembers the last one. Values may be sections, a logger's for example, whose save_dir is
            then the individual's folder.
        optimizer: A section with an optimizer, which takes the place of the module's own configure_optimizers.
        lr_scheduler: A section with a scheduler of the learning rate for this optimizer.
        link_arguments: Arguments that are taken from another part when that is made, from sources to targets:
            `{"data.num_classes": "model.num_classes"}`.
        trainer_class: A Trainer in place of Lightning's own, or its import path.
        compile: Compile the module with torch.compile.
        keep_data: "memory" reads every example once and takes all batches from memory; "device" takes them from the
            GPU's memory if the examples fit there. None loads as the data module does. All examples need the same
            shape, and random augmentation in the dataset is done only once, see `evo.lightning.stacked`.

    Raises:
        UserError: A setting is out of range, trainer sets what the objective sets itself, or there would be no
            validation.

    Example:
        >>> from evo.problems.digits import Digits, DigitsNet
        >>> objective = LightningObjective(DigitsNet, Digits, max_epochs=12, early_stopping={"patience": 5})
        >>> objective.check(["lr", "channels", "data.batch_size"])
        []
        >>> objective.check(["learning_rate"])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        evo.errors.UserError: No constructor takes 'learning_rate'. DigitsNet takes: conv_layers, channels, ...
    """

    separate_process: ClassVar[bool] = True  # A rank does not import torch, and does not die with a training.
    model: Callable[..., L.LightningModule] | Section
    data: Callable[..., L.LightningDataModule] | Section | None = None
    _: KW_ONLY
    max_epochs: int | None = None
    monitor: str = USUAL_MONITOR
    mode: Mode = "min"
    early_stopping: Mapping[str, Any] | bool | None = True
    trainer: Mapping[str, Any] | None = None
    compile: bool = False
    keep_data: MemoryKind | None = None
    optimizer: Section | None = None
    lr_scheduler: Section | None = None
    link_arguments: Mapping[str, Any] | None = None
    trainer_class: Callable[..., L.Trainer] | str | None = None
    _kept: DataKeeper = field(default_factory=DataKeeper, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        settings, _ = settle_trainer(self.trainer or {})
        if has_loggers(settings.get("logger")):
            settings = {**settings, "logger": as_sections(settings["logger"])}
        object.__setattr__(self, "trainer", settings)
        if self.mode not in get_args(Mode):
            raise UserError(f"mode is {self.mode!r}: it must be 'min' or 'max'.")
        if self.keep_data not in (None, *get_args(MemoryKind)):
            raise UserError(f"keep_data is {self.keep_data!r}: it must be 'memory', 'device' or absent.")
        check_profiler(settings.get("profiler"))
        if self.max_epochs is not None and "max_epochs" in settings:
            raise UserError("trainer sets 'max_epochs', which the objective has as well. Give it once.")
        epochs = settings.get("max_epochs", self.max_epochs)
        if epochs is not None and (not isinstance(epochs, int) or (epochs < 1 and epochs != -1)):
            raise UserError(f"max_epochs is {epochs!r}: it must be at least 1, or -1 for no limit.")

        limit_batches = settings.get("limit_val_batches")
        check_validations(epochs, settings.get("check_val_every_n_epoch"), limit_batches)

    def __call__(self, params: Mapping[str, Any], trial: Trial) -> float | dict[str, float]:
        """Train and return the loss: the best monitored value, negative for mode "max"; or the values of objectives.

        Objectives, and metrics that have bounds, are found by their names among what the module logged in the best
        validation, and what evo measures, see `evo.lightning.measuring`.

        A training that was interrupted goes on where it saved its state, with its epochs, optimizers, schedulers, best
        value and random number generators. One that was killed goes on where it last saved its state, see
        trial.checkpoint_interval. The state, `last.ckpt`, stays: it may be needed until the loss is recorded.

        trial.metrics gets what the module logged in the best validation, `epochs` (how many were trained) and
        `best_epoch` (counted from 1); of a part of a training both count from the beginning of the whole, and
        `reinitialised` and `new_optimizers` say what did not fit. Metrics that are not finite are left out.
        trial.times gets the seconds of the activities, see `evo.lightning.activities`.

        Raises:
            UserError: No constructor takes a parameter, the module does not log the monitored metric, or there is no
                validation in time.
            FloatingPointError: The monitored metric was NaN or infinite.
            TimeoutError: Another rank of the worker kept this one waiting, see trial.collective_timeout.
            Interrupted: The trial was interrupted, and the training has saved its state.
            Exception: Whatever the training raises, unchanged.
        """
        return self._judged_by(trial.objectives)._train(params, trial)

    def _judged_by(self, objectives: Objectives) -> LightningObjective:
        """This training, with the metric by which the objectives have it judged, and the same data."""
        monitor, mode = judged_by(self.monitor, self.mode, objectives)
        judged = copy.copy(self)
        object.__setattr__(judged, "monitor", monitor)
        object.__setattr__(judged, "mode", mode)
        return judged

    def _train(self, params: Mapping[str, Any], trial: Trial) -> float | dict[str, float]:
        state = trial.folder / STATE
        shares = self._share_out(params)
        if trial.rank == 0 and not zipfile.is_zipfile(state):  # It may be absent, or cut off by a power failure.
            remove_leftovers(trial)
        logs = trial.rank == 0 and (self.trainer or {}).get("logger") is not False
        with (
            quiet(trial.rank),
            short_refusals(),
            limited_memory(trial),
            row_logger(trial, params, writes=logs) as logger,
            logged_runs(trial, params, self._make_loggers(shares, trial)) as runs,
            process_group(trial) as group,
        ):
            report = TrialReport(trial, self.monitor, self.mode, group)
            try:
                trainer = self._fit(shares, trial, report, group, runs.loggers or logger)
            except BaseException:
                self._kept.drop()  # It may be half set up.
                raise
            self._kept.release()
            best, values = report.result(), report.values()
            for log in (logger, runs) if logs else ():
                log.log_loss(best.loss, trainer.global_step, pruned=trial.should_stop)
        trial.metrics.update({**values, **best.metrics}, epochs=report.epochs, best_epoch=best.epoch)
        return {name: values[name] for name in trial.objectives.modes} or best.loss

    def _fit(
        self, shares: Shares, trial: Trial, report: TrialReport, group: Group, logger: RowLogger | list[Logger]
    ) -> L.Trainer:
        module, data = self._build(shares, trial)
        group.wait()
        training = AttendedTraining(self._blueprint, shares, trial, report, group)
        return training.run(module, data, logger, self._stopping(shares, trial, report))

    def test(self, params: Mapping[str, Any], trial: Trial) -> dict[str, float]:
        """Evaluate the best weights of a finished training on the test set.

        Args:
            params: The individual's parameters, as in the training.
            trial: Its trial, whose folder holds best.ckpt. The confusion matrix is written to trial.results, if that is
                set; trial.metrics has as "confusion" why it could not be, see `evo.lightning.predictions`.

        Returns:
            The finite numbers that the module logged in its test.

        Raises:
            FileNotFoundError: The folder has no best.ckpt.
        """
        check_there(trial)
        shares = self._share_out(params)
        with quiet(0), short_refusals():
            results = examine_weights(self._blueprint, shares, trial, *self._build(shares, trial))
            self._kept.release()
        return results

    def check(self, names: Collection[str], examples: Sequence[Mapping[str, Any]] = ()) -> list[str]:
        """Make sure that the constructors can be called with these parameters, before anything is trained.

        Args:
            names: Names of all parameters in the limits, conditional ones included.
            examples: Points that together show every choice. With these, values are checked by the constructors' type
                hints, and what sections describe is made once for each combination of classes, with its Trainer.

        Returns:
            Remarks for the user: which fixed arguments are left out where another class does not take them.

        Raises:
            UserError: No constructor takes one of them, a constructor needs one that is not among them, a value does
                not fit, or something cannot be made; the message has the place.
        """
        return check_training(self._blueprint, names, examples)

    def check_weights(self, weights: Path, examples: Sequence[Mapping[str, Any]], trust: bool = False) -> None:
        """Make sure that trainings can begin from weights, before anything is trained.

        Args:
            weights: The file.
            examples: Points that together show every choice.
            trust: Whether the file is loaded with any code in it.

        Raises:
            UserError: It cannot be loaded, or none of the weights fits.
        """
        check_start_of(self._blueprint, weights, examples, trust)

    def check_objectives(self, objectives: Objectives) -> None:
        """Make sure that what is to be measured can be measured here; raises a UserError where it cannot."""
        check_measurable(objectives)

    @property
    def _blueprint(self) -> Blueprint:
        length = {} if self.max_epochs is None else {"max_epochs": self.max_epochs}
        return Blueprint(
            model=self.model,
            data=self.data,
            trainer={**length, **(self.trainer or {})},
            early_stopping=self.early_stopping if isinstance(self.early_stopping, Mapping) else {},
            optimizer=self.optimizer,
            lr_scheduler=self.lr_scheduler,
            link_arguments=self.link_arguments,
            trainer_class=self.trainer_class,
            monitor=self.monitor,
        )

    def _share_out(self, params: Mapping[str, Any]) -> Shares:
        """The parts by name, each with the parameters that it gets."""
        return self._blueprint.share_out(params)

    def _build(self, shares: Shares, trial: Trial) -> tuple[L.LightningModule, L.LightningDataModule | None]:
        if torch.cuda.is_available() or trial.size > 1:
            gc.collect()  # Frees the last trainer, which is a reference cycle, with its tensors and connections.
        torch.set_num_threads(trial.threads)
        L.seed_everything(trial.seed, workers=True, verbose=False)

        def keep_data(key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
            return self._kept.get(key, trial.session, lambda: self._keep_examples(make(), trial))

        module, data = self._blueprint.build(shares, keep_data)
        check_kinds(module, data)
        if self.compile:
            module.compile()
        return module, data

    def _keep_examples(self, data: Any, trial: Trial) -> Any:
        if self.keep_data and isinstance(data, L.LightningDataModule):
            keep_stacked(data, self.keep_data, trial.gpu_memory)
        return data

    def _make_loggers(self, shares: Shares, trial: Trial) -> Make:
        blueprint = self._blueprint
        if not blueprint.has_loggers:
            return lambda place, runs: None
        return lambda place, runs: blueprint.loggers(shares, place, runs, trial.session)

    def _stopping(self, shares: Shares, trial: Trial, report: TrialReport) -> list[L.Callback]:
        if not (self.early_stopping or isinstance(self.early_stopping, Mapping)):
            return []
        if trial.until is not None and self.early_stopping is True:
            return []  # Whatever makes segments of trainings decides which of them go on.
        given = self._blueprint.settings(shares, "early_stopping")
        if given.setdefault("monitor", self.monitor) == self.monitor:
            given.setdefault("mode", self.mode)
        return [Stopping(report, yields=self.early_stopping is True, **given)]
