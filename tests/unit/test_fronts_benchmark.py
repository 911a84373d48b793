from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # The benchmarks belong to the repository, not to the package.

from benchmarks.fronts import analytic, cost  # noqa: E402
from benchmarks.fronts.command import main  # noqa: E402
from benchmarks.fronts.problem import FrontProblem, Value  # noqa: E402
from benchmarks.fronts.runs import FrontRun, measured  # noqa: E402
from benchmarks.fronts.summary import tables  # noqa: E402

TINY = ["--suites", "bounds", "--problems", "bnh", "--evaluations", "12", "--tools", "evo:genetic,random"]
RUN = FrontRun(suite="bounds", problem="p", tool="random", workers=1, seed=0, evaluations=3)
# Its best known front is the point (0, 0), and its losses are 10 times those that are scaled.
SQUARE = FrontProblem(
    "bounds",
    "p",
    {},
    lambda params: Value((0.0, 0.0)),  # type: ignore[arg-type]
    bounds=1,
    reference=(1.0, 1.0),
    near=(0.5, 0.5),
    volume=math.prod,
    nadir=(10.0, 10.0),
)


def at(problem: FrontProblem, *values: float) -> Value:
    return problem.loss({name: value for name, value in zip(problem.limits, values, strict=True)})  # type: ignore


def test_a_hypervolume_is_that_of_what_keeps_all_bounds_and_is_not_dominated():
    values = [Value((2.0, 8.0), (-1.0,)), Value((0.0, 0.0), (0.1,)), Value((6.0, 4.0), (0.0,)), Value((9.0, 9.0))]
    run = measured(RUN, SQUARE, values)
    # Two boxes, 0.8 × 0.2 and 0.4 × 0.6, that share 0.4 × 0.2; up to (0.5, 0.5) there is nothing.
    assert run.volumes["3"] == pytest.approx(0.16 + 0.24 - 0.08)
    assert (run.near["3"], run.feasible["3"], run.front) == (
        0.0,
        pytest.approx(2 / 3, abs=1e-6),
        [[0.2, 0.8], [0.6, 0.4]],
    )


def test_nothing_that_keeps_the_bounds_is_a_hypervolume_of_zero():
    assert measured(RUN, SQUARE, [Value((0.0, 0.0), (1.0,))] * 3).volumes == {"3": 0.0}


@pytest.mark.parametrize(
    ("problem", "params", "losses"),
    [
        (analytic.zdt(1), [0.25] + [0.0] * 29, (0.25, 0.5)),
        (analytic.zdt(1), [1.0] + [1.0] * 29, (1.0, 10 - math.sqrt(10))),
        (analytic.zdt(2), [0.5] + [0.0] * 29, (0.5, 0.75)),
        (analytic.zdt(3), [0.25] + [0.0] * 29, (0.25, 0.25)),
        (analytic.dtlz2(), [0.0, 0.0] + [0.5] * 10, (1.0, 0.0, 0.0)),
        (analytic.dtlz2(), [1.0, 0.3] + [1.0] * 10, (0.0, 0.0, 3.5)),
        (analytic.bnh(), [3.0, 3.0], (72.0, 8.0)),
        (analytic.tnk(), [0.7, 0.9], (0.7, 0.9)),
        (analytic.srn(), [-2.5, 2.5], (24.5, -24.75)),
    ],
)
def test_losses_are_those_worked_out_by_hand(problem, params, losses):
    assert at(problem, *params).losses == pytest.approx(losses, abs=1e-12)


def test_bounds_are_those_worked_out_by_hand():
    # (0 - 5)² + 3² is 34 of 25; (0 - 8)² + (3 + 3)² is 100, and at least 7.7.
    assert at(analytic.bnh(), 0.0, 3.0).excesses == pytest.approx((9 / 25, 1 - 100 / 7.7))
    assert at(analytic.srn(), 0.0, 15.0).excesses == pytest.approx((0.0, -3.5))
    assert at(analytic.tnk(), 1.0, 0.0).excesses == pytest.approx((0.1, 0.0))


