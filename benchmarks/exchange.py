"""The exchange at scale: messages, staleness, CPU and memory from 4 to 10,000 ranks, by discrete-event simulation.

    python benchmarks/exchange.py [--quick] [--seed 1] [--jobs 2]

It prints five tables. Times are simulated, on the Loopback; only what says "measured" depends on the machine.

1. Measured: what taking in one event costs and what an individual occupies in a replica; what one message costs (4
   ranks under mpirun). The simulation uses the rounded figures of `exchange_model.Costs`, so that it repeats exactly.
2. Counted: messages and bytes per evaluation of real runs under mpirun, beside those of the simulation of whole
   searches: the real `evo.engine.loop.search`, Worker, Exchange and records; only the evaluation and the clock are not.
   "at once" is a message for each record and neighbour, as MPITransport posts them while fewer than 8 are outstanding;
   "joined" is one message per neighbour each time that a rank wakes. More ranks than cores make free real runs send
   fewer: what waits for a rank that is not running is joined. The simulation has a core for each rank.
3. Model against search: 10,000 replicas fit into no memory, so in table 4 a rank counts what it knows instead, and a
   message says how many records it stands for and how many of them are `Finished`. Who sends to whom is
   `evo.engine.exchange.neighbours`; latency, wake-ups and joining are the same. Whole searches have a beginning and an
   end, where ranks that are done take in messages at any time and pass them on: hence more messages, inline in a tree.
4. The scale, joined. child: a rank looks for messages every 10 ms while its objective runs, and when that ends; inline:
   only between two evaluations; free: inline, with a loss that takes no time. The simulation begins in the middle of a
   search, lets the news of the beginning arrive, and then counts: inline at least one evaluation per rank, child up to
   1,000 evaluations or 300,000 messages. A flat exchange of more than 256 ranks has all senders but 64 listeners,
   evenly spread: each message is counted and takes the sender's time, but only those to listeners are delivered; an
   inline rank that does not listen is charged the time that taking in its messages would take. Nothing else is
   extrapolated, up to 10,000 ranks. "at once" follows from the number of neighbours.
   relay: the first rank of each node of 8 sends to the other seven and to the first of all other nodes, all others
   only to theirs. No part of evo; here to see what it would bring.
5. Computed from the above: memory, islands with many migrants, and a death, at 1,000 and 10,000 ranks.

Not simulated: bandwidth, congestion, how many messages MPI keeps for a rank that does not call it, and that a rank
holds back what it sends to one to which 8 messages are outstanding.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from exchange_checks import SearchingRank, count_real, example, measure_messages, measure_replica, run_ranks
from exchange_model import COSTS, NODE, POLL, Case, CountingRank, Network
from overhead import LIMITS

from evo.population.events import encode

ALL_LISTEN, LISTENERS = 256, 64
RANKS, EXCHANGES = (4, 16, 64, 256, 1000, 4000, 10_000), ("flat", "tree 2", "tree 8", "tree 32", "relay")
MODES = ((True, 60.0), (True, 1.0), (False, 60.0), (False, 1.0), (False, 0.0))  # Whether it polls, seconds.


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a simulation shows.

    Args:
        messages: Of all ranks, per evaluation.
        busiest: Of the rank that sends most, per evaluation of its own.
        bytes: Of all ranks, per evaluation.
        stale: Median and 99th percentile of how many finished individuals a breeder does not know.
        cpu: Share of a core that the exchange takes from a rank, on average and from the busiest.
        rate: Evaluations per second, of all ranks.
    """

    messages: float
    busiest: float
    bytes: float
    stale: tuple[float, float]
    cpu: tuple[float, float] = (math.nan, math.nan)
    rate: float


