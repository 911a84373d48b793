"""`evo test`: an individual on the test set, from its saved weights, beside the baseline if there is one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

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
)
from evo.posthoc.single import SingleEvaluator
from evo.report.reading import Run, load
from evo.report.records import Evaluation
from evo.space.values import Params
from evo.storage.rundir import RunDirectory
from evo.study.files import read_parameters
from evo.texts import printable

PICTURE = "confusion.png"
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

    If the individual is not the best, it is written to RUN/test/R-G. After `evo.minimize` on several ranks, only one of
    them should call this: it runs in one process, and uses the cores and the first GPU of that.

    Args:
        run: The run directory.
        objective: The objective of the search, as `evo.minimize` got it, or its name, `path/to/file.py:name`. None
            means the one that study.json names.
        individual: Rank and generation, for example "3-1". None means the best.
        baseline: Parameters to compare with, or a YAML file with them, which are trained once, in RUN/baseline. None
            means those of an earlier call, or else those that the study names, if any.
        trust: Whether to load another user's checkpoints in full, and the code that their run directory names; either
            may do anything. Otherwise only tensors and plain values are loaded from them.
        results: The folder for everything that is written, laid out as RUN is: DIR/test, DIR/baseline. None means RUN.

    Returns:
        What RUN/test/test.json holds: individual, params, loss, metrics as "test", the same of the "baseline", …

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
    tested = past.find(individual)
    check_parameters(tested.params, f"individual {tested.name}", recorded_in(past), trust)
    weights = tested_folder(past, tested, results)
    given = None if baseline is None else read_parameters(baseline)
    known, known_in = _known_baseline(past, results)
    params = _baseline_parameters(past, known, known_in, given, trust)
    with SingleEvaluator(past, find_objective(past, objective, trust), trust) as evaluator:
        place = "test" if tested == past.best else f"test/{tested.name}"
        folder = _empty_results(results.path / place)
        examined = evaluator.test(f"individual {tested.name}", tested.individual, tested.params, weights, folder)
        if known is None and params is not None:
            print(f"training the baseline in {results}/baseline", flush=True)
            known, known_in = train_baseline(results, params, evaluator), results
        compared = None if known is None else Compared(known, test_baseline(known_in, known, evaluator, results))
    _print(past, tested, _where(weights, past, results, tested), examined.metrics, compared)
    return _write(tested, results, place, examined, compared)


class Compared(NamedTuple):
    """A baseline beside an individual.

    Args:
        baseline: What was recorded of it.
        metrics: Its metrics on the test set.
    """

    baseline: Baseline
    metrics: dict[str, Any]


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
    individual: Evaluation, results: RunDirectory, place: str, examined: Examined, compared: Compared | None
) -> dict[str, Any]:
    remark = str(examined.remarks.get("confusion", ""))
    folder = results.path / place
    found = {
        "individual": individual.individual,
        "params": individual.params,
        "loss": individual.loss,
        "test": examined.metrics,
        "confusion": PICTURE if (folder / PICTURE).exists() else None,
        "remark": remark,
        "baseline": compared
        and {"params": compared.baseline.params, "loss": compared.baseline.loss, "test": compared.metrics},
    }
    results.write(f"{place}/test.json", found)
    if remark:
        print(printable(remark))
    for each in [place] if compared is None else [place, "baseline"]:
        files = [name for name in _OWN if (results.path / each / name).exists()]
        print(f"written to {results}/{each}: {', '.join(files)}")
    return found


def _empty_results(folder: Path) -> Path:
    """The folder for the results, without those of an earlier test."""
    make_folder(folder)
    try:
        for name in _OWN:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise not_writable(folder, error.strerror) from None
    return folder


def _print(past: Run, individual: Evaluation, where: str, metrics: dict[str, Any], compared: Compared | None) -> None:
    is_best = individual == past.best
    print(f"individual {individual.name} of {past.directory} on the test set, from its saved weights{where}")
    figures = {"loss": individual.loss, **metrics}
    column = f"{'best, ' if is_best else ''}{individual.name}"
    if compared is None:
        print(figures_text({column: figures}))
    else:
        print(figures_text({"baseline": {"loss": compared.baseline.loss, **compared.metrics}, column: figures}))
