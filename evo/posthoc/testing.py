"""`evo test`: an individual on the test set, from its saved weights, beside the baseline if there is one.

With several objectives: all individuals of the front that have kept their weights.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evo.errors import UserError
from evo.evaluation.child import refuse_in_child
from evo.evaluation.messages import Examined
from evo.posthoc.baseline import Baseline, baseline_file, check_baseline, find_baseline, test_baseline, train_baseline
from evo.posthoc.figures import figures_text
from evo.posthoc.past import (
    check_parameters,
    find_objective,
    find_results,
    make_folder,
    not_writable,
    recorded_in,
    tested_folder,
    trained_folder,
)
from evo.posthoc.single import SingleEvaluator
from evo.report.reading import Run, load
from evo.report.records import Evaluation
from evo.space.values import Params
from evo.storage.checkpoints import find_weights
from evo.storage.rundir import RunDirectory
from evo.study.files import read_parameters
from evo.texts import printable

PICTURE = "confusion.png"
_MOST_NAMED = 5  # Individuals that a message names.
_OWN = ("confusion.png", "confusion.csv", "test.json")


def test(
    run: str | os.PathLike[str],
    objective: Callable[..., Any] | str | None = None,
    *,
    individual: str | None = None,
    baseline: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    trust: bool = False,
    results: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Test an individual from its saved weights, print what was found and write it to RUN/test.

    If the individual is not the best, it is written to RUN/test/R-G. With several objectives, that is so for each
    individual, and RUN/test/test.json holds all of the front that were tested. After `evo.minimize` on several ranks,
    only one of them should call this: it runs in one process, and uses the cores and the first GPU of that.

    Args:
        run: The run directory.
        objective: The objective of the search, as `evo.minimize` got it, or its name, `path/to/file.py:name`. None
            means the one that study.json names.
        individual: Rank and generation, for example "3-1". None means the best; or, with several objectives, all of the
            front that have kept their weights.
        baseline: Parameters to compare with, or a YAML file with them, which are trained once, in RUN/baseline. None
            means those of an earlier call, or else those that the study names, if any.
        trust: Whether to load another user's checkpoints in full, and the code that their run directory names; either
            may do anything. Otherwise only tensors and plain values are loaded from them.
        results: The folder for everything that is written, laid out as RUN is: DIR/test, DIR/baseline. None means RUN.

    Returns:
        What RUN/test/test.json holds: individual, params, loss, metrics as "test", the same of the "baseline", …; or
        such records of the "front", each with its "objectives", and the "baseline".

    Raises:
        UserError: Something that was asked for does not exist or does not fit.
        RuntimeError: A training or a test failed.
        Interrupted: A signal stopped the training of the baseline, which has saved its state: the same call goes on.
    """
    refuse_in_child("test")
    past = load(run)
    return _test(past, objective, individual, baseline, trust, find_results(past, results))


def _test(
    past: Run,
    objective: Callable[..., Any] | str | None,
    individual: str | None,
    baseline: Mapping[str, Any] | str | os.PathLike[str] | None,
    trust: bool,
    results: RunDirectory,
) -> dict[str, Any]:
    several = past.study.objectives.are_several and individual is None
    members = _front_with_weights(past, results) if several else [past.find(individual)]
    for tested in members:
        check_parameters(tested.params, f"individual {tested.name}", recorded_in(past), trust)
    folders = [tested_folder(past, tested, results) for tested in members]
    given = None if baseline is None else read_parameters(baseline)
    known, known_in = _known_baseline(past, results)
    params = _baseline_parameters(past, known, known_in, given, trust)
    with SingleEvaluator(past, find_objective(past, objective, trust), trust) as evaluator:
        found = []
        for tested, weights in zip(members, folders, strict=True):
            folder = _empty_results(results.path / _place(past, tested))
            name = f"individual {tested.name}"
            found.append(evaluator.test(name, tested.individual, tested.params, weights, folder))
        if known is None and params is not None:
            print(f"training the baseline in {results}/baseline", flush=True)
            known, known_in = train_baseline(results, params, evaluator), results
        compared = None if known is None else Compared(known, test_baseline(known_in, known, evaluator, results))
    wheres = [_where(weights, past, results, tested) for tested, weights in zip(members, folders, strict=True)]
    _print(past, members, wheres, [examined.metrics for examined in found], compared)
    pairs = list(zip(members, found, strict=True))
    if several:
        return _write_front(past, results, pairs, compared)
    return _write(past, results, *pairs[0], compared)


class Compared(NamedTuple):
    """A baseline beside an individual.

    Args:
        baseline: What was recorded of it.
        metrics: Its metrics on the test set.
    """

    baseline: Baseline
    metrics: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """The baseline as it is written beside what was tested."""
        return {"params": self.baseline.params, "loss": self.baseline.loss, "test": self.metrics}


