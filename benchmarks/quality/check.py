"""Whether evo's default searches as well as it did: a few minutes of runs, held against a stored reference.

A run's score is the logarithm (base 10) of what its best loss is above the optimum. The reference keeps the mean score
of each case and its deviation over seeds, so that chance can be told from a loss of quality.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.quality.suites import Choice, load_suite
from benchmarks.quality.tools import find_tool

REFERENCE = Path(__file__).with_name("reference.json")
SEEDS = 8
# A difference of one case counts from so many standard errors on, that of all cases together from fewer: with so many
# cases, one of them differs by three now and then.
_MOST_OF_ONE, _MOST_OF_ALL = 5.0, 3.0
# Less than this is no difference. Where all seeds find the optimum, there is no deviation to judge by.
_LEAST_DEVIATION = 0.1
_LEAST_GAP, _MOST_GAP = 1e-8, 1e8


@dataclass(frozen=True)
class Case:
    """What is run with all seeds.

    Args:
        suite: The suite.
        problem: The problem.
        workers: The number of workers.
        evaluations: The budget.
    """

    suite: str
    problem: str
    workers: int
    evaluations: int

    def __str__(self) -> str:
        return f"{self.suite} {self.problem}, {self.workers} x {self.evaluations}"


_NINE = ("sphere", "rosenbrock", "step", "quartic", "rastrigin", "griewank", "schwefel", "bisphere", "birastrigin")
CASES: tuple[Case, ...] = (
    *(Case("nine", name, 4, 300) for name in _NINE),
    *(Case("mixed", name, 4, 150) for name in ("network", "models", "grid")),
    *(Case("nine", name, 1, 200) for name in ("rosenbrock", "griewank")),
    *(Case("mixed", name, 32, 150) for name in ("network", "models")),
)
"""What the check runs: workers alone, some and many; numbers, grids, categories, conditions."""


@dataclass(frozen=True)
class Scores:
    """The scores of one case.

    Args:
        mean: Their mean over seeds.
        deviation: Their standard deviation.
        seeds: The number of seeds.
    """

    mean: float
    deviation: float
    seeds: int


@dataclass(frozen=True)
class Verdict:
    """The judgement of all cases together.

    Args:
        errors: By how many standard errors each case is worse than the reference; negative is better.
        overall: The same for all of them together.
    """

    errors: Mapping[str, float]
    overall: float

    @property
    def worse(self) -> list[str]:
        """The cases that are worse by more than chance; "all together" stands for all of them."""
        found = [case for case, error in self.errors.items() if error > _MOST_OF_ONE]
        return [*found, "all together"] if self.overall > _MOST_OF_ALL else found


def score(gap: float) -> float:
    """The score of a run whose best loss is so much above the optimum."""
    return math.log10(min(max(gap, _LEAST_GAP), _MOST_GAP))


def compare(reference: Mapping[str, Scores], now: Mapping[str, Scores]) -> Verdict:
    """Hold scores against a reference; only the cases of both count.

    Raises:
        ValueError: They have no case in common.
    """
    errors = {}
    for case in (one for one in reference if one in now):
        variance = sum(max(one.deviation, _LEAST_DEVIATION) ** 2 / one.seeds for one in (reference[case], now[case]))
        errors[case] = (now[case].mean - reference[case].mean) / math.sqrt(variance)
    if not errors:
        raise ValueError("the reference has none of these cases: write it anew with --update-reference")
    return Verdict(errors, math.fsum(errors.values()) / math.sqrt(len(errors)))


def measure(tool: str, cases: Sequence[Case], seeds: int, jobs: int) -> dict[str, Scores]:
    """The scores of a tool.

    Args:
        tool: The name of the tool.
        cases: What is run.
        seeds: The number of seeds.
        jobs: The number of processes.
    """
    todo = [(case, seed) for case in cases for seed in range(seeds)]
    if jobs == 1:
        found = [_run(tool, one) for one in todo]
    else:
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            found = list(pool.map(partial(_run, tool), todo))
    scores = {}
    for place, case in enumerate(cases):
        own = found[place * seeds : (place + 1) * seeds]
        deviation = statistics.stdev(own) if seeds > 1 else math.inf
        scores[str(case)] = Scores(round(statistics.fmean(own), 4), round(deviation, 4), seeds)
    return scores


def _run(tool: str, what: tuple[Case, int]) -> float:
    case, seed = what
    (problem,) = load_suite(case.suite, Choice(names=[case.problem]))
    losses, _ = find_tool(tool).run(problem, case.workers, case.evaluations, seed)
    best = min((loss for loss in losses if not math.isnan(loss)), default=math.inf)
    return score(best - problem.optimum)


def read_reference(file: Path) -> dict[str, Scores]:
    """The stored scores by case."""
    return {case: Scores(**scores) for case, scores in json.loads(file.read_text()).items()}


def write_reference(file: Path, scores: Mapping[str, Scores]) -> None:
    """Store scores by case."""
    lines = [f"{json.dumps(case)}: {json.dumps(asdict(own))}" for case, own in scores.items()]
    file.write_text("{\n  " + ",\n  ".join(lines) + "\n}\n")


def main(tool: str, reference: Path, update: bool, jobs: int, cases: Sequence[Case] = CASES, seeds: int = SEEDS) -> int:
    """Check a tool, or store how good it is; returns the exit status.

    Args:
        tool: The name of the tool.
        reference: The file of the reference.
        update: Whether the reference is written rather than read.
        jobs: The number of processes.
        cases: What is run.
        seeds: The number of seeds.
    """
    began = time.perf_counter()
    now = measure(tool, cases, seeds, jobs)
    minutes = (time.perf_counter() - began) / 60
    if update:
        write_reference(reference, now)
        print(f"{tool} after {minutes:.1f} minutes: written to {reference}")
        return 0
    before = read_reference(reference)
    verdict = compare(before, now)
    print(f"{'log10 above the optimum':40} {'reference':>9} {'now':>9}   standard errors worse")
    for case, error in verdict.errors.items():
        print(f"{case:40} {before[case].mean:9.2f} {now[case].mean:9.2f}   {error:+.1f}")
    print(f"{'all together':60}   {verdict.overall:+.1f}")
    worse = verdict.worse
    print(f"{tool} after {minutes:.1f} minutes: " + (f"worse on {', '.join(worse)}" if worse else "as good as it was"))
    return 1 if worse else 0
