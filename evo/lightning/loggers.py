"""The user's loggers: sections with the individual's name in them, so that each individual is one run of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from evo.errors import UserError
from evo.evaluation.open_runs import OpenRun
from evo.lightning.signatures import SectionError, find_any, takes
from evo.lightning.trees import CLASS_PATH, DICT_KWARGS, INIT_ARGS, is_section
from evo.objective.objective import Trial
from evo.population.identity import individual_name

_STUDY_FILE = "study.json"
# Read once, as Lightning does: MLflow itself puts the store of each run there.
TRACKING_URI = os.environ.get("MLFLOW_TRACKING_URI", "")
# By which argument a user would send all individuals into one run.
_ONE_FOR_ALL: dict[type, tuple[str, ...]] = {MLFlowLogger: ("run_id",), WandbLogger: ("id", "version", "experiment")}
# In the modules of Lightning's loggers, what knows whether the package is there that the logger needs.
_AVAILABLE = {
    "CometLogger": "_COMET_AVAILABLE",
    "LitLogger": "_LITLOGGER_AVAILABLE",
    "MLFlowLogger": "_MLFLOW_AVAILABLE",
    "NeptuneLogger": "_NEPTUNE_AVAILABLE",
    "WandbLogger": "_WANDB_AVAILABLE",
}


@final
@dataclass(frozen=True)
class RunPlace:
    """Where a training logs, and under which name.

    Args:
        folder: The individual's folder.
        individual: The name of the run: that of the individual, "3-12".
        study: The name of the study.
        home: The folder of the study, for a store of all its runs.
    """

    folder: str
    individual: str = "0-0"
    study: str = "evo"
    home: str = os.curdir


def run_place(trial: Trial) -> RunPlace:
    """The place of a trial's runs. A training after a search has the name of its folder beside the individual's."""
    folder = trial.folder
    name = individual_name(trial.individual)
    home = next((above for above in folder.parents if (above / _STUDY_FILE).is_file()), folder.parent)
    study = home.name if (home / _STUDY_FILE).is_file() else "evo"
    own = name if folder.name == name else f"{name}-{folder.name}"
    return RunPlace(str(folder), own, study, str(home))


def is_of_loggers(name: str) -> bool:
    """Whether a parameter of the Trainer, by its dotted name, belongs to its loggers."""
    return name.partition(".")[0] == "logger"


def has_loggers(value: Any) -> bool:
    """Whether a trainer's `logger` is more than a switch."""
    return value is not None and not isinstance(value, bool)


def as_sections(value: Any) -> Any:
    """A trainer's `logger`, with a section in place of each ready logger that holds a connection to a store.

    Such a logger cannot be copied for every training: a copy of a WandbLogger opens a run.

    Raises:
        UserError: It is one of a class of the user's, whose arguments are not known.
    """
    if isinstance(value, list | tuple):
        return [as_sections(each) for each in value]
    for kind, arguments in ((MLFlowLogger, _of_mlflow), (WandbLogger, _of_wandb)):
        if isinstance(value, kind):
            if type(value) is not kind:
                raise UserError(
                    f"trainer.logger is a ready {type(value).__name__}, which cannot be copied for every training: "
                    "give it as a section, {'class_path': …, 'init_args': {…}}"
                )
            return {CLASS_PATH: f"lightning.pytorch.loggers.{kind.__name__}", **arguments(value)}
    return value


def _of_mlflow(logger: Any) -> dict[str, Any]:
    uri = logger._tracking_uri
    arguments = {
        "experiment_name": None if logger._experiment_name == "lightning_logs" else logger._experiment_name,
        "run_name": logger._run_name,
        "tracking_uri": str(uri),
        "tags": logger.tags,
        "log_model": logger._log_model or None,
        "prefix": logger._prefix or None,
        "artifact_location": logger._artifact_location,
        "synchronous": logger._log_batch_kwargs.get("synchronous"),
    }
    return {INIT_ARGS: {name: value for name, value in arguments.items() if value is not None}}


def _of_wandb(logger: Any) -> dict[str, Any]:
    given = dict(logger._wandb_init)
    project = given.pop("project", None)
    arguments = {
        "name": given.pop("name", None),
        "save_dir": None if given.get("dir") in (None, os.curdir) else given["dir"],
        "project": None if project == "lightning_logs" else project,
        "offline": logger._offline or None,
        "log_model": logger._log_model or None,
        "prefix": logger._prefix or None,
        "checkpoint_name": logger._checkpoint_name,
    }
    others = {name: given[name] for name in given if name not in ("dir", "id", "resume", "anonymous")}
    return {
        INIT_ARGS: {name: value for name, value in arguments.items() if value is not None},
        **({DICT_KWARGS: others} if others else {}),
    }


