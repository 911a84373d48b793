"""Plain losses of the run directories beside this file."""

import math
import os
import signal
import time

import evo


def loss(params):
    """A smooth valley over all numbers that there are."""
    numbers = [value for value in params.values() if isinstance(value, int | float)]
    return sum((value - 1) ** 2 for value in numbers)


def curve(params):
    """A learning curve, as a generator."""
    for step in range(1, 10):
        yield (params["x"] - 1) ** 2 + 3 / step


def troubled(params, trial):
    """Refuses some points, fails at some, reports a nonsense loss, and waits at the last until it is interrupted."""
    generation = trial.individual[1]
    if generation == 1:
        raise evo.Infeasible("does not fit into memory")
    if generation == 2:
        raise ZeroDivisionError("no batch at all")
    if generation == 3:
        return math.nan
    if generation == 5 and not (trial.folder / "saved.txt").exists():
        while not trial.interrupted:
            time.sleep(0.01)
        (trial.folder / "saved.txt").write_text("half of it\n")
        raise evo.Interrupted("at half")
    for step in range(1, 4):
        trial.report(step, params["x"] ** 2 + 1 / step)
    trial.metrics["steps"] = 3
    return params["x"] ** 2


def deadly(params, trial):
    """Kills rank 1 in its second evaluation, if `EVO_FORMER_DEATH` is that rank, as Open MPI counts them."""
    if trial.individual == (1, 1) and os.environ.get("EVO_FORMER_DEATH") == os.environ.get("OMPI_COMM_WORLD_RANK"):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return params["x"] ** 2
