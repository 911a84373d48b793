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
from evo.population.objectives import ONE_LOSS, Objectives
from evo.report.optuna_store import choose_study, explained, is_store, open_storage, parse_store
from evo.report.reading import load
from evo.report.rows import METRICS, OBJECTIVES, PARAMS
from evo.study.files import load_yaml
from evo.study.point_results import named_values, objectives_of_optuna, wrong_values
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
        values: What is known by the names of objectives and of metrics with bounds, as it stands there.
        metrics: What is known beside the loss.
        problem: What is wrong with a row that could not be read; empty when it could.
    """

    where: str
    origin: str
    params: Mapping[str, Any] = field(default_factory=dict)
    loss: Any = None
    values: Mapping[str, Any] = field(default_factory=dict)
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


@dataclass(frozen=True, kw_only=True)
class PointForm:
    """What the points of a search consist of, and what a result does.

    Args:
        names: The names of the parameters.
        objectives: The objectives and bounds, whose values make a result.
    """

    names: Collection[str]
    objectives: Objectives = ONE_LOSS


def read_points(given: str | os.PathLike[str] | Sequence[Any], form: PointForm) -> PointSource:
    """The rows in what `start_from` names.

    Args:
        given: A list of mappings; or the name of a run directory, of a store of Optuna, or of a CSV, YAML or JSON
            file. A YAML or JSON file may hold a single point.
        form: What their parameters and values may be named.

    Raises:
        UserError: It cannot be read, or is something else.
    """
    if not isinstance(given, str | os.PathLike):
        return _from_list(given, "start_from", "start_from point", form)
    name = os.fspath(given)
    if not name.strip():
        raise UserError("start_from is empty: name a run directory, a store of Optuna, or a CSV, YAML or JSON file")
    path = as_path(name)
    if path.is_dir():
        return _from_run(name, form.objectives)
    if is_store(name):
        return _from_optuna(name, form.objectives)
    if path.suffix.lower() in _TABLES:
        return _from_table(path, name, form)
    loaded = load_yaml("start_from", name, of_values=True)
    return _from_list([loaded] if isinstance(loaded, Mapping) else loaded, name, f"{name} point", form)


def _from_list(given: Any, where: str, origin: str, form: PointForm) -> PointSource:
    if not isinstance(given, list | tuple):
        raise UserError(f"{where} is {given!r}: it must be a list of mappings of parameters to their values")
    source = PointSource(name=where)
    for number, point in enumerate(given, start=1):
        here = f"{where}, point {number}"
        if isinstance(point, Mapping):
            _add(source, here, f"{origin} {number}", point, form)
        else:
            problem = f"it is {point!r}, which is no mapping of parameters to their values"
            source.rows.append(PointRow(where=here, origin=here, problem=problem))
    return source


def _add(source: PointSource, where: str, origin: str, record: Mapping[str, Any], form: PointForm) -> None:
    """Add a row from a mapping, in which results may stand among the parameters, or beside them as in an export."""
    status = None
    found = record.get("metrics")
    metrics: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    beside = _beside(record, form)
    if isinstance(record.get("params"), Mapping) and "params" not in form.names:
        params, status = record["params"], record.get("status")
    else:
        params = {name: value for name, value in record.items() if name not in beside}
        metrics = metrics if "metrics" in beside else {}
    problem = "" if status in (None, *_STATUSES) else f"status is {status!r}: it must be one of {', '.join(_STATUSES)}"
    problem = problem or wrong_values(beside.get("values"), form.objectives)
    if problem:
        source.rows.append(PointRow(where=where, origin=origin, problem=problem))
    elif status in (None, "completed"):
        values = named_values(form.objectives, beside, metrics, beside.get("objectives"), beside.get("values"))
        loss = beside.get("loss")
        row = PointRow(where=where, origin=origin, params=params, loss=loss, values=values, metrics=metrics)
        source.rows.append(row)
    else:
        source.left_out[str(status)] += 1


def _beside(record: Mapping[str, Any], form: PointForm) -> dict[str, Any]:
    """What stands in a record that is no parameter: values by the names of objectives, or a loss if it has no name."""
    told = {*form.objectives.metrics, *(("values", "objectives", "metrics") if form.objectives.metrics else ())}
    told |= set() if form.objectives.modes else {"loss"}
    return {name: value for name, value in record.items() if name in told and name not in form.names}


def _from_table(path: Path, name: str, form: PointForm) -> PointSource:
    source = PointSource(name=f"start_from {name}")
    try:
        text = path.read_bytes().decode("utf-8-sig")  # A text in quotes keeps its ends of lines.
    except OSError as error:
        raise UserError(f"start_from {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"start_from {name} is no text in UTF-8: {error.reason} at byte {error.start}") from None
    header, *lines = list(_read_lines(text, name)) or [(1, [])]
    columns = [column.strip() for column in header[1]]
    is_export = any(column.startswith(PARAMS) and column not in form.names for column in columns)
    _check_columns(columns, is_export, name, form)
    for number, cells in lines:
        here = f"{name}, row {number}"
        if len(cells) != len(columns):
            problem = f"it has {len(cells)} cells, and the first row names {len(columns)}"
            source.rows.append(PointRow(where=here, origin=here, problem=problem))
            continue
        given = {column: cell for column, cell in zip(columns, cells, strict=True) if cell.strip()}
        _add(source, here, f"{name} row {number}", _record(given, is_export), form)
    if not source.rows:
        left_out = ", ".join(f"{count} {status}" for status, count in sorted(source.left_out.items()))
        raise UserError(f"{source.name} has no point below its first row{left_out and f' that completed: {left_out}'}")
    return source


def _record(cells: Mapping[str, str], is_export: bool) -> Mapping[str, Any]:
    """The cells of a row by their columns, those with a prefix as mappings, as in JSON."""
    beside = {prefix.rstrip("."): _under(prefix, cells) for prefix in (OBJECTIVES, METRICS)}
    if is_export:
        return {**cells, "params": _under(PARAMS, cells), **beside}
    flat = {name: cell for name, cell in cells.items() if not name.startswith((OBJECTIVES, METRICS))}
    return {**flat, **{name: found for name, found in beside.items() if found}}


def _under(prefix: str, cells: Mapping[str, str]) -> dict[str, Any]:
    found = {name.removeprefix(prefix): cell for name, cell in cells.items() if name.startswith(prefix)}
    return found if prefix == PARAMS else {name: _scalar(cell) for name, cell in found.items()}


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


def _check_columns(columns: Sequence[str], is_export: bool, name: str, form: PointForm) -> None:
    """Refuse a table whose first row names what is no parameter, or names it twice."""
    if not columns:
        raise UserError(f"start_from {name} is empty: its first row must name parameters")
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise UserError(f"{name}, row 1: {twice[0]!r} stands there twice")
    if is_export:
        return
    names, objectives = form.names, form.objectives
    results = [*objectives.metrics, *(() if objectives.modes else ("loss",))]
    known = [*names, *results, *(prefix + name for prefix in (OBJECTIVES, METRICS) for name in objectives.metrics)]
    unknown = [column for column in columns if column not in known]
    if unknown:
        shown = f"{unknown[0]!r} is no parameter{did_you_mean(unknown[0], [*names, *results])}"
        rule = f"a column is named after a parameter, or {' or '.join(results)}"
        raise UserError(f"{name}, row 1: {shown}; {rule}: {', '.join(names)}")


def _scalar(cell: str) -> Any:
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def _from_run(name: str, objectives: Objectives) -> PointSource:
    run = load(name)
    theirs = run.study.objectives
    if theirs.modes and not objectives.modes:
        raise UserError(
            f"start_from {name} has {theirs}, and this study has one loss without a name: name objectives, or write "
            "its points to a CSV file, with a column loss"
        )
    source = PointSource(name=f"start_from {name}", is_own=False, objective=run.study.objective)
    for one in run.individuals:
        if one.status == "completed" and one.loss is not None:
            losses = one.losses or (one.loss,)
            is_whole = len(losses) == theirs.count  # Somebody may have edited study.json.
            source.rows.append(
                PointRow(
                    where=f"{name}, individual {one.name}",
                    origin=one.origin or f"{name} {one.name}",
                    params=one.params,
                    loss=one.loss,
                    values=named_values(objectives, one.metrics, theirs.values(losses) if is_whole else None),
                    metrics=one.metrics,
                )
            )
        else:
            source.left_out[one.status] += 1
    return source


def _from_optuna(given: str, objectives: Objectives) -> PointSource:
    store = parse_store(given)
    name = given if store.file else f"{store}#{store.study}".rstrip("#")  # A password is not for the record.
    if store.file is not None and not store.file.is_file():
        raise UserError(f"start_from {name} cannot be read: there is no file {store.file}")
    with explained(store):
        storage = open_storage(store, only_reads=True)
        study = choose_study(storage, store)
        order = objectives_of_optuna(f"start_from {name}: study {study.study_name!r}", study, objectives)
        trials = storage.get_all_trials(study._study_id, deepcopy=False)
    source = PointSource(name=f"start_from {name}", is_own=False, objective=study.user_attrs.get("objective", ""))
    for trial in trials:
        if trial.state.name != "COMPLETE":
            source.left_out[str(trial.user_attrs.get("status", trial.state.name.lower()))] += 1
            continue
        attributes = trial.user_attrs
        known = f"individual {attributes['name']}" if "name" in attributes else f"trial {trial.number}"
        metrics = {key.removeprefix(METRICS): each for key, each in attributes.items() if key.startswith(METRICS)}
        source.rows.append(
            PointRow(
                where=f"{name}, {known}",
                origin=str(attributes.get("origin") or f"{name} {attributes.get('name', trial.number)}"),
                params=trial.params,
                loss=trial.values[0],
                values=named_values(objectives, attributes, metrics, dict(zip(order, trial.values, strict=True))),
                metrics=metrics,
            )
        )
    return source


def listed(problems: Iterable[str], most: int = 10) -> str:
    """Several problems, a line for each, the first ones only when there are many."""
    lines = list(problems)
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "\n  ".join([*lines[:most], *more])
