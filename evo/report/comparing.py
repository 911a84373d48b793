"""Runs side by side as numbers: what differs in their settings, what they found, and whether it may be chance."""

from __future__ import annotations

import bisect
import itertools
import json
import math
import statistics
from collections.abc import Mapping, Sequence

import msgspec

from evo.report.fronts import keeps_bounds
from evo.report.hypervolumes import Yardstick, hypervolume_steps
from evo.report.improvements import ends_in_order, improvements
from evo.report.reading import Run
from evo.report.run_settings import chosen_settings, run_settings
from evo.report.times import OUTSIDE

ENOUGH = 4
"""The runs that each side needs before anything can be said about chance."""

_LIKELY = 0.05  # A larger p may well be chance.


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one run has found, and what it took.

    Args:
        run: Its path.
        seed: Its seed.
        is_complete: Whether the search is.
        loss: The lowest loss; None when none has completed, or none keeps the bounds.
        individual: Which individual has it.
        finished: How many evaluations have finished.
        known: How many results were known from elsewhere, before any evaluation.
        counts: How many evaluations have each status.
        seconds: What all evaluations took together.
        span: From the first start to the last end, breaks between sessions included, in seconds.
        busy: The share of the workers' time in which they evaluated, from 0 to 1; None when no session has ended.
        steps: Each improvement: how many evaluations had finished with it, and its loss; known results count none.
        hypervolume: With several objectives, the hypervolume of its front; then the loss, also in `steps`, is the share
            of the hypervolume of all runs' joint front that is missing.
        reference: The value of each objective at the point up to which the hypervolumes reach, the same for all runs.
        front: How many individuals are on its front.
    """

    run: str
    seed: int
    is_complete: bool
    loss: float | None
    individual: str
    finished: int
    known: int = 0
    counts: Mapping[str, int]
    seconds: float
    span: float
    busy: float | None
    steps: Sequence[tuple[int, float]]
    hypervolume: float | msgspec.UnsetType = msgspec.UNSET
    reference: Mapping[str, float] | msgspec.UnsetType = msgspec.UNSET
    front: int | msgspec.UnsetType = msgspec.UNSET

    def best_after(self, evaluations: int) -> float:
        """The lowest loss among the first evaluations that finished; infinite when none of them has completed."""
        place = bisect.bisect_right([count for count, _ in self.steps], evaluations)
        return self.steps[place - 1][1] if place else math.inf

    def evaluations_to(self, loss: float) -> float:
        """How many evaluations had finished when a loss was reached; infinite when it was not."""
        return next((float(count) for count, found in self.steps if found <= loss), math.inf)


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that are compared with others together.

    Args:
        name: A letter.
        runs: The facts of each run.
        settings: The settings of its study, by name; those that its runs do not share have a text that says so.
    """

    name: str
    runs: Sequence[RunFacts]
    settings: Mapping[str, str]

    def losses(self, evaluations: int | None = None) -> list[float]:
        """The lowest loss of each run; infinite where nothing has completed.

        Args:
            evaluations: How many evaluations count, the first that finished. None means all.
        """
        if evaluations is None:
            return [math.inf if one.loss is None else one.loss for one in self.runs]
        return [one.best_after(evaluations) for one in self.runs]


class SideVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Which of two sides is better, and whether it may be chance.

    Args:
        sides: Their names.
        better: The name of the better one; empty when neither is.
        wins: In how many of all pairs of runs, one from each side, that one has the lower loss; equal ones count half.
        pairs: The number of these pairs.
        wins_of_seeds: The same among pairs of runs with the same seed.
        seeds: The number of these pairs.
        medians: The median of the lowest losses, by side.
        runs: The number of runs, by side.
        p: The probability of a difference at least as large by chance, two-sided, by the U test of Mann and Whitney;
            None with fewer than `ENOUGH` runs on a side.
        least_p: The smallest p that so many runs can have.
        evaluations: How many evaluations of each run count. None means all.
        comparisons: For how many comparisons p is corrected, by Holm's method.
    """

    sides: tuple[str, str]
    better: str
    wins: float
    pairs: int
    wins_of_seeds: float
    seeds: int
    medians: tuple[float, float]
    runs: tuple[int, int]
    p: float | None
    least_p: float
    evaluations: int | None = None
    comparisons: int = 1

    @property
    def text(self) -> str:
        """The verdict in words."""
        after = "" if self.evaluations is None else f"after {self.evaluations} evaluations, which every run has, "
        sizes = f"{self.runs[0]} and {self.runs[1]} runs"
        one, other = self.sides
        if self.pairs == 1:
            said = f"{self.better} is better" if self.better else f"{one} and {other} are equally good"
            return f"{after}{said}; two runs say nothing about chance: compare runs with several seeds on each side"
        medians = f"medians {self.medians[0]:.4g} and {self.medians[1]:.4g}"
        said = (
            f"{self.better} is better in {self.wins:g} of {self.pairs} pairs of runs"
            if self.better
            else f"neither of {one} and {other} is better"
        )
        if self.better and self.seeds:
            said += f", and in {self.wins_of_seeds:g} of {self.seeds} with the same seed"
        if self.p is None:
            return (
                f"{after}{said} ({medians}); with {sizes} nothing can be said about chance: even if all pairs agreed, "
                f"p would be {self.least_p:.2g}; take at least {ENOUGH} seeds on each side"
            )
        judged = "this is hardly chance" if self.p < _LIKELY else "this may be chance"
        test = "Mann-Whitney U, two-sided"
        test += f", corrected for {self.comparisons} comparisons by Holm" if self.comparisons > 1 else ""
        return f"{after}{said} ({medians}); p = {self.p:.2g} ({test}, {sizes}): {judged}"


def gather_facts(run: Run, yardstick: Yardstick | None = None) -> RunFacts:
    """What one run has found, and what it took.

    Args:
        run: The run.
        yardstick: What the hypervolumes of all runs are measured with. None means that their (first) losses count.
    """
    if yardstick is not None:
        return _with_hypervolume(gather_facts(run), run, yardstick)
    ended = ends_in_order(run.individuals)
    own = [one for one in ended if not one.origin]
    outside = sum(run.times.get(name, 0.0) for name in OUTSIDE)
    total = sum(run.times.values())
    began = min((one.started for one in own), default=0.0)
    best = None if run.best is None or run.best.violation else run.best
    return RunFacts(
        run=run.name,
        seed=run.study.seed,
        is_complete=run.is_complete,
        loss=None if best is None else best.loss,
        individual="" if best is None else best.name,
        finished=len(own),
        known=len(ended) - len(own),
        counts=run.counts,
        seconds=sum(one.seconds for one in own),
        span=max((one.ended for one in own), default=0.0) - began,
        busy=1 - outside / total if outside and total else None,
        steps=[(number, one.loss) for number, one in improvements(ended) if one.loss is not None and not one.violation],
    )


def _with_hypervolume(facts: RunFacts, run: Run, yardstick: Yardstick) -> RunFacts:
    steps = [(number, 1.0 - share) for number, _, share in hypervolume_steps(run.individuals, yardstick)]
    return msgspec.structs.replace(
        facts,
        loss=steps[-1][1] if steps else None,
        steps=steps,
        hypervolume=yardstick.whole * (1.0 - steps[-1][1]) if steps else 0.0,
        reference=run.objectives.values(yardstick.reference),
        front=len(run.front) if keeps_bounds(run.front) else 0,
    )


def make_side(name: str, runs: Sequence[Run], yardstick: Yardstick | None = None) -> Side:
    """Runs that are compared with others together.

    Args:
        name: A letter.
        runs: The runs, at least one.
        yardstick: See `gather_facts`.
    """
    all_settings = [run_settings(run) for run in runs]
    names = dict.fromkeys(key for settings in all_settings for key in settings)
    shared = {key: list(dict.fromkeys(settings.get(key, "") for settings in all_settings)) for key in names}
    settings = {key: values[0] if len(values) == 1 else _several(values) for key, values in shared.items()}
    return Side(name=name, runs=[gather_facts(run, yardstick) for run in runs], settings=settings)


def _several(values: Sequence[str]) -> str:
    short = ", ".join(values)
    return short if len(short) <= 40 else f"{len(values)} different ones"


def different_settings(sides: Sequence[Side]) -> dict[str, list[str]]:
    """The settings in which sides differ, with what each has; empty text where it has none."""
    names = dict.fromkeys(name for side in sides for name in side.settings)
    found = {name: [side.settings.get(name, "") for side in sides] for name in names}
    return {name: values for name, values in found.items() if len(set(values)) > 1}


def by_configuration(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs in groups whose settings are the same but for the seed and the versions of packages."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(chosen_settings(run), sort_keys=True), []).append(run)
    return list(groups.values())


def judge_sides(one: Side, other: Side, evaluations: int | None = None) -> SideVerdict:
    """Which of two sides is better, and whether it may be chance.

    Args:
        one: The first side.
        other: The second one.
        evaluations: How many evaluations of each run count, the first that finished. None means all.
    """
    first, second = one.losses(evaluations), other.losses(evaluations)
    sizes = (len(first), len(second))
    wins = sum(map(_win, *zip(*itertools.product(first, second), strict=True)))
    pairs = sizes[0] * sizes[1]
    is_first = wins > pairs / 2
    by_seed = _by_seed(one, first), _by_seed(other, second)
    common = [seed for seed in by_seed[0] if seed in by_seed[1]]
    same = sum(_win(by_seed[0][seed], by_seed[1][seed]) for seed in common)
    return SideVerdict(
        sides=(one.name, other.name),
        better="" if wins == pairs / 2 else one.name if is_first else other.name,
        wins=wins if is_first else pairs - wins,
        pairs=pairs,
        wins_of_seeds=same if is_first else len(common) - same,
        seeds=len(common),
        medians=(statistics.median(first), statistics.median(second)),
        runs=sizes,
        p=_mann_whitney(first, second) if min(sizes) >= ENOUGH else None,
        least_p=min(1.0, 2 / math.comb(sum(sizes), sizes[0])),
        evaluations=evaluations,
    )


def corrected(verdicts: Sequence[SideVerdict]) -> list[SideVerdict]:
    """The verdicts with their p corrected by Holm's method, so that one of many is not small by chance alone.

    Args:
        verdicts: Verdicts on all pairs of some sides.
    """
    tested = sorted((verdict.p, place) for place, verdict in enumerate(verdicts) if verdict.p is not None)
    found, highest = list(verdicts), 0.0
    for rank, (p, place) in enumerate(tested):
        highest = max(highest, min(1.0, p * (len(tested) - rank)))
        found[place] = msgspec.structs.replace(verdicts[place], p=highest, comparisons=len(tested))
    return found


def _win(first: float, second: float) -> float:
    return 0.5 if first == second else float(first < second)


def _by_seed(side: Side, losses: Sequence[float]) -> dict[int, float]:
    """The losses by seed; none where a seed occurs twice, because nothing says which of the two to take."""
    seeds = [run.seed for run in side.runs]
    return {seed: loss for seed, loss in zip(seeds, losses, strict=True) if seeds.count(seed) == 1}


def _mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p of the U test; exact for few runs without equal losses."""
    from scipy.stats import mannwhitneyu

    ranks = {loss: float(rank) for rank, loss in enumerate(sorted({*first, *second}))}
    has_ties = len(ranks) < len(first) + len(second)
    method = "exact" if not has_ties and len(first) * len(second) <= 10_000 else "asymptotic"
    # By ranks, since a loss may be infinite.
    found = mannwhitneyu([ranks[loss] for loss in first], [ranks[loss] for loss in second], method=method)
    return 1.0 if math.isnan(found.pvalue) else float(found.pvalue)
