"""From Propulate to evo, line by line.

Each comment that begins with `Propulate:` holds lines of a script for Propulate 1.2. The lines after it do the same in
evo. Where no lines follow, evo needs none.

- `mpirun -N 4 python tutorials/from_propulate.py`: what a script with a Propulator becomes
- `mpirun -N 4 python tutorials/from_propulate.py --islands`: what a script with Islands becomes
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

# Propulate: import random
#            from mpi4py import MPI
#            from propulate import Islands, Propulator
#            from propulate.propagators import SelectMax, SelectMin
#            from propulate.utils import get_default_propagator, set_logger_config
import evo
from evo.report.results import Result

# Propulate: limits = {"x": (-5.0, 5.0), "y": (-5.0, 5.0), "ripples": (0, 9), "shape": ("bowl", "funnel")}
# evo takes the same limits. There are also log scales, grids and conditions, and the order of bounds does not matter.
LIMITS = {"x": (-5.0, 5.0), "y": (-5.0, 5.0), "ripples": (0, 9), "shape": ("bowl", "funnel")}


# Propulate: def loss_fn(params): ...
# evo takes the same function. If it raises, or returns NaN, the individual has failed; that is recorded, and the search
# goes on. It may be a generator of losses, too, which the setting `pruning` ends early, rather than a surrogate. With
# several ranks per worker, loss_fn(params, comm) becomes loss(params, trial), and comm is trial.communicator.
def loss(params: dict[str, Any]) -> float:
    """A valley around (1, -2), with ripples or without; its lowest value is 0."""
    distance = math.hypot(params["x"] - 1, params["y"] + 2)
    valley = distance**2 if params["shape"] == "bowl" else math.sqrt(distance)
    return valley + (1 - math.cos(params["ripples"] * distance))


def on_one_island(generations: int) -> Result:
    """What a script with a Propulator becomes."""
    # Propulate: comm = MPI.COMM_WORLD
    #            if comm.rank == 0:
    #                print("a banner")
    #            set_logger_config(level=logging.INFO, log_file="search.log", log_to_stdout=True)
    #            rng = random.Random(seed + comm.rank)
    #            propagator = get_default_propagator(
    #                pop_size=2 * comm.size,
    #                limits=limits,
    #                crossover_prob=0.7,
    #                mutation_prob=0.4,
    #                random_init_prob=0.1,
    #                rng=rng,
    #            )
    #            propulator = Propulator(
    #                loss_fn=loss_fn,
    #                propagator=propagator,
    #                rng=rng,
    #                island_comm=comm,
    #                generations=generations,
    #                checkpoint_path="checkpoints",
    #            )
    #            propulator.propulate(logging_interval=10, debug=1)
    #            propulator.summarize(top_n=5, debug=1)
    return evo.minimize(
        loss,
        LIMITS,
        generations=generations,  # For each rank, too. There are also evaluations=..., walltime=..., target=...
        seed=0,  # All ranks get the same seed.
        # The option "population" is twice the number of ranks unless it is given.
        propagator={"name": "genetic", "crossover": 0.7, "mutation": 0.4, "random_init": 0.1},
        # run_dir="runs/valley" stands for checkpoint_path: the same call goes on there, with any number of ranks.
        quiet=False,  # The first rank shows progress, and the best five at the end.
    )


def on_islands(generations: int) -> Result:
    """What a script with Islands becomes."""
    # Propulate: migration_topology = np.ones((2, 2), dtype=int)
    #            np.fill_diagonal(migration_topology, 0)
    #            islands = Islands(
    #                loss_fn=loss_fn,
    #                propagator=propagator,
    #                rng=rng,
    #                generations=generations,
    #                num_islands=2,
    #                migration_topology=migration_topology,
    #                migration_probability=0.9,
    #                emigration_propagator=SelectMin,
    #                immigration_propagator=SelectMax,
    #                pollination=True,
    #                checkpoint_path="checkpoints",
    #            )
    #            islands.propulate(logging_interval=10, debug=1)
    #            islands.summarize(top_n=5, debug=1)
    return evo.minimize(
        loss,
        LIMITS,
        generations=generations,
        islands=2,  # island_sizes makes islands of different sizes.
        topology="full",  # It may also be ring, torus, star, random, or such a matrix, as a list of lists.
        migration_probability=0.9,
        emigration="SelectMin",
        immigration="SelectMax",
        migration="copy",  # "copy" stands for pollination=True, and "move" for False.
        quiet=False,
    )


def main() -> int:
    """Search as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description="What a Propulate script becomes in evo.")
    parser.add_argument("--islands", action="store_true", help="two islands rather than one; needs two ranks")
    parser.add_argument("--smoke-test", action="store_true", help="fewer generations")
    asked = parser.parse_args()
    try:
        result = (on_islands if asked.islands else on_one_island)(20 if asked.smoke_test else 200)
    except ValueError as error:
        parser.error(str(error))
    # Propulate: if comm.rank == 0: ...
    if result.is_first and result.best is not None:
        print(f"\nthe best of {len(result.individuals)}: loss {result.best.loss:.3g} at {result.best.params}")
    return 85 if result.interrupted else 0  # As for evo itself, 85 means: run it again; needs run_dir.


if __name__ == "__main__":
    sys.exit(main())
