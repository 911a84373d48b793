"""A training from the sections of a study file: classes that they do not name are found, and the user is told."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from evo.errors import UserError
from evo.objective.lightningcli import settle_trainer
from evo.objective.training import Training
from evo.study.classes import Candidate, Sources, choose_class
from evo.study.files import load_limits

_CLASS_KEYS = {"model": "model_class", "data": "datamodule_class"}


def make_training(
    sections: Mapping[str, Any],
    limits: str | Mapping[str, Any] | None,
    folders: Sequence[Path],
    aside: Sequence[str] = (),
) -> Training | None:
    """A training from sections.

    Args:
        sections: The sections that the user gives, fields of `Training`.
        limits: What is searched, or a file with it.
        folders: The folders whose Python files say which classes are meant where no class is named.
        aside: What was set aside already, for the note.

    Returns:
        The training; None when none is asked for.

    Raises:
        UserError: A section is absent or malformed, or the class that it does not name cannot be found.
    """
    searched = list(load_limits(limits)) if limits is not None else []
    if not (sections or "model.class_path" in searched):
        return None
    given = {name: value for name, value in sections.items() if value is not None}
    trainer, more = settle_trainer(given.get("trainer") or {})
    given["trainer"] = trainer or None
    notes = []
    if aside or more:
        notes.append(f"set aside: {', '.join((*aside, *more))}")
    notes += _find_classes(given, searched, folders)
    return Training(**given, notes=tuple(notes))


def _find_classes(given: dict[str, Any], searched: Collection[str], folders: Sequence[Path]) -> list[str]:
    """Name the classes of the sections that name none; returns remarks for the user on the choice."""
    open_model = _is_open("model", given, searched, is_needed=True)
    open_data = _is_open("data", given, searched, is_needed=False)
    plain = [kind for kind in ("optimizer", "lr_scheduler") if _is_open(kind, given, searched, is_needed=False)]
    plain = [kind for kind in plain if given.get(kind)]
    has_data = "data" in given or any(name.startswith("data.") for name in searched) or "datamodule_class" in given
    if not (open_model or open_data or plain or not has_data):
        return []
    sources = Sources(folders)
    for kind in plain:
        added = sources.added(kind)
        if len(added) != 1:
            raise UserError(f"{kind} has no class_path: write class_path and init_args, to which its arguments belong")
        given[kind] = {"class_path": added[0], "init_args": given[kind]}
    calls = sources.called()
    links = sources.links() if calls and "link_arguments" not in given else {}
    given.setdefault("link_arguments", links)
    notes = []
    if open_model:
        called = [call["model"] for call in calls if "model" in call]
        if "model" not in given and not called and not _relative("model", searched):
            raise UserError("there is no section model: a training needs one, with class_path and init_args")
        notes.append(_choose("model", given, searched, [*called, *sources.classes("model")], links))
    path = given.get("model_class") or _class_path(given.get("model"))
    fitting = [call for call in calls if "data" in call and ("model" not in call or call["model"].path == path)]
    if open_data:
        called = [call["data"] for call in fitting] or [call["data"] for call in calls if "data" in call]
        notes.append(_choose("data", given, searched, [*called, *sources.classes("data")], links))
    elif not has_data and len({call["data"].path for call in fitting}) == 1:
        # A printed configuration leaves out a data module without arguments.
        given["datamodule_class"] = fitting[0]["data"].path
        notes.append(f"data is {fitting[0]['data'].path}: {fitting[0]['data'].where}")
    if links and any("LightningCLI" in note for note in notes):
        notes.append(f"link_arguments is {links}: LightningCLI's parser has it")
    elif given["link_arguments"] is links:
        del given["link_arguments"]
    return notes


def _choose(
    kind: str, given: dict[str, Any], searched: Collection[str], candidates: Sequence[Candidate], links: dict[str, str]
) -> str:
    arguments = given.get(kind) or {}
    arguments = arguments.get("init_args") or {} if set(arguments) == {"init_args"} else arguments
    chosen = choose_class(kind, list(arguments), [*_relative(kind, searched), *_linked(kind, given)], candidates)
    given[_CLASS_KEYS[kind]] = chosen.path
    for source, target in list(links.items()):
        first, _, place = target.partition(".")
        if first == kind and chosen.takes is not None and place.partition(".")[0] not in chosen.takes:
            del links[source]  # The link is for another class.
    return f"{kind} is {chosen.path}: {chosen.where or 'the only class here that fits'}"


def _is_open(kind: str, given: Mapping[str, Any], searched: Collection[str], *, is_needed: bool) -> bool:
    """Whether no class is named for a section that is given, or needed."""
    section = given.get(kind)
    if _CLASS_KEYS.get(kind) in given or f"{kind}.class_path" in searched or _class_path(section):
        return False
    return is_needed or section is not None or any(name.startswith(f"{kind}.") for name in searched)


def _class_path(section: Any) -> str | None:
    if isinstance(section, str):
        return section
    return section.get("class_path") if isinstance(section, Mapping) else None


def _relative(kind: str, searched: Collection[str]) -> list[str]:
    """The arguments of a section among the names of the limits; those without a dot may be for any section."""
    names = [
        name.removeprefix(f"{kind}.").removeprefix("init_args.") for name in searched if name.startswith(f"{kind}.")
    ]
    return [name.partition(".")[0] for name in names] + [name for name in searched if "." not in name]


def _linked(kind: str, given: Mapping[str, Any]) -> list[str]:
    targets = []
    for target in (given.get("link_arguments") or {}).values():
        targets += target if isinstance(target, list) else [target]
    return _relative(kind, [str(target) for target in targets])
