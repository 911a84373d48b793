from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # The benchmarks belong to the repository, not to the package.

from benchmarks.quality import check, pictures, summary  # noqa: E402
from benchmarks.quality.check import Case, Scores, compare  # noqa: E402
from benchmarks.quality.command import main  # noqa: E402
from benchmarks.quality.coordinates import Coordinates, kinds_of  # noqa: E402
from benchmarks.quality.curves import STEPS, Curves  # noqa: E402
from benchmarks.quality.evos import Replicas  # noqa: E402
from benchmarks.quality.mixed import mixed_problems  # noqa: E402
from benchmarks.quality.problem import Problem  # noqa: E402
from benchmarks.quality.results import Results, Run, rebased, steps_of  # noqa: E402
from benchmarks.quality.simulation import best_so_far, simulate  # noqa: E402
from benchmarks.quality.suites import Choice, nine_functions  # noqa: E402
from benchmarks.quality.tools import TOOLS, Counted, Tool, find_tool  # noqa: E402
from evo.space import Int, Space  # noqa: E402
from evo.space.parameters import Float  # noqa: E402

TINY = ["--suites", "nine,mixed", "--problems", "sphere,models", "--evaluations", "12", "--seeds", "2"]
RUN = Run(suite="nine", problem="sphere", tool="random", workers=1, seed=0, evaluations=10)


def run(folder: Path, *more: str) -> int:
    return main([*TINY, "--tools", "evo:genetic,random", "--workers", "1,4", "--out", str(folder), *more])


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quality")
    assert run(folder) == 0
    return folder


def test_every_tool_problem_and_seed_is_run_once(made):
    found = [(one["tool"], one["problem"], one["workers"], one["seed"]) for one in lines(made)]
    expected = {
        (tool, problem, workers, seed)
        for tool in ("evo:genetic", "random")
        for problem in ("sphere", "models")
        for workers in (1, 4)
        for seed in (0, 1)
    }
    assert len(found) == len(expected) == len(set(found))
    assert set(found) == expected
    assert all(one["ended"] == 12 for one in lines(made))


