"""Configuration: one frozen dataclass, filled from the command line, a YAML study file or keyword arguments."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from evo.budget import Budget
from evo.propagators.base import check_count, check_probability

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DEFAULT_GENERATIONS = 10
_PLACES = ("auto", "inline", "process")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a search.

    Args:
        limits: What is searched: a dictionary, or the path of a YAML file with one. Ready problems have their own.
        generations: How many individuals each rank breeds. Default 10, when there is no other budget.
        evaluations: How many individuals are evaluated over all ranks, earlier sessions in the same directory included.
        walltime: Stop cleanly after this time: seconds, or for example 30m, 1h30m, 02:00:00.
        target: Stop once some loss is this low.
        seed: Of all randomness; not negative. Default: that of the run directory, or 0.
        run_dir: Directory of the study; an existing one is resumed. Default on the command line: runs/ and its name.
        evaluate: Where the objective runs: inline in the rank, or in a child process that may crash or hang. auto: in
            a child process when its module imports torch or lightning.
        time_limit: Longest time for one evaluation, written like walltime; needs a child process.
        max_failed_share: Give up when more than this share of at least 20 evaluations failed, between 0 and 1.
        allow_duplicates: Try the same point again, for noisy losses.
        gpus_per_node: How many GPUs of each node to use. Default: all that are visible.
        population: Size of the breeding population, at least 2. Default: twice the number of workers.
        crossover: Probability of crossover.
        mutation: Probability that one parameter is drawn anew.
        random_init: Probability that all parameters are drawn anew.
        sigma: Standard deviation of the mutation that every offspring gets, as a share of a parameter's range.
        quiet: Print nothing but errors.
        debug: Check at the end that all ranks hold the same population.
    """

    limits: str | dict[str, Any] | None = None
    generations: int | None = None
    evaluations: int | None = None
    walltime: str | float | None = None
    target: float | None = None
    seed: int | None = None
    run_dir: str | None = None
    evaluate: Literal["auto", "inline", "process"] = "auto"
    time_limit: str | float | None = None
    max_failed_share: float = 0.9
    allow_duplicates: bool = False
    gpus_per_node: int | None = None
    population: int | None = None
    crossover: float = 0.7
    mutation: float = 0.4
    random_init: float = 0.1
    sigma: float = 0.05
    quiet: bool = False
    debug: bool = False

    def __post_init__(self) -> None:
        """Check every value that can be judged alone.

        Raises:
            ValueError: It names the field, its value and the rule.
        """
        for name, least in (
            ("generations", 1),
            ("evaluations", 1),
            ("population", 2),
            ("seed", 0),
            ("gpus_per_node", 0),
        ):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), least)
        for name in ("crossover", "mutation", "random_init", "max_failed_share"):
            check_probability(name, getattr(self, name))
        for name in ("allow_duplicates", "quiet", "debug"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}: give true or false")
        for name in ("walltime", "time_limit"):
            if getattr(self, name) is not None:
                parse_duration(name, getattr(self, name))
        if not isinstance(self.sigma, int | float) or not 0 < self.sigma < float("inf"):
            raise ValueError(f"sigma is {self.sigma!r}: give a number above 0")
        if self.target is not None and (not isinstance(self.target, int | float) or self.target != self.target):
            raise ValueError(f"target is {self.target!r}: give a number")
        if self.evaluate not in _PLACES:
            raise ValueError(f"evaluate is {self.evaluate!r}: it must be one of {', '.join(_PLACES)}")
        if self.evaluate == "inline" and self.time_limit is not None:
            raise ValueError(
                f"time_limit is {self.time_limit}, but evaluate is inline: only a child process can be stopped"
            )

    def budget(self, now: float) -> Budget:
        """When the search ends.

        Args:
            now: Its beginning, seconds since the epoch.
        """
        others = (self.evaluations, self.walltime, self.target)
        generations = self.generations
        if generations is None and all(other is None for other in others):
            generations = _DEFAULT_GENERATIONS
        return Budget(
            generations=generations,
            evaluations=self.evaluations,
            target=self.target,
            deadline=None if self.walltime is None else now + parse_duration("walltime", self.walltime),
            max_failed_share=self.max_failed_share,
        )


