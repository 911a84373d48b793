"""Writes a study into a store of Optuna, and brings it up to date there when it is exported again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from evo.errors import UserError
from evo.report.optuna_store import StoreName, explained, journal_backend, open_storage
from evo.report.optuna_study import import_optuna, make_trials, name_values, study_directions, study_name
from evo.report.optuna_writing import JournalBuffer, write_to_database
from evo.report.reading import Run

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

_MARK = "evo_study"  # The user attribute of a study that tells which study of evo it is an export of.


class Changes(NamedTuple):
    """What an export has changed in a store.

    Args:
        study: The name of the study there.
        new: The number of trials that were added.
        updated: The number of trials that were there, and are brought up to date.
        outdated: The number of finished trials that have changed since, which a journal cannot take back.
    """

    study: str
    new: int
    updated: int
    outdated: int


class OptunaExport:
    """A study of evo in a store of Optuna. Trials are known again by their user attribute "name".

    Args:
        name: The store, perhaps with a name for the study there; the run directory's name without it.
    """

    def __init__(self, name: StoreName) -> None:
        self.name = name
        import_optuna()
        # What was written before, by the names of individuals; None until that was read.
        self._known: dict[str, _Kept] | None = None
        self._backend: JournalBuffer | None = None
        self._storage: BaseStorage | None = None
        self._study_id = -1

    def update(self, run: Run) -> Changes:
        """Write what is new, and what has changed, since the last time.

        Args:
            run: The study as it is now.

        Raises:
            UserError: The store cannot be used, or it has another study of that name.
        """
        study = self.name.study or study_name(run)
        with explained(self.name):
            storage = self._open()
            if self._known is None:
                self._study_id = _find_or_make(storage, self.name, study, run)
                trials = storage.get_all_trials(self._study_id, deepcopy=False)
                self._known = {str(each.user_attrs.get("name")): _Kept.of(each, each._trial_id) for each in trials}
            new, changed, outdated = self._compare(make_trials(run))
            if self.name.is_database:
                numbered = write_to_database(storage, self._study_id, new, changed)
                self._known.update({trial.user_attrs["name"]: _Kept.of(trial, number) for number, trial in numbered})
            else:
                self._write_to_journal(storage, new, changed)
        return Changes(study, len(new), len(changed), outdated)

    def _open(self) -> BaseStorage:
        if self._storage is None:
            if not self.name.is_database:
                self._backend = JournalBuffer(journal_backend(self.name), lambda: os.stat(str(self.name.file)).st_size)
            self._storage = open_storage(self.name, self._backend)
        return self._storage

    def _compare(self, trials: Sequence[FrozenTrial]) -> tuple[list[FrozenTrial], list[tuple[int, FrozenTrial]], int]:
        """The trials that are new, those that have changed, with their numbers in the store, and how many must stay."""
        assert self._known is not None
        new, changed, outdated = [], [], 0
        for trial in trials:
            known = self._known.get(trial.user_attrs["name"])
            if known is None:
                new.append(trial)
            elif known != _Kept.of(trial, known.number):
                if known.is_finished and not self.name.is_database:
                    outdated += 1
                else:
                    changed.append((known.number, trial))
        return new, changed, outdated

    def _write_to_journal(
        self, storage: BaseStorage, new: Sequence[FrozenTrial], changed: Sequence[tuple[int, FrozenTrial]]
    ) -> None:
        assert self._backend is not None
        assert self._known is not None
        for number, trial in changed:
            for key, value in trial.user_attrs.items():
                storage.set_trial_user_attr(number, key, value)
            for step, loss in trial.intermediate_values.items():
                storage.set_trial_intermediate_value(number, step, loss)
            if trial.state.is_finished():
                self._backend.completed = trial.datetime_complete
                storage.set_trial_state_values(number, trial.state, trial.values)
            self._known[trial.user_attrs["name"]] = _Kept.of(trial, number)
        for trial in new:
            number = storage.create_new_trial(self._study_id, trial)
            self._known[trial.user_attrs["name"]] = _Kept.of(trial, number)
        if not self._backend.flush():  # Somebody else has written meanwhile: the next time all is read anew.
            self._storage = self._known = None


class _Kept(NamedTuple):
    """What a store holds of a trial, as far as it may change."""

    number: int
    is_finished: bool
    content: str

    @classmethod
    def of(cls, trial: FrozenTrial, number: int) -> _Kept:
        curve = sorted((int(step), loss) for step, loss in trial.intermediate_values.items())
        distributions = {name: repr(each) for name, each in sorted(trial.distributions.items())}
        what = [
            trial.state.name,
            trial.values,
            curve,
            trial.user_attrs,
            trial.system_attrs,
            trial.params,
            distributions,
        ]
        return cls(number, trial.state.is_finished(), json.dumps(what, sort_keys=True))


def _find_or_make(storage: BaseStorage, name: StoreName, study: str, run: Run) -> int:
    """The number of a run's study in a store, where it is made unless it is there.

    Raises:
        UserError: There is another study of that name.
    """
    from optuna.study import StudyDirection

    about = run.study
    mark = f"{about.objective}, seed {about.seed}, created {about.created}"
    for found in storage.get_all_studies():
        if found.study_name == study:
            if found.user_attrs.get(_MARK) == mark:
                return int(found._study_id)
            whose = "is no export of evo" if _MARK not in found.user_attrs else "is an export of another run"
            raise UserError(
                f"the Optuna store {name} has a study {study!r} already, which {whose}: "
                f"choose another name for this one, as in {name}#another"
            )
    directions = [StudyDirection[direction.upper()] for direction in study_directions(run.objectives)]
    number = storage.create_new_study(directions, study)
    name_values(storage, number, run.objectives)
    attributes: Mapping[str, Any] = {
        _MARK: mark,
        "run": run.name,
        "objective": about.objective,
        "seed": about.seed,
        "propagator": about.propagator,
        "versions": about.versions,
    }
    for key, value in attributes.items():
        storage.set_study_user_attr(number, key, value)
    return number
