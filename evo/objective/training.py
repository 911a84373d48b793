"""A Lightning training by the sections of a study file, which are those of LightningCLI."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal

from evo.errors import UserError
from evo.objective.ready import USUAL_MONITOR, judged_by
from evo.population.objectives import Objectives


@dataclass(frozen=True, kw_only=True)
class Training:
    """A Lightning training by the sections of a study file, which are those of LightningCLI.

    Args:
        model: The LightningModule: its import path, or a mapping of class_path and init_args; or its arguments alone,
            where it is clear which class takes them.
        data: The LightningDataModule, in the same way as model. A module with its own dataloaders needs none.
        trainer: Arguments of Lightning's Trainer, for example {max_epochs: 10}.
        optimizer: An optimizer for the module, in place of its own configure_optimizers: class_path and init_args.
        lr_scheduler: A scheduler of the learning rate for this optimizer, in the same way.
        link_arguments: Arguments that are taken from another part, for example {data.num_classes: model.num_classes}.
        trainer_class: The import path of a Trainer, in place of Lightning's own.
        model_class: The import path of the LightningModule, when model has nothing but its arguments.
        datamodule_class: The import path of the LightningDataModule, when data has nothing but its arguments.
        monitor: Name of the metric that serves as the loss, as the module logs it in its validation. With objectives,
            it chooses the best epoch, whose values count; by default it is then the first that the module logs itself.
        mode: Whether this metric is to be small (min) or large (max).
        early_stopping: Arguments of Lightning's EarlyStopping, such as {patience: 5}; false turns it off. By default
            the patience is 3.
        compile: Compile the module with torch.compile.
        keep_data: Read every example once, and take all batches from memory, or from the device's memory where they
            fit there. All examples need the same shape. Random augmentation in the dataset is done only once.
        notes: Remarks for the user on how the sections were read.
    """

    is_heavy: ClassVar[bool] = True

    model: str | dict[str, Any] | None = None
    data: str | dict[str, Any] | None = None
    trainer: dict | None = None  # type: ignore[type-arg]
    optimizer: str | dict[str, Any] | None = None
    lr_scheduler: str | dict[str, Any] | None = None
    link_arguments: dict[str, Any] | None = None
    trainer_class: str | None = None
    model_class: str | None = None
    datamodule_class: str | None = None
    monitor: str = USUAL_MONITOR
    mode: Literal["min", "max"] = "min"
    early_stopping: bool | dict | None = True  # type: ignore[type-arg]
    compile: bool = False
    keep_data: Literal["memory", "device"] | None = None
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def name(self) -> str:
        """A short name: that of the module's class."""
        model = self.model if isinstance(self.model, str) else (self.model or {}).get("class_path")
        path = str(model or self.model_class or "training")
        return path.replace(":", ".").rpartition(".")[2]

    def __str__(self) -> str:
        return json.dumps(self._given(), sort_keys=True)

    def load(self) -> Callable[..., Any]:
        """Make the objective.

        Raises:
            UserError: A section does not fit; the message names it.
        """
        try:
            make = importlib.import_module("evo.lightning").LightningObjective
        except ImportError as error:
            raise UserError(f"a training needs lightning, which cannot be imported: {error}") from error
        given = self._given()
        classes = {"model": given.pop("model_class", None), "data": given.pop("datamodule_class", None)}
        for section, path in classes.items():
            if path is not None:
                given[section] = with_class(given.get(section), path)
        return make(**given)  # type: ignore[no-any-return]

    def judged_by(self, objectives: Objectives) -> Training:
        """This training, with the metric by which the objectives of its study have it judged."""
        monitor, mode = judged_by(self.monitor, self.mode, objectives)
        return replace(self, monitor=monitor, mode=mode)

    def _given(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in SECTIONS}
        return {field.name: values[field.name] for field in SECTIONS if values[field.name] != field.default}


def trainer_settings(objective: Any) -> dict[str, Any]:
    """The Trainer's arguments of a training, as far as they can be told without making anything.

    Args:
        objective: A `Training`, or a LightningObjective; of anything else nothing is known.
    """
    length = getattr(objective, "max_epochs", None)
    given = getattr(objective, "trainer", None)
    return {**(given if isinstance(given, Mapping) else {}), **({"max_epochs": length} if length is not None else {})}


SECTIONS = tuple(each for each in fields(Training) if each.name != "notes")
"""The fields that a study file may have."""


def with_class(section: str | dict[str, Any] | None, path: str) -> dict[str, Any]:
    """A section with the class that its arguments are for, unless it names one itself.

    Args:
        section: An import path, a mapping of class_path and init_args, or the arguments alone.
        path: The import path of the class.
    """
    if isinstance(section, str):
        return {"class_path": section}
    section = section or {}
    if "class_path" in section:
        return section
    if section and set(section) <= {"init_args", "dict_kwargs"}:
        return {"class_path": path, **section}
    return {"class_path": path, "init_args": section} if section else {"class_path": path}
