"""What the settings amount to once it is known how many ranks there are: checked, before anything is written."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np

from evo.algorithms.base import Algorithm
from evo.algorithms.bred import Breeding, breed_one
from evo.algorithms.catalogue import TAKE_SEVERAL, make_propagator, make_selection, options_text, uses_genetic
from evo.engine.budget import Budget
from evo.engine.starting import KnownPoint
from evo.errors import UserError
from evo.islands.archipelago import Archipelago, make_archipelago
from evo.islands.migration import Migration
from evo.islands.topology import make_topology
from evo.objective.definition import carried_by, describe_constraints
from evo.objective.objective import describe
from evo.objective.references import Named
from evo.population.individual import Known
from evo.population.objectives import ONE_LOSS, Objectives
from evo.propagators import Propagator
from evo.pruning import Pruner, make_pruner, try_out
from evo.replay.settings import HowToBreed, in_words
from evo.space.space import Space
from evo.space.values import Params
from evo.study.config import Config
from evo.study.files import load_limits, read_parameters
from evo.study.inheritance import check_inheritance

_Policy = TypeVar("_Policy", Propagator, Pruner)

_DEFAULT_DEGREE = 2
# Copies spread good individuals at little cost. An island that moved its best away as often would lose more than it
# gains.
_PROBABILITIES = {"copy": 0.9, "move": 0.1}
# With more workers than this, each sends to a few others that pass events on: connections to all would be too many.
_FLAT_UP_TO = 512
_FAN_OUT = 8
# Numbers of individuals from which a propagator must be able to breed.
_TRIED_SIZES = (0, 1, 2, 4, 16, 64, 256)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is searched, and how.

    Args:
        space: What is searched.
        constraints: The user's constraints, as study.json records them.
        archipelago: Who lives on which island.
        migration: How individuals travel; None with one island.
        propagators: What breeds, by island.
        pruner: Ends evaluations early. None means that nothing does.
        budget: When the search ends.
        separate: Whether the objective runs in a child process.
        objective: What is minimised.
        fan_out: See `evo.engine.exchange.neighbours`.
        baseline: The parameters to which `evo test` compares the best. None means that there are none.
        start: The points to be tried first, complete; see `evo.study.warm_start`, like the next two.
        known: The points whose results are known from elsewhere.
        known_at: The time at which these enter the study, seconds since the epoch.
        breeding: How the individuals of each island are bred, as it is recorded.
        objectives: What is minimised or maximised, and the bounds that metrics must keep.
    """

    space: Space
    constraints: Sequence[str]
    archipelago: Archipelago
    migration: Migration | None
    propagators: Sequence[Breeding]
    pruner: Pruner | None
    budget: Budget
    separate: bool
    objective: Callable[..., Any] | Named
    fan_out: int | None
    baseline: Params | None
    start: Sequence[Params] = ()
    known: Sequence[KnownPoint] = ()
    known_at: float = 0.0
    breeding: Sequence[HowToBreed] = ()
    objectives: Objectives = ONE_LOSS


