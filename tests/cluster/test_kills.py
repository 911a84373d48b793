"""A chain of sessions of the digits task, each of them killed at some moment, until the last one completes the search.

EVO_KILLS=50 makes the chain that long, which takes about ten minutes. EVO_SEVERAL=1 gives it two objectives.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path

import journals
import logged_digits
import pytest
import torch
from helpers import Launcher, is_alive, wait_until
from logged_digits import Step, count_steps, read_steps
from ranks import find_ranks, parent_of, start_ranks

from evo.problems.digits import parts
from evo.storage.rundir import RunDirectory

KILLS = int(os.environ.get("EVO_KILLS", "1"))
RANKS = 2
BUDGET = 2 * KILLS + 2  # More than the killed sessions complete.
INTERVAL = 0.5
SEARCH = ["-m", "evo.run", "logged_digits:short", "--limits", logged_digits.LIMITS, "--run-dir", "here"]
SEARCH += ["--evaluations", str(BUDGET), "--checkpoint-interval", f"{INTERVAL:g}s", "--debug"]
if os.environ.get("EVO_SEVERAL"):
    SEARCH += ["--objectives", "{val_loss: min, seconds: min}"]


@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.timeout(120 * (1 + KILLS))
def test_trainings_that_are_killed_again_and_again_lose_nothing_but_their_last_moments(
    launcher: Launcher, mpirun_command: str
) -> None:
    rng = random.Random(KILLS)
    directory = launcher.folder / "here"
    recorded: dict[str, bytes] = {}
    for victim, moment in draw_kills(rng):
        process = start_ranks(launcher, mpirun_command, RANKS, *SEARCH)
        wait_for(moment, launcher, rng)
        outlived = kill(launcher, process, victim, rng)
        check_kept(recorded, directory)
        recorded = read_journals(directory)
        print(
            f"killed {victim:6} {moment:13} {journals.count_finished(directory) if recorded else 0} finished, "
            f"{count_steps(launcher.folder)} steps, processes outlived their ranks by {outlived:.2f} s"
        )
    ended = launcher.finish(start_ranks(launcher, mpirun_command, RANKS, *SEARCH), timeout=60 + 4 * BUDGET)
    assert (ended.status, ended.err) == (0, "")
    assert f"all {RANKS} ranks hold the same population" in ended.out
    check_kept(recorded, directory)
    assert BUDGET <= journals.check_complete(directory) <= BUDGET + RANKS - 1
    assert journals.summary(directory)["completed"] == journals.summary(directory)["evaluations"]
    check_identities(directory)
    steps = read_steps(launcher.folder)
    check_little_is_repeated(steps)
    print(f"{len(steps)} steps were taken, {len(steps) - len({(step.individual, step.step) for step in steps})} again")
    check_weights(directory)


def draw_kills(rng: random.Random) -> Iterator[tuple[str, str]]:
    """What is killed and when: mpirun as often as asked for, and once in a while one of its ranks."""
    victims = ["mpirun"] * KILLS + ["a rank"] * (1 + KILLS // 5)
    moments = ["in training", "at an end", "at the start", "in training", "after a while"] * len(victims)
    moments = moments[: len(victims)]
    rng.shuffle(victims)
    rng.shuffle(moments)
    return zip(victims, moments, strict=True)


def wait_for(moment: str, launcher: Launcher, rng: random.Random) -> None:
    """Wait until a session is where it is to be killed."""
    directory = launcher.folder / "here"
    if moment == "in training":
        enough = count_steps(launcher.folder) + rng.randrange(1, 300)
        wait_until(lambda: count_steps(launcher.folder) >= enough, 60)
    elif moment == "at an end":
        before = journals.count_finished(directory)
        wait_until(lambda: journals.count_finished(directory) > before, 60)
    elif moment == "after a while":
        wait_until(lambda: len(list(directory.glob("journal/*.jsonl"))) == RANKS, 30)
        time.sleep(rng.uniform(0, 3))
    else:
        time.sleep(rng.uniform(0, 2))


def kill(launcher: Launcher, process: subprocess.Popen[str], victim: str, rng: random.Random) -> float:
    """Kill mpirun or one of its ranks, and see all end; returns the seconds by which they outlived the ranks."""
    assert process.poll() is None, "it had ended before it could be killed"
    ranks = find_ranks(launcher)
    of_each = {rank: descendants(launcher, rank) for rank in ranks.values()}
    outlived = 0.0
    if victim == "a rank" and ranks:
        rank = rng.choice(sorted(ranks.values()))
        os.kill(rank, signal.SIGKILL)
        outlived = wait_for_ends([rank], of_each[rank])
    else:
        process.kill()
    wait_until(lambda: not find_ranks(launcher), 60)  # Which may not even have begun, on a busy machine.
    return max(outlived, wait_for_ends([process.pid, *ranks.values()], launcher.survivors()))


def wait_for_ends(first: Sequence[int], then: Sequence[int]) -> float:
    """Wait for the end of some processes, and then of others; returns how many seconds those took."""
    wait_until(lambda: not any(map(is_alive, first)))
    died = time.monotonic()
    wait_until(lambda: not any(map(is_alive, then)))
    return time.monotonic() - died


def descendants(launcher: Launcher, process: int) -> list[int]:
    """The processes that a process has started, and those that these have started."""
    children = defaultdict(list)
    for other in launcher.survivors():
        children[parent_of(other)].append(other)
    found = [process]
    for parent in found:
        found += children[parent]
    return found[1:]


def read_journals(directory: Path) -> dict[str, bytes]:
    """The whole lines of each journal."""
    contents = {file.name: file.read_bytes() for file in (directory / "journal").glob("*.jsonl")}
    return {name: content[: content.rfind(b"\n") + 1] for name, content in contents.items()}


def check_kept(recorded: Mapping[str, bytes], directory: Path) -> None:
    """Check that all lines of before are still there, unchanged."""
    now = read_journals(directory)
    assert all(now[name].startswith(content) for name, content in recorded.items())


def check_identities(directory: Path) -> None:
    """Check that each rank has numbered its individuals from 0 on, and that each identity is one point and no other."""
    params = journals.started(directory)
    for rank, number in Counter(rank for rank, _ in params).items():
        assert {(rank, generation) for generation in range(number)} <= set(params)
    assert len({repr(point) for point in params.values()}) == len(params)


def check_little_is_repeated(steps: Sequence[Step]) -> None:
    """Check that each training, when it went on, repeated what one checkpoint interval holds, and left out no step."""
    for individual in {step.individual for step in steps}:
        own = [step for step in steps if step.individual == individual]
        sessions = [list(session) for _, session in groupby(own, lambda step: step.process)]
        for session in sessions:
            assert all(after.step == before.step + 1 for before, after in pairwise(session))
            assert all(step.optimizer_steps == step.step for step in session)
        assert sessions[0][0].step == 1
        for before, after in pairwise(sessions):
            assert before[0].step <= after[0].step <= before[-1].step + 1, individual
            repeated = before[after[0].step - before[0].step :]
            longest = max((later.time - sooner.time for sooner, later in pairwise(before)), default=0.0)
            assert not repeated or repeated[-1].time - repeated[0].time <= INTERVAL + longest, individual


def check_weights(directory: Path) -> None:
    """Check that the weights that were kept are those that have the losses in the journals."""
    folders = [file.parent for file in (directory / "individuals").rglob("best.ckpt")]
    assert len(folders) == 3
    outcomes = journals.finished(directory)
    images, digits = parts()["val"].tensors
    for identity, outcome in outcomes.items():
        folder = RunDirectory(directory).folder(identity)
        if folder in folders:
            net = logged_digits.Net.load_from_checkpoint(folder / "best.ckpt", map_location="cpu").eval()
            with torch.no_grad():
                loss = torch.nn.functional.cross_entropy(net(images), digits)
            assert float(loss) == pytest.approx(outcome.loss, rel=1e-4), identity
