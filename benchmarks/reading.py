"""What it takes to read a study: CPU seconds and memory of `evo best` and `evo status`, by the number of individuals.

A run directory is made as a search on 256 ranks with pruning and two islands would leave it: six parameters, ten
reports of every fifth individual, some pruned, failed or infeasible, copies that travelled, and what each rank knew.
Each command then runs in a process of its own, several times; the least CPU time counts, since other processes can only
add to it.

    python benchmarks/reading.py [--individuals 100000] [--repeats 3] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evo.engine.hearing import pack_counts
from evo.population.events import AnyEvent, Done, Finished, Heard, Joined, Judged, Pollinated, Reported, Started, encode
from evo.population.identity import Identity
from evo.population.reason import StopKind
from evo.space.space import Space
from evo.storage.rundir import RunDirectory, StudyRecord

RANKS = 256
LIMITS: dict[str, Any] = {
    "lr": {"type": "float", "low": 1e-5, "high": 0.1, "log": True},
    "momentum": {"type": "float", "low": 0.0, "high": 0.99},
    "layers": {"type": "int", "low": 1, "high": 12},
    "channels": {"type": "int", "low": 4, "high": 256, "log": True},
    "activation": {"type": "choice", "values": ["relu", "tanh", "gelu"]},
    "optimizer": {"type": "choice", "values": ["sgd", "adam"]},
}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--individuals", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="Make the run directory here, and leave it.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = options.keep or Path(folder) / "run"
        if not (run / "study.json").exists():
            make_run(run, options.individuals)
        size = sum(file.stat().st_size for file in (run / "journal").iterdir())
        print(f"{options.individuals} individuals, {size / 1e6:.0f} MB of journals")
        print(f"{'command':<16}{'CPU seconds':>12}{'peak MB':>10}")
        for words in (["best"], ["status"], ["status", "--json"]):
            measured = [measure([*words, str(run)]) for _ in range(options.repeats)]
            seconds, memory = min(second for second, _ in measured), max(memory for _, memory in measured)
            print(f"{'evo ' + ' '.join(words):<16}{seconds:>12.2f}{memory:>10.0f}")


def measure(arguments: list[str]) -> tuple[float, float]:
    """CPU seconds and the most memory, in MB, of a command of evo, with the start of Python."""
    process = subprocess.Popen([sys.executable, "-m", "evo", *arguments], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"evo {' '.join(arguments)} has failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3


def make_run(folder: Path, individuals: int) -> None:
    """Make a run directory of so many individuals.

    Args:
        folder: The run directory, which must not exist.
        individuals: How many of them all ranks together have bred.
    """
    limits = Space(LIMITS).describe()
    RunDirectory(folder).create(
        StudyRecord(name="reading", objective="of:nobody", limits=limits, seed=0, created=1.7e9)
    )
    for rank in range(RANKS):
        generations = individuals // RANKS + (rank < individuals % RANKS)
        lines = (encode(event) + b"\n" for event in events_of(rank, generations))
        (folder / "journal" / f"{rank}.jsonl").write_bytes(b"".join(lines))


def events_of(rank: int, generations: int) -> Iterator[AnyEvent]:
    """What a rank has recorded."""
    rng = random.Random(rank)
    now = 1.7e9 + rng.random()
    yield Joined(time=now, rank=rank, ranks=RANKS, host=f"node{rank // 4:03}", device=f"cuda:{rank % 4}")
    for generation in range(generations):
        # Others start and end some 0 to 2 evaluations meanwhile, which is the worst case for the length of a record.
        yield Heard(time=now, counts=pack_counts({other: rng.randint(0, 4) for other in range(RANKS) if other != rank}))
        yield from evaluation_of((rank, generation), now, rng)
        now += 61 + rng.random()
    yield Done(
        time=now,
        rank=rank,
        reason=f"{generations} generations are complete",
        times={"breeding": 21.5, "exchange": 3.25, "handover": 9.75, "waiting": 12.5},
        kind=StopKind.GENERATIONS,
    )


def evaluation_of(identity: Identity, begin: float, rng: random.Random) -> Iterator[AnyEvent]:
    """One individual, from its start to its end and its travels."""
    rank, generation = identity
    yield Started(
        time=begin,
        individual=identity,
        island=rank % 2,
        params={
            "lr": round(10 ** rng.uniform(-5, -1), 13),
            "momentum": round(rng.random(), 13),
            "layers": rng.randint(1, 12),
            "channels": rng.randint(4, 256),
            "activation": rng.choice(["relu", "tanh", "gelu"]),
            "optimizer": rng.choice(["sgd", "adam"]),
        },
        parents=((rng.randrange(RANKS), rng.randrange(generation)), (rank, generation - 1)) if generation else (),
        bred_by=rng.choice(["modelled", "tpe", "pair"]) if generation else "random",
    )
    loss = 0.1 + rng.random()
    status = rng.choices(["completed", "failed", "infeasible"], [0.95, 0.04, 0.01])[0]
    if generation % 5 == 0:
        for step in range(10):
            yield Reported(time=begin + 6 * step, individual=identity, step=step, loss=loss + 1 / (step + 1))
        stop = rng.random() < 0.5
        yield Judged(
            time=begin + 54, individual=identity, rung=9, stop=stop, value=loss + 0.1, threshold=0.5, among=3 * rank
        )
        status = "pruned" if stop else status
    has_loss = status in ("completed", "pruned")
    spent = {"loading": 8.1, "forward": 20.2, "backward": 24.3, "validation": 5.5} if has_loss else {}
    yield Finished(
        time=begin + 60,
        individual=identity,
        status=status,
        loss=loss if has_loss else None,
        seconds=round(59 + rng.random(), 6),
        rank=rank,
        host=f"node{rank // 4:03}",
        device=f"cuda:{rank % 4}",
        metrics={"val_acc": round(rng.random(), 8), "epochs": 10} if has_loss else {},
        times=spent,
        error="" if has_loss else "ValueError: the loss is nan: it must be finite",
        rung=9 if status == "pruned" else 0,
    )
    if generation % 10 == 3:
        yield Pollinated(time=begin + 60, individual=identity, island=1 - rank % 2)


if __name__ == "__main__":
    main()