def test_the_same_command_makes_only_what_is_missing(made, tmp_path):
    kept = (made / "runs.jsonl").read_text().splitlines(keepends=True)
    broken = kept[-1][: len(kept[-1]) // 2]  # The process died while it wrote its last line.
    (tmp_path / "runs.jsonl").write_text("".join(kept[:-2]) + broken)
    assert run(tmp_path) == 0
    again = (tmp_path / "runs.jsonl").read_text().splitlines()
    assert again[: len(kept) - 2] == [line.rstrip("\n") for line in kept[:-2]]
    whole = [json.loads(line) for line in again if not broken.startswith(line)]
    assert len(whole) == len(kept)
    without_times = [{**one, "seconds": 0} for one in whole]
    assert all({**json.loads(line), "seconds": 0} in without_times for line in kept)


def test_a_run_that_another_process_makes_is_left_to_it(tmp_path):
    results = Results(tmp_path)
    assert results.claim(RUN.key)
    program = (
        "import sys; from pathlib import Path; from benchmarks.quality.results import Results; "
        f"sys.exit(Results(Path(sys.argv[1])).claim({RUN.key!r}))"
    )

    def claimed_elsewhere() -> bool:
        command = [sys.executable, "-c", program, str(tmp_path)]
        return bool(subprocess.run(command, cwd=ROOT, check=False).returncode)

    assert not claimed_elsewhere()
    results.release(RUN.key)
    assert claimed_elsewhere()


def test_a_run_that_was_made_meanwhile_is_not_claimed(tmp_path):
    mine, other = Results(tmp_path), Results(tmp_path)
    assert not mine.runs
    other.add(RUN)
    assert not mine.claim(RUN.key)


def test_tables_name_each_tool_suite_and_number_of_workers(made, capsys):
    assert run(made, "--table") == 0
    shown = capsys.readouterr().out
    assert "mixed, 1 worker, 12 evaluations" in shown
    assert "nine, 4 workers, 12 evaluations" in shown
    assert shown.count("evo:genetic") == shown.count("random") == 4


def test_pictures_are_drawn(made, capsys):
    assert run(made, "--plot", "--suites", "nine", "--workers", "4") == 0
    assert capsys.readouterr().out.split() == [str(made / "nine-4-12.png")]
    assert (made / "nine-4-12.png").read_bytes().startswith(b"\x89PNG")


def test_shares_count_each_target_from_the_evaluation_that_reached_it():
    reached = pictures.shares([Run(**{**vars(RUN), "steps": [(2, 1e3), (3, 1.0), (5, 0.0)]})], 6)
    # Of the targets 10^2, 10^1.8, … 10^-8, the eleven from 10^0 on were reached by the third evaluation.
    assert reached.tolist() == pytest.approx([0, 0, 11 / 51, 11 / 51, 1, 1])


def test_a_tool_that_fails_ends_neither_the_others_nor_unnoticed(tmp_path, monkeypatch, capsys):
    def fail(space, workers, evaluations, seed):
        raise ZeroDivisionError("no")

    monkeypatch.setitem(TOOLS, "broken", Tool(name="broken", make=fail))
    assert main([*TINY, "--tools", "broken,random", "--workers", "1", "--out", str(tmp_path)]) == 1
    assert {one["tool"] for one in lines(tmp_path)} == {"random"}
    assert "broken fails on nine sphere: ZeroDivisionError: no" in capsys.readouterr().err


def test_a_tool_whose_package_is_missing_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(TOOLS, "absent", Tool(name="absent", package="no-such-package"))
    assert main([*TINY, "--tools", "absent,random", "--workers", "1", "--out", str(tmp_path)]) == 0
    assert "absent is left out: no-such-package is not installed" in capsys.readouterr().err


def test_a_tool_for_numbers_is_left_out_of_other_spaces():
    tool = Tool(name="numbers", handles=frozenset())
    network = next(one for one in mixed_problems() if one.name == "network")
    assert kinds_of(network.space) == {"grids", "categories", "conditions"}
    assert tool.why_not(network.space, 1) == "does not take categories and conditions and grids"
    assert tool.why_not(Space({"x": (0.0, 1.0)}), 1) == ""
    assert tool.why_not(Space({"x": (0.0, 1.0)}), 4) == "is for one worker"


def test_the_check_passes_the_tool_of_the_reference_and_fails_a_worse_one(tmp_path, capsys):
    file, cases = tmp_path / "reference.json", [Case("nine", "sphere", 2, 40), Case("mixed", "grid", 1, 40)]
    assert check.main("evo:genetic", file, True, 1, cases, seeds=4) == 0
    assert check.main("evo:genetic", file, False, 1, cases, seeds=4) == 0
    assert "as good as it was" in capsys.readouterr().out
    worst = json.dumps({"name": "genetic", "population": 1000})  # Draws at random until there are so many.
    assert check.main(f"evo:{worst}", file, False, 1, cases, seeds=4) == 1
    assert "worse on" in capsys.readouterr().out


def test_what_chance_explains_is_not_worse():
    reference = {"a": Scores(0.0, 1.0, 4), "b": Scores(2.0, 1.0, 4)}
    verdict = compare(reference, {"a": Scores(1.0, 1.0, 4), "b": Scores(2.0, 1.0, 4)})
    # A difference of 1, of two means of 4 with deviation 1, is 1 / sqrt(1/4 + 1/4) standard errors.
    assert verdict.errors == {"a": pytest.approx(math.sqrt(2)), "b": 0.0}
    assert verdict.overall == pytest.approx(1.0)
    assert verdict.worse == []


def test_one_case_that_is_far_worse_is_worse_and_so_are_many_a_little():
    reference = {str(number): Scores(0.0, 1.0, 8) for number in range(16)}
    better = {case: Scores(-1.0, 1.0, 8) for case in reference}
    assert compare(reference, {**better, "3": Scores(3.0, 1.0, 8)}).worse == ["3"]
    assert compare(reference, {case: Scores(0.5, 1.0, 8) for case in reference}).worse == ["all together"]
    assert compare(reference, better).worse == []


def test_a_reference_without_deviation_does_not_make_every_difference_count():
    assert compare({"a": Scores(0.0, 0.0, 8)}, {"a": Scores(0.1, 0.0, 8)}).worse == []


def test_the_stored_reference_has_every_case_of_the_check():
    reference = check.read_reference(check.REFERENCE)
    assert set(reference) == set(map(str, check.CASES))
    assert all(scores.seeds == check.SEEDS for scores in reference.values())


def test_steps_say_the_same_as_the_best_so_far():
    losses = [math.nan, 3.5, 4.0, 2.5, math.nan, 2.5, 1.5]
    found = Run(suite="s", problem="p", tool="t", workers=1, seed=0, evaluations=7, steps=steps_of(losses, 0.5))
    assert [found.gap(number) for number in range(1, 8)] == [best - 0.5 for best in best_so_far(losses)]


def test_ranks_share_ties_and_leave_out_tools_with_fewer_runs():
    def case(problem: str, gap: float) -> tuple[tuple[str, int], Run]:
        return (problem, 0), Run(**{**vars(RUN), "problem": problem, "steps": [(1, gap)]})

    cases = {
        "a": dict([case("p", 1.0), case("q", 1.0)]),
        "b": dict([case("p", 1.0), case("q", 2.0)]),
        "c": dict([case("p", 5.0), case("q", 0.0)]),
        "d": dict([case("p", 0.0)]),
    }
    ranks = summary.mean_ranks(cases, lambda run: run.gap(1))
    assert ranks == {"a": (1.5 + 2) / 2, "b": (1.5 + 3) / 2, "c": (3 + 1) / 2}


def test_paired_differences_are_over_the_cases_of_both():
    mine = {("p", seed): Run(**{**vars(RUN), "steps": [(1, gap)]}) for seed, gap in enumerate((1.0, 2.0, 9.0))}
    others = {("p", seed): Run(**{**vars(RUN), "steps": [(1, gap)]}) for seed, gap in enumerate((0.0, 3.0))}
    assert summary.paired(mine, others, lambda run: run.gap(1)) == (0.0, 1.0)  # Of +1 and -1.
    assert summary.paired(mine, {}, lambda run: run.gap(1)) is None


def test_coordinates_reach_every_value_of_every_parameter():
    space = Space({"f": Float(1e-3, 1.0, log=True), "i": Int(1, 9, log=True), "g": (2, 5), "c": ("a", "b", "c")})
    coordinates = Coordinates(space, np.random.default_rng(0))
    assert coordinates.low.tolist() == [0, 0, 0, 0]
    assert coordinates.high.tolist() == [1, 1, 3, 2]
    assert coordinates.params([0.5, 0.0, 0.4, 0.6]) == {"f": pytest.approx(10**-1.5), "i": 1, "g": 2, "c": "b"}
    assert coordinates.params([7.0, 1.0, 2.6, -9.0]) == {"f": 1.0, "i": 9, "g": 5, "c": "a"}


def test_all_problems_have_the_optimum_that_they_name():
    points = {
        "network": {
            "rate": 1e-3, "optimizer": "adam", "activation": "gelu", "layers": 4, "width": 256, "batch": 64,
            "dropout": 0.2,
        },
        "models": {"model": "kernel", "cost": 10**1.5, "width": 1e-2},
        "grid": {f"x{place}": best for place, best in enumerate((3, 17, 8, 12, 1, 19, 10, 5))},
    }  # fmt: skip
    for problem in mixed_problems():
        space = problem.space
        space.encode(points[problem.name])  # It is a point of the space.
        assert problem.loss(points[problem.name]) == pytest.approx(problem.optimum, abs=1e-12)
        assert min(problem.loss(_random(space, seed)) for seed in range(200)) > problem.optimum


def _random(space: Space, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return space.complete(space.sample(rng), rng)


def test_the_nine_functions_are_nine_and_the_noise_of_a_point_is_always_the_same():
    problems = {one.name: one for one in nine_functions()}
    assert len(problems) == 9
    quartic = problems["quartic"]
    point, other = _random(quartic.space, 0), _random(quartic.space, 1)
    assert quartic.loss(point) == quartic.loss(point) != quartic.loss(other)


def test_workers_of_evo_learn_from_each_other_and_the_search_repeats_itself():
    space = Space({"x": (-1.0, 1.0), "layers": (1, 9)})

    def losses(workers: int) -> list[float]:
        search = Replicas({"propagator": "genetic"}, space, workers, 80, 3)
        found = simulate(search, lambda params: params["x"] ** 2 + params["layers"], workers, 80, 3)
        known = [worker.population.finished for worker in search.workers]
        assert max(known) <= 80
        assert min(known) > 60  # All but what is still on its way.
        return found

    assert losses(4) == losses(4)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_ends_when_its_space_is_exhausted(workers):
    problem = Problem("s", "p", {"x": (1, 5)}, lambda params: float(params["x"]))
    losses, _ = find_tool("evo:genetic").run(problem, workers, 20, 0)
    assert sorted(losses) == [1, 2, 3, 4, 5]


def test_a_tool_that_cannot_be_asked_gets_exactly_its_budget():
    def minimise(space, loss, evaluations, seed):
        rng = np.random.default_rng(seed)
        while True:
            loss(space.complete(space.sample(rng), rng))

    problem = Problem("s", "p", {"x": (0.0, 1.0)}, lambda params: params["x"])
    losses, _ = Tool(name="t", minimise=minimise).run(problem, 1, 30, 0)
    assert len(losses) == 30


def test_evo_ends_evaluations_early_where_they_report_and_a_tool_that_cannot_ends_none():
    ends: dict[str, list[bool]] = {}

    def watched(name):
        make = find_tool(name).prune or find_tool(name).make

        def wrapped(*arguments):
            search = make(*arguments)
            finish = getattr(search, "finish", None)
            if finish:
                search.finish = lambda token, loss, pruned: (ends[name].append(pruned), finish(token, loss, pruned))
            return search

        ends[name] = []
        return Tool(name=name, make=wrapped)

    def curve(params, steps):
        return [params["x"] + 1 / step for step in range(1, steps + 1)]

    problem = Curves("curves", "p", {"x": (0.0, 1.0)}, curve, target=-1.0)
    for name in ("evo:genetic", "random"):
        course, _ = watched(name).run_pruned(problem, 2, 12, 0)
        assert course.steps[-1] <= 12 * STEPS
        assert course.losses == sorted(course.losses, reverse=True)
    assert len(ends["evo:genetic"]) > 12 + 2
    assert {True, False} == set(ends["evo:genetic"])
    assert ends["random"] == []  # It hears of whole evaluations only.


def test_steps_to_a_target_are_those_until_it_was_reached():
    found = Run(**{**vars(RUN), "steps": [(3, 0.5), (40, -0.1), (70, -0.2)]})
    assert found.first(0.0) == 40
    assert found.first(-1.0) == math.inf


def test_a_lower_optimum_that_was_found_since_counts_for_earlier_runs_too():
    earlier = Run(**{**vars(RUN), "steps": [(1, 0.5), (2, 0.0)], "optimum": 2.0})
    now = rebased(earlier, optimum=1.5, scale=0.5)
    assert now.steps == [(1, 1.0), (2, 0.5)]
    assert now.regret(2) == 1.0


def test_a_failure_is_the_worst_loss_so_far_for_a_tool_that_cannot_be_asked():
    values = iter([2.0, 5.0, math.nan])
    counted = Counted(lambda params: next(values), 3)
    assert [counted({}) for _ in range(3)] == [2.0, 5.0, 5.0]


def test_there_is_a_name_for_every_suite_that_is_offered():
    from benchmarks.quality.suites import load_suite

    assert [one.name for one in load_suite("nine", Choice(names=["s*"]))] == ["sphere", "step", "schwefel"]
    with pytest.raises(SystemExit, match="there is no suite nones"):
        load_suite("nones", Choice())
