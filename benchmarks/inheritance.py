"""Whether inherited weights pay: population-based training against the default, at equal total epochs.

    python -m benchmarks.inheritance [--tasks digits,mnist] [--seeds 5] [--ranks 4] [--mnist DIR] [--out DIR]

Both ways search the same limits with the same network, by the validation loss, and no training is longer than EPOCHS.
Population-based training (pbt) has a population of POPULATION, of which each gets all its epochs, INTERVAL at a time.
The default is a search that names no propagator: whole trainings, which early stopping may end. Of it, those
individuals count that have finished before all epochs of finished ones together exceed what pbt trained; what was in
training then is not counted against it. `halving` is the default with asynchronous successive halving.

The best individual of each search, by its validation loss, is tested from its saved weights; the test set chooses
nothing. Figures are medians over the seeds, with the lowest and the highest.

digits: the ready problem, whose architecture is searched as well; pbt cannot change that in training.
mnist: the network of tutorials/pbt.py, on files in MNIST's format. `--mnist` names a folder with MNIST itself; without
it they are the digits of scikit-learn, enlarged to 20 x 20 pixels within 28 x 28: 1,527 to train and validate, 270 to
test.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TUTORIALS = Path(__file__).parents[1] / "tutorials"
EPOCHS, POPULATION, INTERVAL = 12, 12, 2
TOTAL = EPOCHS * POPULATION

DIGITS: Mapping[str, Any] = {
    "model": "evo.problems.digits.DigitsNet",
    "data": "evo.problems.digits.Digits",
    "limits": {
        "model.conv_layers": [1, 4],
        "model.channels": {"type": "int", "low": 4, "high": 32, "log": True},
        "model.activation": ["relu", "sigmoid", "tanh"],
        "model.optimizer": ["sgd", "adam"],
        "model.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True, "mutable": True},
        "model.momentum": {
            "type": "float", "low": 0.0, "high": 0.99, "when": {"model.optimizer": "sgd"}, "mutable": True
        },
        "model.dropout": {"type": "float", "low": 0.0, "high": 0.5, "mutable": True},
    },
}  # fmt: skip
MNIST: Mapping[str, Any] = {
    "model": "pbt.Network",
    "data": {"class_path": "pbt.Images"},
    "limits": {
        "model.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True, "mutable": True},
        "model.weight_decay": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True, "mutable": True},
        "model.dropout": {"type": "float", "low": 0.0, "high": 0.8, "mutable": True},
        "data.batch_size": [32, 64, 128, 256],
    },
}
KEEP_ALL = {"keep_checkpoints": 1000}  # The best one within the epochs may not be among the best of the search.
# What each way adds to a study, and the evaluations with which it begins, as a multiple of the population.
WAYS: Mapping[str, tuple[Mapping[str, Any], float]] = {
    "default": (KEEP_ALL, 1.4),
    "halving": ({**KEEP_ALL, "pruning": {"name": "halving", "grace": 2, "maximum": EPOCHS}}, 5),
    "pbt": ({"propagator": {"name": "pbt", "population": POPULATION, "interval": INTERVAL}}, EPOCHS / INTERVAL),
}


class Found(NamedTuple):
    """What a search has found with TOTAL epochs.

    Args:
        evaluations: How many individuals count.
        epochs: How many these have trained.
        loss: The validation loss of the best one.
        test: Its metrics on the test set.
    """

    evaluations: int
    epochs: int
    loss: float
    test: Mapping[str, float]


def search(study: Mapping[str, Any], evaluations: int, ranks: int, folder: Path) -> Found:
    """Search until TOTAL epochs are trained, and test the best individual of these.

    Args:
        study: The study file, but for its budget.
        evaluations: How many evaluations to begin with; there are more until the epochs are.
        ranks: How many ranks search.
        folder: For the study file and the run directory.
    """
    import evo

    run, file = folder / "run", folder / "study.yaml"
    counted: list[Any] = []
    while not counted:
        file.write_text(json.dumps({**study, "evaluations": evaluations, "run_dir": str(run)}))  # JSON is YAML.
        command = [sys.executable, "-m", "evo.run", str(file), "--ranks", str(ranks), "--quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        counted = within_total(evo.load(run).individuals)
        evaluations += POPULATION // 2
    best = min((one for one in counted if one.status == "completed"), key=lambda one: one.loss)
    with redirect_stdout(sys.stderr):  # It prints what it finds.
        found = evo.test(run, individual=best.name, results=folder / "results")
    return Found(len(counted), sum(map(epochs_of, counted)), best.loss, found["test"])


def epochs_of(one: Any) -> int:
    """The epochs that an individual has trained itself."""
    return one.until - one.begin if one.segment else int(one.metrics.get("epochs", 0))


def within_total(individuals: Sequence[Any]) -> list[Any]:
    """Those that finished before more than TOTAL epochs were trained; none if fewer epochs are trained in all."""
    counted: list[Any] = []
    epochs = 0
    for one in sorted((each for each in individuals if each.ended), key=lambda each: each.ended):
        epochs += epochs_of(one)
        if epochs > TOTAL:
            return counted
        counted.append(one)
    return counted if epochs == TOTAL else []


def write_digits(folder: Path) -> None:
    """Write scikit-learn's digits, enlarged, as files in MNIST's format."""
    import torch
    from datafiles.idx import write_idx
    from mnist import FILES
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from torch.nn.functional import interpolate, pad

    pixels, labels = load_digits(return_X_y=True)
    small = torch.from_numpy(pixels).reshape(-1, 1, 8, 8)
    images = pad(interpolate(small * (255 / 16), size=(20, 20), mode="bilinear"), (4, 4, 4, 4)).round()[:, 0].numpy()
    train, test = train_test_split(np.arange(len(labels)), test_size=270, stratify=labels, random_state=0)
    for name, rows in zip(FILES, (train, train, test, test), strict=True):
        write_idx(folder / name, (images if "images" in name else labels)[rows])


def spread(values: Sequence[float], digits: int) -> str:
    """The median, with the lowest and the highest."""
    low, middle, high = (f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low} to {high})"


def show(task: str, found: Mapping[str, Sequence[Found]]) -> None:
    """Print a line for each way."""
    print(f"\n{task}: {TOTAL} epochs, {EPOCHS} at most in each training")
    print(f"{'':10}{'evaluations':>12}{'epochs':>8}  {'test accuracy':26}{'test loss':26}{'validation loss':26}")
    for way, results in found.items():
        evaluations = statistics.median(one.evaluations for one in results)
        epochs = statistics.median(one.epochs for one in results)
        accuracy = spread([one.test["test_acc"] for one in results], 3)
        losses = spread([one.test["test_loss"] for one in results], 4), spread([one.loss for one in results], 4)
        print(f"{way:10}{evaluations:12g}{epochs:8g}  {accuracy:26}{losses[0]:26}{losses[1]:26}", flush=True)


def main() -> None:
    """Search with every seed, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="digits,mnist")
    parser.add_argument("--ways", default="default,pbt", help="among default, halving, pbt")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--mnist", type=Path, metavar="DIR", help="folder with the files of MNIST")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the studies here")
    asked = parser.parse_args()
    sys.path.append(str(TUTORIALS))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TUTORIALS), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as temporary:
        out = (asked.out or Path(temporary)).absolute()
        images = asked.mnist or out / "images"
        if asked.mnist is None and "mnist" in asked.tasks:
            images.mkdir(parents=True)
            write_digits(images)
        tasks = {"digits": DIGITS, "mnist": {**MNIST, "data": {**MNIST["data"], "init_args": {"folder": str(images)}}}}
        for task in asked.tasks.split(","):
            found: dict[str, list[Found]] = {way: [] for way in asked.ways.split(",")}
            for seed in range(asked.seeds):
                for way, results in found.items():
                    added, share = WAYS[way]
                    study = {**tasks[task], "trainer": {"max_epochs": EPOCHS}, **added, "seed": seed}
                    folder = out / f"{task}-{way}-{seed}"
                    folder.mkdir(parents=True)
                    results.append(search(study, round(share * POPULATION), asked.ranks, folder))
                    print(f"{task}, {way}, seed {seed}: {results[-1]}", file=sys.stderr, flush=True)
            show(task, found)


if __name__ == "__main__":
    main()
