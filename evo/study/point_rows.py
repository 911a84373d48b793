"""The points, with or without results, in what `start_from` names: a list, a table, a run or a store of Optuna."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from evo.checks import did_you_mean
from evo.errors import UserError
from evo.population.events import Status
from evo.report.optuna_store import choose_study, explained, is_store, open_storage, parse_store
from evo.report.reading import load
from evo.report.rows import METRICS, PARAMS
from evo.space.written import read_number
from evo.study.files import load_yaml
from evo.texts import as_path

_TABLES = (".csv", ".tsv")
_DELIMITERS = ",;\t"
_STATUSES = (*get_args(Status), "running")


@dataclass(frozen=True, kw_only=True)
class PointRow:
    """One point that somebody names.

    Args:
        where: Where it stands, for messages, for example "points.csv, row 7".
        origin: The same, in short, for the record.
        params: Its parameters, which may be texts, and some of which may be missing.
        loss: Its loss, if it is known, as it stands there; None if it is to be evaluated.
        metrics: What is known beside the loss.
        problem: What is wrong with a row that could not be read; empty when it could.
    """

    where: str
    origin: str
    params: Mapping[str, Any] = field(default_factory=dict)
    loss: Any = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(kw_only=True)
class PointSource:
    """What `start_from` names.

    Args:
        name: Its name, for messages.
        rows: Its points.
        is_own: Whether the user has written the rows, so that a bad one is a mistake; the results of another search are
            left out where they do not fit.
        left_out: How many rows are left out for what became of them, by status.
        objective: The name of the objective of a run; empty when unknown.
    """

    name: str
    rows: list[PointRow] = field(default_factory=list)
    is_own: bool = True
    left_out: Counter[str] = field(default_factory=Counter)
    objective: str = ""


def read_points(given: str | os.PathLike[str] | Sequence[Any], names: Collection[str]) -> PointSource:
    """The rows in what `start_from` names.

    Args:
        given: A list of mappings; or the name of a run directory, of a store of Optuna, or of a CSV, YAML or JSON
            file. A YAML or JSON file may hold a single point.
        names: The names of the parameters.

    Raises:
        UserError: It cannot be read, or is something else.
    """
    if not isinstance(given, str | os.PathLike):
        return _from_list(given, "start_from", "start_from point", names)
    name = os.fspath(given)
    if not name.strip():
        raise UserError("start_from is empty: name a run directory, a store of Optuna, or a CSV, YAML or JSON file")
    path = as_path(name)
    if path.is_dir():
        return _from_run(name)
    if is_store(name):
        return _from_optuna(name)
    if path.suffix.lower() in _TABLES:
        return _from_table(path, name, names)
    loaded = load_yaml("start_from", name, of_values=True)
    return _from_list([loaded] if isinstance(loaded, Mapping) else loaded, name, f"{name} point", names)


def _from_list(given: Any, where: str, origin: str, names: Collection[str]) -> PointSource:
    if not isinstance(given, list | tuple):
        raise UserError(f"{where} is {given!r}: it must be a list of mappings of parameters to their values")
    source = PointSource(name=where)
    for number, point in enumerate(given, start=1):
        here = f"{where}, point {number}"
        if isinstance(point, Mapping):
            _add(source, here, f"{origin} {number}", point, names)
        else:
            problem = f"it is {point!r}, which is no mapping of parameters to their values"
            source.rows.append(PointRow(where=here, origin=here, problem=problem))
    return source


def _add(source: PointSource, where: str, origin: str, record: Mapping[str, Any], names: Collection[str]) -> None:
    """Add a row from a mapping, in which a loss may stand among the parameters, or beside them as in an export."""
    status = None
    if isinstance(record.get("params"), Mapping) and "params" not in names:
        params, loss, status = record["params"], record.get("loss"), record.get("status")
        metrics = record.get("metrics") or {}
    else:
        known = {} if "loss" in names else {"loss": record.get("loss")}
        loss, metrics = known.get("loss"), {}
        params = {name: value for name, value in record.items() if name not in known}
    if status is not None and status not in _STATUSES:
        problem = f"status is {status!r}: it must be one of {', '.join(_STATUSES)}"
        source.rows.append(PointRow(where=where, origin=origin, problem=problem))
    elif status in (None, "completed"):
        source.rows.append(PointRow(where=where, origin=origin, params=params, loss=loss, metrics=metrics))
    else:
        source.left_out[str(status)] += 1


def _from_table(path: Path, name: str, names: Collection[str]) -> PointSource:
    source = PointSource(name=f"start_from {name}")
    try:
        text = path.read_bytes().decode("utf-8-sig")  # A text in quotes keeps its ends of lines.
    except OSError as error:
        raise UserError(f"start_from {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"start_from {name} is no text in UTF-8: {error.reason} at byte {error.start}") from None
    header, *lines = list(_read_lines(text, name)) or [(1, [])]
    columns = [column.strip() for column in header[1]]
    is_export = any(column.startswith(PARAMS) and column not in names for column in columns)
    _check_columns(columns, is_export, name, names)
    for number, cells in lines:
        here = f"{name}, row {number}"
        if len(cells) != len(columns):
            problem = f"it has {len(cells)} cells, and the first row names {len(columns)}"
            source.rows.append(PointRow(where=here, origin=here, problem=problem))
            continue
        given = {column: cell for column, cell in zip(columns, cells, strict=True) if cell.strip()}
        record: Mapping[str, Any] = given
        if is_export:
            params = {each.removeprefix(PARAMS): cell for each, cell in given.items() if each.startswith(PARAMS)}
            record = {**given, "params": params, "metrics": _metrics(given)}
        _add(source, here, f"{name} row {number}", record, names)
    if not source.rows:
        left_out = ", ".join(f"{count} {status}" for status, count in sorted(source.left_out.items()))
        raise UserError(f"{source.name} has no point below its first row{left_out and f' that completed: {left_out}'}")
    return source


def _read_lines(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table that hold anything, with the numbers that a spreadsheet gives them."""
    # Not `splitlines`: texts may hold other characters at which that splits.
    delimiter = max(_DELIMITERS, key=io.StringIO(text).readline().count)
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), start=1):
            if any(cell.strip() for cell in cells):
                yield number, cells
    except csv.Error as error:
        raise UserError(f"start_from {name} is no table of values: {error}") from None


