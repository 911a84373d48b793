"""Any sampler of Optuna as an algorithm: it is told what evo's workers have found, and asked for what to try next.

T. Akiba et al., "Optuna: a next-generation hyperparameter optimization framework", doi:10.1145/3292500.3330701;
https://optuna.readthedocs.io/en/stable/reference/samplers/index.html

Optuna's own study is only a memory here: evo evaluates, prunes, journals and resumes.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.algorithms.optuna_space import Suggestions
from evo.checks import did_you_mean
from evo.errors import UserError
from evo.population.individual import Individual, Known

_ONE_LOSS_ONLY = ("CmaEsSampler",)  # Refuses several objectives, as Optuna's documentation says.
_CONSTRAINTS = "constraints"  # The attribute of a trial in which Optuna's samplers look for violations.
_INSTALL = 'pip install "evo-mpi[optuna]"'


@final
@dataclass(frozen=True)
class OptunaSampler(Algorithm):
    """A sampler of Optuna.

    Candidates depend on the seed of the search and on what was learnt, except with samplers that take no seed. Optuna's
    models are slow: a proposal takes up to 0.1 s (TPE) or seconds (GP), and longer the more is known.

    Args:
        name: The name of a class in `optuna.samplers`, for example "TPESampler".
        options: The arguments of its constructor, without the seed, for example {"multivariate": True}.

    Raises:
        UserError: Optuna is not installed, or has no such sampler, or the sampler refuses the options.
    """

    name: str = "TPESampler"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        samplers = _optuna().samplers
        known = [each for each in samplers.__all__ if each.endswith("Sampler") and not each.startswith("Base")]
        if self.name not in known:
            meant = did_you_mean(self.name, known) or f": it has {', '.join(sorted(known))}"
            raise UserError(f"Optuna has no sampler {self.name!r}{meant}")
        if "seed" in self.options:
            raise UserError(f"seed is given to {self.name}: evo seeds it; give the seed of the search instead")
        try:
            self.sampler(0)
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.name} of Optuna refuses {dict(self.options)!r}: {error}") from error

    @property
    def bred_by(self) -> str:
        return f"optuna:{self.name}"

    @property
    def takes_several(self) -> bool:
        return self.name not in _ONE_LOSS_ONLY

    def start(self, setup: Setup) -> Learner:
        return _State(self, setup)

    def sampler(self, seed: int, is_bounded: bool = False) -> Any:
        """A new sampler, which is like any other that was made with this seed.

        Args:
            seed: The seed, below 2**32; ignored by samplers that take none.
            is_bounded: Whether trials may violate bounds, as their attributes then say.
        """
        made = getattr(_optuna().samplers, self.name)
        options = dict(self.options)
        parameters = inspect.signature(made).parameters
        if "seed" in parameters:
            options["seed"] = seed
        if is_bounded and "constraints_func" in parameters:
            options.setdefault("constraints_func", _violation)
        with _silence():
            return made(**options)


class _State(Learner):
    def __init__(self, algorithm: OptunaSampler, setup: Setup) -> None:
        self.algorithm = algorithm
        self.suggestions = Suggestions(setup.space)
        # Of one loss, a violation is part of what it counts with.
        self.is_bounded = bool(setup.objectives.bounds) and setup.objectives.are_several
        with _silence():
            self.study = _optuna().create_study(
                sampler=_optuna().samplers.RandomSampler(seed=0),
                directions=["minimize"] * setup.objectives.count,
            )
        self.objectives = setup.objectives.count

    def learn(self, individual: Known, loss: float | None) -> None:
        states = _optuna().trial.TrialState
        values = [loss] if self.objectives == 1 and loss is not None else list(individual.losses)
        if loss is None or len(values) < self.objectives:
            values, loss = [], None  # A pruned one has not all losses.
        with _silence():
            self.study.add_trial(self._trial(individual, states.COMPLETE if values else states.FAIL, values))
            said = _said(individual)
            _count_on(self.study, said)
            if said.get("trial") and loss is not None:
                self._recompute()

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        running = _optuna().trial.TrialState.RUNNING
        with _silence():
            study = self._branch(int(rng.integers(2**32)))
            for one in view.running:
                study.add_trial(self._trial(one, running))
                _count_on(study, _said(one))
        while True:
            with _silence():
                trial = study.ask()
                genome = self.suggestions.ask(trial)
                said = _to_say(trial, study)
            yield Individual(genome=genome, strategy={"optuna": said} if said else {}, parents=())

    def _trial(self, individual: Known, state: Any, values: Sequence[float] = ()) -> Any:
        params, distributions = self.suggestions.told(individual.genome)
        attributes = dict(_said(individual).get("trial", {}))
        if self.is_bounded and values:
            attributes[_CONSTRAINTS] = [individual.violation]
        return _optuna().trial.create_trial(
            state=state, values=values or None, params=params, distributions=distributions, system_attrs=attributes
        )

    def _branch(self, seed: int) -> Any:
        """A copy of the study, whose trials are shared, because what is proposed must not change what is known."""
        trials = self.study.get_trials(deepcopy=False)
        storage = copy.deepcopy(self.study._storage, {id(trial): trial for trial in trials})
        name = self.study.study_name
        return _optuna().load_study(
            study_name=name, storage=storage, sampler=self.algorithm.sampler(seed, self.is_bounded)
        )

    def _recompute(self) -> None:
        """Keep the texts in which a sampler keeps a state of its own, such as CMA-ES, with the latest trial.

        They are pickles, which do not travel; every worker computes them when a generation is complete.
        """
        study = self._branch(0)
        trial = study.ask()
        self.suggestions.ask(trial)
        latest = self.study.get_trials(deepcopy=False)[-1]
        for name, value in _attributes(trial).items():
            if isinstance(value, str):
                latest.system_attrs[name] = value


def _said(individual: Individual) -> dict[str, Any]:
    """What a sampler has kept with a trial and with its study, as a strategy of this algorithm holds it."""
    said = individual.strategy.get("optuna", {})
    return said if isinstance(said, dict) else {}


def _to_say(trial: Any, study: Any) -> dict[str, Any]:
    """What must travel with a trial: its attributes, without texts, and the counters of the study."""
    kept = {name: value for name, value in _attributes(trial).items() if not isinstance(value, str)}
    counters = {name: value for name, value in _study_attributes(study).items() if type(value) is int}
    return {name: value for name, value in (("trial", kept), ("study", counters)) if value}


def _count_on(study: Any, said: Mapping[str, Any]) -> None:
    """Advance the counters of a study to those that another one has reached."""
    here = _study_attributes(study)
    for name, value in said.get("study", {}).items():
        if value > here.get(name, -1):
            study._storage.set_study_system_attr(study._study_id, name, value)


def _violation(trial: Any) -> list[float]:
    """The violation of a trial, which is at most 0 if it keeps all bounds."""
    return list(trial.system_attrs.get(_CONSTRAINTS, [0.0]))


def _attributes(trial: Any) -> dict[str, Any]:
    return dict(trial.storage.get_trial_system_attrs(trial._trial_id))


def _study_attributes(study: Any) -> dict[str, Any]:
    return dict(study._storage.get_study_system_attrs(study._study_id))


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UserError(f"the samplers of Optuna need it, and it is not installed: {_INSTALL}") from error
    return optuna


@contextmanager
def _silence() -> Iterator[None]:
    """Without Optuna's log of each trial and its warnings about parts that are still experimental."""
    logs = _optuna().logging
    before = logs.get_verbosity()
    logs.set_verbosity(logs.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logs.set_verbosity(before)
