"""Configuration: one frozen dataclass, whose field texts are the help of the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from evo.checks import check_count, check_probability
from evo.engine.budget import Budget
from evo.errors import UserError
from evo.space.values import Params, plain, why_no_value
from evo.study.traps import check_values
from evo.texts import as_path

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DEFAULT_GENERATIONS = 10
_LEAVING = 15.0  # Seconds that all ranks have to end, before their batch job does, once the trainings are saved.
_MOST_GPUS = 1024  # Of a node.
_ALTERNATIVES = {
    "evaluate": ("auto", "inline", "process"),
    "migration": ("copy", "move"),
    "exchange": ("auto", "flat", "tree"),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a search.

    Args:
        limits: What is searched: a dictionary, or the path of a YAML file with one. Ready problems have their own.
        constraints: What every candidate fulfils: an expression of parameters, such as "x < y" or
            "batch * accumulate <= 512", or a list of these; in Python also functions of the parameters that return
            True or False. What violates one is never evaluated.
        generations: How many individuals each rank breeds. Default 10, when there is no other budget.
        evaluations: How many individuals are evaluated over all ranks, earlier sessions in the same directory included.
        walltime: Stop cleanly after this time: seconds, or for example 30m, 1h30m, 02:00:00. A search in a batch
            job stops before that ends, whatever this says.
        grace: Time that trainings may take to save their state when the search stops, written like walltime; a
            quarter of a minute more than that before the end of a batch job, it stops.
        target: Stop once some loss is this low.
        baseline: Parameters of your own choice, or a YAML file with them, to which evo test compares the best
            individual.
        seed: Of all randomness; not negative. Default: that of the run directory, or 0.
        run_dir: Directory of the study; an existing one is resumed. Default on the command line: runs/ and the name of
            the study file, or else of the objective.
        change_limits: Go on in a directory whose study has other limits: from now on it has these. Individuals outside
            of them are set aside; those that lack a new parameter have its default.
        start_from: Points to be tried first: a list of parameters, or a YAML or JSON file with one. What a point lacks
            has its default, or is drawn.
        islands: How many islands, or a list with one mapping for each: workers, and its own propagator if it has one.
        island_sizes: Workers of each island, if these differ.
        migration: What travels between islands. copy: a copy, for which the island that it comes to retires one of its
            own (pollination). move: the individual itself.
        migration_probability: That an island sends individuals, for each generation of all its workers together.
            Default: 0.9 for copies, 0.1 when the individuals themselves move.
        topology: Who sends to whom: full, ring, torus, star, random, or a matrix whose entry (i, j) is the number of
            individuals sent from island i to island j at a time.
        migrants: How many individuals travel on each edge of a topology with a name.
        degree: How many islands each island sends to in the random topology. Default 2, if there are so many.
        emigration: Which individuals leave: SelectMin (the best), SelectMax, SelectUniform, or module.Class.
        immigration: Which individuals make room for copies: SelectMax (the worst), SelectMin, SelectUniform, or
            module.Class.
        ranks_per_worker: How many ranks evaluate each individual together.
        exchange: How events reach all ranks. flat: each rank sends to all others. tree: to a few, which pass on. auto:
            flat, but a tree for more than 512 workers whose objective runs in child processes; with a loss that runs
            inline, a tree passes on late, and budgets are overspent.
        evaluate: Where the objective runs: inline in the rank, or in a child process that may crash or hang. auto: in
            a child process when its module imports torch, lightning or the like, itself or through others.
        time_limit: Longest time for one evaluation, written like walltime; needs a child process.
        checkpoint_interval: Time after which a long training saves its state again, written like walltime: what it
            loses at most when it is killed, a validation that is running then aside.
        collective_timeout: Longest time that a rank of a worker waits for the others inside a training, written like
            walltime; then the individual has failed, and says for which rank it waited.
        keep_checkpoints: How many of the best individuals of the study keep their weights, the files *.ckpt.
        max_failed_share: Give up when more than this share of at least 20 evaluations failed, between 0 and 1.
        allow_duplicates: Try the same point again, for noisy losses.
        gpus_per_node: How many GPUs of each node to use. Default: all that are visible.
        gpu_memory: The share of its GPU's memory that each Lightning training may use, above 0, at most 1; with three
            ranks on each GPU, for example 0.3. One that needs more has failed, and its neighbours go on.
        propagator: What breeds: genetic, random, or a mapping: name and options of one of these, or class_path and
            init_args of any other. Islands may have their own.
        population: Size of the breeding population, at least 2. Default: twice the number of workers on the island.
        crossover: Probability of crossover.
        mutation: Probability that one parameter is drawn anew.
        random_init: Probability that all parameters are drawn anew.
        pruning: What ends evaluations early, by the losses that they report: none, halving, median, curve, or a
            mapping: name and parameters of one of these.
        sigma: Standard deviation of the mutation that every offspring gets, as a share of a parameter's range.
        quiet: Print nothing but errors.
        debug: Check at the end that all ranks hold the same population.
    """

    limits: str | dict[str, Any] | None = None
    constraints: str | list | None = None  # type: ignore[type-arg]
    generations: int | None = None
    evaluations: int | None = None
    walltime: str | float | None = None
    grace: str | float = "45s"
    target: float | None = None
    baseline: str | dict[str, Any] | None = None
    seed: int | None = None
    run_dir: str | None = None
    change_limits: bool = False
    start_from: str | list[dict] | None = None  # type: ignore[type-arg]
    islands: int | list[dict] = 1  # type: ignore[type-arg]
    island_sizes: list[int] | None = None
    migration: Literal["copy", "move"] = "copy"
    migration_probability: float | None = None
    topology: str | list = "full"  # type: ignore[type-arg]
    migrants: int = 1
    degree: int | None = None
    emigration: str = "SelectMin"
    immigration: str = "SelectMax"
    ranks_per_worker: int = 1
    exchange: Literal["auto", "flat", "tree"] = "auto"
    evaluate: Literal["auto", "inline", "process"] = "auto"
    time_limit: str | float | None = None
    checkpoint_interval: str | float = "5m"
    collective_timeout: str | float = "10m"
    keep_checkpoints: int = 3
    max_failed_share: float = 0.9
    allow_duplicates: bool = False
    gpus_per_node: int | None = None
    gpu_memory: float = 1.0
    propagator: str | dict = "genetic"  # type: ignore[type-arg]
    population: int | None = None
    crossover: float = 0.7
    mutation: float = 0.4
    random_init: float = 0.1
    pruning: str | dict = "none"  # type: ignore[type-arg]
    sigma: float = 0.05
    quiet: bool = False
    debug: bool = False

    def __post_init__(self) -> None:
        """Check every value that can be judged alone; numbers of numpy become Python's.

        Raises:
            UserError: It names the field, its value and the rule.
        """
        for field in fields(self):
            if hasattr(getattr(self, field.name), "tolist"):
                object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        for name, least in (
            ("generations", 1),
            ("evaluations", 1),
            ("population", 2),
            ("seed", 0),
            ("degree", 1),
        ):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), least)
        if self.gpus_per_node is not None:
            check_count("gpus_per_node", self.gpus_per_node, 0, _MOST_GPUS)
        for name in ("migrants", "ranks_per_worker", "keep_checkpoints"):
            check_count(name, getattr(self, name))
        for name in ("crossover", "mutation", "random_init", "max_failed_share"):
            check_probability(name, getattr(self, name))
        if self.migration_probability is not None:
            check_probability("migration_probability", self.migration_probability)
        for name in ("change_limits", "allow_duplicates", "quiet", "debug"):
            if not isinstance(getattr(self, name), bool):
                raise UserError(f"{name} is {getattr(self, name)!r}: give true or false")
        for name in ("walltime", "grace", "time_limit", "checkpoint_interval", "collective_timeout"):
            if getattr(self, name) is not None:
                parse_duration(name, getattr(self, name))
        if not isinstance(self.gpu_memory, int | float) or not 0 < self.gpu_memory <= 1:
            raise UserError(f"gpu_memory is {self.gpu_memory!r}: give a share above 0, at most 1")
        if not isinstance(self.sigma, int | float) or not 0 < self.sigma < float("inf"):
            raise UserError(f"sigma is {self.sigma!r}: give a number above 0")
        if self.target is not None and (not isinstance(self.target, int | float) or self.target != self.target):
            raise UserError(f"target is {self.target!r}: give a number")
        for name, allowed in _ALTERNATIVES.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"{name} is {getattr(self, name)!r}: it must be one of {', '.join(allowed)}")
        if self.evaluate == "inline" and self.time_limit is not None:
            raise UserError(
                f"time_limit is {self.time_limit}, but evaluate is inline: only a child process can be stopped"
            )

    def budget(self, now: float, allocation_end: float | None = None) -> Budget:
        """When the search ends.

        Args:
            now: Its beginning, seconds since the epoch.
            allocation_end: When the batch job ends in which it runs, seconds since the epoch; None: it does not.
        """
        deadlines = []
        if self.walltime is not None:
            deadlines.append((now + parse_duration("walltime", self.walltime), Budget.why_deadline))
        if allocation_end is not None:
            last = allocation_end - parse_duration("grace", self.grace) - _LEAVING
            deadlines.append((last, "the end of the batch job is near"))
        deadline, why_deadline = min(deadlines, default=(None, Budget.why_deadline))
        others = (self.evaluations, self.walltime, self.target)
        generations = self.generations
        if generations is None and all(other is None for other in others):
            generations = _DEFAULT_GENERATIONS
        return Budget(
            generations=generations,
            evaluations=self.evaluations,
            target=self.target,
            deadline=deadline,
            why_deadline=why_deadline,
            max_failed_share=self.max_failed_share,
        )


