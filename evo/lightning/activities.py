"""Where a training spends its time, from the actions that Lightning tells its profiler."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, final

import torch
from lightning.pytorch.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler
from typing_extensions import override

from evo.errors import UserError

PROFILERS: dict[str, type[Profiler]] = {
    "simple": SimpleProfiler,
    "advanced": AdvancedProfiler,
    "pytorch": PyTorchProfiler,
}
_FILE = "profile"  # Lightning adds the stage: fit-profile.txt
_OTHER = ""
_NOTHING = nullcontext()

# The first of these words in the name of a hook says which activity it is. The innermost hook counts, so that the
# forward and backward pass, which Lightning calls inside the optimizer's step, are not part of that.
_ACTIVITIES = (
    ("save_checkpoint", "checkpoints"),
    ("dataloader", "loading"),
    ("val_next", "loading"),
    ("batch_to_device", "loading"),
    ("training_step", "forward"),
    ("backward", "backward"),
    ("optimizer", "optimizer"),
    ("gradient_clipping", "optimizer"),
    ("validation", "validation"),
)
_ASIDE = ("on_before_", "on_after_")  # They count as part of the hook around them; every callback has them.


@final
class Activities(Profiler):
    """Sums up the time of a training by activity, and passes everything on to another profiler.

    The activities are loading (data: setting it up, waiting for batches, of validations too, and moving them to the
    device), forward, backward, optimizer, validation (with the hooks that callbacks have there) and checkpoints. What
    is none of these, for example Lightning's loops, other hooks of callbacks, loggers and the start of a DataLoader's
    workers, is left out; with manual optimization, the backward pass is a part of forward. Timing an action costs one
    or two microseconds.

    A GPU works on while Python goes ahead, so its time counts where Python waits for it; see `waits_for_gpu`.

    Args:
        profiler: The other profiler. None means that there is none.
        waits_for_gpu: Whether each action that is timed waits until the GPU has nothing left to do.
        clock: Returns the time in seconds.

    Attributes:
        seconds: The seconds that were spent, by activity.

    Example:
        >>> activities = Activities(clock=iter([0.0, 1.0, 4.0, 9.0]).__next__)
        >>> with activities.profile("[LightningModule]Net.optimizer_step"):
        ...     with activities.profile("[Strategy]SingleDeviceStrategy.training_step"):
        ...         pass
        >>> activities.seconds
        {'optimizer': 6.0, 'forward': 3.0}
    """

    def __init__(
        self,
        profiler: Profiler | None = None,
        waits_for_gpu: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__()
        self._profiler = profiler
        self.seconds: dict[str, float] = {}
        self._waits_for_gpu = waits_for_gpu and torch.cuda.is_available()
        self._clock = clock
        self._since = 0.0
        self._current: list[str] = []
        self._known: dict[str, str] = {}

    @override
    def profile(self, action_name: str) -> AbstractContextManager[Any]:  # type: ignore[override]
        # A batch has some fifty actions, most of them hooks of callbacks, which must cost next to nothing.
        if self._profiler is None and not self._activity(action_name):
            return _NOTHING
        return super().profile(action_name)

    @override
    def start(self, action_name: str) -> None:
        if activity := self._activity(action_name):
            self._count()
            self._current.append(activity)
        if self._profiler:
            self._profiler.start(action_name)

    @override
    def stop(self, action_name: str) -> None:
        if self._activity(action_name) and self._current:
            self._count()
            self._current.pop()
        if self._profiler:  # It stops last, so that its report counts the wait for the GPU as part of the action.
            self._profiler.stop(action_name)

    @contextmanager
    def ended(self) -> Iterator[None]:
        """End the profiler and write its report also when what runs inside fails.

        Lightning does so after a success only.
        """
        try:
            yield
        except BaseException:
            with suppress(Exception):
                self.describe()
            self.teardown(None)
            raise

    def _activity(self, action: str) -> str:
        activity = self._known.get(action)
        if activity is None:
            activity = self._known[action] = _activity(action)
        return activity

    def _count(self) -> None:
        """Add the time since the last change to what was done meanwhile."""
        activity = self._current[-1] if self._current else _OTHER
        if activity and self._waits_for_gpu:
            torch.cuda.synchronize()
        now = self._clock()
        if activity:
            self.seconds[activity] = self.seconds.get(activity, 0.0) + now - self._since
        self._since = now

    @override
    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        if self._profiler:
            # Without the local rank, which Lightning would add to the file's name: it is 0 in all processes.
            self._profiler.setup(stage, None, log_dir)

    @override
    def teardown(self, stage: str | None) -> None:
        if self._profiler:
            self._profiler.teardown(stage)

    @override
    def summary(self) -> str:
        return self._profiler.summary() if self._profiler else ""

    @override
    def describe(self) -> None:
        if self._profiler:
            self._profiler.describe()

    @property
    def _lightning_module(self) -> Any:
        return getattr(self._profiler, "_lightning_module", None)

    @_lightning_module.setter
    def _lightning_module(self, module: Any) -> None:
        if self._profiler:  # PyTorch's profiler needs it; Lightning sets it from outside.
            self._profiler._lightning_module = module  # type: ignore[attr-defined]


def check_profiler(asked: Any) -> None:
    """Make sure that there is such a profiler.

    Args:
        asked: What the trainer's settings say: None, a name, or a profiler.

    Raises:
        UserError: No profiler has this name.
    """
    if isinstance(asked, str) and asked not in PROFILERS:
        raise UserError(f"trainer has the profiler {asked!r}: it must be one of {', '.join(PROFILERS)}")


def make_profiler(asked: Any, folder: Path, rank: int = 0) -> Activities:
    """What a training gets as its profiler.

    Args:
        asked: See `check_profiler`.
        folder: The folder for the report of a profiler that is given by its name, fit-profile.txt.
        rank: The place of this process among those that train together; all but the first write fit-profile-RANK.txt.
    """
    if isinstance(asked, str):
        asked = PROFILERS[asked](dirpath=folder, filename=f"{_FILE}-{rank}" if rank else _FILE)
    return Activities(asked, waits_for_gpu=asked is not None)


def _activity(action: str) -> str:
    owner, _, hook = action.rpartition(".")
    if owner.startswith("[LightningDataModule]"):
        return "loading"
    if hook.startswith(_ASIDE):
        return _OTHER
    return next((activity for part, activity in _ACTIVITIES if part in hook), _OTHER)
