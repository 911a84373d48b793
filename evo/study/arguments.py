"""The command line and the study file: options made from the fields of `Config` and of `Training`."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from evo.algorithms.catalogue import GENETIC_OPTIONS, place_of_options, uses_genetic
from evo.checks import did_you_mean
from evo.errors import UserError
from evo.objective.lightningcli import read_configuration
from evo.objective.training import SECTIONS, Training
from evo.study.config import Config
from evo.study.files import load_yaml
from evo.study.options import kinds_of, members_of, option_parser, option_types, unrecognized
from evo.study.reading import Command
from evo.study.sections import make_training
from evo.study.traps import check_options, check_study_file
from evo.texts import readable

_YAML = (".yaml", ".yml")
_NAMED = ("propagator", "pruning")  # Mappings that a name may stand for.
_DEFAULT_PROBLEM = "digits"
_OBJECTIVES = ("objective", "model", "model_class")


def parse_arguments(arguments: Sequence[str], program: str) -> Command:
    """Read a command line.

    Args:
        arguments: The words of the command line after the program's name.
        program: The program's name, for the help.

    Raises:
        UserError: An option is unknown or has a wrong value.
        SystemExit: Help was asked for.
    """
    arguments = [readable(argument) for argument in arguments]
    check_options(arguments)
    plain, dotted = _split_dotted(arguments)
    given = vars(option_parser(program).parse_args(plain))
    what, files = given.pop("what", None), given.pop("config", [])
    if what is not None and what.endswith(_YAML):
        what, files = None, [what, *files]
    options: dict[str, Any] = {}
    aside: list[str] = []
    study = ""
    for file in files:
        read, more = _read_study(file)
        options |= read
        aside += more
        if what is None and any(name in read and name not in given for name in _OBJECTIVES):
            study = Path(file).stem
    source = f"study file {files[0]}: " if files and not given and not dotted else ""
    options |= {name: _from_text(name, text) for name, text in given.items()}
    _settle_breeding(options, {*given, *(path for path, _ in dotted)})
    for path, text in dotted:
        _put(options, path, text)
    try:
        config = _config_of(options)
        folders = dict.fromkeys([Path(), *(Path(file).parent for file in files)])
        objective = _make_objective(what or options.get("objective"), options, config, list(folders), aside)
    except UserError as error:
        raise UserError(source + _one_line(error)) from error
    if objective is None and files:
        raise UserError(
            f"study file {files[0]} names no objective and no model: add objective: module:function, a ready problem "
            "such as objective: digits, or the sections of a training, which begin with model"
        )
    beside = {name: value for name, value in config.genetic_options.items() if name not in given}
    return Command(objective or _DEFAULT_PROBLEM, config, study, [place_of_options(beside)] if beside else [])


def _make_objective(
    what: str | None, options: Mapping[str, Any], config: Config, folders: list[Path], aside: list[str]
) -> str | Training | None:
    """What is minimised: a name, or the training that the sections describe; None when nothing says."""
    sections = {
        each.name: options[each.name] for each in SECTIONS if options.get(each.name, each.default) != each.default
    }
    if not sections and what is not None:
        return what
    if what is not None:
        raise UserError(
            f"{next(iter(sections))} belongs to a training, but the objective is {what}: give one of the two"
        )
    return make_training(sections, config.limits, folders, aside)


def _settle_breeding(options: dict[str, Any], given: Collection[str]) -> None:
    """Let the command line win where it and a study file both say how to breed, one in `propagator`, one beside it.

    Args:
        options: All options, without places in options; those that do not count are removed.
        given: The options, and the places in options, that the command line has.
    """
    what: Any = options.get("propagator") or "genetic"
    for name in GENETIC_OPTIONS:
        is_in = isinstance(what, Mapping) and name in what
        if name in given:
            if is_in and "propagator" not in given:
                options["propagator"] = what = {key: value for key, value in what.items() if key != name}
        elif "propagator" in given:
            if is_in or not uses_genetic([what, options.get("islands")]):
                options.pop(name, None)
        elif f"propagator.{name}" in given:
            options.pop(name, None)


def _read_study(file: str) -> tuple[dict[str, Any], list[str]]:
    """The options in a study file, or a configuration of LightningCLI, and what of that was set aside."""
    given = load_yaml("study file", file)
    check_study_file(file)
    if given is None:
        return {}, []
    if not isinstance(given, Mapping):
        raise UserError(f"study file {file} holds {given!r}: it must hold a mapping of options to their values")
    try:
        options, aside = read_configuration(given)
        hints = option_types()
        for name, value in options.items():
            if name == "ranks":
                raise UserError("ranks belongs on the command line, --ranks 4: mpirun may search the same study file")
            if name not in hints:
                group = "; a group that a LightningCLI of your own adds is a section, of trainer.callbacks for example"
                raise UserError(_unknown(str(name), [*hints]) + (group if isinstance(value, Mapping) else ""))
            options[name] = _convert(name, value, value)
    except UserError as error:
        raise UserError(f"study file {file}: {error}") from error
    return options, aside


def _unknown(name: str, known: Sequence[str]) -> str:
    return f"{name!r} is no option{did_you_mean(name, known)}; --help lists the options"


def _split_dotted(arguments: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Options as argparse knows them, and those for a place in one, `--trainer.max_epochs 3`, with their text."""
    plain: list[str] = []
    dotted: list[tuple[str, str]] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, text = argument.partition("=")
        if not re.match(r"--\w", name):
            plain.append(argument)
            continue
        first, dot, place = name[2:].partition(".")
        if dot:
            following = text if equals else next(rest, None)
            if following is None:
                raise UserError(f"{name[2:]}: expected one argument")
            dotted.append((f"{first.replace('-', '_')}.{place}", following))
        else:
            plain.append(f"--{first.replace('_', '-')}{equals}{text}")
    return plain, dotted


