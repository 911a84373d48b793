"""What a training takes over from the state of its donor, and what it has of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, LearningRateFinder
from lightning.pytorch.loops.loop import _Loop
from typing_extensions import override

from evo.lightning.fitting import fit_optimizers, fit_weights
from evo.lightning.hyperparameters import as_plain, is_same
from evo.lightning.reports import TrialReport
from evo.lightning.rewriting import OwnHyperparameters
from evo.lightning.schedules import batches_per_epoch
from evo.lightning.segments import load_again
from evo.lightning.weights import begin_from_weights
from evo.objective.objective import Trial
from evo.storage.checkpoints import STATE


@final
class Inheriting(L.Callback):
    """Lets a training begin from the state of a donor, with hyperparameters of its own.

    Weights, optimizers, schedulers, counters and what callbacks know are loaded by Lightning, after this callback has
    fitted them to the training. Then the training's own hyperparameters are written, if they are others than the
    donor's, and before the first step it is made sure that they are still there. With the same hyperparameters the
    training goes on exactly as the donor's would have done.

    Args:
        trial: The trial, which names the donor.
        params: The parameters of each part, for example of "model" and "data".
        report: The report of the training.
        anew: Further callbacks that begin anew, because what they know is about the donor as an individual.

    Attributes:
        counts: What is to be recorded of the beginning: `reinitialised`, the weights and buffers that begin anew, since
            the donor's do not fit; `new_optimizers`, how many optimizers begin anew. Absent where it would be 0.
    """

    def __init__(
        self,
        trial: Trial,
        params: Mapping[str, Mapping[str, Any]],
        report: TrialReport,
        anew: Sequence[L.Callback] = (),
    ) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self._trial = trial
        self._report = report
        self._inherits = trial.inherit is not None and not (trial.folder / STATE).exists()
        self._anew = [report, *anew]
        self._params = params
        self._own: OwnHyperparameters | None = None
        self._known: dict[str, Any] = {"params": as_plain(params)}  # What those that go on from here are told.
        self._donors: dict[str, Any] = {}
        self._reinitialised: set[str] = set()
        self._kept: set[int] = set()  # The numbers of the optimizers that go on from the donor's.
        self._to_check = False

    @override
    def state_dict(self) -> dict[str, Any]:
        if not self._report.is_kept:
            return {}
        counts = {"counts": self.counts} if self.counts else {}
        return counts if self._own is None else {**counts, **self._known, **self._own.records}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.counts = state_dict.get("counts", {})

    def prepare(self, module: L.LightningModule, data: L.LightningDataModule | None) -> None:
        """See to it that the donor's state is fitted to this training before anything is loaded from it.

        Args:
            module: The module, which has not been trained yet.
            data: The data module, if any.
        """
        if not self._inherits:
            if self._trial.weights and not (self._trial.folder / STATE).exists():
                self._begin_from(module, self._trial.weights)
            return

        def fit(checkpoint: dict[str, Any]) -> None:
            self._fit_checkpoint(module, checkpoint)

        _keep_parameters(module, "on_load_checkpoint", self._params["model"], fit)
        if data is not None:
            _keep_parameters(data, "load_state_dict", self._params["data"])

    def _begin_from(self, module: L.LightningModule, weights: Path) -> None:
        """Load weights when all layers of a module are there, and before optimizers and callbacks see them."""
        theirs = module.configure_model

        def configure_model() -> None:
            del module.configure_model  # Once is enough.
            theirs()
            if anew := begin_from_weights(module, weights, self._trial.trust):
                self.counts["reinitialised"] = anew

        module.configure_model = configure_model  # type: ignore[method-assign]

    @override
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._trial.until is None:
            return
        self._own = OwnHyperparameters(trainer, pl_module)
        found = any(isinstance(each, LearningRateFinder) for each in trainer.callbacks)  # type: ignore[attr-defined]
        self._known["finds_rate"] = found or self._donors.get("finds_rate", False)
        connector = trainer._checkpoint_connector
        if not self._inherits or trainer.strategy.restore_checkpoint_after_setup:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if data is not None and "load_state_dict" in vars(data):
            del data.load_state_dict  # The donor's had no state.
        if not connector._loaded_checkpoint:
            load_again(trainer, self._trial)
            _forget_place(connector._loaded_checkpoint)
        checkpoint = connector._loaded_checkpoint
        if not self._is_alike(trainer):
            states = {"schedulers": checkpoint.get("lr_schedulers", []), "batches": self._donors.get("batches")}
            self._own.follow_schedules(self._trial.begin, states)
        self._fit_optimizers(trainer, checkpoint)

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._own is None:
            return
        self._known["batches"] = batches_per_epoch(trainer)
        if not self._inherits:
            return
        # The donor's last epoch is complete, so an epoch begins as any other. Where the length of a training is given
        # in steps, the property of Lightning's loop always says that it goes on in the midst of one.
        _Loop.restarting.__set__(trainer.fit_loop, False)  # type: ignore[attr-defined]
        if not self._is_alike(trainer):
            self._own.write(self._donors, self._kept)
            self._to_check = True

    @override
    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._to_check and self._own is not None:
            self._to_check = False
            self._own.check()

    def _is_alike(self, trainer: L.Trainer) -> bool:
        """Whether the training has the hyperparameters of its donor, and goes on as that would have done."""
        assert self._own is not None
        return (
            is_same(self._known["params"], self._donors.get("params"))
            and self._donors.get("batches") == batches_per_epoch(trainer)
            and (self._known["finds_rate"] or self._own.are_those_of(self._donors))
        )

    def _fit_checkpoint(self, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        states = checkpoint.get("callbacks", {})
        self._donors = states.pop(self.state_key, {})
        for callback in self._anew:
            states.pop(callback.state_key, None)
        for callback in module.trainer.callbacks:  # type: ignore[attr-defined]
            state = states.get(callback.state_key)
            if state and isinstance(callback, EarlyStopping):
                state["patience"] = callback.patience  # It would be the donor's.
        own = module.state_dict()
        for name in ("state_dict", "current_model_state"):  # Of an average of weights, and of the weights themselves.
            if name in checkpoint:
                self._reinitialised |= fit_weights(own, checkpoint[name], may_lack=not module.strict_loading)
        if self._reinitialised:
            self.counts["reinitialised"] = len(self._reinitialised)
        _forget_place(checkpoint)

    def _fit_optimizers(self, trainer: L.Trainer, checkpoint: dict[str, Any]) -> None:
        assert self._own is not None
        if "optimizer_states" not in checkpoint:
            return  # A strategy keeps them in a way of its own.
        optimizers = trainer.optimizers
        fitted = fit_optimizers(
            optimizers,
            self._own.records["optimizers"],
            self._donors.get("optimizers", []),
            checkpoint["optimizer_states"],
            self._reinitialised,
        )
        self._kept = {number for number, state in enumerate(fitted) if state is not None}
        checkpoint["optimizer_states"] = [
            state or optimizer.state_dict() for optimizer, state in zip(optimizers, fitted, strict=True)
        ]
        checkpoint["lr_schedulers"] = [
            checkpoint["lr_schedulers"][number]
            if self._own.goes_on(number, self._donors, self._kept)
            else config.scheduler.state_dict()
            for number, config in enumerate(trainer.lr_scheduler_configs)
        ]
        if new := len(fitted) - len(self._kept):
            self.counts["new_optimizers"] = new


def _forget_place(checkpoint: Mapping[str, Any]) -> None:
    """Leave out at which place of the data the donor has stopped, which is the end of an epoch."""
    checkpoint["loops"]["fit_loop"]["state_dict"].pop("combined_loader", None)


def _keep_parameters(
    thing: L.LightningModule | L.LightningDataModule,
    hook: str,
    names: Collection[str],
    then: Callable[[dict[str, Any]], None] = lambda state: None,
) -> None:
    """Let the next call of a hook that loads a state change none of the parameters that something was made with.

    Args:
        thing: The module or data module.
        hook: The name of the hook.
        names: The names of its parameters.
        then: Is called with the state afterwards.
    """
    loads = getattr(thing, hook)
    own = {name.partition(".")[0] for name in names}

    def load(state: dict[str, Any]) -> None:
        delattr(thing, hook)  # It is for this state only.
        hparams = {name: value for name, value in thing.hparams.items() if name in own}
        attributes = {name: vars(thing)[name] for name in own if name in vars(thing)}
        loads(state)
        thing.hparams.update(hparams)
        vars(thing).update(attributes)
        then(state)

    setattr(thing, hook, load)