def _front_with_weights(past: Run, results: RunDirectory) -> list[Evaluation]:
    """The individuals of the front that have weights, by their losses; all if the objective saves none.

    Raises:
        UserError: Nothing has completed, or others have kept their weights, but none of the front.
    """
    past.find()  # There must be one that has completed.
    on_front = past.front
    having = [one for one in on_front if not one.origin and (one.weights or _is_trained_again(past, results, one))]
    if not having and not any(one.weights for one in past.ranking):
        having = [one for one in on_front if not one.origin]
    if having:
        return having
    name, many = on_front[0].name, len(on_front) > _MOST_NAMED
    names = ", ".join(one.name for one in on_front[:_MOST_NAMED])
    raise UserError(
        f"of the front of {past.name}, {names}{' and others' if many else ''}, none has weights; "
        f"evo train {past.name} --individual {name} trains one again, and then it can be tested"
    )


def _is_trained_again(past: Run, results: RunDirectory, individual: Evaluation) -> bool:
    return any(find_weights(trained_folder(each, individual)) for each in (results, past.directory))


def _place(past: Run, individual: Evaluation) -> str:
    """Where the results of an individual go, below the directory for results."""
    is_single = individual == past.best and not past.study.objectives.are_several
    return "test" if is_single else f"test/{individual.name}"


def _known_baseline(past: Run, results: RunDirectory) -> tuple[Baseline | None, RunDirectory]:
    """A baseline that was trained before, if any, and where: with the results, or else with the search."""
    for directory in (results, past.directory):
        if known := find_baseline(directory):
            return known, directory
    return None, results


def _baseline_parameters(
    past: Run, known: Baseline | None, known_in: RunDirectory, given: Params | None, trust: bool
) -> Params | None:
    """The parameters of the baseline: those that the user gives, or else that are recorded; None: there is none.

    Raises:
        UserError: Another baseline was trained before; or another user's names a class.
    """
    if given is not None:
        if known is not None:
            check_baseline(known, given, known_in)
        return given
    params, file = past.study.baseline, past.directory.path / "study.json"
    if known is not None:
        params, file = known.params, baseline_file(known_in)
    if params is not None:
        check_parameters(params, "the baseline", [file], trust)
    return params


def _where(weights: Path, past: Run, results: RunDirectory, individual: Evaluation) -> str:
    """Where the weights of an individual lie, as the rest of a sentence; empty: in its own folder."""
    if weights == past.directory.folder(individual.individual):
        return ""
    found = next(each for each in (results, past.directory) if weights.is_relative_to(each.path))
    return f" in {found}/{weights.relative_to(found.path)}"


def _write(
    past: Run, results: RunDirectory, individual: Evaluation, examined: Examined, compared: Compared | None
) -> dict[str, Any]:
    found = _write_one(past, results, individual, examined, compared)
    _print_written(results, [_place(past, individual)] + ["baseline"] * (compared is not None))
    return found


def _write_front(
    past: Run, results: RunDirectory, tested: Sequence[tuple[Evaluation, Examined]], compared: Compared | None
) -> dict[str, Any]:
    front = [_write_one(past, results, individual, examined, compared) for individual, examined in tested]
    own = [{name: value for name, value in one.items() if name != "baseline"} for one in front]
    found = {"front": own, "baseline": compared and compared.record()}
    results.write("test/test.json", found)
    _print_written(results, ["test"] + ["baseline"] * (compared is not None))
    return found


def _write_one(
    past: Run, results: RunDirectory, individual: Evaluation, examined: Examined, compared: Compared | None
) -> dict[str, Any]:
    remark = str(examined.remarks.get("confusion", ""))
    place = _place(past, individual)
    objectives = past.study.objectives
    found = {
        "individual": individual.individual,
        "params": individual.params,
        "loss": individual.loss,
        **({"objectives": objectives.values(individual.losses)} if individual.losses else {}),
        "test": examined.metrics,
        "confusion": PICTURE if (results.path / place / PICTURE).exists() else None,
        "remark": remark,
        "baseline": compared and compared.record(),
    }
    results.write(f"{place}/test.json", found)
    if remark:
        print(printable(remark))
    return found


def _print_written(results: RunDirectory, places: Sequence[str]) -> None:
    for each in places:
        files = [name for name in _OWN if (results.path / each / name).exists()]
        if files:
            print(f"written to {results}/{each}: {', '.join(files)}")


def _empty_results(folder: Path) -> Path:
    """The folder for the results, without those of an earlier test."""
    make_folder(folder)
    try:
        for name in _OWN:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise not_writable(folder, error.strerror) from None
    return folder


def _print(
    past: Run,
    members: Sequence[Evaluation],
    wheres: Sequence[str],
    metrics: Sequence[Mapping[str, Any]],
    compared: Compared | None,
) -> None:
    objectives = past.study.objectives
    columns: dict[str, dict[str, Any]] = {}
    if compared is not None:
        known = compared.baseline.metrics if objectives.modes else {"loss": compared.baseline.loss}
        columns["baseline"] = {name: known.get(name) for name in objectives.names} | compared.metrics
    for one, where, found in zip(members, wheres, metrics, strict=True):
        print(f"individual {one.name} of {past.directory} on the test set, from its saved weights{where}")
        is_best = one == past.best and not objectives.are_several
        losses = one.losses or (() if one.loss is None or objectives.are_several else (one.loss,))
        values = objectives.values(losses) if losses else {"loss": one.loss}
        columns[f"{'best, ' if is_best else ''}{one.name}"] = {**values, **found}
    print(figures_text(columns))
