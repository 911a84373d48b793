"""How well evo finds fronts of several objectives, beside its peers: runs them, and shows tables of the results.

    python -m benchmarks.fronts --suites textbook --tools evo,pymoo-sms --evaluations 200 --seeds 3 --out /tmp/fronts

Every tool gets the same problems, seeds and budget, starts anywhere (never in the centre), and has the settings that
its user gets who names none. What is measured is the hypervolume of all evaluations that no others dominate, and that
keep all bounds, as a share of the hypervolume of the best known front: medians over the seeds, and their mean over the
problems. With several workers (virtual, asynchronous: see benchmarks.quality) evaluations count in the order in which
they end; each worker of evo has a replica of its own.

Results are lines of JSON in the folder --out, one for each run. The same command goes on where it was stopped; several
commands may work on one folder at once. A tool that is not installed is left out.

    python -m benchmarks.fronts --out /tmp/fronts --evaluations 200 --workers 1,4,32 --table    what is there
    python -m benchmarks.fronts --cost                    what a proposal costs with fronts of up to 10,000 points

Suites, with the reference point up to which volume counts, and the near one of --near in brackets:
  textbook    ZDT1, ZDT2, ZDT3, 30 parameters: (11, 11) [(1.1, 1.1)]; DTLZ2, 3 objectives, 12 parameters: (2, 2, 2)
              [(1.1, 1.1, 1.1)]
  bounds      BNH, TNK, SRN, two bounds each: a tenth of the extent of the front beyond its nadir point
  bbob-biobj  COCO's pairs of functions, odd ones, instance 1, d 5 and 10 (pip install coco-experiment), searched from
              -5 to 5, where their optima are: the nadir point; the best known hypervolumes are those of COCO

Tools: evo (its default); evo:PROPAGATOR with a name or JSON mapping as in a study file; random; and the peers that are
installed. With all options:
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.fronts import cost, summary
from benchmarks.fronts.biobj import ODD
from benchmarks.fronts.problem import FrontProblem
from benchmarks.fronts.runs import FrontRun, make_run
from benchmarks.fronts.suites import NAMES, load_suite
from benchmarks.fronts.tools import NAMES as TOOLS
from benchmarks.fronts.tools import find_tool
from benchmarks.quality.command import read_names, read_numbers
from benchmarks.quality.results import Results
from benchmarks.quality.tools import Tool

_FUNCTIONS = {"all": tuple(range(1, 56)), "odd": ODD, "even": tuple(range(2, 56, 2))}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.cost:
        print(cost.table())
        return 0
    if options.out is None:
        raise SystemExit("--out is missing: the folder of the results")
    results = Results(options.out, FrontRun)
    failures = 0 if options.table else _run_all(options, results)
    shown = [run for run in results.runs.values() if _is_wanted(run, options)]
    print(summary.tables(shown, options.mark or options.evaluations, options.near))
    return 1 if failures else 0


def _is_wanted(run: FrontRun, options: argparse.Namespace) -> bool:
    """Whether a run is shown; without --table, those of all tools are, for comparison."""
    patterns = {
        run.tool: options.tools if options.table else None,
        run.problem: options.problems,
    }
    return (
        run.suite in options.suites
        and run.workers in options.workers
        and run.evaluations == options.evaluations
        and all(any(fnmatch.fnmatchcase(name, one) for one in known or ["*"]) for name, known in patterns.items())
    )


def _run_all(options: argparse.Namespace, results: Results) -> int:
    """Make all runs that nobody else has made or is making; returns the number of those that failed."""
    failures = 0
    for run, problem, tool in _wanted(options):
        if run.key in results.runs or not results.claim(run.key):
            continue
        try:
            results.add(make_run(run, problem, tool))  # type: ignore[arg-type]
        except Exception as error:  # One tool that fails on one problem must not end the comparison.
            failures += 1
            print(f"{tool.name} fails on {run.suite} {run.problem}: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            results.release(run.key)
    return failures


def _wanted(options: argparse.Namespace) -> Iterator[tuple[FrontRun, FrontProblem, Tool]]:
    """The runs that the options ask for, seed by seed, so that tables of half of them say something."""
    choice = options.dimensions, options.functions, options.problems
    problems = [problem for suite in options.suites for problem in load_suite(suite, *choice)]
    left_out: set[str] = set()
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for problem in problems:
            for tool in (find_tool(name, problem) for name in options.tools or TOOLS):
                if tool.version is None:
                    left_out.add(f"{tool.name} is left out: {tool.package} is not installed")
                    continue
                name = f"{tool.name}@{options.label}" if options.label and tool.is_evo else tool.name
                for workers in options.workers:
                    keys = {"suite": problem.suite, "problem": problem.name, "tool": name, "workers": workers}
                    run = FrontRun(**keys, seed=seed, evaluations=options.evaluations, version=tool.version)
                    yield run, problem, tool
    print(*sorted(left_out), sep="\n", end="\n" * bool(left_out), file=sys.stderr)


def _functions(text: str) -> list[int]:
    return list(_FUNCTIONS[text]) if text in _FUNCTIONS else read_numbers(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fronts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, help="folder of the results")
    add("--suites", type=read_names, default=list(NAMES[:2]), help="suites (default: textbook,bounds)")
    add("--problems", type=read_names, help="patterns of problems' names, for example 'zdt1,f*-d5'")
    add("--tools", type=read_names, help=f"tools, or patterns of what to show (default: {','.join(TOOLS)})")
    add("--label", help="is added to the names of evo's own tools, to compare states of the code")
    add("--workers", type=read_numbers, default=[1], help="numbers of workers (default: 1)")
    add("--seeds", type=int, default=3, help="how many seeds (default: 3)")
    add("--first-seed", type=int, default=0, help="the first of them (default: 0)")
    add("--evaluations", type=int, default=200, help="the budget of each run (default: 200)")
    add("--dimensions", type=read_numbers, default=[5, 10], help="of bbob-biobj (default: 5,10)")
    add("--functions", type=_functions, default=list(ODD), help="of bbob-biobj: numbers, odd (default), even, all")
    add("--mark", type=int, help="show what there was after 50, 100, 200 or 500 evaluations, instead of at the end")
    add("--near", action="store_true", help="count volume up to the near reference point")
    add("--table", action="store_true", help="only show what is there")
    add("--cost", action="store_true", help="what a proposal of evo's default costs as the front grows")
    return parser
