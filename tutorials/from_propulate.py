"""From Propulate to evo, line by line.

Each comment that begins with `Propulate:` holds lines of a script for Propulate 1.2; what follows it is evo's for the
same. Where nothing follows, nothing is needed.

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
from evo.report.records import Result

# Propulate: limits = {"x": (-5.0, 5.0), "y": (-5.0, 5.0), "ripples": (0, 9), "shape": ("bowl", "funnel")}
# The same. Bounds may also be the wrong way round, and there are more kinds: log scales, grids, conditions.
LIMITS = {"x": (-5.0, 5.0), "y": (-5.0, 5.0), "ripples": (0, 9), "shape": ("bowl", "funnel")}


# Propulate: def loss_fn(params): ...
# The same: a function of a dictionary whose value is minimised. One that raises, or returns NaN, has failed: that is
# recorded, and the search goes on. A generator of losses stays one; what ends it early is the setting `pruning` rather
# than a surrogate. With several ranks per worker, loss_fn(params, comm) is loss(params, trial), with
# trial.communicator for comm.
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
        generations=generations,  # On each rank, in evo too; or evaluations=..., walltime=..., target=...
        seed=0,  # One for all ranks.
        # And "population", which is twice the number of ranks unless it is given.
        propagator={"name": "genetic", "crossover": 0.7, "mutation": 0.4, "random_init": 0.1},
        # run_dir="runs/valley",  for checkpoint_path: the same call goes on there, with any number of ranks
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
        islands=2,  # Or island_sizes.
        topology="full",  # Or ring, torus, star, random, or such a matrix, as a list of lists.
        migration_probability=0.9,
        emigration="SelectMin",
        immigration="SelectMax",
        migration="copy",  # For pollination=True; "move" for False.
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
    return 85 if result.interrupted else 0  # 85 as for evo itself: with a run_dir, the same command goes on.


if __name__ == "__main__":
    sys.exit(main())
