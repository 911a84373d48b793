"""The keyword arguments of `evo.minimize`: typed, so that editors know them, and a `Config` made of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Literal, TypedDict

from evo.algorithms.catalogue import place_of_options, uses_genetic
from evo.checks import did_you_mean
from evo.errors import UserError
from evo.pruning import Pruner
from evo.report.callbacks import Callback
from evo.study.config import Config

_LONGEST_SHOWN = 60


class Settings(TypedDict, total=False):
    """The fields of `evo.Config`, which explains them, without limits and propagator."""

    constraints: str | Callable[..., Any] | Sequence[str | Callable[..., Any]] | None
    objectives: str | Mapping[str, Literal["min", "max"]] | Sequence[str] | None
    constraint_metrics: Mapping[str, str | Sequence[str]] | None
    generations: int | None
    evaluations: int | None
    walltime: str | float | None
    grace: str | float
    target: float | Mapping[str, float] | None
    reference_point: Mapping[str, float] | None
    baseline: str | os.PathLike[str] | Mapping[str, Any] | None
    seed: int | None
    run_dir: str | os.PathLike[str] | None
    change_limits: bool
    trust: bool
    strict: bool
    start_from: str | os.PathLike[str] | Sequence[Mapping[str, Any]] | Mapping[str, Any] | None
    islands: int | Sequence[Mapping[str, Any]]
    island_sizes: Sequence[int] | None
    migration: Literal["copy", "move"]
    migration_probability: float | None
    topology: str | Sequence[Sequence[int]]
    migrants: int
    degree: int | None
    emigration: str
    immigration: str
    ranks_per_worker: int
    exchange: Literal["auto", "flat", "tree"]
    evaluate: Literal["auto", "inline", "process"]
    time_limit: str | float | None
    checkpoint_interval: str | float
    collective_timeout: str | float
    keep_checkpoints: int
    max_failed_share: float
    allow_duplicates: bool
    gpus_per_node: int | None
    gpu_memory: float
    population: int | None
    crossover: float | None
    mutation: float | None
    random_init: float | None
    sigma: float | None
    pruning: str | Mapping[str, Any] | Pruner
    callbacks: str | Mapping[str, Any] | Sequence[Callback | str | Mapping[str, Any]] | None
    on_improvement: str | None
    on_end: str | None
    command_timeout: str | float
    quiet: bool
    debug: bool


def make_config(config: Config | None, limits: Any, settings: Mapping[str, Any]) -> Config:
    """What `evo.minimize` was given, as one configuration.

    Args:
        config: The settings, which keywords override. None means that there are only keywords.
        limits: What is searched. None means that of the configuration.
        settings: The settings that are given by keyword.

    Raises:
        UserError: A setting is unknown or has a wrong value, or nothing says what is searched.

    Example:
        >>> make_config(Config(seed=1, evaluations=9), {"x": (0.0, 1.0)}, {"evaluations": 20}).evaluations
        20
    """
    if config is not None and not isinstance(config, Config):
        raise UserError(f"config is {_shown(config)}: give an evo.Config")
    known = [field.name for field in fields(Config)]
    for name in settings:
        if name not in known:
            raise UserError(f"{name} is no setting of a search{did_you_mean(name, known)}; evo.Config has them all")
    given = dict(settings) if limits is None else {**settings, "limits": limits}
    made = Config(**{"quiet": True, **given}) if config is None else replace(config, **given)
    if made.limits is None:
        raise UserError("limits are missing: say what is searched, as in evo.minimize(loss, {'lr': (0.0001, 0.1)})")
    return made


def note_on(config: Config, propagator: Any) -> str:
    """A remark for the user on settings that have another place now; empty when there is nothing to say.

    Args:
        config: The settings.
        propagator: The propagator that is given beside them. None means that of the configuration.
    """
    options = config.genetic_options
    breeding = [config.breeding if propagator is None else propagator, config.islands]
    return place_of_options(options) if options and uses_genetic(breeding) else ""


def check_loss_function(loss: Any, limits: Any) -> None:
    """Refuse what cannot be minimised.

    Raises:
        UserError: The loss is no function.
    """
    if callable(loss):
        return
    swapped = "; it comes first, and the limits after it" if callable(limits) else ""
    raise UserError(
        f"loss is {_shown(loss)}: give a function of the parameters, or an object like evo.LightningObjective{swapped}"
    )


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"
