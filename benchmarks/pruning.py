"""What pruning saves, and what it costs: the epochs trained and the best loss found, on given learning curves.

    python benchmarks/pruning.py [--seeds 11] [--candidates 81] [--peer PYTHON] [--digits CURVES]

Learning curves are computed beforehand, so that every method meets the same candidates in the same order, and only its
decisions differ. Four virtual workers train them asynchronously; all epochs take the same time.

synthetic: power laws (Domhan et al., IJCAI 2015) with noise, over 81 epochs. They cross: what ends lowest does not
begin lowest, and learning more slowly goes with ending lower in half of the cases.

digits: curves of real trainings. `--digits CURVES` makes the file if it does not exist: 54 random candidates of the
digits task, 27 epochs each, without early stopping; some minutes on 2 cores.

Shown for each method: the median over all seeds of the best loss among the candidates trained to their end, relative to
the best without pruning (0 % is the same, 100 % the median candidate); in how many seeds it was the very same one; and
the share of the epochs that were trained. It is to be the same best loss for at most 40 % of the epochs.

The interpreter named with --peer runs Optuna's SuccessiveHalvingPruner and MedianPruner and Ray's ASHAScheduler on the
same curves, as far as it can import Optuna and Ray.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

WORKERS = 4
SYNTHETIC_EPOCHS, DIGITS_EPOCHS, DIGITS_CANDIDATES = 81, 27, 54
Curves = list[list[float]]
Decide = Callable[[int, int, float], bool]
"""Called with a candidate, an epoch from 0 and a loss: whether to stop."""


def synthetic_curves(candidates: int, seed: int) -> Curves:
    """Losses by candidate and epoch."""
    rng = np.random.default_rng(seed)
    epochs = np.arange(1, SYNTHETIC_EPOCHS + 1)
    end = rng.beta(2.0, 3.0, candidates)
    slow = np.where(rng.random(candidates) < 0.5, end, rng.random(candidates))  # Low: learns slowly.
    power = 0.4 + 1.2 * slow
    height = rng.uniform(0.5, 1.5, candidates)
    noise = rng.normal(0.0, 0.01, (candidates, epochs.size))
    return (end[:, None] + height[:, None] * epochs ** -power[:, None] + noise).tolist()


def train_digits(params: dict[str, Any], trial: Any) -> float:
    """The digits task without early stopping."""
    from evo.lightning import LightningObjective
    from evo.problems.digits import Digits, DigitsNet

    return LightningObjective(DigitsNet, Digits, max_epochs=DIGITS_EPOCHS, early_stopping=None)(params, trial)


train_digits.separate_process = True  # type: ignore[attr-defined]


def digits_curves(file: Path) -> Curves:
    """Losses by candidate and epoch, from the file or else from trainings; one that failed has none."""
    if not file.exists():
        import evo
        from evo.population.events import Reported
        from evo.problems.catalogue import PROBLEMS

        limits = PROBLEMS["digits"].limits
        found = evo.minimize(
            train_digits, limits, evaluations=DIGITS_CANDIDATES, propagator="random", max_failed_share=1.0
        )
        curves: dict[Any, list[float]] = {one.individual: [] for one in found.individuals if one.status == "completed"}
        for event in found.events():
            if isinstance(event, Reported) and event.individual in curves:
                curves[event.individual].append(event.loss)
        file.write_text(json.dumps(list(curves.values())))
    loaded: Curves = json.loads(file.read_text())
    return loaded


def train(curves: Curves, order: Sequence[int], decide: Decide, finish: Callable[[int, bool], None]) -> dict[int, int]:
    """Let the workers train all candidates, an epoch each in turn; the epochs that each candidate got."""
    waiting, epochs, busy = list(order), dict.fromkeys(order, 0), []
    while waiting or busy:
        while waiting and len(busy) < WORKERS:
            busy.append(waiting.pop(0))
        for candidate in list(busy):
            epoch = epochs[candidate]
            epochs[candidate] += 1
            stop = decide(candidate, epoch, curves[candidate][epoch])
            is_complete = epochs[candidate] == len(curves[candidate])
            if stop or is_complete:
                busy.remove(candidate)
                finish(candidate, is_complete)
    return epochs


def with_evo(curves: Curves, order: Sequence[int], pruning: Any) -> dict[int, int]:
    """The epochs that each candidate gets with a pruner of evo."""
    from evo.population.events import Finished, Judged, Reported
    from evo.pruning import Rungs, make_pruner

    pruner = make_pruner(pruning)
    if pruner is None:
        return {candidate: len(curves[candidate]) for candidate in order}
    rungs = Rungs(pruner)
    best: list[float] = []

    def decide(candidate: int, epoch: int, loss: float) -> bool:
        event = Reported(time=0.0, individual=(0, candidate), step=epoch, loss=loss)
        rungs.apply(event)
        rung = rungs.reached(event)
        if rung is None:
            return False
        verdict = rungs.judge((0, candidate), rung, min(best, default=None))
        figures = {"value": verdict.value, "threshold": verdict.threshold, "among": verdict.among}
        rungs.apply(Judged(time=0.0, individual=(0, candidate), rung=rung, stop=verdict.stop, **figures))
        return verdict.stop

    def finish(candidate: int, is_complete: bool) -> None:
        if is_complete:
            best.append(min(curves[candidate]))
        rungs.apply(Finished(time=0.0, individual=(0, candidate), status="pruned", loss=0.0, rank=0))

    return train(curves, order, decide, finish)


def with_optuna(curves: Curves, order: Sequence[int], pruning: dict[str, Any]) -> dict[int, int]:
    """The epochs that each candidate gets with a pruner of Optuna; runs in the interpreter named with --peer."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kinds = {"halving": optuna.pruners.SuccessiveHalvingPruner, "median": optuna.pruners.MedianPruner}
    arguments = {key: value for key, value in pruning.items() if key != "name"}
    study = optuna.create_study(pruner=kinds[pruning["name"]](**arguments))
    trials = {}

    def decide(candidate: int, epoch: int, loss: float) -> bool:
        if candidate not in trials:
            trials[candidate] = study.ask()
        trials[candidate].report(loss, epoch + 1)
        return bool(trials[candidate].should_prune())

    def finish(candidate: int, is_complete: bool) -> None:
        state = optuna.trial.TrialState.COMPLETE if is_complete else optuna.trial.TrialState.PRUNED
        study.tell(trials[candidate], min(curves[candidate]) if is_complete else None, state)

    return train(curves, order, decide, finish)


