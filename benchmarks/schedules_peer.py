"""Ray Tune's PopulationBasedTraining on the problem of `schedules_problem.py`; started by `schedules.py`."""

from __future__ import annotations

import json
import math
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.schedules_problem import EPOCHS, LEARNING_RATES, MOMENTA, NoisyTraining, rest

ROOT = str(Path(__file__).parents[1])


def trainable(settings: dict[str, Any]) -> type:
    """The class of a training, as Ray wants it."""
    from ray import tune

    class Training(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            self.training = NoisyTraining()
            self.noise = int.from_bytes(os.urandom(4), "little")

        def step(self) -> dict[str, Any]:
            rest(settings["seconds"], self.noise, self.training.epoch)
            loss = self.training.train(self.config["lr"], self.config["momentum"], self.noise)
            return {"loss": loss, "done": self.training.epoch >= EPOCHS}

        def save_checkpoint(self, folder: str) -> None:
            self.training.save(Path(folder) / "last.ckpt")

        def load_checkpoint(self, folder: str) -> None:
            self.training = NoisyTraining.load(Path(folder) / "last.ckpt")

        def reset_config(self, config: dict[str, Any]) -> bool:
            self.training, self.noise = NoisyTraining(), int.from_bytes(os.urandom(4), "little")
            return True

    return Training


def search(settings: dict[str, Any], seed: int) -> dict[str, float]:
    """The best loss of one search, and its seconds."""
    import numpy as np
    from ray import tune
    from ray.tune.schedulers import PopulationBasedTraining

    random.seed(seed)
    np.random.seed(seed)
    rates = tune.loguniform(*LEARNING_RATES)
    momenta = tune.uniform(*MOMENTA)
    scheduler = PopulationBasedTraining(
        time_attr="training_iteration",
        metric="loss",
        mode="min",
        perturbation_interval=settings["interval"],
        hyperparam_mutations={"lr": rates, "momentum": momenta},
        quantile_fraction=settings["quantile"],
        resample_probability=settings["resample"],
        perturbation_factors=tuple(settings["perturb"]),
        log_config=False,
        # Values stay within their limits, as they do with evo.
        custom_explore_fn=lambda config: {
            "lr": min(max(config["lr"], LEARNING_RATES[0]), LEARNING_RATES[1]),
            "momentum": min(max(config["momentum"], MOMENTA[0]), MOMENTA[1]),
        },
    )
    with tempfile.TemporaryDirectory(prefix="ray-schedules-") as folder:
        began = time.perf_counter()
        results = tune.Tuner(
            tune.with_resources(trainable(settings), {"cpu": 1}),
            param_space={"lr": rates, "momentum": momenta},
            tune_config=tune.TuneConfig(num_samples=settings["population"], scheduler=scheduler, reuse_actors=True),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, stop={"training_iteration": EPOCHS}),
        ).fit()
        seconds = time.perf_counter() - began
        losses = [min(one.metrics_dataframe["loss"], default=math.inf) for one in results]
        epochs = sum(len(one.metrics_dataframe) for one in results)
        return {"loss": float(min(losses)), "seconds": seconds, "epochs": float(epochs)}


def main() -> None:
    """Search with each seed, and print what was found as JSON."""
    import ray

    settings = json.loads(sys.argv[1])
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    ray.init(
        num_cpus=settings["ranks"],
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": {"PYTHONPATH": ROOT}},
    )
    for seed in settings["seeds"]:
        print(json.dumps(search(settings, seed)), flush=True)


if __name__ == "__main__":
    main()
