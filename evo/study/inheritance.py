"""What a study needs whose individuals go on from one another's states; checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from evo.algorithms.base import Algorithm
from evo.algorithms.bred import Breeding
from evo.algorithms.own import checked_algorithm
from evo.algorithms.pbt import PopulationBasedTraining
from evo.errors import UserError
from evo.evaluation.evaluator import Opened
from evo.frames import is_made_by_evo
from evo.objective.objective import describe
from evo.objective.references import Named
from evo.objective.training import Training, trainer_settings
from evo.population.population import Population
from evo.pruning import Pruner
from evo.space.space import Space
from evo.study.told import evaluated_by_the_caller


def goes_on(propagators: Sequence[Breeding]) -> bool:
    """Whether individuals go on from one another's states: whether evaluations are parts of trainings."""
    return segment_steps(propagators) is not None


def segment_steps(propagators: Sequence[Breeding]) -> int | None:
    """How many training steps one evaluation takes, at first; None where each is a whole training.

    Raises:
        UserError: A user's own algorithm cannot say.
    """
    first = [checked_algorithm(one).first_segment for one in propagators if isinstance(one, Algorithm)]
    return min((segment.until for segment in first if segment is not None), default=None)


def check_inheritance(
    propagators: Sequence[Breeding],
    space: Space,
    pruner: Pruner | None,
    run_dir: str | None,
    ranks: int,
    objective: Any,
) -> None:
    """Refuse settings with which individuals cannot go on from one another's states; others pass.

    Args:
        propagators: What breeds, by island.
        space: What is searched.
        pruner: Ends evaluations early. None means that nothing does.
        run_dir: The directory of the study. None means that each rank has temporary folders of its own.
        ranks: The number of ranks.
        objective: What is minimised.

    Raises:
        UserError: The message says what does not fit, and what to write instead.
    """
    if not goes_on(propagators):
        return
    name = next(one.bred_by for one in propagators if goes_on([one]))
    if not all(goes_on([one]) for one in propagators):
        raise UserError(
            f"propagator {name} trains in parts, but another island has a propagator that does not, so that their "
            "losses cannot be compared: give all islands one of the same kind"
        )
    _check_mutable(propagators, name, space)
    if pruner is not None:
        raise UserError(
            f"propagator {name} ends bad trainings itself, at the end of each interval, so that there is nothing left "
            "for pruning: leave it out, or give pruning none"
        )
    if run_dir is None and ranks > 1:
        raise UserError(
            f"propagator {name} passes states of trainings from rank to rank, and without run_dir each of the {ranks} "
            "ranks keeps its files to itself: give run_dir, a folder that all ranks reach"
        )
    _check_interval(propagators, objective)


def _check_mutable(propagators: Sequence[Breeding], name: str, space: Space) -> None:
    """Refuse a space in which nothing may change in training, or in which there is no architecture to search."""
    if not space.mutable.any():
        example = next((each for each in space.names if each not in space.constants), space.names[0])
        raise UserError(
            f"propagator {name} changes parameters while a network trains, but none of {', '.join(space.names)} may "
            f"change: say which ones may, for example evo.Float(..., mutable=True), or in YAML {example}: "
            "{type: ..., mutable: true}"
        )
    if space.mutable.all() and any(isinstance(one, PopulationBasedTraining) and one.lineages for one in propagators):
        raise UserError(
            f"propagator {name} has lineages, but every one of {', '.join(space.names)} may change in training, so "
            "that there is no architecture to search: leave out lineages"
        )


def _check_interval(propagators: Sequence[Breeding], objective: Any) -> None:
    """Refuse an interval that does not fit a Lightning training, as far as its settings tell."""
    if not (isinstance(objective, Training) or is_made_by_evo(type(objective))):
        return  # What steps are is for the user's own objective to say, whatever it is called there.
    steps = segment_steps(propagators) or 1
    given = trainer_settings(objective)
    every, longest = given.get("check_val_every_n_epoch"), given.get("max_epochs")
    if isinstance(every, int) and every > steps and given.get("limit_val_batches") != 0:
        raise UserError(
            f"interval is {steps}, but trainer sets check_val_every_n_epoch to {every}, so that an interval may have "
            "no validation: give a multiple of that as the interval, or make check_val_every_n_epoch smaller"
        )
    if isinstance(longest, int) and 0 < longest <= steps:
        raise UserError(
            f"interval is {steps}, but max_epochs is {longest}: every training would end before the first comparison; "
            "give a shorter interval"
        )


def remarks_on(propagators: Sequence[Breeding], evaluations: int | None, islands: int) -> list[str]:
    """What a user should know before individuals go on from one another's states.

    Args:
        propagators: What breeds, by island.
        evaluations: The budget of the search. None means that there is none.
        islands: The number of islands.
    """
    sizes = [one.population for one in propagators if isinstance(one, PopulationBasedTraining)]
    size = max(sizes, default=0) * islands
    if evaluations is None or evaluations >= 2 * size:
        return []
    return [
        f"evaluations is {evaluations}, and each trains one interval only, so that a population of {size} can hardly "
        "go on: give more evaluations, or a smaller population"
    ]


def check_known(propagators: Sequence[Breeding], population: Population) -> None:
    """Refuse to go on with whole trainings where parts of trainings are known, and the other way round.

    Args:
        propagators: What breeds, by island.
        population: What is known of the study.

    Raises:
        UserError: Their losses could not be compared.
    """
    in_parts = goes_on(propagators)
    for one in population.ranking:
        if (one.segment is not None) != in_parts and one.identity not in population.imported:
            parts, whole = "parts of trainings", "whole trainings"
            raise UserError(
                f"the individuals of this study are {whole if in_parts else parts}, and its propagator is now one for "
                f"{parts if in_parts else whole}, so that their losses cannot be compared: give the propagator that it "
                "had, or choose another directory with --run-dir"
            )


def check_weights(has_weights: bool, objective: Callable[..., Any] | Named, opened: Opened) -> None:
    """Refuse weights to begin with where the objective could not learn of them.

    Args:
        has_weights: Whether the study has any.
        objective: What is minimised.
        opened: What was learnt of it when it was loaded.

    Raises:
        UserError: It takes no trial.
    """
    if not has_weights or opened.may_save:
        return
    what = "a loop of your own" if objective is evaluated_by_the_caller else f"objective {describe(objective)}"
    raise UserError(
        f"start_from.weights names weights to begin with, but {what} takes no trial, whose trial.weights is that file: "
        "write the loss as loss(params, trial), or leave the weights out"
    )


def check_may_save(propagators: Sequence[Breeding], objective: Callable[..., Any] | Named, opened: Opened) -> None:
    """Refuse an objective that cannot leave a state from which others go on, if they are to.

    Args:
        propagators: What breeds, by island.
        objective: What is minimised.
        opened: What was learnt of it when it was loaded.

    Raises:
        UserError: It takes no trial.
    """
    if not goes_on(propagators) or opened.may_save:
        return
    name = next(one.bred_by for one in propagators if goes_on([one]))
    if objective is evaluated_by_the_caller:
        raise UserError(
            f"propagator {name} needs to pass states of trainings on, which a loop of your own does not leave: "
            "give a loss to evo.minimize, or another propagator"
        )
    raise UserError(
        f"propagator {name} goes on from states of trainings, but objective {describe(objective)} takes no trial, "
        "with which it would save and find them: write it as loss(params, trial), which begins at trial.begin, from "
        "trial.inherit if that is not None, and leaves trial.folder / 'last.ckpt' at trial.until; or give another "
        "propagator"
    )
