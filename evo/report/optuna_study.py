"""A study of evo as a study of Optuna, in memory: for Optuna's pictures, and to be written to one of its stores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evo.errors import UserError
from evo.population.events import AnyEvent, Reported, Started
from evo.population.identity import Identity, individual_name
from evo.population.objectives import ONE_LOSS, Objectives
from evo.report.optuna_distributions import Exported, export_parameters
from evo.report.reading import Run
from evo.report.records import Evaluation
from evo.space.space import Space
from evo.storage.rundir import study_space
from evo.texts import readable

if TYPE_CHECKING:
    import optuna

_STATES = {
    "completed": "COMPLETE",
    "pruned": "PRUNED",
    "failed": "FAIL",
    "infeasible": "FAIL",
    "running": "RUNNING",
    "interrupted": "RUNNING",
}
# The key by which Optuna and its dashboard know that a trial violates constraints, so that it is not the best one.
_CONSTRAINTS = "constraints"
METRIC_NAMES = "study:metric_names"
"""The attribute in which a study of Optuna keeps what `set_metric_names` was given."""


def optuna_study(run: Run, part: Sequence[Evaluation] | None = None) -> optuna.Study:
    """A study as Optuna knows one: in memory, apart from the run directory, which stays as it is.

    Trial n is the n-th of `run.individuals`. Completed individuals are COMPLETE trials, pruned ones PRUNED, failed and
    infeasible ones FAIL; those that are running or interrupted are RUNNING. Reported losses are intermediate values. A
    parameter that is inactive is absent. User attributes tell the rest: name, status, island, bred_by, origin, parents,
    rank, host, device, seconds, error, "metrics.NAME" for each metric, and of a segment of a training donor, begin and
    until. An individual outside of limits that have
    changed counts as one that violates a constraint, so that the best trial is the one that `evo best` shows. Named
    objectives have their directions, names and signs, and violations of bounds are constraints.

    Args:
        run: The study, as `evo.load` returns it.
        part: Some of its individuals, for a picture of these alone; then there are no curves and no parents, and the
            value is the (first) loss. None means all.

    Raises:
        UserError: Optuna is not installed.

    Example:
        >>> import evo, optuna.visualization  # doctest: +SKIP
        >>> optuna.visualization.plot_slice(optuna_study(evo.load("runs/network")))  # doctest: +SKIP
    """
    package = import_optuna()
    objectives = run.objectives if part is None else ONE_LOSS
    study: optuna.Study = package.create_study(study_name=study_name(run), directions=study_directions(objectives))
    name_values(study._storage, study._study_id, objectives)
    study.add_trials(make_trials(run, part))
    return study


def study_directions(objectives: Objectives) -> list[str]:
    """The direction of each objective, as Optuna names them."""
    return ["maximize" if objectives.modes.get(name) == "max" else "minimize" for name in objectives.names]


def name_values(storage: Any, study_id: int, objectives: Objectives) -> None:
    """Tell a study of Optuna the names of its values, as `set_metric_names` does, which warns that it is experimental.

    Args:
        storage: The store.
        study_id: The number of the study there.
        objectives: The objectives; a loss without a name gives none.
    """
    if objectives.modes:
        storage.set_study_system_attr(study_id, METRIC_NAMES, list(objectives.names))


def study_name(run: Run) -> str:
    """The name of a study in Optuna: that of its run directory, without the folders above it."""
    return readable(run.directory.path.name)


def import_optuna() -> Any:
    """The package optuna, which says only what goes wrong.

    Raises:
        UserError: It is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError('this needs Optuna: pip install "evo-mpi[report]"') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def make_trials(run: Run, part: Sequence[Evaluation] | None = None) -> list[optuna.trial.FrozenTrial]:
    """The individuals of a study as trials of Optuna, in the order of `run.individuals`.

    Args:
        run: The study, as `evo.load` returns it.
        part: See `optuna_study`.
    """
    individuals, events = (run.individuals, run.events()) if part is None else (part, iter(()))
    spaces = [*(Space(limits) for limits in run.study.former), study_space(run.study)]
    exported = export_parameters(spaces, (one.params for one in individuals))
    told = _Told(events)
    objectives = run.objectives if part is None else ONE_LOSS
    return [_make_trial(one, exported, told, objectives) for one in individuals]


class _Told:
    """What the events of a study tell beside `Evaluation`: curves and parents.

    Args:
        events: The events.
    """

    def __init__(self, events: Iterable[AnyEvent]) -> None:
        self.curves: dict[Identity, dict[int, tuple[float, float]]] = {}
        self.parents: dict[Identity, Sequence[Identity]] = {}
        for event in events:
            if isinstance(event, Reported):
                # A training that was evaluated again reports a step once more; the latest report counts.
                curve = self.curves.setdefault(event.individual, {})
                curve[event.step] = max(curve.get(event.step, (0.0, 0.0)), (event.time, event.loss))
            elif isinstance(event, Started) and event.parents:
                self.parents[event.individual] = event.parents

    def curve(self, identity: Identity) -> dict[int, float]:
        """The losses that an individual has reported, by step."""
        return {step: loss for step, (_, loss) in sorted(self.curves.get(identity, {}).items())}


def _make_trial(
    one: Evaluation, exported: dict[str, Exported], told: _Told, objectives: Objectives
) -> optuna.trial.FrozenTrial:
    from optuna.trial import TrialState, create_trial

    state = TrialState[_STATES[one.status]]
    vector = one.vector if objectives.are_several else one.vector[:1]
    is_whole = one.status in ("completed", "pruned") and len(vector) == objectives.count
    sign = -1.0 if objectives.modes.get(objectives.names[0]) == "max" else 1.0
    trial = create_trial(
        state=state,
        values=list(objectives.values(vector).values()) if is_whole else None,
        params={name: exported[name].value_of(value) for name, value in one.params.items()},
        distributions={name: exported[name].distribution for name in one.params},
        user_attrs=_attributes(one, told.parents.get(one.individual, ())),
        system_attrs=_constraints(one, objectives),
        intermediate_values={step: sign * loss for step, loss in told.curve(one.individual).items()},
    )
    trial.datetime_start = datetime.fromtimestamp(one.started)
    trial.datetime_complete = None
    if state.is_finished():
        trial.datetime_complete = datetime.fromtimestamp(one.ended)
    return trial


def _constraints(one: Evaluation, objectives: Objectives) -> dict[str, Any]:
    """What tells Optuna that a trial violates constraints: a number above 0."""
    if one.is_set_aside:
        return {_CONSTRAINTS: [max(1.0, one.violation)]}
    return {_CONSTRAINTS: [one.violation]} if objectives.bounds and one.status == "completed" else {}


def _attributes(one: Evaluation, parents: Sequence[Identity]) -> dict[str, Any]:
    """The user attributes of an individual; those without a value are left out."""
    known = {
        "name": one.name,
        "status": one.status,
        "island": one.island,
        "bred_by": one.bred_by,
        "origin": one.origin,
        "parents": [individual_name(parent) for parent in parents],
        "donor": one.donor,
        "begin": one.begin,
        "until": one.until,
        "rank": one.rank,
        "host": one.host,
        "device": one.device,
        "seconds": one.seconds,
        "error": one.error,
        **{f"metrics.{name}": value for name, value in one.metrics.items()},
    }
    return {name: value for name, value in known.items() if value not in (None, "", [])}