def run_model(case: Case) -> Figures:
    """Simulate ranks that count."""
    network, ranks = Network(case), case.ranks
    some = range(ranks) if ranks <= ALL_LISTEN else [(ranks - 1) * n // (LISTENERS - 1) for n in range(LISTENERS)]
    listeners = some if case.exchange == "flat" else range(ranks)
    actors = [CountingRank(network, rank, listeners) for rank in range(ranks)]
    if case.polls:
        network.advance(case.hops * POLL + 2 * ranks * COSTS.post + 0.02, actors)
    else:
        network.advance(
            math.inf, actors, ranks * (case.hops + 2 if case.exchange != "flat" else 1 if case.seconds else 3)
        )
    begin, ended, messages, spent = network.now, len(network.finishes), list(network.messages), list(network.spent)
    if case.polls:
        wakes = min(len(listeners) / POLL, 2 * ranks * len(listeners) / case.seconds)  # Per second, at most.
        window = min(1000 * case.seconds / ranks, 300_000 / wakes)
        for moment in np.linspace(begin, begin + window, 1000).tolist():
            network.advance(moment, actors)
            actors[network.rng.choice(some)].look(moment)
    else:
        generations = 1 if case.exchange == "flat" and case.seconds else 4
        network.advance(math.inf, actors, ended + max(ranks * generations, 500))
    seconds, evaluations = network.now - begin, len(network.finishes) - ended
    sent = np.subtract(network.messages, messages).astype(float)
    cpu = (np.subtract(network.spent, spent) / seconds)[listeners]
    if case.exchange == "flat":  # There all are alike; to see it, the sample is too short.
        sent[:], cpu[:] = sent.mean(), cpu.mean()
    return Figures(
        messages=sent.sum() / evaluations,
        busiest=sent.max() / (evaluations / ranks),
        bytes=sum(len(encode(event)) for event in example(0)) * (ranks - 1),
        stale=percentiles(network.staleness(begin, network.now)),
        cpu=(float(cpu.mean()), float(cpu.max())),
        rate=evaluations / seconds,
    )


def run_search(case: Case) -> Figures:
    """Simulate a whole search."""
    network = Network(case)
    actors = [SearchingRank(network, rank) for rank in range(case.ranks)]
    network.advance(math.inf, actors)
    evaluations, last = len(network.finishes), max(network.finishes)
    traffic = [endpoint.traffic for endpoint in network.endpoints]
    return Figures(
        messages=sum(each.messages for each in traffic) / evaluations,
        busiest=max(each.messages for each in traffic) / (evaluations / case.ranks),
        bytes=sum(each.bytes for each in traffic) / evaluations,
        # Nothing is known at the beginning, and at the end not all ranks breed.
        stale=percentiles(network.staleness(0.4 * last, 0.7 * last)),
        rate=evaluations / last,
    )


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """The median and the 99th percentile."""
    return (float(np.median(values)), float(np.percentile(values, 99))) if values.size else (math.nan, math.nan)


def show(title: str, columns: str, rows: Iterable[Sequence[Any]]) -> None:
    """Print a table as its rows come; the names of the columns are as wide as these."""
    print(f"\n{title}\n\n{columns}", flush=True)
    widths = [len(word) for word in re.findall(r" *\S+", columns)]
    for row in rows:
        cells = (
            f"{cell:.3g}"
            if isinstance(cell, float) and cell < 1000
            else f"{cell:.0f}"
            if isinstance(cell, float)
            else str(cell)
            for cell in row
        )
        print("".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)), flush=True)


def at_once(case: Case) -> int:
    """What the busiest rank sends per evaluation of its own when each record is a message to each neighbour."""
    links = max(len(case.links(rank)) for rank in (0, 1))
    if case.exchange == "flat":
        return 2 * links
    if case.exchange == "relay":
        return 2 * (links + (NODE - 1) * (links - 1) + (case.ranks - NODE) * (NODE - 1))
    return 2 * (links + (case.ranks - 1) * (links - 1))


def is_shown(case: Case) -> bool:
    """Whether it takes seconds, and comes to a steady state."""
    if not case.seconds:
        most = 1000 if case.exchange == "flat" else 64
    elif case.exchange == "relay":
        most = 1000 if not case.polls else 4000 if case.seconds < 10 else 10_000
    else:
        most = 10_000
    return case.ranks <= most and (case.exchange != "relay" or case.ranks > NODE)


def scale_row(case: Case) -> Sequence[Any]:
    """One row of table 4."""
    found, links = run_model(case), max(len(case.links(rank)) for rank in (0, 1))
    unjoined = at_once(case)
    apply = 2 * (case.ranks - 1) * (COSTS.take + COSTS.apply)
    return (
        case.ranks,
        "child" if case.polls else "inline",
        f"{case.seconds:g}" if case.seconds else "free",
        case.exchange + "*" * (case.exchange != "flat" and not case.seconds),
        links,
        found.messages,
        found.busiest,
        unjoined,
        found.bytes / 1000,
        found.stale[0],
        found.stale[1],
        100 * found.stale[1] / case.ranks,
        100 * found.cpu[0],
        100 * found.cpu[1],
        100 * (unjoined * COSTS.post + apply) * found.rate / case.ranks,
        found.rate,
    )


def counted_row(ranks: int, loss: str, exchange: str, seed: int) -> Sequence[Any]:
    """One row of table 2."""
    messages, size = count_real(ranks, loss, exchange, 50)
    name, seconds = {"tree": "tree 8"}.get(exchange, exchange), 0.02 if loss == "sleeping" else 0.0
    case = Case(ranks=ranks, polls=False, seconds=seconds, exchange=name, joins=False, generations=50, seed=seed)
    once, joined = run_search(case), run_search(replace(case, joins=True))
    return ranks, loss, exchange, messages, once.messages, joined.messages, size, once.bytes, joined.bytes


