"""Stores of MLflow's, each made once before trainings log to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import MLFlowLogger

from evo.errors import UserError
from evo.lightning.data import once_per_node
from evo.lightning.loggers import TRACKING_URI, sections_of
from evo.lightning.signatures import find_any
from evo.lightning.trees import CLASS_PATH, INIT_ARGS

_LONGEST_WAIT = 60.0  # Seconds in which another machine must have made a database.
_PAUSE = 0.2
_SQLITE = "sqlite:///"


def make_stores(loggers: Any, session: str) -> None:
    """Make the stores of MLflow's that loggers use, with their experiments.

    It is done once on each node while the other processes wait, because two processes that make the tables of a new
    database at the same time break each other's. Those of other machines, which share no lock, try again.

    Args:
        loggers: A trainer's `logger`, with its places.
        session: The session of the study.

    Raises:
        UserError: The folder of a database does not exist.
        Exception: Whatever MLflow's client raises, when it still does so after a minute.
    """
    for section in sections_of(loggers):
        owner = find_any(section[CLASS_PATH], "trainer.logger")
        if isinstance(owner, type) and issubclass(owner, MLFlowLogger):
            _make_store(section.get(INIT_ARGS) or {}, session)


def _make_store(given: Mapping[str, Any], session: str) -> None:
    uri = given.get("tracking_uri") or TRACKING_URI or f"file:{given.get('save_dir')}"
    experiment, artifacts = str(given.get("experiment_name")), given.get("artifact_location")
    folder = Path(uri.removeprefix(_SQLITE)).parent
    if uri.startswith(_SQLITE) and not folder.is_dir():
        raise UserError(f"trainer.logger: tracking_uri is {uri}, but there is no folder {folder}: make it")

    def make() -> None:
        deadline = time.monotonic() + (_LONGEST_WAIT if uri.startswith(_SQLITE) else 0.0)
        while not _is_made(uri, experiment, artifacts, may_fail=time.monotonic() < deadline):
            time.sleep(_PAUSE)

    once_per_node(f"mlflow {uri} {experiment}", session, make)


def _is_made(uri: str, experiment: str, artifacts: str | None, *, may_fail: bool) -> bool:
    from mlflow.tracking import MlflowClient

    try:
        client = MlflowClient(uri)
        if client.get_experiment_by_name(experiment) is None:
            client.create_experiment(experiment, artifact_location=artifacts)
    except Exception:
        if not may_fail:
            raise
        return False
    return True