def with_ray(curves: Curves, order: Sequence[int], pruning: dict[str, Any]) -> dict[int, int]:
    """The epochs that each candidate gets with Ray's asynchronous successive halving, in the same way."""
    from ray.tune.schedulers import ASHAScheduler, TrialScheduler

    arguments = {key: value for key, value in pruning.items() if key != "name"}
    scheduler = ASHAScheduler(time_attr="epoch", metric="loss", mode="min", **arguments)
    # What the scheduler reads of a trial.
    trials = {candidate: SimpleNamespace(trial_id=str(candidate)) for candidate in order}
    known: set[int] = set()

    def decide(candidate: int, epoch: int, loss: float) -> bool:
        if candidate not in known:
            known.add(candidate)
            scheduler.on_trial_add(None, trials[candidate])
        verdict = scheduler.on_trial_result(None, trials[candidate], {"epoch": epoch + 1, "loss": loss})
        return bool(verdict == TrialScheduler.STOP)

    def finish(candidate: int, is_complete: bool) -> None:
        if is_complete:
            result = {"epoch": len(curves[candidate]), "loss": curves[candidate][-1]}
            scheduler.on_trial_complete(None, trials[candidate], result)

    return train(curves, order, decide, finish)


def methods(epochs: int) -> dict[str, tuple[str, Any]]:
    """Who decides, and with which settings, by the name to show."""
    return {
        "evo halving 3": ("evo", {"name": "halving", "grace": 1, "reduction": 3, "maximum": epochs}),
        "evo halving 4": ("evo", {"name": "halving", "grace": 1, "reduction": 4, "maximum": epochs}),
        "evo halving 3, grace 3": ("evo", {"name": "halving", "grace": 3, "reduction": 3, "maximum": epochs}),
        "evo median": ("evo", {"name": "median"}),
        "evo curve": ("evo", {"name": "curve", "maximum": epochs}),
        "Optuna halving 3": ("optuna", {"name": "halving", "min_resource": 1, "reduction_factor": 3}),
        "Optuna halving 4": ("optuna", {"name": "halving", "min_resource": 1, "reduction_factor": 4}),
        "Optuna halving 3, grace 3": ("optuna", {"name": "halving", "min_resource": 3, "reduction_factor": 3}),
        "Ray ASHA 3": ("ray", {"name": "halving", "grace_period": 1, "reduction_factor": 3, "max_t": epochs}),
        "Ray ASHA 4": ("ray", {"name": "halving", "grace_period": 1, "reduction_factor": 4, "max_t": epochs}),
        "Ray ASHA 3, grace 3": ("ray", {"name": "halving", "grace_period": 3, "reduction_factor": 3, "max_t": epochs}),
        "Optuna median": ("optuna", {"name": "median", "n_startup_trials": 5, "n_warmup_steps": 5}),
    }