def parse_duration(name: str, text: str | float) -> float:
    """Seconds in a duration.

    Args:
        name: What it is, for the error.
        text: Seconds, or for example "30m", "1h30m", "02:00:00", "1-12:00:00".

    Raises:
        ValueError: It is none of these, or not above 0.

    Example:
        >>> parse_duration("walltime", "1h30m")
        5400.0
    """
    seconds = 0.0
    written = str(text).strip()
    clock = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)", written)
    if clock:
        days, hours, minutes, rest = (int(part or 0) for part in clock.groups())
        seconds = ((days * 24 + hours) * 60 + minutes) * 60.0 + rest
    elif re.fullmatch(r"\d+(\.\d+)?", written):
        seconds = float(written)
    elif re.fullmatch(r"(\d+(\.\d+)?[smhd])+", written):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)([smhd])", written))
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{name} is {text!r}: give seconds above 0, or for example 30m, 1h30m, 02:00:00")
    return seconds


def load_limits(limits: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """Limits from where the configuration says.

    Args:
        limits: They themselves, or the path of a YAML file.

    Raises:
        ValueError: The file cannot be read.
    """
    if not isinstance(limits, str):
        return limits
    from jsonargparse import get_loader

    try:
        loaded = get_loader("yaml")(Path(limits).read_text())
    except OSError as error:
        raise ValueError(f"limits file {limits} cannot be read: {error.strerror}") from None
    except Exception as error:
        raise ValueError(f"limits file {limits} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(loaded, Mapping):
        raise ValueError(f"limits file {limits} holds no mapping of names to limits")
    return loaded


def parse_arguments(arguments: Sequence[str], program: str) -> tuple[str, Config]:
    """Read a command line.

    Args:
        arguments: Without the program's name.
        program: Its name, for the help.

    Returns:
        The objective, as the user names it, and the settings.

    Raises:
        ValueError: An option is unknown or has a wrong value.
        SystemExit: Help was asked for.
    """
    parser, source = _parser(program), ""
    try:
        namespace = parser.parse_args(list(arguments))
        what = namespace.what
        if what is not None and what.endswith((".yaml", ".yml")):
            source = f"study file {what}: "  # The rest has just been read without a mistake.
            namespace = parser.parse_args(["--config", what, *arguments])
            what = namespace.objective
        values = {field.name: namespace[field.name] for field in dataclasses.fields(Config)}
        return what or namespace.objective or "digits", Config(**values)
    except (argparse.ArgumentError, TypeError, OSError, ValueError) as error:
        raise ValueError(source + _readable(str(error))) from None


def _parser(program: str) -> ArgumentParser:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(
        prog=program,
        usage=f"{program} [OBJECTIVE | STUDY.yaml] [options]",
        description="Search for the parameters with the lowest loss. Start it under mpirun or srun to use many ranks.",
        exit_on_error=False,
        print_config=None,
    )
    parser.add_argument(
        "what",
        nargs="?",
        metavar="OBJECTIVE",
        help="A ready problem (digits by default, sphere, rastrigin, …), module:function, path/to/file.py:function, or "
        "a YAML study file with any of the options below, and objective.",
    )
    parser.add_argument("--config", action="config", help="The same as a study file as first argument.")
    parser.add_argument("--objective", type=str, default=None, help="The same as the first argument.")
    hints, texts = get_type_hints(Config), _field_texts()
    for field in dataclasses.fields(Config):
        option = "--" + field.name.replace("_", "-")
        if field.type == "bool":
            parser.add_argument(option, action="store_true", help=texts[field.name])
        else:
            parser.add_argument(option, type=hints[field.name], default=field.default, help=texts[field.name])
    return parser


def _field_texts() -> dict[str, str]:
    from docstring_parser import parse

    return {text.arg_name: " ".join((text.description or "").split()) for text in parse(Config.__doc__ or "").params}


def _readable(message: str) -> str:
    """One line for a person from what the parser says."""
    line = " ".join(message.split())
    given = re.match(r'Parser key "(\w+)": Does not validate.*Subtypes: \[(.*)\] Errors:.*Given value: (.*)', line)
    if given:
        kinds = re.sub(r"<class '(.*?)'>|typing\.", r"\1", given[2]).replace("NoneType", "null")
        return f"{given[1]} is {given[3]!r}: it must be one of the types {kinds}"
    literal = re.match(r'Parser key "(\w+)": Expected a typing.Literal\[(.*?)\]. Got value: (.*)', line)
    if literal:
        return f"{literal[1]} is {literal[3]!r}: it must be one of {literal[2]}"
    plain = re.match(r"Parser key \"(\w+)\": Expected a <class '(\w+)'>. Got value: (.*)", line)
    if plain:
        return f"{plain[1]} is {plain[3]!r}: it must be of type {plain[2]}"
    return f"{line}; --help lists the options" if line.startswith("unrecognized arguments") else line
