"""The individuals of a study as the rows of a table: for spreadsheets, scripts and pandas."""

from __future__ import annotations

import csv
import datetime
import json
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any

from evo.errors import UserError
from evo.population.events import AnyEvent, Started
from evo.population.identity import Identity, individual_name
from evo.population.objectives import ONE_LOSS, Objectives
from evo.report.fronts import values_of
from evo.report.records import Evaluation
from evo.space.written import text_of_value

if TYPE_CHECKING:
    import pandas

PARAMS, METRICS, OBJECTIVES = "params.", "metrics.", "objectives."
"""What the names of the columns with parameters, with metrics and with objectives begin with."""
_BEFORE = (
    "name",
    "status",
    "loss",
    "started",
    "ended",
    "seconds",
    "rank",
    "host",
    "device",
    "island",
    "bred_by",
    "origin",
    "parents",
)


def table_rows(
    individuals: Sequence[Evaluation], events: Iterable[AnyEvent], objectives: Objectives = ONE_LOSS
) -> list[dict[str, Any]]:
    """A row for each individual, in their order, all with the same columns; None where there is nothing to say.

    Args:
        individuals: The individuals.
        events: The events of the study, which tell their parents.
        objectives: The objectives of the study.

    Returns:
        The rows, with the columns name, status, loss, started (the first time), ended, seconds (without breaks), rank,
        host, device, island, bred_by, origin (where a result is known from) and parents (names, separated by spaces);
        if some individuals are segments of trainings, donor (the name of the one from whose state it goes on), begin
        and until (steps); params.NAME for each parameter, empty where it is inactive; metrics.NAME for each metric;
        set_aside, if some individuals are; and error. If the objectives have names, there are objectives.NAME for each
        in the user's signs after loss, which is that of the first; and violation, if there are bounds.
    """
    parents = {event.individual: event.parents for event in events if isinstance(event, Started) and event.parents}
    params = dict.fromkeys(name for one in individuals for name in one.params)
    metrics = dict.fromkeys(name for one in individuals for name in one.metrics)
    some_are_segments = any(one.segment for one in individuals)
    some_are_aside = any(one.is_set_aside for one in individuals)
    rows = []
    for one in individuals:
        row = _known(one, parents.get(one.individual, ()), objectives)
        if some_are_segments:
            row |= {"donor": one.donor, "begin": one.begin, "until": one.until}
        row |= {f"{PARAMS}{name}": one.params.get(name) for name in params}
        row |= {f"{METRICS}{name}": one.metrics.get(name) for name in metrics}
        if some_are_aside:
            row["set_aside"] = one.is_set_aside
        rows.append({**row, "error": one.error or None})
    return rows


def _known(one: Evaluation, parents: Sequence[Identity], objectives: Objectives) -> dict[str, Any]:
    values = (
        one.name,
        one.status,
        one.loss,
        _moment(one.started),
        _moment(one.ended) if one.ended else None,
        one.seconds,
        one.rank,
        one.host or None,
        one.device or None,
        one.island,
        one.bred_by or None,
        one.origin or None,
        " ".join(map(individual_name, parents)) or None,
    )
    known = dict(zip(_BEFORE, values, strict=True))
    if objectives.is_plain:
        return known
    found = values_of(one, objectives) if one.status in ("completed", "pruned") else {}
    begun = {name: known.pop(name) for name in ("name", "status", "loss")}
    begun |= {f"{OBJECTIVES}{name}": found.get(name) for name in objectives.modes}
    if objectives.bounds:
        begun["violation"] = one.violation if one.status == "completed" else None
    return begun | known