def parse_duration(name: str, text: str | float) -> float:
    """Seconds in a duration.

    Args:
        name: What it is, for the error.
        text: Seconds, or for example "30m", "1h30m", "02:00:00", "1-12:00:00".

    Raises:
        UserError: It is none of these, or not above 0.

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
        raise UserError(f"{name} is {text!r}: give seconds above 0, or for example 30m, 1h30m, 02:00:00")
    return seconds


def load_limits(limits: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """Limits from where the configuration says.

    Args:
        limits: They themselves, or the path of a YAML file.

    Raises:
        UserError: The file cannot be read.
    """
    if not isinstance(limits, str):
        return limits
    loaded = load_yaml("limits file", limits, of_values=True)
    if not isinstance(loaded, Mapping):
        raise UserError(f"limits file {limits} holds no mapping of names to limits")
    return loaded


def read_parameters(given: str | os.PathLike[str] | Mapping[str, Any]) -> Params:
    """The parameters of a baseline.

    Args:
        given: These, or a YAML file with them.

    Raises:
        UserError: The file cannot be read, or they are something else.
    """
    loaded, where = given, "baseline"
    if isinstance(given, str | os.PathLike):
        loaded, where = load_yaml("baseline", os.fspath(given), of_values=True), f"baseline {os.fspath(given)}"
    if not isinstance(loaded, Mapping):
        raise UserError(f"{where} holds {loaded!r}: it must hold a mapping of parameters to their values")
    values: Params = plain(loaded)
    for name, value in values.items():
        if problem := why_no_value({name: value}):
            raise UserError(f"{where}: {name!r} is {value!r}: {problem}")
    return values


def read_start_points(given: str | os.PathLike[str] | Sequence[Any]) -> list[Mapping[str, Any]]:
    """The points of the setting `start_from`, as they are given.

    Args:
        given: A list of parameters, or a YAML or JSON file with one.

    Raises:
        UserError: The file cannot be read, or it is something else.
    """
    loaded, where = given, "start_from"
    if isinstance(given, str | os.PathLike):
        loaded, where = load_yaml("start_from", os.fspath(given), of_values=True), f"start_from {os.fspath(given)}"
    if not isinstance(loaded, list | tuple) or not all(isinstance(point, Mapping) for point in loaded):
        raise UserError(f"{where} holds {loaded!r}: it must hold a list of mappings of parameters to their values")
    return list(loaded)


def load_yaml(what: str, file: str, *, of_values: bool = False) -> Any:
    """What a YAML file holds, read as a study file is.

    Args:
        what: The file is, for messages.
        file: Its path.
        of_values: Whether it holds limits or parameters, so that every value must be what it is written as.

    Raises:
        UserError: It cannot be read, or is not YAML.
    """
    from jsonargparse import get_loader

    try:
        text = as_path(file).read_text(encoding="utf-8")
        loaded = get_loader("yaml")(text)
    except OSError as error:
        raise UserError(f"{what} {file} cannot be read: {error.strerror}") from None
    except Exception as error:
        raise UserError(f"{what} {file} is not valid YAML: {' '.join(str(error).split())}") from None
    if of_values:
        check_values(text, what=f"{what} {file}")
    return loaded
