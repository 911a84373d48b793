"""`evo test`: an individual on the test set, from its saved weights, beside the baseline if there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evo.aftermath.baseline import (
    Baseline,
    check_baseline,
    find_baseline,
    read_parameters,
    test_baseline,
    train_baseline,
)
from evo.aftermath.figures import figures_text
from evo.aftermath.past import Past, find_objective, read_past
from evo.aftermath.single import SingleEvaluator
from evo.evaluation.child import Examined
from evo.report.records import Evaluation

PICTURE = "confusion.png"
_OWN = ("confusion.png", "confusion.csv", "test.json")


def test_individual(run: str, name: str | None, baseline_file: str | None, objective: str | None) -> None:
    """Test an individual, print what was found and write it to RUN/test, or RUN/test/R-G if it is not the best.

    Args:
        run: The run directory.
        name: Of the individual; None: the best.
        baseline_file: With the parameters of a baseline; None: the one that the run directory has, if any.
        objective: Of the search; None: the one that study.json names.

    Raises:
        ValueError: Something that was asked for does not exist or does not fit.
        AftermathError: A training or a test failed.
    """
    past = read_past(run)
    individual = past.find(name)
    folder = past.tested_folder(individual)
    params = None if baseline_file is None else read_parameters(baseline_file)
    known = find_baseline(past)
    if known and params is not None:
        check_baseline(known, params, past)
    with SingleEvaluator(past, find_objective(past, objective)) as evaluator:
        results = _empty_results(past, individual)
        examined = evaluator.test(
            f"individual {individual.name}", individual.individual, individual.params, folder, results
        )
        if known is None and params is not None:
            print(f"training the baseline in {past.directory}/baseline", flush=True)
            known = train_baseline(past, params, evaluator)
        baseline_metrics = test_baseline(past, known, evaluator) if known else {}
    _print(past, individual, folder, examined.metrics, known, baseline_metrics)
    _write(past, individual, results, examined, known, baseline_metrics)


def _write(
    past: Past,
    individual: Evaluation,
    results: Path,
    examined: Examined,
    baseline: Baseline | None,
    baseline_metrics: dict[str, Any],
) -> None:
    remark = str(examined.remarks.get("confusion", ""))
    place = results.relative_to(past.directory.path)
    past.directory.write(
        f"{place}/test.json",
        {
            "individual": individual.individual,
            "params": individual.params,
            "loss": individual.loss,
            "test": examined.metrics,
            "confusion": PICTURE if (results / PICTURE).exists() else None,
            "remark": remark,
            "baseline": baseline and {"params": baseline.params, "loss": baseline.loss, "test": baseline_metrics},
        },
    )
    if remark:
        print(remark)
    files = [name for name in _OWN if (results / name).exists()]
    print(f"written to {past.directory}/{place}: {', '.join(files)}")


def _empty_results(past: Past, individual: Evaluation) -> Path:
    """The folder for the results, without those of an earlier test."""
    results = past.directory.path / "test"
    if individual.individual != past.best.individual:
        results /= individual.name
    try:
        results.mkdir(parents=True, exist_ok=True)
        for name in _OWN:
            (results / name).unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"{results} cannot be written: {error.strerror}; make room for it, or copy the run") from None
    return results


def _print(
    past: Past,
    individual: Evaluation,
    folder: Path,
    metrics: dict[str, Any],
    baseline: Baseline | None,
    baseline_metrics: dict[str, Any],
) -> None:
    own = folder == past.directory.folder(individual.individual)
    where = "" if own else f" in {past.directory}/{folder.relative_to(past.directory.path)}"
    is_best = individual.individual == past.best.individual
    print(f"individual {individual.name} of {past.directory} on the test set, from its saved weights{where}")
    figures = {"loss": individual.loss, **metrics}
    column = f"{'best, ' if is_best else ''}{individual.name}"
    if baseline is None:
        print(figures_text({column: figures}))
    else:
        print(figures_text({"baseline": {"loss": baseline.loss, **baseline_metrics}, column: figures}))
