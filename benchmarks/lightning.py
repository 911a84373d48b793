"""How many networks are trained in an hour, by evo and as it is usually done; and what evo adds to a training.

    python benchmarks/lightning.py [--candidates 5] [--pairs 15] [--quick]

The network is that of tutorials/mnist.py: 2 to 10 convolutions of 10 channels; candidates are drawn at random from the
tutorial's limits. The images are noise with a bright square, in files like MNIST's, 60,000 and 10,000 of 28x28. An
epoch is cut to --images of them, validated on 1,000, so that a training takes seconds; a real one has 50,000 and
10,000. One rank trains, with one CPU thread unless --threads says otherwise, on a GPU if there is one.

All ways get the same candidates with the same seeds, and all train each one before the next, in changing order, so that
a noisy machine is noisy for all. Each is a process that has been started before, and has trained one candidate that is
not counted. Their losses are compared.

evo                      evo.minimize with a LightningObjective: the time from the start of a training to the start of
                         the next one, whatever lies between
evo, kept in memory      the same with keep_data="memory"
new trainer              in one process, a new Trainer and new DataLoaders with 2 workers for each candidate, the images
                         read anew, as in the tutorial of Propulate; without its costly transformations of each image
new trainer, no workers  the same, but the process that trains loads the images as well
new process              as "new trainer", in a new process for each candidate

bare                     Trainer.fit and nothing else, on images already read, with the callbacks that a user needs:
                         early stopping, the best weights, TensorBoard's log. In the process that trains for evo, in
                         turn with it, since two processes of the same program may differ by several percent

"times evo" are medians of the candidates' ratios; the figures in brackets are where a median lies with 95 % confidence.
CPU time is that of all processes of a way together; it suffers less from other load than the time on the clock.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from lightning_ways import Anew, Bare, Search, Served, Training, Way

sys.path.append(str(Path(__file__).parents[1] / "tutorials"))

from datafiles.idx import write_idx

EVO, BARE, ANEW = "evo", "bare", "new process"
WAYS = (EVO, "evo, kept in memory", "new trainer", "new trainer, no workers", ANEW)
SIDE = 28  # Pixels.
CONFIDENCE = 0.95


def compare(names: Sequence[str], job: dict[str, Any]) -> tuple[dict[str, list[Training]], dict[str, float]]:
    """Train all candidates in all ways.

    Args:
        names: Of the ways; the first one is a search of evo, which breeds the candidates.
        job: See `lightning_trainings.Job`.

    Returns:
        The trainings of each way, in the order of the candidates, but for the first one; and the ways' startups.
    """
    trained: dict[str, list[Training]] = {name: [] for name in names}
    with ExitStack() as closing:
        folders = [{**job, "runs": f"{job['runs']}/{number}"} for number in range(len(names))]
        breeder = Search(names[0], folders[0], closing)
        ways: dict[str, Way] = {names[0]: breeder}
        for name, there in zip(names[1:], folders[1:], strict=True):
            if name == BARE:
                ways[name] = Bare(breeder)
            elif name == ANEW:
                ways[name] = Anew(name, there)
            else:
                ways[name] = (Search if name.startswith(EVO) else Served)(name, there, closing)
        for number in range(job["candidates"]):
            candidate = breeder.candidate
            shift = number % len(names)
            for name in [*names[shift:], *names[:shift]]:
                trained[name].append(ways[name].train(candidate))
    startups = {name: way.startup for name, way in ways.items()}
    return {name: trainings[1:] for name, trainings in trained.items()}, startups


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Where the median lies with at least 95 % confidence, whatever the distribution: between two of the values.

    Fewer than six values cannot say so; then it is all of them.
    """
    ordered, tail, rank = sorted(values), 0.0, 0
    while (tail := tail + math.comb(len(ordered), rank) / 2 ** len(ordered)) <= (1 - CONFIDENCE) / 2:
        rank += 1
    return ordered[max(rank - 1, 0)], ordered[-max(rank, 1)]


