"""An individual of a study by sections as a configuration of LightningCLI, its values put where they belong."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evo.errors import UserError
from evo.objective.accepting import Accepted, accepted_by
from evo.objective.training import Training, with_class
from evo.randomness import training_seed
from evo.report.records import Evaluation
from evo.storage.rundir import StudyRecord

_CLASS_PATH, _INIT_ARGS, _DICT_KWARGS = "class_path", "init_args", "dict_kwargs"
_SECTIONS = ("model", "data", "optimizer", "lr_scheduler")
_CLASS_KEYS = {"model": "model_class", "data": "datamodule_class"}
_PLATEAU = "lightning.pytorch.cli.ReduceLROnPlateau"
_CALLBACKS = "lightning.pytorch.callbacks"
_INSTEAD = "; --params shows the parameters alone"
Accepts = Callable[[str], Accepted | None]


def training_of(study: StudyRecord) -> Training | None:
    """The training that a study describes by sections, as its objectives judge it; None if it has another objective.

    Raises:
        UserError: study.json is damaged.
    """
    recorded = study.objective
    if not recorded.startswith("{"):
        return None
    try:
        return Training(**json.loads(recorded)).judged_by(study.objectives)
    except (ValueError, TypeError) as error:
        raise UserError(f"study {study.name}: its objective {recorded!r} is damaged: {error}") from error


def lightning_configuration(
    training: Training, one: Evaluation, seed: int, accepts: Accepts = accepted_by
) -> tuple[dict[str, Any], list[str]]:
    """What `python main.py fit --config FILE` trains an individual with.

    Args:
        training: The sections of its study.
        one: The individual.
        seed: The seed of the study.
        accepts: Returns what the class of an import path takes by name, as far as that is known.

    Returns:
        The configuration, and what it cannot say, in words.

    Raises:
        UserError: A value has no place, or it cannot be seen which part takes it.
    """
    filled = _Filling(training, accepts)
    for name in sorted(one.params, key=lambda name: (not name.endswith(_CLASS_PATH), name.count("."))):
        filled.put(name, one.params[name])
    parts, notes = filled.parts, list(filled.notes)
    notes += _link(training, parts)
    found: dict[str, Any] = {"seed_everything": training_seed(seed, one.individual)}
    found["trainer"] = _trainer(training, parts, one.ranks_per_worker)
    for name in _SECTIONS:
        section = parts[name]
        if section is None:
            continue
        key = _CLASS_KEYS.get(name)
        path = getattr(training, key) if key else None
        if path and section.get(_CLASS_PATH) == path and not filled.names_class(name):
            notes.append(f"{name} is {path}: LightningCLI is called with it")
            section = {**(section.get(_INIT_ARGS) or {}), **(section.get(_DICT_KWARGS) or {})}
            if not section:
                continue
        found[name] = _watching(section, training.monitor) if name == "lr_scheduler" else section
    if training.trainer_class:
        notes.append(f"the trainer is {training.trainer_class}: give it to LightningCLI as trainer_class")
    if training.compile:
        notes.append("the module was compiled with torch.compile")
    return found, notes


class _Filling:
    """Puts the parameters of an individual into the sections of its study.

    Args:
        training: The sections.
        accepts: Returns what a class takes by name.

    Attributes:
        parts: The sections with what has been put into them; None where there is none.
        notes: What has been left out, in words.
    """

    def __init__(self, training: Training, accepts: Accepts) -> None:
        self._accepts = accepts
        self._training = training
        self.notes: list[str] = []
        self.parts: dict[str, dict[str, Any] | None] = {}
        for name in _SECTIONS:
            section = copy.deepcopy(getattr(training, name))
            key = _CLASS_KEYS.get(name)
            path = getattr(training, key) if key else None
            if path is not None:
                section = with_class(section, path)
            self.parts[name] = {_CLASS_PATH: section} if isinstance(section, str) else section
        self.parts["trainer"] = copy.deepcopy(training.trainer or {})
        stopping = training.early_stopping
        self.parts["early_stopping"] = copy.deepcopy(stopping) if isinstance(stopping, dict) else {}

    def names_class(self, part: str) -> bool:
        """Whether the section of the study names its class itself."""
        section = getattr(self._training, part)
        return isinstance(section, str) or (isinstance(section, dict) and _CLASS_PATH in section)

    def put(self, name: str, value: Any) -> None:
        """Put one parameter where it belongs, or to all parts that take it."""
        first, _, relative = name.partition(".")
        if not relative or first not in self.parts:
            for part in self._takers(name):
                self._put_into(part, [name], copy.deepcopy(value))
            return
        steps = [step for step in relative.split(".") if step not in (_INIT_ARGS, _DICT_KWARGS)]
        self._put_into(first, steps, copy.deepcopy(value))

    def _takers(self, name: str) -> list[str]:
        """The parts that take a parameter without a dot by name, or else those that take any."""
        there = {part: section for part in ("model", "data") if (section := self.parts[part]) is not None}
        known = {part: self._accepts(str(section.get(_CLASS_PATH))) for part, section in there.items()}
        named = [part for part, takes in known.items() if takes is not None and name in takes.names]
        unknown = [part for part, takes in known.items() if takes is None]
        if named and not unknown:
            return named
        found = unknown or [part for part, takes in known.items() if takes is not None and takes.any_other]
        if len(found) + len(named) == 1 or not unknown:
            return named + found
        paths = ", ".join(str(there[part].get(_CLASS_PATH)) for part in unknown)
        raise UserError(
            f"it cannot be seen whether {' or '.join(there)} takes {name!r}: run this where Python finds {paths}"
        )

    def _put_into(self, part: str, steps: Sequence[str], value: Any) -> None:
        section = self.parts[part]
        if steps == [_CLASS_PATH] and part in _SECTIONS:
            self.parts[part] = None if value is None else self._with_class(section, value, part)
        elif part not in _SECTIONS:
            assert section is not None
            self._put(section, steps, value, part)
        elif section is None:
            raise UserError(f"{part}.{'.'.join(steps)} was searched, but the study has no section {part}{_INSTEAD}")
        else:
            self._put(self._inside(section, steps[0]), steps, value, part)

    def _put(self, place: Any, steps: Sequence[str], value: Any, above: str) -> None:
        """Put a value into a mapping or a list, at any depth below it."""
        step, *rest = steps
        where = f"{above}.{step}"
        is_list = isinstance(place, list)
        if is_list and not (step.isdecimal() and int(step) < len(place)):
            raise UserError(f"{where} was searched, but {above} is a list of {len(place)}, counted from 0{_INSTEAD}")
        key: Any = int(step) if is_list else step
        below = place[key] if is_list else place.get(key)
        if not rest:
            place[key] = value
        elif rest == [_CLASS_PATH]:
            place[key] = None if value is None else self._with_class(below, value, where)
        else:
            if isinstance(below, str) and "." in below:
                below = {_CLASS_PATH: below}
            below = {} if below is None else list(below) if isinstance(below, tuple) else below
            if not isinstance(below, dict | list):
                raise UserError(
                    f"{where}.{'.'.join(rest)} was searched, but {where} is {below!r}, and no section{_INSTEAD}"
                )
            place[key] = below
            if isinstance(below, dict) and _CLASS_PATH in below:
                below = self._inside(below, rest[0])
            self._put(below, rest, value, where)

    def _inside(self, section: dict[str, Any], name: str) -> dict[str, Any]:
        """The mapping in a section that gets an argument of this name."""
        takes = self._accepts(str(section[_CLASS_PATH])) if _CLASS_PATH in section else None
        is_other = takes is not None and takes.any_other and name not in takes.names
        kind = _DICT_KWARGS if is_other or name in (section.get(_DICT_KWARGS) or {}) else _INIT_ARGS
        section[kind] = dict(section.get(kind) or {})
        return section[kind]  # type: ignore[no-any-return]

    def _with_class(self, section: Any, path: str, where: str) -> dict[str, Any]:
        """A section with another class, without the fixed arguments that this one does not take."""
        section = section if isinstance(section, dict) and _CLASS_PATH in section else {}
        if section.get(_CLASS_PATH) in (None, path):
            return {**section, _CLASS_PATH: path}
        takes = self._accepts(path)
        given = section.get(_INIT_ARGS) or {}
        lost = [name for name in given if takes is not None and not takes.any_other and name not in takes.names]
        self.notes += [f"left out: {where}.{name}, which {path} does not take" for name in lost]
        return {_CLASS_PATH: path, _INIT_ARGS: {name: value for name, value in given.items() if name not in lost}}


def _trainer(training: Training, parts: Mapping[str, Any], ranks: int) -> dict[str, Any]:
    """The arguments of the Trainer, with what evo adds: early stopping, the best weights, one device for each rank."""
    settings: dict[str, Any] = dict(parts["trainer"])
    strategy = settings.get("strategy")
    if ranks == 1 and isinstance(strategy, str) and strategy.startswith("ddp"):
        del settings["strategy"]  # A training alone has nothing to be parallel with.
    settings = {"devices": ranks, **({"strategy": "ddp"} if ranks > 1 else {}), **settings}
    given = settings.pop("callbacks", None)
    callbacks = list(given) if isinstance(given, list | tuple) else [] if given is None else [given]
    has = {_last(each) for each in callbacks}
    watched = {"monitor": training.monitor, "mode": training.mode}
    stopping = training.early_stopping
    if (stopping or isinstance(stopping, dict)) and not (stopping is True and "EarlyStopping" in has):
        arguments = {"strict": False, **parts["early_stopping"]}
        same = arguments.get("monitor", training.monitor) == training.monitor
        arguments = {**(watched if same else {}), **arguments}
        callbacks.append({_CLASS_PATH: f"{_CALLBACKS}.EarlyStopping", _INIT_ARGS: arguments})
    if "ModelCheckpoint" not in has:
        callbacks.append({_CLASS_PATH: f"{_CALLBACKS}.ModelCheckpoint", _INIT_ARGS: watched})
    return {**settings, "callbacks": callbacks}


def _last(section: Any) -> str:
    path = section.get(_CLASS_PATH, "") if isinstance(section, Mapping) else section
    return str(path).replace(":", ".").rpartition(".")[2]


def _watching(section: dict[str, Any], monitor: str) -> dict[str, Any]:
    """A scheduler that watches a metric, as LightningCLI has it: with the name of the metric."""
    if _last(section) != "ReduceLROnPlateau":
        return section
    return {_CLASS_PATH: _PLATEAU, _INIT_ARGS: {"monitor": monitor, **(section.get(_INIT_ARGS) or {})}}


def _link(training: Training, parts: Mapping[str, Any]) -> list[str]:
    """Fill in what an argument takes from another; returns what only a parser can know, in words."""
    notes = []
    for source, targets in (training.link_arguments or {}).items():
        for target in targets if isinstance(targets, list) else [targets]:
            first, _, place = str(target).partition(".")
            value, is_known = _value_at(parts, str(source))
            section = parts.get(first)
            if training.model_class or not is_known or not isinstance(section, dict):
                notes.append(f"{target} comes from {source}: your LightningCLI has to link them")
                continue
            inner = section.setdefault(_INIT_ARGS, {}) if _CLASS_PATH in section else section
            inner[place.removeprefix(f"{_INIT_ARGS}.")] = copy.deepcopy(value)
    return notes


def _value_at(parts: Mapping[str, Any], place: str) -> tuple[Any, bool]:
    """The value at a place of the sections, and whether there is one."""
    value: Any = parts
    for step in place.split("."):
        if isinstance(value, Mapping) and _CLASS_PATH in value and step not in value:
            value = value.get(_INIT_ARGS) or {}
        if not isinstance(value, Mapping) or step not in value:
            return None, False
        value = value[step]
    return value, True
