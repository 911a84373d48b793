"""The command `evo best`: the best individual of a run directory, or of several."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from evo.commands import CommandParser, status_of
from evo.errors import MISTAKEN, UserError
from evo.randomness import training_seed
from evo.report.columns import columns_text
from evo.report.configuration import lightning_configuration, training_of
from evo.report.fronts import bounds_text, keeps_bounds, spread_front, values_of
from evo.report.lineages import LineageSegment
from evo.report.reading import Run, load, rank_runs
from evo.report.records import Evaluation
from evo.report.tables import best_text, number_text, runs_text, statuses_text, telling_metrics
from evo.report.yaml_text import yaml_text
from evo.texts import printable, readable, show_error

_MOST_SHOWN, _MOST_METRICS, _MOST_PARAMETERS = 12, 4, 8  # In the table of a front.


def main(arguments: Sequence[str], program: str) -> int:
    """Show the best individual of run directories.

    Args:
        arguments: The words after the command's name.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 shown, 2 a run directory cannot be read, or none has a best one.
    """
    parser = _make_parser(program)
    options = parser.parse_args(arguments)
    if options.individual and len(options.runs) > 1:
        parser.error(f"--individual {options.individual} is of one run, but there are {len(options.runs)}")
    if options.individual or options.knee or options.yaml or options.params:
        return status_of(lambda: _show_one(options), options.debug)
    return status_of(lambda: _show_all(options), options.debug)


def _make_parser(program: str) -> CommandParser:
    parser = CommandParser(prog=program, description="Show the best individual of run directories.")
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="A run directory, complete or not. Several are compared."
    )
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--individual", metavar="R-G", help="Show another individual of a single RUN, for example 3-1.")
    one.add_argument(
        "--knee",
        action="store_true",
        help="With several objectives, show the individual of the front that is nearest to the ideal point.",
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="Print a JSON object for each run, for scripts.")
    shown.add_argument(
        "--yaml",
        action="store_true",
        help="Print YAML: the parameters, or of a study by sections a configuration for LightningCLI. With several "
        "objectives, those of the knee of the front. If they have "
        "changed while the network trained, comments hold the schedule, which evo train --schedule reads.",
    )
    shown.add_argument("--params", action="store_true", help="Print the parameters as YAML, whatever the study is.")
    return parser


def _show_all(options: Namespace) -> int:
    """Show the best of all runs, and a line for each of several; returns the exit status."""
    found = []
    for name in options.runs:
        try:
            found.append(load(name))
        except UserError as error:
            show_error(error, options.debug)
    if not found:
        return MISTAKEN
    runs = rank_runs(found)
    if runs[0].best is None:
        refused = sum(run.counts["infeasible"] for run in runs)
        besides = f"; {refused} are infeasible" if refused else ""
        names = printable(", ".join(run.name for run in runs))
        next_step = f"evo status {printable(' '.join(run.name for run in runs))} shows where it stands"
        print(f"evo: error: no individual in {names} has completed yet{besides}; {next_step}", file=sys.stderr)
        return MISTAKEN
    if options.json:
        for run in runs:
            best = {} if run.best is None else _as_json(run, run.best)
            if run.objectives.are_several:
                best["front"] = [_as_json(run, one) for one in run.front]
                best["knee"] = run.knee and run.knee.name
            print(printable_json(msgspec.json.encode({"run": run.name, **best}).decode()))
    else:
        several = [run for run in runs if run.objectives.are_several]
        if len(runs) > 1:
            print(f"{runs_text(runs)}\n")
        if len(runs) > 1 and not several:
            print(f"The best of them, of {printable(runs[0].name)}:")
        for run in several if len(several) == len(runs) else ():
            print((f"{printable(run.name)}: " if len(runs) > 1 else "") + front_text(run))
        if not several:
            print(best_text(runs[0].best, runs[0].lineage(), runs[0].objectives))
        if len(runs) == 1 and (runs[0].counts["infeasible"] or runs[0].known):
            print(statuses_text(runs[0].counts, known=runs[0].known))
    return 0 if len(found) == len(options.runs) else MISTAKEN


def _show_one(options: Namespace) -> None:
    """Show one individual: the one that is asked for, or the best of all runs."""
    run = rank_runs(map(load, options.runs))[0]
    one = run.find(options.individual)  # The knee of a front.
    if options.json:
        as_json = _as_json(run, one)
        print(printable_json(msgspec.json.encode({"run": run.name, **as_json}).decode()))
        return
    if not (options.yaml or options.params):
        print(best_text(one, run.lineage(one.name), run.objectives))
        return
    training = None if options.params else training_of(run.study)
    values: Mapping[str, Any] = run.values(one) or {"loss": one.loss}
    loss = ", ".join(f"{name} {value}" for name, value in values.items()) if one.loss is not None else one.status
    violated = bounds_text(one, one.metrics, run.objectives)
    comments = [f"individual {one.name} of {run.name}: {loss}{violated and f', violates {violated}'}"]
    found: dict[str, Any] = dict(one.params)
    if training is not None:
        if one.segment is not None and training.early_stopping is True:
            training = replace(training, early_stopping=False)  # Its default is off in segments.
        found, notes = lightning_configuration(training, one, run.study.seed)
        comments += ["python main.py fit --config FILE, with LightningCLI in main.py", *notes]
    if lineage := run.lineage(one.name):
        comments += _schedule_comments(lineage, training_seed(run.study.seed, one.individual), run.name)
    print(yaml_text(found, tuple(comments)))


def _schedule_comments(lineage: Sequence[LineageSegment], seed: int, run: str) -> list[str]:
    """A schedule as comments, because other readers of the file know none; `evo.posthoc.schedules` reads it there."""
    segments = [{"until": segment.until, "params": dict(segment.params)} for segment in lineage]
    return [
        f"the values below are those of the last part, from step {lineage[-1].begin} on",
        f"evo train {run} --schedule FILE trains the schedule of these comments from the start",
        *yaml_text({"schedule": segments, "seed": seed}).splitlines(),
    ]


def front_text(run: Run) -> str:
    """The front of a study, a row for each of its individuals, ordered by the first objective.

    Of a large one some are shown, which are spread along it; the knee is among them.

    Args:
        run: A study with several objectives, in which some individual has completed.
    """
    objectives, knee = run.objectives, run.knee
    front = spread_front(run.front, _MOST_SHOWN)
    metrics = telling_metrics(front, objectives)[:_MOST_METRICS]
    params = [name for name in run.study.limits if any(name in one.params for one in front)][:_MOST_PARAMETERS]
    violates = ["violates"] if not keeps_bounds(front) else []
    rows = [["individual", *objectives.names, *violates, *metrics, *params]]
    for one in front:
        values = values_of(one, objectives)
        shown: list[Any] = [values.get(name) for name in objectives.names]
        shown += [bounds_text(one, one.metrics, objectives)] if violates else []
        shown += [*(one.metrics.get(name) for name in metrics), *(one.params.get(name) for name in params)]
        rows.append([one.name, *map(number_text, shown)])
    modes = printable(", ".join(f"{name}: {mode}" for name, mode in objectives.modes.items()))
    title = f"the front has {len(run.front)} individual{'s' * (len(run.front) != 1)} ({modes})"
    if len(front) < len(run.front):
        title += f"; these {len(front)} are spread along it, and --json has all"
    if violates:
        return f"no individual keeps the bounds yet; this one violates them least ({modes})\n\n{columns_text(rows)}"
    name = "" if knee is None else knee.name
    whole = f"the knee is {name}: evo best {printable(run.name)} --knee shows all that is known of it"
    return f"{title}\n\n{columns_text(rows, right=range(1, len(rows[0])))}\n\n{whole}"


def _as_json(run: Run, best: Evaluation) -> dict[str, Any]:
    lineage = run.lineage(best.name)
    known = msgspec.structs.asdict(best)
    hidden = {"home", "segment", "state"}
    if not run.objectives.are_several:
        hidden |= {"losses", "violation"} if not run.objectives.bounds else {"losses"}
    shown = {name: value for name, value in known.items() if name not in hidden}
    if run.objectives.modes:
        shown["objectives"] = run.values(best)
    found = {"name": best.name, **shown, "folder": readable(str(best.folder))}
    if best.segment is None:
        return found
    return {**found, "begin": best.begin, "until": best.until, "donor": best.donor, "lineage": lineage}


def printable_json(text: str) -> str:
    """JSON that is JSON still where the locale lacks a character of it, and that steers no terminal.

    Args:
        text: The JSON.
    """
    try:
        text.encode(sys.stdout.encoding or "utf-8")
        is_shown = text == printable(text)
    except UnicodeEncodeError:
        is_shown = False
    return text if is_shown else json.dumps(json.loads(text))
