"""A training as a row of TensorBoard's HPARAMS page: its parameters, its loss, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from torch.utils.tensorboard import SummaryWriter
from typing_extensions import override

from evo.lightning.runs import forget_csv_rows
from evo.objective.objective import Infeasible, Interrupted, Trial
from evo.storage.retry import why_not_writable


@final
class RowLogger(TensorBoardLogger):
    """Lightning's logger for TensorBoard, with a row of the HPARAMS page in the same event file.

    Lightning's own log_hyperparams would also write the columns of the page into every individual's file. TensorBoard
    takes the first columns that it finds, so conditional parameters which that individual lacks would not be shown.
    If no file has columns, TensorBoard gathers them, with their types and ranges, from all rows.
    """

    def begin(self, params: Mapping[str, Any]) -> None:
        """Write the parameters, also to hparams.yaml. None is written as a word; only an absent one is left empty."""
        self.log_hyperparams(dict(params), {})
        start = SessionStartInfo(start_time_secs=time.time())
        for name, value in params.items():
            if isinstance(value, bool):
                start.hparams[name].bool_value = value
            elif isinstance(value, (int, float)):
                start.hparams[name].number_value = value
            else:
                start.hparams[name].string_value = str(value)
        self._write(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start))
        self.save()  # The row is to be seen while the training runs, and when it is killed.

    def log_loss(self, loss: float, step: int, *, pruned: bool) -> None:
        """Write two metrics, "loss" and "pruned", 0 or 1, at the last training step."""
        # Both are always written, because parallel coordinates leave out a row with an empty cell in a shown column.
        self.log_metrics({"loss": loss, "pruned": float(pruned)}, step)

    def end(self, status: Any) -> None:
        """Write what became of the training: a `Status`."""
        end = SessionEndInfo(status=status, end_time_secs=time.time())
        self._write(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))

    @override
    def finalize(self, status: str) -> None:
        self.save()  # The file stays open, because it is still to get the end of the row.

    def close(self) -> None:
        """Close the event file."""
        super().finalize("success")

    def _write(self, tag: str, data: HParamsPluginData) -> None:
        value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)
        self.experiment._get_file_writer().add_summary(Summary(value=[value]))


def forget_from(loggers: Iterable[Logger], step: int) -> None:
    """Tell loggers that a training goes on from a step, so that what their files hold of later steps is void.

    Args:
        loggers: The loggers of the training; those for TensorBoard and for CSV files are told.
        step: The first step that is logged again.
    """
    for logger in loggers:
        # On ranks but the first a logger writes nothing, and Lightning puts something else in the writer's place.
        if isinstance(logger, TensorBoardLogger) and isinstance(logger.experiment, SummaryWriter):
            start = Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START))
            logger.experiment._get_file_writer().add_event(start)  # type: ignore[no-untyped-call]
        elif isinstance(logger, CSVLogger) and isinstance(logger.experiment, ExperimentWriter):
            forget_csv_rows(logger, step)


@contextmanager
def row_logger(trial: Trial, params: Mapping[str, Any], *, writes: bool) -> Iterator[RowLogger]:
    """A logger for the training of an individual, with its row.

    The row has the parameters from the beginning on, whatever becomes of the training. It gets the status when the
    training ends, unless that is interrupted and goes on later.

    Args:
        trial: The trial, to whose folder the event file and hparams.yaml are written.
        params: The individual's parameters.
        writes: Whether to write the row; one of the processes that train an individual together does.
    """
    logger = RowLogger(trial.folder, name="", version="", default_hp_metric=False)
    if not writes:
        yield logger
        return
    try:
        logger.begin(params)
        try:
            yield logger
        except Interrupted:
            raise
        except BaseException as error:
            # TensorBoard takes the first status, but a training that failed for want of disk space goes on later.
            if not why_not_writable(trial.folder, error):
                # TensorBoard has no status for a refused point, which is neither a success nor a failure.
                refused = isinstance(error, Infeasible)
                logger.end(Status.STATUS_UNKNOWN if refused else Status.STATUS_FAILURE)
            raise
        logger.end(Status.STATUS_SUCCESS)
    finally:
        logger.close()
