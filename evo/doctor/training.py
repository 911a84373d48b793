"""What a training would see: torch and Lightning, loaded in a process with its environment."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import msgspec

from evo.doctor.facts import Torch
from evo.runtime.device import Place, training_environment

_PATIENCE = 90.0  # Seconds; from a cold shared file system, torch may take most of a minute.
_PROGRAM = "evo.lightning.devices"


class _Said(msgspec.Struct):
    """What that process prints."""

    version: str
    built_for: str
    gpus: tuple[str, ...]
    identifier: str
    refusal: str


def try_training(place: Place) -> Torch:
    """Load torch and Lightning as a training of a rank would; the rank itself loads neither.

    Args:
        place: Of the rank.
    """
    environment = training_environment(os.environ, place.environment)
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    began = time.monotonic()
    try:
        ended = subprocess.run(
            [sys.executable, "-m", _PROGRAM],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return Torch(rank=place.rank, seconds=_PATIENCE, refusal=f"torch is not loaded after {_PATIENCE:g} s")
    seconds = time.monotonic() - began
    try:
        said = msgspec.json.decode(ended.stdout.splitlines()[-1] if ended.stdout else b"", type=_Said)
    except msgspec.DecodeError:
        last = ended.stderr.decode(errors="replace").strip().splitlines()[-1:]
        why = last[0] if last else f"exit status {ended.returncode}"
        return Torch(rank=place.rank, seconds=seconds, refusal=why)
    return Torch(rank=place.rank, seconds=seconds, **msgspec.structs.asdict(said))