def placed_loggers(value: Any, place: RunPlace, runs: Iterator[OpenRun | None] | None = None) -> Any:
    """A trainer's `logger`, whose sections say where to log, and under which name, as far as the user does not.

    Args:
        value: A section, an import path, a logger, or a list of these.
        place: The place of the runs.
        runs: The runs in which the loggers go on, in their order. None means new ones.
    """
    if isinstance(value, list | tuple):
        return [placed_loggers(each, place, runs) for each in value]
    if isinstance(value, str):
        value = {CLASS_PATH: value}
    if not is_section(value):
        if runs and not isinstance(value, TensorBoardLogger):
            next(runs, None)  # It has a place among the noted runs, but nothing to go on with.
        return value
    owner = find_any(value[CLASS_PATH], "trainer.logger")
    run = next(runs, None) if runs and not _is_kind(owner, TensorBoardLogger) else None
    given = {**(value.get(INIT_ARGS) or {}), **(value.get(DICT_KWARGS) or {})}
    own = {name: each for name, each in given.items() if each is not None}
    found = {**_places(owner, own, place), **_names(owner, own, place), **_identifiers(owner, run)}
    known = takes(owner).names
    placed = {name: each for name, each in found.items() if name in known}
    others = {name: each for name, each in found.items() if name not in known and _is_kind(owner, WandbLogger)}
    arguments = {**(value.get(INIT_ARGS) or {}), **placed}
    keywords = {**(value.get(DICT_KWARGS) or {}), **others}
    return {**value, INIT_ARGS: arguments, **({DICT_KWARGS: keywords} if keywords else {})}


def _places(owner: Callable[..., Any], own: Mapping[str, Any], place: RunPlace) -> dict[str, Any]:
    """Where a logger writes: into the individual's folder, and into the study's for a store of many runs."""
    if "save_dir" in own:
        return {}
    if _is_kind(owner, MLFlowLogger):
        if "tracking_uri" in own or TRACKING_URI:
            return {}
        artifacts = {} if "artifact_location" in own else {"artifact_location": f"{place.home}/mlartifacts"}
        return {"tracking_uri": f"sqlite:///{place.home}/mlflow.db", **artifacts}
    return {"save_dir": place.folder}


def _names(owner: Callable[..., Any], own: Mapping[str, Any], place: RunPlace) -> dict[str, Any]:
    """The names under which a run is found."""

    def name_in(argument: str) -> dict[str, Any]:
        return {argument: f"{own[argument]}-{place.individual}" if argument in own else place.individual}

    if _is_kind(owner, MLFlowLogger):
        return {**({} if "experiment_name" in own else {"experiment_name": place.study}), **name_in("run_name")}
    if _is_kind(owner, WandbLogger):
        is_chosen = "project" in own or os.environ.get("WANDB_PROJECT")
        belongs = "group" if is_chosen else "project"
        return {**({} if belongs in own else {belongs: place.study}), **name_in("name")}
    if _is_kind(owner, CSVLogger) and "save_dir" not in own and not {"name", "version"} & set(own):
        return {"name": "csv", "version": ""}
    if _is_kind(owner, CSVLogger) or (_is_kind(owner, TensorBoardLogger) and "save_dir" in own):
        return {**({} if "name" in own else {"name": place.study}), "version": own.get("version", place.individual)}
    return name_in("run_name")


def _identifiers(owner: Callable[..., Any], run: OpenRun | None) -> dict[str, Any]:
    if run and run.kind == "mlflow" and _is_kind(owner, MLFlowLogger):
        return {"run_id": run.run}
    return {"id": run.run} if run and run.kind == "wandb" and _is_kind(owner, WandbLogger) else {}


def _is_kind(owner: Callable[..., Any], kind: type) -> bool:
    return isinstance(owner, type) and issubclass(owner, kind)


def sections_of(value: Any) -> list[Mapping[str, Any]]:
    """The sections in a trainer's `logger`, also those that are only an import path."""
    if isinstance(value, list | tuple):
        return [section for each in value for section in sections_of(each)]
    if isinstance(value, str):
        return [{CLASS_PATH: value}]
    return [value] if is_section(value) else []


def check_loggers(value: Any) -> None:
    """Make sure that loggers can be made, without making one: that may open a run.

    Args:
        value: A trainer's `logger`.

    Raises:
        SectionError: A class is no logger, a package is absent, or all individuals would share one run.
    """
    for section in sections_of(value):
        owner = find_any(section[CLASS_PATH], "trainer.logger")
        title = getattr(owner, "__name__", str(owner))
        if isinstance(owner, type) and not issubclass(owner, Logger):
            raise SectionError(f"trainer.logger is a {title}, which is no lightning.pytorch.loggers.Logger")
        if isinstance(owner, type):
            _check_package(owner)
        given = {**(section.get(INIT_ARGS) or {}), **(section.get(DICT_KWARGS) or {})}
        for kind, names in _ONE_FOR_ALL.items():
            for name in names:
                if _is_kind(owner, kind) and given.get(name) is not None:
                    raise SectionError(
                        f"trainer.logger has {name}, so that all individuals would be one run of {title}: leave it "
                        "out, because each individual is a run of its own"
                    )


def _check_package(owner: type) -> None:
    for base in owner.__mro__:
        module = sys.modules.get(base.__module__)
        available = getattr(module, _AVAILABLE.get(base.__name__, ""), True)
        if base.__module__.startswith("lightning.pytorch.loggers.") and not available:
            reason = " ".join(str(available).replace("HINT: Try running", "run").split())
            raise SectionError(f"trainer.logger: {owner.__name__} needs a package that is not installed. {reason}")
