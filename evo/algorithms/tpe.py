"""TPE (experimental draft)."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.algorithms.parzen import Floats, GeneGroup, KernelDensity, gene_groups, log_mixture
from evo.population.events import Identity
from evo.population.individual import Individual, Known
from evo.space.space import Space


@final
@dataclass(frozen=True)
class TPE(Algorithm):
    random: int = 10
    candidates: int = 24
    outer: int = 24
    uniform: float = 1.0
    kernels: int = 200
    chain: bool = True
    gamma: float = 0.1
    rule: str = "lin"
    rungs: str = "bohb"
    wmix: float = 0.0
    liar: bool = True
    gmost: int = 25
    rw: float = 0.0

    def start(self, setup: Setup) -> "Parzen":
        return Parzen(self, setup.space, setup.workers)


class Parzen(Learner):
    def __init__(self, constants: TPE, space: Space, workers: int) -> None:
        self._constants, self._space, self._workers = constants, space, workers
        self._groups = gene_groups(space)
        self._gene_group = np.empty(len(space), dtype=int)
        for number, group in enumerate(self._groups):
            self._gene_group[group.places] = number
        self._ranked: list[tuple[float, Identity]] = []
        self._genomes: dict[Identity, Floats] = {}
        self._failed: set[Identity] = set()
        self._completed: set[Identity] = set()
        self._places = {i: p for p, i in enumerate(i for i, g in enumerate(space.genes) if not g.is_constant)}

    def learn(self, individual: Known, loss: float | None) -> None:
        self._genomes[individual.identity] = individual.genome
        if loss is None:
            self._failed.add(individual.identity)
        if individual.status == "completed":
            self._completed.add(individual.identity)
        bisect.insort(self._ranked, (math.inf if loss is None else loss, individual.identity))

    def split(self, view: View) -> tuple[list[Floats], list[Floats]]:
        c = self._constants
        running = {one.identity: one.genome for one in view.running}
        if view.rungs and c.rungs != "loss" and len(self._completed) < len(self._space) + 2:
            for rung in sorted(view.rungs, reverse=True):
                figures = view.rungs[rung]
                if len(figures) >= len(self._space) + 2:
                    break
            else:
                figures = {}
            ranked = sorted(
                (math.inf if i in self._failed else f, i)
                for i, f in figures.items()
                if i in self._genomes or i in running
            )
            known = set(i for _, i in ranked)
            rest = sorted((l, i) for l, i in self._ranked if i not in known) if c.rungs == "all" else []
        elif view.rungs and c.rungs == "bohb":
            ranked = [(l, i) for l, i in self._ranked if i in self._completed or i in self._failed]
            rest = []
        elif view.rungs and c.rungs == "all":
            ranked = [(l, i) for l, i in self._ranked if i in self._completed]
            rest = [(l, i) for l, i in self._ranked if i not in self._completed]
        else:
            ranked, rest = self._ranked, []
        n = len(ranked) + (len(rest) if c.rungs == "all" else 0)
        finite = bisect.bisect_left(ranked, (math.inf, (0, 0)))
        if c.rule == "lin":
            good = min(math.ceil(c.gamma * n), c.gmost)
        elif c.rule == "sqrt":
            good = min(math.ceil(c.gamma * math.sqrt(n)), c.gmost)
        else:
            good = min(math.ceil(c.gamma * (n + len(running))), c.gmost, max(1, n // 2))
        good = min(good, finite)
        get = lambda i: self._genomes[i] if i in self._genomes else running[i]
        known = set(i for _, i in ranked)
        others = [get(i) for _, i in ranked[good:] + rest]
        room = c.kernels
        if len(others) > room:
            half = room // 2
            spread = np.linspace(half, len(others) - 1, room - half).astype(int)
            others = others[:half] + [others[i] for i in spread]
        if c.liar:
            others += [running[i] for i in sorted(running) if i not in known][:room]
        return [get(i) for _, i in ranked[:good]], others

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        c = self._constants
        R = len(view.running)
        n = len(self._ranked)
        while len(self._ranked) < c.random or rng.random() < c.wmix * R / (R + n):
            yield Individual(genome=self._space.sample(rng), parents=(), bred_by="random")
        good, bad = self.split(view)
        if not good:
            while True:
                yield Individual(genome=self._space.sample(rng), parents=(), bred_by="random")
        uni = c.uniform + c.rw * R / (n + R) * len(good)
        sides = [Side(np.array(rows).reshape(-1, len(self._space)), self._groups, uni) for rows in (good, bad)]
        while True:
            if c.outer == 1 or len(self._groups) == 1:
                weights = [side.start() for side in sides]
                points = sides[0].draw(0, weights[0], c.candidates, rng)
                kernels = [side.density[0].log_kernels(points) for side in sides]
                ratio = [log_mixture(k, w[s.rows[0]]) for k, w, s in zip(kernels, weights, sides)]
                ratio = ratio[0] - ratio[1]
                for at in np.argsort(-ratio, kind="stable"):
                    w = [s.update(0, w, k[:, at]) for s, w, k in zip(sides, weights, kernels)] if c.chain else weights
                    yield Individual(genome=self._walk(sides, rng, points[at], w)[0], parents=())
            else:
                found = [self._walk(sides, rng) for _ in range(c.outer)]
                for genome, score in sorted(found, key=lambda one: -one[1]):
                    yield Individual(genome=genome, parents=())

    def _walk(self, sides, rng, first=None, weights=None):
        c = self._constants
        genome, values, score = np.full(len(self._space), np.nan), {}, 0.0
        weights = weights or [side.start() for side in sides]
        done = np.zeros(len(self._groups), dtype=bool)
        if first is not None:
            done[0] = True
            genome[self._groups[0].places] = first
            if len(self._groups) == 1:
                return genome, 0.0
        for index in self._space.order:
            gene = self._space.genes[index]
            if not gene.exists(values):
                continue
            if gene.is_constant:
                values[gene.name] = gene.decode(0.0)
                continue
            place = self._places[index]
            g = self._gene_group[place]
            if not done[g]:
                done[g] = True
                group = self._groups[g]
                points = sides[0].draw(g, weights[0], c.candidates if c.outer == 1 else 1, rng)
                kernels = [side.density[g].log_kernels(points) for side in sides]
                logs = [log_mixture(k, w[s.rows[g]]) for k, w, s in zip(kernels, weights, sides)]
                ratio = logs[0] - logs[1]
                best = int(np.argmax(ratio))
                score += float(ratio[best])
                genome[group.places] = points[best]
                if c.chain:
                    weights = [s.update(g, w, k[:, best]) for s, w, k in zip(sides, weights, kernels)]
            values[gene.name] = gene.decode(genome[place])
        return genome, score


class Side:
    def __init__(self, genomes: Floats, groups: list[GeneGroup], uniform: float) -> None:
        self.n, self.uniform = len(genomes), uniform
        self.rows, self.density = [], []
        for group in groups:
            rows = np.nonzero(~np.isnan(genomes[:, group.places[0]]))[0] if len(genomes) else np.zeros(0, int)
            self.rows.append(np.append(rows, self.n))
            self.density.append(KernelDensity(group, genomes[np.ix_(rows, group.places)], uniform))

    def start(self):
        w = np.zeros(self.n + 1)
        w[-1] = math.log(self.uniform)
        return w

    def draw(self, g, weights, size, rng):
        w = weights[self.rows[g]]
        w = np.exp(w - w.max())
        chosen = rng.choice(len(w), size, p=w / w.sum())
        return self.density[g].draw(chosen, rng)

    def update(self, g, weights, logs):
        new = np.full(self.n + 1, -np.inf)
        new[self.rows[g]] = weights[self.rows[g]] + logs
        return new
