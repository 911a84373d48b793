"""Run directories with much in them, written without a search, for tests of what shows them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from evo.population.events import AnyEvent, Done, Finished, Joined, Judged, Migrated, Reported, Started, encode
from evo.population.segments import Donor, SavedState, Segment
from evo.space.space import Space
from evo.storage.rundir import StudyRecord

BEGIN = 1.7e9
HOSTILE = '</script><script>document.documentElement.dataset.owned=1</script><img src=x onerror="alert(1)">$x$<b>%{x}'
"""What must be shown as it is, wherever it stands."""
LIMITS: Mapping[str, Any] = {
    "lr": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
    "width": (1, 64),
    "optimizer": ("sgd", "adam"),
    "momentum": {"type": "float", "low": 0.0, "high": 1.0, "when": {"optimizer": "sgd"}},
}
HOSTILE_LIMITS: Mapping[str, Any] = {HOSTILE: (0.0, 1.0), "<i>kind</i>": (HOSTILE, "<b>bold</b>"), "__proto__": (1, 9)}
_STATUSES = ["completed"] * 6 + ["pruned"] * 3 + ["failed"]


def write_run(path: Path, events: Mapping[int, list[AnyEvent]], limits: Mapping[str, Any], **study: Any) -> Path:
    """A run directory with these events in the journals of workers."""
    (path / "journal").mkdir(parents=True)
    given = {"name": "s", "objective": "loss:loss", "seed": 0, "created": BEGIN, **study}
    (path / "study.json").write_bytes(msgspec.json.encode(StudyRecord(limits=Space(limits).describe(), **given)))
    for worker, each in events.items():
        (path / "journal" / f"{worker}.jsonl").write_bytes(b"".join(encode(event) + b"\n" for event in each))
    return path


def eventful(count: int, limits: Mapping[str, Any], steps: int, name: str = "tpe") -> dict[int, list[AnyEvent]]:
    """Events of four workers on two islands, of which some are pruned, fail and travel."""
    space, rng, numbers = Space(limits), random.Random(0), np.random.default_rng(0)
    found: dict[int, list[AnyEvent]] = {
        worker: [Joined(time=BEGIN, rank=worker, ranks=4, host=f"node{worker // 2}", device="cpu")]
        for worker in range(4)
    }
    now = dict.fromkeys(found, BEGIN)
    known: list[tuple[int, int]] = []
    for number in range(count):
        worker, identity = number % 4, (number % 4, number // 4)
        params, loss, took = space.decode(space.sample(numbers)), rng.random() + 0.1, 1.0 + rng.random()
        parents = tuple(rng.sample(known, 2)) if len(known) > 2 else ()
        begin, status = now[worker], rng.choice(_STATUSES)
        found[worker].append(
            Started(time=begin, individual=identity, island=worker // 2, params=params, parents=parents, bred_by=name)
        )
        for step in range(steps if status == "completed" else min(steps, 2)):
            found[worker].append(Reported(time=begin + 0.1, individual=identity, step=step, loss=loss + 1 / (step + 1)))
        if steps and status != "failed":
            found[worker].append(
                Judged(
                    time=begin + 0.2, individual=identity, rung=2, stop=status == "pruned", value=loss, threshold=0.9,
                    among=number,
                )
            )  # fmt: skip
        now[worker] = begin + took
        failed = {"error": f"ValueError: {HOSTILE}", "traceback": f"Traceback\n{HOSTILE}"} if status == "failed" else {}
        found[worker].append(
            Finished(
                time=begin + took, individual=identity, status=status, loss=None if failed else loss, seconds=took,
                rank=worker, host=f"node{worker // 2}", device="cpu", times={"forward": took / 2}, **failed,
            )
        )  # fmt: skip
        if status == "completed":
            known.append(identity)
        if number % 7 == 0:
            found[worker].append(Migrated(time=now[worker], individual=identity, island=1 - worker // 2, move=1))
    for worker, each in found.items():
        each.append(Done(time=now[worker] + 0.5, rank=worker, reason=f"{count} evaluations are complete"))
    return found


LINEAGE_LIMITS: Mapping[str, Any] = {
    "lr": {"type": "float", "low": 1e-3, "high": 1.0, "log": True, "mutable": True},
    HOSTILE: {"type": "choice", "values": ["sgd", "<b>bold</b>"], "mutable": True},
    "width": (4, 64),
}


def divided(members: int = 4, segments: int = 3) -> dict[int, list[AnyEvent]]:
    """Events of one worker whose members train in segments of two steps; the last one gives its training up each time.

    Member m is individual 0-(s * members + m) in segment s. The loss is better the lower m and the later the segment.
    """
    found: list[AnyEvent] = [Joined(time=BEGIN, rank=0, ranks=1, host="node0", device="cpu")]
    for number in range(members * segments):
        segment, member = divmod(number, members)
        place, step = number - members, 2 * segment
        donor = 0 if member == members - 1 else member  # The best one's state.
        identity = (0, number - member - members + donor)
        goes_on = Donor(individual=identity, step=step, digest=str(identity[1])) if segment else None
        part = Segment(until=step + 2, donor=goes_on, replaces=(0, place) if segment else None)
        params = {"lr": 2.0 ** -(1 + segment + (member > 1)), HOSTILE: ["sgd", "<b>bold</b>"][segment % 2], "width": 8}
        loss, time = (member + 1.0) / (segment + 1), BEGIN + number
        start = {"parents": (identity,)} if segment else {}
        found += [
            Started(time=time, individual=(0, number), island=0, params=params, bred_by="pbt", segment=part, **start),
            Reported(time=time + 0.1, individual=(0, number), step=step, loss=loss + 1),
            Finished(
                time=time + 0.5, individual=(0, number), status="completed", loss=loss, seconds=0.5, rank=0,
                host="node0", device="cpu", state=SavedState(step=step + 2, digest=str(number)),
            ),
        ]  # fmt: skip
    return {0: found}