def show_throughput(trained: dict[str, list[Training]], startups: dict[str, float]) -> None:
    """A table: a line for each way."""
    print(f"{'':26}{'seconds':>9}{'CPU':>9}{'per hour':>10}{'times evo':>11}{'CPU':>7}{'startup':>9}")
    for name, trainings in trained.items():
        wall, cpu = (
            statistics.median(column) for column in ([one.wall for one in trainings], [one.cpu for one in trainings])
        )
        pairs = list(zip(trainings, trained[EVO], strict=True))
        slower = statistics.median(one.wall / other.wall for one, other in pairs)
        dearer = statistics.median(one.cpu / other.cpu for one, other in pairs)
        startup = "" if math.isnan(startups[name]) else f"{startups[name]:.1f} s"
        print(f"{name:26}{wall:9.2f}{cpu:9.2f}{3600 / wall:10.0f}{slower:11.2f}{dearer:7.2f}{startup:>9}")
    show_losses(trained)


def show_added(trained: dict[str, list[Training]]) -> None:
    """What evo adds to a bare training, on the clock and of all CPUs."""
    pairs = list(zip(trained[EVO], trained[BARE], strict=True))
    for what, of in (("on the clock", lambda one: one.wall), ("of all CPUs", lambda one: one.cpu)):
        added = [of(one) - of(bare) for one, bare in pairs]
        share = [of(one) / of(bare) - 1 for one, bare in pairs]
        low, high = interval(share)
        least, most = interval(added)
        bare = statistics.median(of(bare) for _, bare in pairs)
        print(
            f"{what:14} bare {bare:5.2f} s, evo adds {1e3 * statistics.median(added):4.0f} ms ({1e3 * least:.0f} to "
            f"{1e3 * most:.0f}), {statistics.median(share):.1%} ({low:.1%} to {high:.1%})"
        )
    show_losses(trained)


def show_losses(trained: dict[str, list[Training]]) -> None:
    """Whether all ways have found the same."""
    for name, trainings in trained.items():
        other = [number for number, one in enumerate(trainings, 1) if one.loss != trained[EVO][number - 1].loss]
        if other:
            print(f"{name}: other losses than evo's for the candidates {', '.join(map(str, other))}")
            return
    print("all ways found the same losses, to the last digit")


def write_images(folder: Path, seed: int = 0) -> None:
    """Files like MNIST's, with as many images: noise with a bright square, whose place tells the label."""
    rng = np.random.default_rng(seed)
    for part, size in (("train", 60_000), ("t10k", 10_000)):
        labels = rng.integers(0, 10, size, dtype=np.uint8)
        images = rng.integers(0, 100, (size, SIDE, SIDE), dtype=np.uint8)
        for label in range(10):
            row, column = SIDE // 2 * (label // 5), 5 * (label % 5)
            images[labels == label, row + 2 : row + 12, column + 2 : column + 6] = 255
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=5, help="trained in all ways, at each batch size")
    parser.add_argument("--batch-sizes", type=int, nargs="*", default=[8, 64])
    parser.add_argument("--pairs", type=int, default=15, help="of trainings by evo and bare, at each batch size")
    parser.add_argument("--images", type=int, default=640, help="in an epoch")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of a training")
    parser.add_argument("--seed", type=int, default=0, help="of the search")
    parser.add_argument("--quick", action="store_true", help="2 candidates, 3 pairs: to see whether it runs")
    asked = parser.parse_args()
    candidates, pairs = (2, 3) if asked.quick else (asked.candidates, asked.pairs)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{len(os.sched_getaffinity(0))} CPUs with a load of {load}; {asked.threads} for a training")
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder))
        settings = {"images": folder, "epochs": asked.epochs, "threads": asked.threads, "seed": asked.seed}

        def job(name: str, batch_size: int, candidates: int) -> dict[str, Any]:
            runs = Path(folder, name)
            runs.mkdir()
            batches = max(1, asked.images // batch_size)
            shape = {"batch_size": batch_size, "batches": batches, "candidates": candidates + 1}  # One to warm up.
            return {**settings, **shape, "runs": str(runs)}

        for size in asked.batch_sizes:
            if candidates:
                print(
                    f"\nbatch {size}: {candidates} candidates, {asked.epochs} epochs of {asked.images} images",
                    flush=True,
                )
                show_throughput(*compare(WAYS, job(f"ways-{size}", size, candidates)))
            if pairs:
                print(f"\nbatch {size}: {pairs} trainings by evo, and the same ones bare", flush=True)
                show_added(compare([EVO, BARE], job(f"pairs-{size}", size, pairs))[0])


if __name__ == "__main__":
    main()