def _put(options: dict[str, Any], path: str, text: str) -> None:
    """Set the value at one place in an option that is a mapping."""
    name, _, place = path.partition(".")
    if name not in option_types() or not _may_be_mapping(option_types()[name]) or place.endswith("+"):
        raise UserError(unrecognized(f"unrecognized arguments: --{path}"))
    # Names of limits and parameters may have dots in them; names in a section have none.
    is_section = any(name == section.name for section in SECTIONS) and name != "link_arguments"
    steps = place.split(".") if is_section else [place]
    if name in _NAMED:
        chosen = options.get(name) or _default_name(name, place)
        options[name] = {"name": chosen} if isinstance(chosen, str) else chosen
    if name == "objectives" and isinstance(options.get(name), str | list):
        named = options[name]
        options[name] = dict.fromkeys([named] if isinstance(named, str) else named, "min")
    if name == "start_from" and isinstance(options.get(name), str | list):
        options[name] = {"points": options[name]}
    tree, step = options, name
    for following in steps:
        below = tree.get(step)
        below = {"class_path": below} if isinstance(below, str) and is_section else below
        tree[step] = dict(below) if isinstance(below, Mapping) else {}
        tree, step = tree[step], following
        if "class_path" in tree and step not in ("class_path", "init_args", "dict_kwargs"):
            tree["init_args"] = dict(tree.get("init_args") or {})
            tree = tree["init_args"]
    tree[step] = _yaml(text)


def _default_name(name: str, option: str) -> str:
    """The name that a mapping stands for when the command line sets an option in it and nothing gives the name."""
    if name == "pruning":
        return "none"
    return "genetic" if option in GENETIC_OPTIONS else "portfolio"


def _from_text(name: str, text: Any) -> Any:
    """The value of an option from what stands on the command line."""
    if name == "objective" or not isinstance(text, str):
        return text
    if name == "start_from" and not text.strip():
        return text  # In YAML it is null, as if nothing was asked for: it is refused where points are read.
    if (number := _number(name, text)) is not None:
        return number
    return _convert(name, _yaml(text) if _is_structured(option_types()[name]) else text, text)


def _number(name: str, value: Any) -> float | None:
    """The number in a text, of an option that takes numbers but no texts; None if it is none."""
    members = members_of(option_types()[name])
    if isinstance(value, str) and float in members and str not in members:
        with contextlib.suppress(ValueError):
            return float(value)  # This reads .5 and 5. too, which are no numbers in JSON.
    return None


def _convert(name: str, value: Any, shown: Any) -> Any:
    hint = option_types()[name]
    if (number := _number(name, value)) is not None:
        return number
    try:
        # A value with structure is taken as it is, because only the place where it is used knows what it means.
        return msgspec.convert(value, hint, strict=_is_structured(hint))
    except (msgspec.ValidationError, ValueError):
        kinds = ", ".join(kinds_of(hint))
        rule = f"one of the types {kinds}" if len(kinds_of(hint)) > 1 else f"of type {kinds}"
        if typing.get_origin(hint) is typing.Literal:
            rule = "one of " + ", ".join(map(repr, typing.get_args(hint)))
        raise UserError(f"{name} is {shown!r}: it must be {rule}") from None


def _yaml(text: str) -> Any:
    from jsonargparse import get_loader

    try:
        return get_loader("yaml")(text)
    except Exception:
        return text  # It is a name with characters that mean something in YAML.


def _is_structured(hint: Any) -> bool:
    return any((typing.get_origin(member) or member) in (dict, list, tuple) for member in members_of(hint))


def _may_be_mapping(hint: Any) -> bool:
    return any((typing.get_origin(member) or member) is dict for member in members_of(hint))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _config_of(options: Mapping[str, Any]) -> Config:
    names = [each.name for each in dataclasses.fields(Config)]
    return Config(**{name: options[name] for name in names if name in options})
