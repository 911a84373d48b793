"""Writes a study into a store of Optuna, and brings it up to date there when it is exported again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from evo.errors import UserError
from evo.report.optuna_store import StoreName, explained, journal_backend, open_storage
from evo.report.optuna_study import import_optuna, make_trials, study_name
from evo.report.reading import Run

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

_MARK = "evo_study"  # The user attribute of a study that tells which study of evo it is an export of.
_AT_ONCE = 500  # Databases limit how many values one statement may name.


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
        self._backend: Any = None
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
                kept = _write_to_database(storage, self._study_id, new, changed)
            else:
                kept = self._write_to_journal(storage, new, changed)
            if self._known is not None:
                self._known.update(kept)
        return Changes(study, len(new), len(changed), outdated)

    def _open(self) -> BaseStorage:
        if self._storage is None:
            if not self.name.is_database:
                self._backend = make_buffer(journal_backend(self.name), lambda: os.stat(str(self.name.file)).st_size)
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
    ) -> Iterator[tuple[str, _Kept]]:
        kept = []
        for number, trial in changed:
            for key, value in trial.user_attrs.items():
                storage.set_trial_user_attr(number, key, value)
            for step, loss in trial.intermediate_values.items():
                storage.set_trial_intermediate_value(number, step, loss)
            if trial.state.is_finished():
                self._backend.completed = trial.datetime_complete
                storage.set_trial_state_values(number, trial.state, trial.values)
            kept.append((trial.user_attrs["name"], _Kept.of(trial, number)))
        for trial in new:
            number = storage.create_new_trial(self._study_id, trial)
            kept.append((trial.user_attrs["name"], _Kept.of(trial, number)))
        if not self._backend.flush():  # Somebody else has written meanwhile: the next time all is read anew.
            self._storage = self._known = None
            return iter(())
        return iter(kept)


class _Kept(NamedTuple):
    """What a store holds of a trial, as far as it may change."""

    number: int
    is_finished: bool
    content: str

    @classmethod
    def of(cls, trial: FrozenTrial, number: int) -> _Kept:
        curve = sorted((int(step), loss) for step, loss in trial.intermediate_values.items())
        distributions = {name: repr(each) for name, each in sorted(trial.distributions.items())}
        what = [trial.state.name, trial.value, curve, trial.user_attrs, trial.system_attrs, trial.params, distributions]
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
                f"the Optuna store {name.where} has a study {study!r} already, which {whose}: "
                f"choose another name for this one, as in {name.where}#another"
            )
    number = storage.create_new_study([StudyDirection.MINIMIZE], study)
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


def make_buffer(inner: Any, size: Callable[[], int]) -> Any:
    """A backend for a journal of Optuna's that writes all at once, because each write waits for the disk.

    Args:
        inner: The backend of the file.
        size: Returns the size of the file in bytes.

    Returns:
        The backend: `flush` writes, and `completed` is when the next trial that finishes has done so, since Optuna
        would take the present.
    """
    from optuna.storages.journal import BaseJournalBackend

    class Buffer(BaseJournalBackend):
        """The file, and what is still to be written to it."""

        def __init__(self) -> None:
            # How many logs of the file were read, and its size then.
            self._read = self._size = 0
            self._waiting: list[dict[str, Any]] = []
            self.completed: Any = None

        def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
            if self._waiting:
                yield from self._waiting[log_number_from - self._read :]
                return
            self._size, self._read = size(), log_number_from
            for log in inner.read_logs(log_number_from):
                self._read += 1
                yield log

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            for log in logs:
                if self.completed is not None and "values" in log and "datetime_complete" in log:
                    log["datetime_complete"] = self.completed.astimezone().isoformat(timespec="microseconds")
                    self.completed = None
                self._waiting.append(log)

        def flush(self) -> bool:
            """Write what is waiting, if anything is; returns whether nobody else has written since the last reading."""
            is_alone = size() == self._size
            if self._waiting:
                inner.append_logs(self._waiting)
                self._read += len(self._waiting)
                self._waiting = []
                self._size = size()
            return is_alone

    return Buffer()


def _write_to_database(
    storage: Any, study_id: int, new: Sequence[FrozenTrial], changed: Sequence[tuple[int, FrozenTrial]]
) -> Iterator[tuple[str, _Kept]]:
    """Write trials in one transaction: Optuna's own way asks the database some 25 questions for each."""
    from optuna.storages._rdb import models

    session = storage.scoped_session()
    try:
        first = session.query(models.TrialModel).filter(models.TrialModel.study_id == study_id).count()
        rows = [models.TrialModel(study_id=study_id, number=first + place) for place in range(len(new))]
        kept_rows = {}
        for begin in range(0, len(changed), _AT_ONCE):
            numbers = [number for number, _ in changed[begin : begin + _AT_ONCE]]
            found = session.query(models.TrialModel).filter(models.TrialModel.trial_id.in_(numbers))
            kept_rows.update({row.trial_id: row for row in found})
            for part in _parts(models):
                session.query(part).filter(part.trial_id.in_(numbers)).delete(synchronize_session=False)
        pairs = [(kept_rows[number], trial) for number, trial in changed] + list(zip(rows, new, strict=True))
        for row, trial in pairs:
            row.state = trial.state
            row.datetime_start = trial.datetime_start
            row.datetime_complete = trial.datetime_complete
        session.add_all(rows)
        session.flush()
        numbered = [(row.trial_id, trial) for row, trial in pairs]
        for part, contents in _contents(models, numbered):
            session.bulk_insert_mappings(part, contents)
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        storage.scoped_session.remove()
    return ((trial.user_attrs["name"], _Kept.of(trial, number)) for number, trial in numbered)


def _parts(models: Any) -> list[Any]:
    """The tables that hold the parts of trials."""
    return [
        models.TrialValueModel,
        models.TrialIntermediateValueModel,
        models.TrialParamModel,
        models.TrialUserAttributeModel,
        models.TrialSystemAttributeModel,
    ]


def _contents(models: Any, trials: Sequence[tuple[int, FrozenTrial]]) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """The rows of each of these tables, for trials with their numbers in the database."""
    from optuna.distributions import distribution_to_json

    values, curves, params, attributes, system = _parts(models)
    texts = {id(each): distribution_to_json(each) for _, trial in trials for each in trial.distributions.values()}
    yield (
        values,
        [
            {
                "trial_id": number,
                "objective": 0,
                **_stored(values.value_to_stored_repr(trial.value), "value", "value_type"),
            }
            for number, trial in trials
            if trial.value is not None
        ],
    )
    store = curves.intermediate_value_to_stored_repr
    names = ("intermediate_value", "intermediate_value_type")
    yield (
        curves,
        [
            {"trial_id": number, "step": step, **_stored(store(loss), *names)}
            for number, trial in trials
            for step, loss in trial.intermediate_values.items()
        ],
    )
    yield (
        params,
        [
            {
                "trial_id": number,
                "param_name": name,
                "param_value": each.to_internal_repr(trial.params[name]),
                "distribution_json": texts[id(each)],
            }
            for number, trial in trials
            for name, each in trial.distributions.items()
        ],
    )
    for table, what in ((attributes, "user_attrs"), (system, "system_attrs")):
        yield (
            table,
            [
                {"trial_id": number, "key": key, "value_json": json.dumps(value)}
                for number, trial in trials
                for key, value in getattr(trial, what).items()
            ],
        )


def _stored(pair: tuple[Any, Any], *names: str) -> dict[str, Any]:
    return dict(zip(names, pair, strict=True))