PEERS = {"optuna": with_optuna, "ray": with_ray}


def can_import(python: str, package: str) -> bool:
    """Whether another interpreter has a package."""
    search = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return not subprocess.run([python, "-c", search], check=False).returncode


def ask_peer(python: str, who: str, curves: Curves, order: Sequence[int], pruning: dict[str, Any]) -> dict[int, int]:
    """`with_optuna` or `with_ray`, in another interpreter."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([who, curves, list(order), pruning], file)
        file.flush()
        command = [python, __file__, "--as-peer", file.name]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {int(candidate): epochs for candidate, epochs in json.loads(answer).items()}


def show(title: str, problems: Sequence[tuple[Curves, Sequence[int]]], peer: str | None) -> None:
    """A table: a line for each method."""
    epochs = len(problems[0][0][0])
    print(f"\n{title}: {len(problems[0][0])} candidates of {epochs} epochs, {len(problems)} seeds")
    print(f"{'':26}{'lost':>8}{'same':>8}{'epochs':>8}")
    present = {"evo", *(who for who in PEERS if peer and can_import(peer, who))}
    for name, (who, pruning) in methods(epochs).items():
        if who not in present:
            continue
        lost, same, shares = [], 0, []
        for curves, order in problems:
            mine = who == "evo"
            given = with_evo(curves, order, pruning) if mine else ask_peer(peer or "", who, curves, order, pruning)
            ends = {candidate: min(curve) for candidate, curve in enumerate(curves)}
            complete = [candidate for candidate, count in given.items() if count == len(curves[candidate])]
            lowest, middle = min(ends.values()), statistics.median(ends.values())
            reached = min(ends[candidate] for candidate in complete)
            lost.append((reached - lowest) / (middle - lowest))
            same += reached == lowest
            shares.append(sum(given.values()) / sum(map(len, curves)))
        print(
            f"{name:26}{statistics.median(lost):8.1%}{same:5}/{len(problems)}{statistics.median(shares):8.1%}",
            flush=True,
        )


def main() -> None:
    """Measure, and print the tables."""
    sys.path.pop(0)  # This folder: lightning.py in it would hide the library.
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=11)
    parser.add_argument("--candidates", type=int, default=81)
    parser.add_argument("--peer", metavar="PYTHON")
    parser.add_argument("--digits", type=Path, metavar="CURVES")
    parser.add_argument("--as-peer", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_peer:
        who, *problem = json.loads(Path(options.as_peer).read_text())
        given = PEERS[who](*problem)
        print(json.dumps(given))
        return
    synthetic = [synthetic_curves(options.candidates, seed) for seed in range(options.seeds)]
    show("synthetic", [(curves, range(len(curves))) for curves in synthetic], options.peer)
    if options.digits:
        curves = digits_curves(options.digits)
        shuffled = [np.random.default_rng(seed).permutation(len(curves)).tolist() for seed in range(options.seeds)]
        show("digits", [(curves, order) for order in shuffled], options.peer)


if __name__ == "__main__":
    sys.exit(main())
