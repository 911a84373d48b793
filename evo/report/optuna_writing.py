"""Trials written into a store of Optuna all at once, because its own way takes a hundred times as long."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_AT_ONCE = 500  # Databases limit how many values one statement may name.


class JournalBuffer:
    """A backend for a journal of Optuna's that writes all at once, because each write waits for the disk.

    Args:
        inner: The backend of the file.
        size: Returns the size of the file in bytes.

    Attributes:
        completed: When the next trial that finishes has done so, since Optuna would take the present; None leaves that.
    """

    def __init__(self, inner: Any, size: Callable[[], int]) -> None:
        self._inner = inner
        self._of_file = size
        # How many logs of the file were read, and its size then.
        self._read = self._size = 0
        self._waiting: list[dict[str, Any]] = []
        self.completed: datetime | None = None

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The logs from a number on: those of the file, or those that are still to be written to it."""
        if self._waiting:
            yield from self._waiting[log_number_from - self._read :]
            return
        self._size, self._read = self._of_file(), log_number_from
        for log in self._inner.read_logs(log_number_from):
            self._read += 1
            yield log

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Keep logs until `flush`."""
        for log in logs:
            if self.completed is not None and "values" in log and "datetime_complete" in log:
                log["datetime_complete"] = self.completed.astimezone().isoformat(timespec="microseconds")
                self.completed = None
            self._waiting.append(log)

    def flush(self) -> bool:
        """Write what is waiting, if anything is; returns whether nobody else has written since the last reading."""
        is_alone = self._of_file() == self._size
        if self._waiting:
            self._inner.append_logs(self._waiting)
            self._read += len(self._waiting)
            self._waiting = []
            self._size = self._of_file()
        return is_alone


def write_to_database(
    storage: Any, study_id: int, new: Sequence[FrozenTrial], changed: Sequence[tuple[int, FrozenTrial]]
) -> list[tuple[int, FrozenTrial]]:
    """Write trials in one transaction: Optuna's own way asks the database some 25 questions for each of them.

    Args:
        storage: The database, an `optuna.storages.RDBStorage`.
        study_id: The number of the study there.
        new: The trials to be added.
        changed: The trials that are there, with their numbers, as they are now.

    Returns:
        All these trials with their numbers.
    """
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
    return numbered


def _parts(models: Any) -> list[Any]:
    """The tables that hold the parts of trials."""
    return [
        models.TrialValueModel,
        models.TrialIntermediateValueModel,
        models.TrialParamModel,
        models.TrialUserAttributeModel,
        models.TrialSystemAttributeModel,
    ]


_Rows: TypeAlias = "list[dict[str, Any]]"


def _contents(models: Any, trials: Sequence[tuple[int, FrozenTrial]]) -> Iterator[tuple[Any, _Rows]]:
    """The rows of each of these tables, for trials with their numbers in the database."""
    from optuna.distributions import distribution_to_json

    values, curves, params, attributes, system = _parts(models)
    store_value, store_step = values.value_to_stored_repr, curves.intermediate_value_to_stored_repr
    texts = {id(each): distribution_to_json(each) for _, trial in trials for each in trial.distributions.values()}
    rows: dict[Any, _Rows] = {part: [] for part in _parts(models)}
    for number, trial in trials:
        for place, each in enumerate(trial.values or ()):
            value, kind = store_value(each)
            rows[values].append({"trial_id": number, "objective": place, "value": value, "value_type": kind})
        for step, loss in trial.intermediate_values.items():
            value, kind = store_step(loss)
            stored = {"intermediate_value": value, "intermediate_value_type": kind}
            rows[curves].append({"trial_id": number, "step": step, **stored})
        for name, each in trial.distributions.items():
            value = each.to_internal_repr(trial.params[name])
            stored = {"param_value": value, "distribution_json": texts[id(each)]}
            rows[params].append({"trial_id": number, "param_name": name, **stored})
        for part, told in ((attributes, trial.user_attrs), (system, trial.system_attrs)):
            rows[part] += [
                {"trial_id": number, "key": key, "value_json": json.dumps(each)} for key, each in told.items()
            ]
    yield from rows.items()