@pytest.mark.parametrize(
    ("problem", "volume", "accuracy"),
    [
        (analytic.zdt(1), 121 - 1 / 3, 1e-4),  # Below 1 - √f, there is 1/3 of the unit square less.
        (analytic.zdt(2), 121 - 2 / 3, 1e-4),
        (analytic.dtlz2(), 8 - math.pi / 6, 1e-9),
    ],
)
def test_known_hypervolumes_are_those_of_the_formulas(problem, volume, accuracy):
    assert problem.volume(problem.reference) == pytest.approx(volume, abs=10 * accuracy)


@pytest.mark.parametrize("make", [analytic.bnh, analytic.tnk, analytic.srn])
def test_no_point_that_keeps_the_bounds_is_better_than_the_known_front(make):
    problem, steps = make(), 100
    (low, high), (lower, upper) = problem.limits.values()
    grid = [(x, y) for x in np.linspace(low, high, steps) for y in np.linspace(lower, upper, steps)]
    share, _ = problem.shares(problem.front(at(problem, float(x), float(y)) for x, y in grid))
    assert 0.9 < share <= 1.0


def test_a_results_file_is_continued(tmp_path, capsys):
    assert main([*TINY, "--seeds", "1", "--workers", "1,4", "--out", str(tmp_path)]) == 0
    file = tmp_path / "runs.jsonl"
    first = file.read_text()
    file.write_text(first + '{"suite": "bou')  # As a process leaves it that dies while it writes.
    assert main([*TINY, "--seeds", "2", "--workers", "1,4", "--out", str(tmp_path)]) == 0
    assert file.read_text().startswith(first)
    found = [json.loads(line) for line in file.read_text().splitlines() if not line.endswith("bou")]
    assert len(found) == 8
    assert len({(one["tool"], one["workers"], one["seed"]) for one in found}) == 8
    assert all(one["ended"] == 12 and 0 < one["volumes"]["12"] < 1 for one in found)
    assert "evo:genetic with 4 workers to 1: " in capsys.readouterr().out


def test_searches_repeat_themselves(tmp_path):
    made = []
    for folder in ("a", "b"):
        main([*TINY, "--seeds", "1", "--workers", "4", "--out", str(tmp_path / folder)])
        lines = (tmp_path / folder / "runs.jsonl").read_text().splitlines()
        made.append([{**json.loads(line), "seconds": 0, "cpu": 0} for line in lines])
    assert made[0] == made[1]


def test_tables_show_medians_over_seeds_and_their_mean_over_the_problems_that_all_tools_have():
    def runs(tool: str, problem: str, *volumes: float, workers: int = 1) -> list[FrontRun]:
        keys = {"suite": "textbook", "tool": tool, "problem": problem, "workers": workers, "evaluations": 9}
        figures = [{"volumes": {"9": one}, "near": {"9": one / 2}, "feasible": {"9": 1.0}} for one in volumes]
        return [FrontRun(**keys, **each, seed=seed) for seed, each in enumerate(figures)]

    known = [*runs("a", "p", 0.1, 0.4, 0.3), *runs("a", "q", 0.9), *runs("a", "p", 0.15, workers=4)]
    shown = tables(known, 9).splitlines()
    assert shown[3].split() == ["p", "0.3000", "0.1500"]
    assert shown[4].split() == ["q", "0.9000", "-"]
    assert shown[5].split() == ["mean", "of", "1", "0.3000", "0.1500"]
    assert shown[-1] == "a with 4 workers to 1: 0.5000"
    assert tables(known, 9, near=True).splitlines()[3].split() == ["p", "0.1500", "0.0750"]


def test_an_unknown_suite_and_an_unknown_tool_are_named(tmp_path):
    with pytest.raises(SystemExit, match="there is no suite zdt9: choose of textbook"):
        main(["--suites", "zdt9", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="there is no tool nsga9: choose of evo"):
        main(["--tools", "nsga9", "--out", str(tmp_path)])


def test_the_cost_of_a_proposal_is_measured_with_a_front_of_that_size():
    assert all(0 < seconds < 10 for seconds in cost.cost_of(20))
