"""What an evaluation costs beside the loss itself, as the history grows: evo, and Propulate where it is installed.

One rank, a free loss of nine mixed parameters, everything switched on that a real search has: breeding, journal,
exchange. Each figure is the median time per evaluation of the evaluations around that point of the history.

    python benchmarks/overhead.py [--evaluations 20000] [--peer PYTHON]

Propulate is measured by the interpreter named with --peer, if that one can import it: its dependencies need not be in
the environment of evo. It gets the first 5,000 evaluations only, since the whole history would take most of an hour.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LIMITS: dict[str, Any] = {
    "lr": (0.01, 0.0001),
    "weight_decay": (0.0, 0.1),
    "dropout": (0.0, 0.5),
    "momentum": (0.5, 0.99),
    "layers": (2, 10),
    "channels": (4, 256),
    "batch": (1, 64),
    "activation": ("relu", "sigmoid", "tanh"),
    "optimizer": ("sgd", "adam", "adamw"),
}
POINTS = (100, 1_000, 5_000, 20_000)
PEER_EVALUATIONS = 5_000
WINDOW = 100  # Evaluations on either side of a point.


class FreeLoss:
    """A loss that takes no time, and the times at which it was called."""

    def __init__(self) -> None:
        self.calls: list[float] = []

    def __call__(self, params: Mapping[str, Any]) -> float:
        self.calls.append(time.perf_counter())
        return (params["lr"] - 0.003) ** 2 + (params["layers"] - 5) ** 2 + (params["activation"] != "tanh")

    def microseconds(self, evaluations: int) -> dict[int, float]:
        """Median microseconds between two calls around each point of the history."""
        steps = [1e6 * (after - before) for before, after in zip(self.calls, self.calls[1:], strict=False)]
        points = [point for point in POINTS if point <= evaluations]
        return {point: statistics.median(steps[max(0, point - WINDOW) : point + WINDOW]) for point in points}


def measure_evo(evaluations: int, folder: str) -> dict[int, float]:
    """Microseconds an evaluation of evo takes, all in."""
    import evo

    loss = FreeLoss()
    evo.minimize(loss, LIMITS, evaluations=evaluations + WINDOW, run_dir=f"{folder}/run", seed=1)
    return loss.microseconds(evaluations)


def measure_propulate(evaluations: int, folder: str) -> dict[int, float]:
    """Microseconds an evaluation of Propulate takes, with its default propagator and checkpoints."""
    import random

    from propulate import Propulator
    from propulate.utils import get_default_propagator

    loss, rng = FreeLoss(), random.Random(1)
    limits = {**LIMITS, "lr": tuple(sorted(LIMITS["lr"]))}
    propagator = get_default_propagator(pop_size=2, limits=limits, rng=rng)
    propulator = Propulator(
        loss_fn=loss, propagator=propagator, rng=rng, generations=evaluations + WINDOW, checkpoint_path=Path(folder)
    )
    propulator.propulate(logging_interval=10**9, debug=0)
    return loss.microseconds(evaluations)


def measure_apart(what: str, python: str, evaluations: int) -> dict[int, float] | None:
    """A measurement in a process of its own; None when that interpreter lacks the package."""
    program = [python, __file__, "--only", what, "--evaluations", str(evaluations)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if "ModuleNotFoundError" in done.stderr:
        return None
    if done.returncode:
        raise RuntimeError(done.stderr)
    return {int(point): value for point, value in json.loads(done.stdout.splitlines()[-1]).items()}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=POINTS[-1], help="length of the history")
    parser.add_argument("--peer", default=sys.executable, help="an interpreter that has propulate")
    parser.add_argument("--only", choices=("evo", "propulate"), help="print the measurement of one as JSON")
    options = parser.parse_args()
    if options.only:
        with tempfile.TemporaryDirectory() as folder:
            measure = measure_evo if options.only == "evo" else measure_propulate
            print(json.dumps(measure(options.evaluations, folder)))
        return
    ours = measure_apart("evo", sys.executable, options.evaluations)
    theirs = measure_apart("propulate", options.peer, min(PEER_EVALUATIONS, options.evaluations))
    if ours is None:
        raise SystemExit("evo is not installed in this environment: pip install -e .")
    print(f"{'history':>10} {'evo':>12} {'propulate':>12} {'ratio':>8}   microseconds per evaluation")
    for point, value in ours.items():
        other = (theirs or {}).get(point)
        peer = f"{other:12.0f} {other / value:8.1f}" if other else f"{'-':>12} {'-':>8}"
        print(f"{point:10d} {value:12.0f} {peer}")
    first, last = min(ours), max(ours)
    print(f"evo at {last}: {ours[last] / ours[first]:.2f} times its cost at {first}")
    if theirs is None:
        print(f"propulate is not installed for {options.peer}: name an interpreter that has it with --peer")


if __name__ == "__main__":
    main()
