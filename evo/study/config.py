"""Configuration: one frozen dataclass, whose field texts are the help of the command line."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Literal

from evo.algorithms.catalogue import GENETIC_OPTIONS
from evo.checks import check_count, check_probability
from evo.engine.budget import Budget
from evo.errors import UserError
from evo.population.goal import Goal, make_goal
from evo.population.objectives import Objectives, make_objectives
from evo.space.values import is_number, plain
from evo.study.durations import parse_duration
from evo.study.starting_weights import start_points

_DEFAULT_GENERATIONS = 10
_LEAVING = 15.0  # Seconds that all ranks have to end before their batch job does, once the trainings are saved.
_DURATIONS = ("walltime", "grace", "time_limit", "checkpoint_interval", "collective_timeout", "command_timeout")
_MOST_GPUS = 1024  # The most GPUs that a node may have.


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a search.

    Args:
        limits: What is searched: a dictionary, or the path of a YAML file with one. Ready problems have their own.
        constraints: Conditions that every candidate fulfils: an expression of parameters, such as "x < y" or
            "batch * accumulate <= 512", or a list of these; in Python also functions of the parameters that return
            True or False. A point that violates one is never evaluated.
        objectives: What is minimised or maximised, unless it is one loss: a mapping of names to min or max, as in
            {val_acc: max, parameters: min}, or a list of names, which are minimised. Names are those of values that the
            objective returns by name, or puts into trial.metrics; of a Lightning training those that the module logs,
            and parameters, flops, latency, peak_memory, seconds and energy, which evo measures. With several, the best
            trade-offs are searched: the front, of which none is better than another one in everything.
        constraint_metrics: Bounds that such values must keep, as in {peak_memory: "<= 2e9"}. Individuals that violate
            one count as worse than all others, the more so the more they violate.
        generations: How many individuals each rank breeds. Default: 10, if there is no other budget.
        evaluations: How many individuals are evaluated over all ranks, earlier sessions in the same directory included.
        walltime: Stop cleanly after this time: seconds, or for example 30m, 1h30m, 02:00:00. In a batch job, a search
            also stops in time before the job ends.
        grace: Time that trainings have to save their state when the search stops, written like walltime. In a batch
            job, the search stops this time and 15 seconds before the job ends.
        target: Stop once a loss is at most this number. If the objective has a name, the value that is good enough.
            With several objectives a mapping of names to values, as in {val_acc: 0.9, parameters: 1e5}, that one
            individual is to reach together; or {hypervolume: 3.5}, which the front is to have within the
            reference_point. An individual that violates a bound never reaches a target.
        reference_point: With several objectives, the point up to which a hypervolume counts: a mapping of all their
            names to values that are worse than all of interest, as in {val_acc: 0, parameters: 1e6}. Also used for the
            hypervolume that is shown.
        baseline: Parameters of your own choice, or a YAML file with them, to which evo test compares the best
            individual.
        seed: Seed of all random numbers, a whole number from 0. Default: that of the run directory, or 0.
        run_dir: Directory of the study; an existing one is resumed. Default on the command line: runs/NAME, after the
            study file, or else the objective.
        change_limits: Go on in a directory whose study has other limits, and use the new ones from now on. Individuals
            outside of them are set aside; those that lack a new parameter get its default.
        trust: Load checkpoints of other users in the run directory in full, which runs any code in them.
        strict: Stop with an error, rather than warn, when code of the objective, a constraint, a propagator or the
            pruner has changed since earlier sessions in the directory.
        start_from: What is known beforehand: a list of points, each a mapping of parameters to their values; a CSV,
            YAML or JSON file with such points; another run directory; or a store of Optuna (study.db, journal.log,
            sqlite:///study.db, or STORE#NAME for one of several studies). Points with a loss are known from the start
            and not evaluated again; the others are evaluated first. A parameter that such a point lacks gets its
            default, or is drawn. Results of a run or a store that do not fit the limits are left out. Or a mapping of
            weights, a file from which all trainings begin, and points, any of these.
        islands: How many islands there are; or a list with a mapping for each, with its number of workers and, if it
            has its own, its propagator, as in [{workers: 2}, {workers: 2, propagator: random}].
        island_sizes: Number of workers of each island, for example [8, 4, 4], if these differ.
        migration: What travels between islands. copy: a copy of an individual, for which the other island retires one
            of its own (pollination). move: the individual itself.
        migration_probability: Probability that an island sends individuals, for each generation of all its workers
            together. Default: 0.9 for copy, 0.1 for move.
        topology: Which islands send to which: full, ring, torus, star, random, or a matrix whose entry (i, j) is the
            number of individuals that island i sends to island j at a time.
        migrants: How many individuals travel at a time from one island to another, unless topology is a matrix.
        degree: How many islands each island sends to in the random topology. Default: 2, or 1 if there are two islands.
        emigration: Which individuals leave: SelectMin (the best), SelectMax, SelectUniform, or module.Class.
        immigration: Which individuals make room for copies: SelectMax (the worst), SelectMin, SelectUniform, or
            module.Class.
        ranks_per_worker: How many ranks evaluate each individual together.
        exchange: How events reach all ranks. flat: each rank sends them to all others. tree: each rank sends them to a
            few others, which pass them on; a rank that evaluates inline does so late, and budgets are overspent. auto:
            a tree for more than 512 workers whose objective runs in child processes, otherwise flat.
        evaluate: Where the objective runs. inline: in the rank itself. process: in a child process, which may crash or
            hang. auto: in a child process if the objective's module imports torch, lightning or the like, itself or
            through others.
        time_limit: Longest time for one evaluation, written like walltime; a longer one fails. It needs a child
            process.
        checkpoint_interval: Time after which a long training saves its state again, written like walltime. A training
            that is killed loses at most this much, apart from a validation that is running.
        collective_timeout: Longest time that a rank of a worker waits for the others inside a training, written like
            walltime. After it the individual fails, with an error that names the missing rank.
        keep_checkpoints: How many of the best individuals of the study keep their weights, their .ckpt files. With
            several objectives these are individuals of the front; if it has more, those that add least to its
            hypervolume lose theirs, but not the knee, and if it has fewer, the next best keep theirs as well. Until
            the search is over, up to twice as many do, because the front changes.
        max_failed_share: Give up when more than this share of at least 20 evaluations has failed, from 0 to 1.
        allow_duplicates: Evaluate the same point more than once, for noisy losses.
        gpus_per_node: How many GPUs of each node to use; 0 for none. Default: all that are visible.
        gpu_memory: Share of its GPU's memory that each Lightning training may use, above 0 and at most 1; for example
            0.3 with three ranks on each GPU. A training that needs more fails, and its neighbours go on.
        propagator: How individuals are bred: portfolio, front, tpe, modelled, additive, shade, cmaes, pso, nelder_mead,
            regularized, genetic, random, or a mapping with the name and options of one of these, as in {name: genetic,
            population: 20, sigma: 0.1}, or with class_path and init_args of another class. Default: portfolio, which
            chooses among others by what they have achieved; genetic where one of its options is given.
        population: Short for an option of the genetic propagator: how many of the best individuals breed, at least 2.
            Default: twice the number of workers on the island.
        crossover: Short for an option of the genetic propagator: probability that two parents are mixed. Default: 0.7.
        mutation: Short for an option of the genetic propagator: probability that one parameter is drawn anew.
            Default: 0.4.
        random_init: Short for an option of the genetic propagator: probability that all parameters are drawn anew.
            Default: 0.1.
        sigma: Short for an option of the genetic propagator: standard deviation of the mutation that every offspring
            gets, as a share of a parameter's range. Default: 0.05.
        pruning: Which evaluations end early, by the losses that they report: none, halving, median, curve, or a mapping
            with the name and parameters of one of these, or with class_path and init_args of another class. In Python
            also a pruner itself. With several objectives the first one is judged, and only those end early that another
            individual equals or surpasses in every objective at the same step.
        callbacks: What is told of every event on the first rank: the import path of a subclass of evo.Callback, a
            mapping with its class_path and init_args, or a list of these. In Python also such objects.
        on_improvement: A command for the shell, run when an individual is better than all before or, with several
            objectives, enters the front; with EVO_LOSS, EVO_PARAMS and others in its environment.
        on_end: A command for the shell, run when the search has ended, with EVO_STOP_REASON and others.
        command_timeout: Longest time for each of these commands, written like walltime; a longer one is killed.
        quiet: Print nothing but errors.
        debug: Show the whole traceback of an error, and check at the end that all ranks hold the same population.
    """

    limits: str | dict[str, Any] | None = None
    constraints: str | list | None = None  # type: ignore[type-arg]
    objectives: str | dict | list[str] | None = None  # type: ignore[type-arg]
    constraint_metrics: dict | None = None  # type: ignore[type-arg]
    generations: int | None = None
    evaluations: int | None = None
    walltime: str | float | None = None
    grace: str | float = "45s"
    target: float | dict | None = None  # type: ignore[type-arg]
    reference_point: dict | None = None  # type: ignore[type-arg]
    baseline: str | dict[str, Any] | None = None
    seed: int | None = None
    run_dir: str | None = None
    change_limits: bool = False
    trust: bool = False
    strict: bool = False
    start_from: str | list[dict] | dict | None = None  # type: ignore[type-arg]
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
    propagator: str | dict | None = None  # type: ignore[type-arg]
    population: int | None = None
    crossover: float | None = None
    mutation: float | None = None
    random_init: float | None = None
    sigma: float | None = None
    pruning: str | dict = "none"  # type: ignore[type-arg]
    callbacks: str | dict | list | None = None  # type: ignore[type-arg]
    on_improvement: str | None = None
    on_end: str | None = None
    command_timeout: str | float = "60s"
    quiet: bool = False
    debug: bool = False

    def __post_init__(self) -> None:
        """Check every value that can be judged alone; numbers of numpy become Python's.

        Raises:
            UserError: It names the field, its value and the rule.
        """
        for field in fields(self):
            if hasattr(value := getattr(self, field.name), "tolist"):
                value = plain(value)
                object.__setattr__(self, field.name, value)
            if field.name in CHECKS and not (value is None and field.default is None):
                CHECKS[field.name](field.name, value)
        make_goal(self.target, self.reference_point, self.goals)
        if self.evaluate == "inline" and self.time_limit is not None:
            raise UserError(
                f"time_limit is {self.time_limit}, but evaluate is inline: only a child process can be stopped"
            )

    @property
    def genetic_options(self) -> dict[str, Any]:
        """The options of the genetic propagator that are given here rather than in `propagator`."""
        return {name: value for name in GENETIC_OPTIONS if (value := getattr(self, name)) is not None}

    @property
    def breeding(self) -> Any:
        """How individuals are bred, unless an island or an argument says otherwise."""
        if self.propagator is not None:
            return self.propagator
        if self.genetic_options:
            return "genetic"
        return "front" if self.goals.are_several or self.goals.bounds else "portfolio"

    @property
    def goals(self) -> Objectives:
        """The objectives and the bounds of metrics."""
        return make_objectives(self.objectives, self.constraint_metrics)

    @property
    def goal(self) -> Goal | None:
        """The target, at which the search stops."""
        return make_goal(self.target, self.reference_point, self.goals)

    def budget(self, now: float, allocation_end: float | None = None) -> Budget:
        """When the search ends.

        Args:
            now: The time at which the session begins, seconds since the epoch.
            allocation_end: The time at which its batch job ends, seconds since the epoch. None means that there is no
                such end.
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
            goal=self.goal,
            deadline=deadline,
            why_deadline=why_deadline,
            max_failed_share=self.max_failed_share,
        )


def _check_positive(name: str, value: Any) -> None:
    if not is_number(value) or not 0 < value < math.inf:
        raise UserError(f"{name} is {value!r}: give a number above 0")


def _check_share(name: str, value: Any) -> None:
    if not is_number(value) or not 0 < value <= 1:
        raise UserError(f"{name} is {value!r}: give a share above 0, at most 1")


def _check_switch(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise UserError(f"{name} is {value!r}: give true or false")


def _check_directory(name: str, value: Any) -> None:
    if not isinstance(value, str | os.PathLike):
        raise UserError(f"{name} is {value!r}: give the path of a directory")


def _check_command(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise UserError(f"{name} is {value!r}: give a command for the shell, for example 'touch better'")


def _check_one_of(allowed: Sequence[str], name: str, value: Any) -> None:
    if value not in allowed:
        raise UserError(f"{name} is {value!r}: it must be one of {', '.join(allowed)}")


CHECKS: Mapping[str, Callable[[str, Any], object]] = {
    **dict.fromkeys(("generations", "evaluations", "degree"), check_count),
    **dict.fromkeys(("migrants", "ranks_per_worker", "keep_checkpoints"), check_count),
    "seed": partial(check_count, least=0),
    "population": partial(check_count, least=2),
    "gpus_per_node": partial(check_count, least=0, most=_MOST_GPUS),
    **dict.fromkeys(("crossover", "mutation", "random_init"), check_probability),
    **dict.fromkeys(("max_failed_share", "migration_probability"), check_probability),
    **dict.fromkeys(_DURATIONS, parse_duration),
    **dict.fromkeys(("on_improvement", "on_end"), _check_command),
    **dict.fromkeys(("change_limits", "strict", "allow_duplicates", "quiet", "debug"), _check_switch),
    "start_from": lambda name, value: start_points(value),
    "objectives": lambda name, value: make_objectives(value),
    "constraint_metrics": lambda name, value: make_objectives(None, value),
    "gpu_memory": _check_share,
    "sigma": _check_positive,
    "run_dir": _check_directory,
    "evaluate": partial(_check_one_of, ("auto", "inline", "process")),
    "migration": partial(_check_one_of, ("copy", "move")),
    "exchange": partial(_check_one_of, ("auto", "flat", "tree")),
}
"""The checks of each setting that need no other setting."""