def _moment(time: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(time, datetime.timezone.utc)


def write_csv(
    individuals: Sequence[Evaluation],
    events: Iterable[AnyEvent],
    stream: IO[str],
    objectives: Objectives = ONE_LOSS,
) -> None:
    """Write comma-separated values, with a line of names first.

    Times are in ISO 8601. A parameter that is neither a text nor inactive is written as JSON, so that `start_from` and
    other readers get the value back; an empty cell is a value that is absent.

    Args:
        individuals: The individuals.
        events: The events of the study.
        stream: Where to write; opened with newline="".
        objectives: The objectives of the study.
    """
    rows = table_rows(individuals, events, objectives)
    writer = csv.writer(stream, lineterminator="\n")
    active = [{f"{PARAMS}{name}" for name in one.params} for one in individuals]
    writer.writerow(rows[0] if rows else _BEFORE)
    for row, present in zip(rows, active, strict=True):
        writer.writerow([_param_cell(value) if name in present else _cell(value) for name, value in row.items()])


def _param_cell(value: Any) -> str:
    """A value of a parameter that is active; a text that would be taken for nothing, or the end of a row, is JSON."""
    text = text_of_value(value)
    return text if text.strip() and not {"\r", "\0"} & set(text) else json.dumps(text)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return value if isinstance(value, str) else json.dumps(value)


def json_rows(
    individuals: Sequence[Evaluation], events: Iterable[AnyEvent], objectives: Objectives = ONE_LOSS
) -> list[dict[str, Any]]:
    """Objects for JSON, one for each individual: as the rows of a table, with "params" and "metrics" as objects.

    Args:
        individuals: The individuals.
        events: The events of the study.
        objectives: The objectives of the study.
    """
    objects = []
    for one, row in zip(individuals, table_rows(individuals, events, objectives), strict=True):
        kept = {name: value for name, value in row.items() if not name.startswith((PARAMS, METRICS, OBJECTIVES))}
        for name in ("started", "ended"):
            kept[name] = row[name] and row[name].isoformat()
        error = kept.pop("error")
        if objectives.modes:
            kept["objectives"] = {name: row[f"{OBJECTIVES}{name}"] for name in objectives.modes}
        objects.append({**kept, "params": one.params, "metrics": one.metrics, "error": error})
    return objects


def data_frame(
    individuals: Sequence[Evaluation], events: Iterable[AnyEvent], objectives: Objectives = ONE_LOSS
) -> pandas.DataFrame:
    """The individuals as a DataFrame of pandas, with the columns of `table_rows`.

    Args:
        individuals: The individuals.
        events: The events of the study.
        objectives: The objectives of the study.

    Raises:
        UserError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise UserError('this needs pandas: pip install "evo-mpi[report]"') from error
    rows = table_rows(individuals, events, objectives)
    frame = pandas.DataFrame(rows, columns=list(rows[0]) if rows else [*_BEFORE, "error"])
    numbers = [name for name in frame.columns if name.startswith(OBJECTIVES) or name == "violation"]
    for name in ("loss", *numbers, "seconds"):
        frame[name] = frame[name].astype("float64")  # An all-empty column would hold objects.
    for name in frame.columns:
        kinds = {type(row[name]) for row in rows}
        if kinds == {int, type(None)}:  # pandas would make floats of them, where one is absent.
            frame[name] = frame[name].astype("Int64")
    return frame


def write_parquet(
    individuals: Sequence[Evaluation],
    events: Iterable[AnyEvent],
    stream: IO[bytes],
    objectives: Objectives = ONE_LOSS,
) -> None:
    """Write Parquet; a column whose values are of several kinds holds them as text, as in CSV.

    Args:
        individuals: The individuals.
        events: The events of the study.
        stream: Where to write.
        objectives: The objectives of the study.

    Raises:
        UserError: pandas or pyarrow is not installed.
    """
    frame = data_frame(individuals, events, objectives)
    try:
        import pyarrow  # noqa: F401 (pandas would name its own extras)
    except ImportError as error:
        raise UserError('Parquet needs pyarrow: pip install "evo-mpi[report]"') from error
    for name in frame.columns:
        values = [value for value in frame[name] if value is not None]
        if frame[name].dtype == object and (len({type(value) for value in values}) > 1 or not _is_plain(values)):
            write = _param_cell if name.startswith(PARAMS) else _cell
            frame[name] = [None if value is None else write(value) for value in frame[name]]
    frame.to_parquet(stream, index=False)


def _is_plain(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str | int | float | bool | datetime.datetime) for value in values)
