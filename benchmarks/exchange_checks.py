"""What the model of the exchange is held against: whole searches in simulated time, and real ranks.

For `benchmarks/exchange.py`; see there.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from exchange_model import COSTS, Network
from overhead import LIMITS

from evo.engine.budget import Budget
from evo.engine.exchange import Exchange
from evo.engine.loop import Effects, search
from evo.engine.settings import WorkerSettings
from evo.engine.worker import Worker
from evo.population.assignment import Assignment, TakesReport
from evo.population.events import AnyEvent, Finished, Started, decode, encode
from evo.population.outcome import Outcome
from evo.population.population import Population
from evo.propagators import InitUniform, default_propagator
from evo.space import Space

SPACE = Space(LIMITS)
LOSS = """import time
def free(params): return (params["lr"] - 0.003) ** 2 + (params["layers"] - 5) ** 2
def sleeping(params): time.sleep(0.02); return free(params)
"""


class SearchingRank:
    """A rank of a whole search: what evo runs, with an evaluation that only takes time."""

    def __init__(self, network: Network, rank: int) -> None:
        self.network, self.rank, self.size = network, rank, network.case.ranks
        self.node: Sequence[int] = range(self.size)
        self.dead: frozenset[int] = frozenset()
        self.traffic = network.endpoints[rank].traffic
        self.until = math.inf
        self._first: float | None = float(network.first[rank])
        self._waiting: dict[int, list[bytes]] = defaultdict(list)
        budget = Budget(generations=network.case.generations)
        settings = WorkerSettings(
            worker=rank, workers=self.size, seed=network.case.seed, budget=budget, host="node0001", device="cuda:0"
        )
        self.worker = Worker(settings, default_propagator(2 * self.size), Population(SPACE))
        exchange = Exchange(self, network.case.fan_out)
        effects = Effects(
            evaluator=self, journal=self, ending=self, watch=lambda event: None, clock=lambda: 1.7e9 + network.now
        )
        self._steps = search(self.worker, exchange, effects)
        network.wake(rank, 0.0)

    def act(self) -> float:
        """One wake; returns when the evaluation will end."""
        self._has_ended = self._has_started = False
        next(self._steps, None)
        if self._has_ended and not self._has_started:
            next(self._steps, None)  # It breeds at once.
        self._post()
        self.network.listens[self.rank] = self.network.case.polls or self.until == math.inf
        return self.network.now if self._has_ended and self.until == math.inf else self.until

    # The transport.

    def send(self, message: bytes, ranks: Sequence[int]) -> None:
        for rank in ranks:
            self._waiting[rank].append(message)
        if not self.network.case.joins:
            self._post()

    def receive(self) -> list[tuple[int, bytes]]:
        arrived: list[tuple[int, bytes]] = []
        for sender, message in self.network.endpoints[self.rank].receive():
            lines = message.split(b"\n")
            arrived += ((sender, line) for line in lines)
            self.network.now += COSTS.take + len(lines) * COSTS.apply
        return arrived

    def _post(self) -> None:
        for rank, lines in self._waiting.items():
            self.network.post(self.rank, rank, b"\n".join(lines))
        self._waiting.clear()

    def settle(self) -> None:
        pass

    wait = settle

    # The evaluator.

    def start(self, assignment: Assignment, report: TakesReport) -> None:
        network = self.network
        network.now += COSTS.breed
        network.looks.append((network.now, self.worker.population.finished))
        self.until = network.now + (network.duration() if self._first is None else self._first)
        self._first, self._has_started = None, True
        params = assignment.params
        self._loss = (params["lr"] - 0.003) ** 2 + (params["layers"] - 5) ** 2

    def poll(self) -> Outcome | None:
        if self.network.now < self.until:
            return None
        self.network.finishes.append(self.network.now)
        self._has_ended, self.until = True, math.inf
        return Outcome(status="completed", loss=self._loss, seconds=self.network.case.seconds)

    # The journal and the ending.

    def append(self, line: bytes) -> None:
        pass

    def recall(self, *worker: int) -> Iterable[AnyEvent]:
        return ()

    left_by = recall

    def final_report(self) -> str:
        return ""

    def conclude(self, final_reports: Any) -> str:
        return ""


def example(number: int, ranks: int = 100) -> tuple[Started, Finished]:
    """The two events of an evaluation, of any rank but the first."""
    rng = np.random.default_rng(number)
    generation, rank = divmod(number, ranks - 1)
    who, params = (rank + 1, generation), SPACE.complete(SPACE.sample(rng), rng)
    loss, seconds = float(rng.random()), float(60 * rng.random())
    return (
        Started(time=1.8e9 + loss, individual=who, island=0, params=params),
        Finished(
            time=1.8e9 + seconds,
            individual=who,
            status="completed",
            loss=loss,
            seconds=seconds,
            rank=who[0],
            host="node0123",
            device="cuda:0",
        ),
    )


def measure_replica(individuals: int) -> dict[str, float]:
    """Microseconds of a rank per event of others, and bytes per individual; to be run in a process of its own."""

    def occupied() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    worker = Worker(WorkerSettings(worker=0, workers=100, seed=0, budget=Budget()), InitUniform(), Population(SPACE))
    before, times, chunk = occupied(), [], 1000
    for begin in range(0, individuals, chunk):
        lines = [encode(event) for number in range(begin, begin + chunk) for event in example(number)]
        began = time.process_time()
        for line in lines:
            worker.receive(decode(line), 0.0)
        times.append((time.process_time() - began) / len(lines))
    return {"event": 1e6 * min(times), "individual": (occupied() - before) / individuals}


def measure_messages(rounds: int = 50, messages: int = 10) -> None:
    """Print microseconds that a rank needs to send and to take one message; to be run under mpirun."""
    from evo.runtime.mpi import connect

    transport = connect()
    assert transport is not None
    others, line = [rank for rank in range(transport.size) if rank != transport.rank], encode(example(0)[0])
    send, take = [], []
    for _ in range(rounds):
        transport.gather("")
        began = time.process_time()
        for _ in range(messages):
            transport.send(line, others)
        send.append((time.process_time() - began) / messages / len(others))
        transport.gather("")  # Not before all have sent.
        time.sleep(0.01)
        arrived, spent = 0, 0.0
        while arrived < messages * len(others):
            began = time.process_time()
            arrived += len(transport.receive())
            spent += time.process_time() - began
        take.append(spent / arrived)
    if transport.rank == 0:
        print(json.dumps({"send": 1e6 * min(send), "take": 1e6 * min(take)}), flush=True)
    transport.close()


def run_ranks(ranks: int, *arguments: str) -> str:
    """Run Python on some ranks of this machine; what it prints."""
    mpirun = shutil.which("mpirun", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert mpirun, "there is no mpirun on the PATH"
    variables = {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    command = [mpirun, "-n", str(ranks), "--bind-to", "none", sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | variables, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def count_real(ranks: int, loss: str, exchange: str, generations: int) -> tuple[float, float]:
    """Messages and bytes per evaluation of a run under mpirun."""
    with tempfile.TemporaryDirectory() as folder:
        file, limits = Path(folder, "losses.py"), Path(folder, "limits.yaml")
        file.write_text(LOSS)
        limits.write_text(json.dumps(LIMITS))
        settings = {"limits": limits, "generations": generations, "run-dir": f"{folder}/run", "exchange": exchange}
        options = itertools.chain(*((f"--{name}", str(value)) for name, value in settings.items()))
        run_ranks(ranks, "-m", "evo.run", f"{file}:{loss}", "--quiet", *options)
        summary = json.loads(Path(folder, "run", "summary.json").read_text())
    return summary["messages"] / summary["evaluations"], summary["bytes"] / summary["evaluations"]
