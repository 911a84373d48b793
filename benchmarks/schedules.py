"""Hyperparameters that change while networks train: population-based training against the best constants, and Ray Tune.

    python -m benchmarks.schedules [--seeds 11] [--population 16] [--interval 2] [--seconds 0] [--ranks 1]
        [--peer PYTHON]

The training is that of `schedules_problem.py`: its learning rate must fall, so that the best constant is worse than a
schedule. Learning rate and momentum are searched. All get the same number of epochs in total, that of as many whole
trainings as the population has members:

constant: as many whole trainings with constants that are drawn at random; the best loss of all.
pbt: evo's population-based training, with the options that --options names as JSON.
Ray Tune: its PopulationBasedTraining with the same population, interval, quantile, factors and resampling, run by the
interpreter named with --peer, as far as it can import Ray.

Shown are the best losses by seed, their geometric means, and in how many seeds pbt is the better one. With --seconds,
each epoch sleeps for a lognormal time with this median, in place of the time that a real epoch takes on a device of its
own, and --ranks train at once; then the seconds of whole searches count, without the start of the interpreter and of
Ray's own processes, which `ray.init` makes before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.schedules_problem import EPOCHS, LEARNING_RATES, MOMENTA, NoisyTraining, rest, train_whole

PEER = Path(__file__).with_name("schedules_peer.py")
USUAL = {"quantile": 0.25, "perturb": [0.8, 1.2], "resample": 0.25}


class NoisyLoss:
    """One segment of a training.

    Args:
        seconds: The median of the seconds that an epoch takes.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, params: Mapping[str, Any], trial: Any) -> float:
        training = NoisyTraining.load(trial.inherit / "last.ckpt") if trial.inherit else NoisyTraining()
        losses = []
        while training.epoch < min(trial.until, EPOCHS):
            rest(self.seconds, trial.seed, training.epoch)
            losses.append(training.train(params["lr"], params["momentum"], trial.seed))
        training.save(trial.folder / "last.ckpt")
        trial.note_state(training.epoch, is_over=training.epoch >= EPOCHS)
        return min(losses)


def best_constant(population: int, seed: int) -> float:
    """The best loss of random constants."""
    rng = np.random.default_rng([seed, 5])
    rates = np.exp(rng.uniform(np.log(LEARNING_RATES[0]), np.log(LEARNING_RATES[1]), size=population))
    momenta = rng.uniform(*MOMENTA, size=population)
    pairs = zip(rates.tolist(), momenta.tolist(), strict=True)
    return min(train_whole(*pair, seed=int(rng.integers(2**32))) for pair in pairs)


def search_with_evo(options: argparse.Namespace, seed: int) -> dict[str, float]:
    """The best loss of evo, and the seconds of its search."""
    import evo

    propagator = {"name": "pbt", "population": options.population, "interval": options.interval}
    limits = {
        "lr": evo.Float(*LEARNING_RATES, log=True, mutable=True),
        "momentum": evo.Float(*MOMENTA, mutable=True),
    }
    segments = options.population * EPOCHS // options.interval
    with tempfile.TemporaryDirectory(prefix="evo-schedules-") as folder:
        began = time.perf_counter()
        result = evo.minimize(
            NoisyLoss(options.seconds),
            limits,
            propagator=propagator | USUAL | json.loads(options.options),
            evaluations=segments,
            seed=seed,
            run_dir=folder,
            ranks=options.ranks,
            keep_checkpoints=1,
        )
        seconds = time.perf_counter() - began
        assert result.best is not None
        assert result.best.loss is not None
        return {"loss": result.best.loss, "seconds": seconds, "epochs": float(segments * options.interval)}


def search_with_peer(options: argparse.Namespace, seeds: Sequence[int]) -> list[dict[str, float]]:
    """The same of Ray Tune; nothing where the interpreter cannot import it."""
    settings = {name: getattr(options, name) for name in ("population", "interval", "seconds", "ranks")} | USUAL
    words = [options.peer, str(PEER), json.dumps({"seeds": list(seeds), **settings})]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        print(f"Ray Tune: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return []
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"loss"')]


def show(name: str, found: Sequence[dict[str, float]], ours: Sequence[dict[str, float]]) -> None:
    """Print one line of the table."""
    mean = statistics.geometric_mean([each["loss"] for each in found])
    better = sum(mine["loss"] <= other["loss"] for mine, other in zip(ours, found, strict=True))
    seconds = statistics.median(each.get("seconds", 0.0) for each in found)
    print(f"{name:12}{mean:10.4f}{better:8} of {len(found)}{seconds:10.1f}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=11)
    parser.add_argument("--population", type=int, default=16)
    parser.add_argument("--interval", type=int, default=2, help="Epochs between two comparisons.")
    parser.add_argument("--seconds", type=float, default=0.0, help="The median of the seconds of an epoch.")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--options", default="{}", help="Further options of pbt, as JSON.")
    parser.add_argument("--peer", default="", help="An interpreter that has Ray Tune.")
    options = parser.parse_args()
    seeds = range(options.seeds)
    print(f"{'':12}{'mean loss':>10}{'pbt better':>14}{'seconds':>8}")
    ours = [search_with_evo(options, seed) for seed in seeds]
    show("pbt", ours, ours)
    show("constant", [{"loss": best_constant(options.population, seed)} for seed in seeds], ours)
    if options.peer and (theirs := search_with_peer(options, seeds)):
        show("Ray Tune", theirs, ours)


if __name__ == "__main__":
    main()
