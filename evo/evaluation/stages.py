"""What an objective was doing when, noted line by line while it is tried, so that the death of its process loses none.

A process that is tried out may be killed or may hang, and then only what stands in a file tells how far it came.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

STAGES = "stages.jsonl"
MAKING, SETTING_UP = "making the parts", "setting up"
TRAINING_BATCH, VALIDATION_BATCH = "training batch", "validation batch"
CALLING = "calling the loss"
ENDING, ENDED = "ending the epoch", "ended"

MISTAKE, NOT_LOGGED, LAST = "mistake", "not logged", "last"
"""Facts: what the user can mend, as a sentence; that there is no metric to be the loss; that no batch follows."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Something that has begun; it lasts until the next one begins.

    Args:
        doing: What it is.
        number: Which one of its kind, from 1.
        time: When it began, in seconds since the epoch.
        memory: The most memory that the process has held until then, in bytes.
        gpu_memory: The same of its GPU; 0 without one.
        facts: What was found out by then.
    """

    doing: str
    number: int = 1
    time: float = 0.0
    memory: int = 0
    gpu_memory: int = 0
    facts: dict[str, Any] = {}

    @property
    def text(self) -> str:
        """What it is, in words: "training batch 3"."""
        return f"{self.doing} {self.number}" if self.doing in (TRAINING_BATCH, VALIDATION_BATCH) else self.doing


def note_stage(folder: Path, doing: str, number: int = 1, gpu_memory: int = 0, **facts: Any) -> None:
    """Note that something begins.

    Args:
        folder: The folder for the notes.
        doing: What begins.
        number: Which one of its kind.
        gpu_memory: The most memory of the GPU that was held, in bytes.
        facts: What was found out, as JSON can hold it.
    """
    stage = Stage(
        doing=doing, number=number, time=time.time(), memory=peak_memory(), gpu_memory=gpu_memory, facts=facts
    )
    with (folder / STAGES).open("ab") as file:
        file.write(msgspec.json.encode(stage) + b"\n")


def note_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Note what was found out about what is being done.

    Args:
        folder: The folder for the notes.
        facts: What was found out, as JSON can hold it.
    """
    last = (read_stages(folder) or [Stage(doing=MAKING)])[-1]
    note_stage(folder, last.doing, last.number, last.gpu_memory, **facts)


def read_stages(folder: Path) -> list[Stage]:
    """What was noted in a folder until now; nothing if there is no such file."""
    try:
        lines = (folder / STAGES).read_bytes().splitlines(keepends=True)
    except OSError:
        return []
    return [msgspec.json.decode(line, type=Stage) for line in lines if line.endswith(b"\n")]


def peak_memory() -> int:
    """The most memory that this process has held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
