"""Runs in a tracking store that a training has opened, so that another process can end them if the training dies.

A store shows a run as running until somebody ends it. A training ends its own runs, but not when its
process is killed. So it notes them in a file in the individual's folder, and the rank that finds the process dead has
them ended by a small process: the rank itself loads no client of a store. The same file says in which runs a training
that is continued goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from evo.storage.files import write_whole
from evo.texts import as_path

OPEN_RUNS = "runs.json"
"""The file in an individual's folder."""
MLFLOW_STATUSES = {
    "completed": "FINISHED",
    "pruned": "FINISHED",
    "infeasible": "KILLED",
    "interrupted": "KILLED",
    "restarted": "KILLED",
    "failed": "FAILED",
}
"""What a status of evo's is called in MLflow, which has fewer; the tag evo.status has evo's own."""
_LONGEST_TAG = 500  # Characters of a reason.


class OpenRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run in a tracking store.

    Args:
        kind: The kind of store.
        run: The identifier of the run there.
        store: Where the store is, as MLflow's client takes it.
        opening: The plain arguments by which Weights & Biases opens the run again.
    """

    kind: Literal["mlflow", "wandb"]
    run: str
    store: str = ""
    opening: dict[str, Any] = {}


def note_open_runs(folder: Path, runs: Sequence[OpenRun | None]) -> None:
    """Note the runs of a training, before it begins.

    Args:
        folder: The individual's folder.
        runs: Its runs in the order of its loggers, None for a logger whose runs have no identifier.
    """
    if any(runs):
        write_whole(folder / OPEN_RUNS, lambda stream: stream.write(msgspec.json.encode(list(runs))))


def read_open_runs(folder: Path) -> list[OpenRun | None]:
    """The runs that were noted; none if there is no such file, or a damaged one."""
    try:
        return msgspec.json.decode((folder / OPEN_RUNS).read_bytes(), type=list[OpenRun | None])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return []


def forget_open_runs(folder: Path) -> None:
    """Note that all runs have ended for good."""
    (folder / OPEN_RUNS).unlink(missing_ok=True)


def end_mlflow_run(run: OpenRun, status: str, error: str = "") -> None:
    """End a run of MLflow's.

    Args:
        run: The run.
        status: What became of the individual, in evo's words.
        error: The reason, if there is one.

    Raises:
        Exception: Whatever MLflow's client raises.
    """
    from mlflow.tracking import MlflowClient

    client = MlflowClient(run.store)
    client.set_tag(run.run, "evo.status", status)
    if error:
        client.set_tag(run.run, "evo.error", error[:_LONGEST_TAG])
    client.set_terminated(run.run, MLFLOW_STATUSES[status])


def _end_wandb_run(run: OpenRun, status: str, error: str) -> None:
    """Open a run of Weights & Biases again, with its parameters, to write what became of it.

    What its process had not yet written when it was killed is lost, perhaps the parameters too.
    """
    import wandb

    again = wandb.init(**{"resume": "allow", **run.opening, "id": run.run})
    again.summary.update({"status": status, "error": error[:_LONGEST_TAG]})
    again.finish(exit_code=1)


def end_in_another_process(
    folder: str, status: str, error: str, environment: Mapping[str, str]
) -> subprocess.Popen[bytes] | None:
    """Have the runs of a training whose process is dead ended, if it has left any open; returns at once.

    Args:
        folder: The individual's folder.
        status: What became of the individual.
        error: The reason.
        environment: The environment of the training, which may say how to reach a store.

    Returns:
        The process that ends them; None where there is nothing to end, or no process can be started: that runs stay
        open is no reason to end a search.
    """
    if not os.path.exists(as_path(folder) / OPEN_RUNS):
        return None
    reason = error[:_LONGEST_TAG].replace("\0", "")
    command = [sys.executable, "-m", "evo.evaluation.open_runs", folder, status, reason]
    with suppress(OSError, ValueError):  # No memory, say, no working directory, or a character that the locale lacks.
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        # What it prints, MLflow's notes on its own state, belongs to nobody.
        return subprocess.Popen(
            command,
            env={**environment, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return None


def main(folder: str, status: str, error: str) -> None:
    """End the runs that a training has left open; those of an interrupted one stay noted, because it goes on there.

    A run that cannot be ended keeps no other one open, and stays noted.
    """
    place = as_path(folder)
    are_ended = True
    for run in read_open_runs(place):
        if run is not None:
            try:
                (end_mlflow_run if run.kind == "mlflow" else _end_wandb_run)(run, status, error)
            except Exception:  # Whatever a store's client raises; nobody is there to be told.
                are_ended = False
    if are_ended and status != "interrupted":
        forget_open_runs(place)


if __name__ == "__main__":
    main(*sys.argv[1:4])