def compared_row(case: Case) -> Sequence[Any]:
    """One row of table 3."""
    search, model = run_search(case), run_model(case)
    mode = "child" if case.polls else "inline"
    shown = ((each.messages, each.busiest, *each.stale) for each in (search, model))
    return case.ranks, mode, f"{case.seconds:g}" if case.seconds else "free", case.exchange, *itertools.chain(*shown)


def consequences(individual: float) -> Iterator[Sequence[Any]]:
    """The rows of table 5."""
    size = sum(len(encode(event)) for event in example(0))
    for ranks, generations in itertools.product((1000, 10_000), (10, 100)):
        events, islands = 2 * ranks * generations, ranks // 64
        full, ring = (2 + 0.9 / 64 * 2 * targets for targets in (islands - 1, 1))
        queues = (sys.getsizeof(deque()) + sys.getsizeof([])) * ranks
        yield (
            ranks,
            generations,
            individual * ranks * generations / 1e6,
            queues / 1e6,
            size * ranks * generations / 1e6,
            full,
            ring,
            events * COSTS.apply,
            size * ranks * generations / 1e6,
        )


def main() -> None:
    """Measure, simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few ranks and kinds of exchange")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="simulations at a time")
    parser.add_argument("--only", choices=("replica", "messages"), help="print one measurement")
    options = parser.parse_args()
    if options.only == "messages":
        measure_messages()
        return
    individuals = 10_000 if options.quick else 100_000
    if options.only == "replica":
        print(json.dumps(measure_replica(individuals)))
        return
    quick = ["--quick"] * options.quick
    command = [sys.executable, __file__, "--only", "replica", *quick]
    measured = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    measured |= json.loads(run_ranks(4, __file__, "--only", "messages"))
    show(
        f"1. Measured: microseconds per event (decoded, applied) and message, bytes per individual of {len(LIMITS)} "
        f"parameters ({individuals} of them). Simulated: {COSTS}",
        " event   send   take  individual",
        [[measured[name] for name in ("event", "send", "take", "individual")]],
    )
    real = itertools.product((2, 4) if options.quick else (2, 4, 8), ("free", "sleeping"), ("flat", "tree"))
    show(
        "2. Counted, per evaluation of all ranks; 50 generations, inline, tree is tree 8",
        "ranks      loss  exchange  messages:real  at-once  joined  bytes:real  at-once  joined",
        (counted_row(*each, options.seed) for each in real if not options.quick or each[2] == "flat"),
    )
    few, kinds = ((4, 64, 256), EXCHANGES[::2]) if options.quick else (RANKS, EXCHANGES)
    with ProcessPoolExecutor(options.jobs) as pool:
        cases = [
            Case(ranks=16 if options.quick else 64, polls=polls, seconds=seconds, exchange=exchange, generations=12)
            for (polls, seconds), exchange in itertools.product(MODES, EXCHANGES[:3])
            if seconds < 10
        ]
        show(
            "3. Whole searches of 12 generations, and the model; joined; staleness in individuals",
            "ranks    mode  seconds  exchange  search:messages  busiest  median    99%"
            "  model:messages  busiest  median    99%",
            pool.map(compared_row, (replace(case, seed=options.seed) for case in cases)),
        )
        cases = [
            Case(ranks=ranks, polls=polls, seconds=seconds, exchange=exchange, seed=options.seed)
            for (polls, seconds), ranks, exchange in itertools.product(MODES, few, kinds)
        ]
        show(
            "4. The scale. Per evaluation: messages and kB of all ranks, messages of the busiest one for each of its\n"
            "   own, joined and at once; staleness in individuals and in % of the ranks; CPU in % of a core: joined,\n"
            "   on average and of the busiest rank, and of that at once.\n"
            "   * The busiest rank falls behind: the longer the search, the more.",
            " ranks    mode  seconds  exchange  links  messages  busiest  at-once       kB  median     99%  99%/ranks"
            "  CPU:mean  busiest  at-once  evaluations/s",
            pool.map(scale_row, filter(is_shown, cases)),
        )
    show(
        "5. Computed: MB of a replica, of MPITransport's queues if flat, of all journals; events per evaluation on\n"
        "   islands of 64 ranks with topology full and ring; what every rank does when one dies: seconds of CPU to\n"
        "   take in what all publish again, and MB of that",
        " ranks  generations  replica  queues  journals  events:full   ring  death:seconds      MB",
        consequences(measured["individual"]),
    )


if __name__ == "__main__":
    main()