class _Island(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of the setting `islands`."""

    workers: int
    propagator: Any = None


def make_plan(
    config: Config,
    objective: Callable[..., Any] | Named,
    limits: Mapping[str, Any] | None,
    propagator: Breeding | str | Mapping[str, Any] | None,
    ranks: int,
    allocation_end: float | None = None,
) -> Plan:
    """Check all settings, and load the objective if it runs in this process.

    Args:
        config: The settings.
        objective: What to minimise.
        limits: What is searched, if the configuration does not say.
        propagator: A propagator or an algorithm, or its description. None means that of the configuration.
        ranks: The number of ranks.
        allocation_end: The time at which the batch job ends, seconds since the epoch. None means that there is no such
            end.

    Raises:
        UserError: Something does not fit; the message names it.
    """
    separate = _is_separate(config, objective)  # This also refuses an objective that does not exist.
    carried = carried_by(config.constraints)
    space = _make_space(config, limits, objective)
    archipelago = _make_archipelago(config, islands := _read_islands(config.islands), ranks)
    migration = _make_migration(config, archipelago)
    breeding = _how_to_breed(config, islands, propagator, archipelago)
    propagators = _make_propagators(breeding, space, config.goals)
    check_inheritance(propagators, space, pruner := _make_pruner(config), config.run_dir, ranks, objective)
    return Plan(
        space=space,
        constraints=describe_constraints(space.constraints, carried),
        archipelago=archipelago,
        migration=migration,
        propagators=propagators,
        pruner=pruner,
        budget=config.budget(time.time(), allocation_end),
        separate=separate,
        objective=objective if separate or not isinstance(objective, Named) else objective.load(),
        fan_out=_choose_fan_out(config.exchange, separate, archipelago.workers),
        baseline=None if config.baseline is None else read_parameters(config.baseline),
        breeding=[HowToBreed(in_words(what), defaults) for what, defaults in breeding],
        objectives=config.goals,
    )


def _make_space(config: Config, limits: Mapping[str, Any] | None, objective: Callable[..., Any] | Named) -> Space:
    """The space to search, which has at least one point, as far as that can be told."""
    given = config.limits if config.limits is not None else limits
    if given is None:
        raise UserError(f"objective {describe(objective)} has no limits: say with --limits what is searched")
    space = Space(load_limits(given), config.constraints)
    config.goals.check_names(space.names)
    if space.feasibility is not None:
        space.feasibility.check()
    return space


def _is_separate(config: Config, objective: Callable[..., Any] | Named) -> bool:
    if isinstance(objective, Named):
        needs_child = objective.is_heavy
    else:
        needs_child = bool(getattr(objective, "separate_process", False))
    wanted = config.evaluate == "auto" and (needs_child or config.time_limit is not None)
    return config.evaluate == "process" or wanted


def _read_islands(islands: int | list[Any]) -> list[_Island]:
    if isinstance(islands, int):
        return []
    try:
        read, problem = msgspec.convert(islands, list[_Island]), "no island"
    except msgspec.ValidationError as error:
        read, problem = [], str(error)
    if not read:
        raise UserError(
            f"islands is {islands!r}: {problem}; give a number, or a list of mappings with workers and propagator"
        )
    return read


def _make_archipelago(config: Config, islands: list[_Island], ranks: int) -> Archipelago:
    workers, left = divmod(ranks, config.ranks_per_worker)
    if left:
        raise UserError(
            f"ranks_per_worker is {config.ranks_per_worker}, but there are {ranks} ranks: "
            "start a multiple of it, so that every worker is complete"
        )
    if not isinstance(config.islands, int) and config.island_sizes is not None:
        raise UserError("islands lists the islands with their workers, and island_sizes too: give one of them")
    if isinstance(config.islands, int):
        return make_archipelago(workers, config.islands, config.island_sizes)
    try:
        return make_archipelago(workers, sizes=[island.workers for island in islands])
    except UserError as error:
        raise UserError(str(error).replace("island_sizes", "the workers of islands")) from error


def _make_migration(config: Config, archipelago: Archipelago) -> Migration | None:
    emigration = _make_selection("emigration", config.emigration)
    immigration = _make_selection("immigration", config.immigration)
    topology = make_topology(
        config.topology,
        archipelago.islands,
        migrants=config.migrants,
        degree=config.degree or max(1, min(_DEFAULT_DEGREE, archipelago.islands - 1)),
        seed=config.seed or 0,
    )
    if archipelago.islands == 1:
        return None
    return Migration(
        mode=config.migration,
        probability=_PROBABILITIES[config.migration]
        if config.migration_probability is None
        else config.migration_probability,
        topology=topology,
        emigration=emigration,
        immigration=immigration,
    )


def _make_selection(name: str, what: str) -> Callable[[int], Propagator]:
    try:
        return make_selection(what)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def _how_to_breed(
    config: Config, islands: Sequence[_Island], given: Any, archipelago: Archipelago
) -> Sequence[tuple[Any, dict[str, Any]]]:
    """The propagator of each island, its own or the common one, and the options of ready ones that it does not say."""
    own = [island.propagator for island in islands] or [None] * archipelago.islands
    common = config.breeding if given is None else given
    breeding = [common if each is None else each for each in own]
    _check_genetic_options(config.genetic_options, common, breeding)
    sizes = map(len, archipelago.members)
    return [
        (what, {"population": 2 * size, **config.genetic_options}) for what, size in zip(breeding, sizes, strict=True)
    ]


def _make_breeding(what: Any, defaults: Mapping[str, Any]) -> Breeding:
    return what if isinstance(what, Propagator | Algorithm) else make_propagator(what, defaults)


def _check_genetic_options(options: Mapping[str, Any], common: Any, breeding: Sequence[Any]) -> None:
    """Refuse options of the genetic propagator that would have no effect."""
    if options and not any(map(uses_genetic, breeding)):
        what = common.get("name", common.get("class_path")) if isinstance(common, Mapping) else common
        named = type(what).__name__ if isinstance(what, Propagator | Algorithm) else what
        shown = "each island has another one" if uses_genetic(common) else f"propagator is {named}"
        raise UserError(f"{options_text(options)}, but {shown}: leave out what it does not take")
    twice = [name for name in options if isinstance(common, Mapping) and name in common]
    if twice:
        name = twice[0]
        raise UserError(
            f"{name} is {options[name]!r}, but propagator has {name}: {common[name]!r}: give it once, there"
        )


def _make_propagators(
    breeding: Sequence[tuple[Any, dict[str, Any]]], space: Space, objectives: Objectives
) -> list[Breeding]:
    """What breeds on each island; none may be an algorithm that would look at the first of several objectives only."""
    made = [_try_out(_make_breeding(what, defaults), space) for what, defaults in breeding]
    for each in made:
        if objectives.are_several and isinstance(each, Algorithm) and not each.takes_several:
            raise UserError(
                f"propagator {each.bred_by} minimises one loss, but objectives has {objectives.count}: "
                f"{', '.join(objectives.names)}; leave propagator out, or give one that searches a front: "
                f"{', '.join(TAKE_SEVERAL)}"
            )
    return made


def _try_out(propagator: Breeding, space: Space) -> Breeding:
    """The propagator, once it has made one individual from an empty population, and from larger ones.

    An algorithm is not tried, because it would learn from individuals that nobody has evaluated.

    Raises:
        PropagatorError: It has not done so.
    """
    if isinstance(propagator, Algorithm):
        return propagator
    tried = _copy_of(propagator)
    rng = np.random.default_rng(0)
    population: list[Known] = []
    for size in _TRIED_SIZES:
        population += [
            Known(genome=space.genome(space.draw(rng)), identity=(0, place), loss=float(place), status="completed")
            for place in range(len(population), size)
        ]
        breed_one(tried, population, space, rng)
    return propagator


def _copy_of(thing: _Policy) -> _Policy:
    """A copy to be tried, so that what the thing itself learns is of the search; itself where it cannot be copied."""
    try:
        return copy.deepcopy(thing)
    except Exception:  # The user's own class may hold what cannot be copied, such as a lock or an open file.
        return thing


def _make_pruner(config: Config) -> Pruner | None:
    """What ends evaluations early, which decides about any learning curve."""
    pruner = make_pruner(config.pruning)
    if pruner is not None:
        try_out(_copy_of(pruner))
    return pruner


def _choose_fan_out(exchange: Literal["auto", "flat", "tree"], separate: bool, workers: int) -> int | None:
    """How events reach all ranks; see the figures in docs/inside/scale.md."""
    # A rank that evaluates inline passes nothing on meanwhile, so a tree would be slow.
    many = separate and workers > _FLAT_UP_TO
    return _FAN_OUT if exchange == "tree" or (exchange == "auto" and many) else None