def _check_columns(columns: Sequence[str], is_export: bool, name: str, names: Collection[str]) -> None:
    """Refuse a table whose first row names what is no parameter, or names it twice."""
    if not columns:
        raise UserError(f"start_from {name} is empty: its first row must name parameters")
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise UserError(f"{name}, row 1: {twice[0]!r} stands there twice")
    unknown = [] if is_export else [column for column in columns if column not in names and column != "loss"]
    if unknown:
        shown = f"{unknown[0]!r} is no parameter{did_you_mean(unknown[0], names)}"
        raise UserError(f"{name}, row 1: {shown}; a column is named after a parameter, or loss: {', '.join(names)}")


def _metrics(cells: Mapping[str, str]) -> dict[str, Any]:
    return {name.removeprefix(METRICS): _scalar(cell) for name, cell in cells.items() if name.startswith(METRICS)}


def _scalar(cell: str) -> Any:
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def _from_run(name: str) -> PointSource:
    run = load(name)
    source = PointSource(name=f"start_from {name}", is_own=False, objective=run.study.objective)
    for one in run.individuals:
        if one.status == "completed":
            row = {"params": one.params, "loss": one.loss, "metrics": one.metrics}
            origin = one.origin or f"{name} {one.name}"
            source.rows.append(PointRow(where=f"{name}, individual {one.name}", origin=origin, **row))  # type: ignore[arg-type]
        else:
            source.left_out[one.status] += 1
    return source


def _from_optuna(given: str) -> PointSource:
    store = parse_store(given)
    name = given if store.file else f"{store}#{store.study}".rstrip("#")  # A password is not for the record.
    if store.file is not None and not store.file.is_file():
        raise UserError(f"start_from {name} cannot be read: there is no file {store.file}")
    with explained(store):
        storage = open_storage(store, only_reads=True)
        study = choose_study(storage, store)
        if [direction.name for direction in study.directions] != ["MINIMIZE"]:
            raise UserError(
                f"start_from {name}: study {study.study_name!r} does not minimise one value, as evo does: write its "
                "points to a CSV file, with a column loss"
            )
        trials = storage.get_all_trials(study._study_id, deepcopy=False)
    source = PointSource(name=f"start_from {name}", is_own=False, objective=study.user_attrs.get("objective", ""))
    for trial in trials:
        if trial.state.name != "COMPLETE":
            source.left_out[str(trial.user_attrs.get("status", trial.state.name.lower()))] += 1
            continue
        attributes = trial.user_attrs
        known = f"individual {attributes['name']}" if "name" in attributes else f"trial {trial.number}"
        source.rows.append(
            PointRow(
                where=f"{name}, {known}",
                origin=str(attributes.get("origin") or f"{name} {attributes.get('name', trial.number)}"),
                params=trial.params,
                loss=trial.value,
                metrics={
                    key.removeprefix(METRICS): each for key, each in attributes.items() if key.startswith(METRICS)
                },
            )
        )
    return source


def row_loss(row: PointRow) -> float | None:
    """The loss of a row; None when it is to be evaluated.

    Raises:
        UserError: It is no finite number.
    """
    if row.loss is None:
        return None
    try:
        return read_number(row.loss)
    except UserError as error:
        raise UserError(f"loss {error}") from None


def listed(problems: Iterable[str], most: int = 10) -> str:
    """Several problems, a line for each, the first ones only when there are many."""
    lines = list(problems)
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "\n  ".join([*lines[:most], *more])
