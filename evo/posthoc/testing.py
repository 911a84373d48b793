"""`evo test`: an individual on the test set, from its saved weights, beside the baseline if there is one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evo.errors import UserError
from evo.evaluation.child import refuse_in_child
from evo.evaluation.messages import Examined
from evo.posthoc.baseline import Baseline, baseline_folder, check_baseline, find_baseline, test_baseline, train_baseline
from evo.posthoc.figures import figures_text
from evo.posthoc.past import find_objective, tested_folder
from evo.posthoc.single import SingleEvaluator
from evo.report.reading import Run, load
from evo.report.records import Evaluation
from evo.study.files import read_parameters

PICTURE = "confusion.png"
_OWN = ("confusion.png", "confusion.csv", "test.json")


def test(
    run: str | os.PathLike[str],
    objective: Callable[..., Any] | str | None = None,
    *,
    individual: str | None = None,
    baseline: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    trust: bool = False,
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

    Returns:
        What RUN/test/test.json holds: individual, params, loss, metrics as "test", the same of the "baseline", …

    Raises:
        UserError: Something that was asked for does not exist or does not fit.
        RuntimeError: A training or a test failed.
        Interrupted: A signal stopped the training of the baseline, which has saved its state: the same call goes on.
    """
    refuse_in_child("test")
    return _test(load(run), objective, individual, baseline, trust)


def _test(
    past: Run,
    objective: Callable[..., Any] | str | None,
    individual: str | None,
    baseline: Mapping[str, Any] | str | os.PathLike[str] | None,
    trust: bool,
) -> dict[str, Any]:
    tested = past.find(individual)
    folder = tested_folder(past, tested)
    params = None if baseline is None else read_parameters(baseline)
    known = find_baseline(past)
    if known and params is not None:
        check_baseline(known, params, past)
    params = past.study.baseline if params is None else params
    with SingleEvaluator(past, find_objective(past, objective, trust), trust) as evaluator:
        results = _empty_results(past, tested)
        examined = evaluator.test(f"individual {tested.name}", tested.individual, tested.params, folder, results)
        if known is None and params is not None:
            print(f"training the baseline in {past.directory}/baseline", flush=True)
            known = train_baseline(past, params, evaluator)
        baseline_metrics = test_baseline(past, known, evaluator) if known else {}
    _print(past, tested, folder, examined.metrics, known, baseline_metrics)
    return _write(past, tested, results, examined, known, baseline_metrics)


def _write(
    past: Run,
    individual: Evaluation,
    results: Path,
    examined: Examined,
    baseline: Baseline | None,
    baseline_metrics: dict[str, Any],
) -> dict[str, Any]:
    remark = str(examined.remarks.get("confusion", ""))
    place = results.relative_to(past.directory.path)
    found = {
        "individual": individual.individual,
        "params": individual.params,
        "loss": individual.loss,
        "test": examined.metrics,
        "confusion": PICTURE if (results / PICTURE).exists() else None,
        "remark": remark,
        "baseline": baseline and {"params": baseline.params, "loss": baseline.loss, "test": baseline_metrics},
    }
    past.directory.write(f"{place}/test.json", found)
    if remark:
        print(remark)
    folders = [results] if baseline is None else [results, baseline_folder(past)]
    for folder in folders:
        files = [name for name in _OWN if (folder / name).exists()]
        print(f"written to {past.directory}/{folder.relative_to(past.directory.path)}: {', '.join(files)}")
    return found


def _empty_results(past: Run, individual: Evaluation) -> Path:
    """The folder for the results, without those of an earlier test."""
    results = past.directory.path / "test"
    if individual != past.best:
        results /= individual.name
    try:
        results.mkdir(parents=True, exist_ok=True)
        for name in _OWN:
            (results / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{results} cannot be written: {error.strerror}; make room for it, or copy the run") from None
    return results


def _print(
    past: Run,
    individual: Evaluation,
    folder: Path,
    metrics: dict[str, Any],
    baseline: Baseline | None,
    baseline_metrics: dict[str, Any],
) -> None:
    own = folder == past.directory.folder(individual.individual)
    where = "" if own else f" in {past.directory}/{folder.relative_to(past.directory.path)}"
    is_best = individual == past.best
    print(f"individual {individual.name} of {past.directory} on the test set, from its saved weights{where}")
    figures = {"loss": individual.loss, **metrics}
    column = f"{'best, ' if is_best else ''}{individual.name}"
    if baseline is None:
        print(figures_text({column: figures}))
    else:
        print(figures_text({"baseline": {"loss": baseline.loss, **baseline_metrics}, column: figures}))
