"""A training as a row of TensorBoard's HPARAMS page: its parameters, its loss, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from torch.utils.tensorboard import SummaryWriter
from typing_extensions import override

from evo.objective.objective import Infeasible, Interrupted, Trial
from evo.storage.retry import why_not_writable


@final
class RowLogger(TensorBoardLogger):
    """Lightning's logger for TensorBoard, with a row of the HPARAMS page in the same event file.

    Lightning's own log_hyperparams would also say which columns the page has, in every individual's file anew, and
    TensorBoard believes the first that it finds: conditional parameters which that individual does not have would be
    shown of none. Where no file says it, TensorBoard gathers the columns, their types and ranges from all rows.
    """

    def begin(self, params: Mapping[str, Any]) -> None:
        """Write the parameters, also to hparams.yaml. Only one that is absent is an empty cell: None is a word."""
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
        self.save()  # So that it is seen while the training runs, and when that is killed.

    def log_loss(self, loss: float, step: int, *, pruned: bool) -> None:
        """Write two metrics, "loss" and "pruned", 0 or 1, at the last training step."""
        # Always both: parallel coordinates leave out a row with an empty cell in a column that is shown.
        self.log_metrics({"loss": loss, "pruned": float(pruned)}, step)

    def end(self, status: Any) -> None:
        """Write what became of the training: a `Status`."""
        end = SessionEndInfo(status=status, end_time_secs=time.time())
        self._write(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))

    @override
    def finalize(self, status: str) -> None:
        self.save()  # Lightning has finished, but the file is still to get the end of the row.

    def close(self) -> None:
        """Close the event file."""
        super().finalize("success")

    def _write(self, tag: str, data: HParamsPluginData) -> None:
        value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)
        self.experiment._get_file_writer().add_summary(Summary(value=[value]))


def forget_from(loggers: Iterable[Logger], step: int) -> None:
    """Tell TensorBoard that a training goes on from a step: what its files hold of that one and later ones is void.

    Args:
        loggers: Of the training; those for TensorBoard are told.
        step: The first that is logged again.
    """
    for logger in loggers:
        # Where a logger writes nothing, on ranks but the first, Lightning puts something else in the writer's place.
        if isinstance(logger, TensorBoardLogger) and isinstance(logger.experiment, SummaryWriter):
            start = Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START))
            logger.experiment._get_file_writer().add_event(start)  # type: ignore[no-untyped-call]


@contextmanager
def row_logger(trial: Trial, params: Mapping[str, Any], *, writes: bool) -> Iterator[RowLogger]:
    """A logger for the training of an individual, with its row.

    The row has the parameters from the beginning on, whatever becomes of the training; and the status when that ends,
    unless it is interrupted, and goes on later.

    Args:
        trial: Its event file and hparams.yaml are written to the folder.
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
            # TensorBoard believes the first end, and what has failed for want of room goes on when there is some.
            if not why_not_writable(trial.folder, error):
                # TensorBoard has no word for a point that was refused, which is neither a success nor a failure.
                refused = isinstance(error, Infeasible)
                logger.end(Status.STATUS_UNKNOWN if refused else Status.STATUS_FAILURE)
            raise
        logger.end(Status.STATUS_SUCCESS)
    finally:
        logger.close()
