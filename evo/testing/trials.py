"""A trial without a search, for tests of objectives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from evo.objective.losses import reported_losses
from evo.objective.objective import Trial
from evo.objective.steps import ReportedSteps, state_step
from evo.population.identity import Identity
from evo.population.objectives import ONE_LOSS, Objectives


@final
@dataclass(kw_only=True)
class FakeTrial:
    """A trial for an objective without a search: it keeps all reports, and asks to stop or interrupts on demand.

    All other attributes of a trial are fields; see `evo.objective.objective.Trial`.

    Args:
        folder: The individual's own folder, which is made.
        stop_after: The number of reports after which `should_stop` is true.
        interrupted_after: The number of times that `interrupted` is false before it is true. None means that it is
            always false.
        reports: The intermediate losses so far, each with its step; of several objectives, those of the first.
        vectors: The losses of all objectives of each report, if there are several and all were known; else empty.
        state: What the objective has said of its state, see `note_state`; None while it has said nothing.

    Example:
        >>> import tempfile
        >>> def loss(params, trial):
        ...     for epoch in range(10):
        ...         trial.report(params["x"] / (epoch + 1), step=epoch)
        ...         if trial.should_stop:
        ...             break
        ...     trial.metrics["epochs"] = epoch + 1
        ...     return params["x"] / (epoch + 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trial = FakeTrial(Path(folder), stop_after=2)
        ...     loss({"x": 6.0}, trial), trial.reports, trial.metrics
        (3.0, [(0, 6.0), (1, 3.0)], {'epochs': 2})
    """

    folder: Path = field(kw_only=False)
    individual: Identity = (0, 1)
    parents: Mapping[Identity, Path] = field(default_factory=dict)
    seed: int = 1
    threads: int = 1
    stop_after: float = math.inf
    interrupted_after: int | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    reports: list[tuple[int, float]] = field(default_factory=list)
    vectors: list[tuple[float, ...]] = field(default_factory=list)
    rank: int = 0
    size: int = 1
    communicator: Any = None
    checkpoint_interval: float = math.inf
    session: str = ""
    attempt: int = 1
    gpu_memory: float = 1.0
    found: Mapping[str, int] | None = None
    collective_timeout: float = 600.0
    results: Path | None = None
    trust: bool = False
    begin: int = 0
    until: int | None = None
    inherit: Path | None = None
    weights: Path | None = None
    objectives: Objectives = ONE_LOSS
    state: tuple[int, bool] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._steps = ReportedSteps(self.begin)

    @property
    def interrupted(self) -> bool:
        """Whether the evaluation should save its state and raise `evo.Interrupted`; counts the times it was read."""
        if self.interrupted_after is None:
            return False
        self.interrupted_after -= 1
        return self.interrupted_after < 0

    @property
    def should_stop(self) -> bool:
        """Whether the evaluation should end early, with the loss so far."""
        return len(self.reports) >= self.stop_after

    def note_state(self, step: int, *, is_over: bool = False) -> None:
        """Keep what the objective says of its state.

        Raises:
            UserError: The step is no whole number from that at which it began, and up to `until`.
        """
        self.state = state_step(step, self.begin, self.until), is_over

    def report(self, loss: Any, *others: Any, step: int | None = None) -> None:
        """Keep an intermediate loss; one that is not finite is ignored.

        Raises:
            TypeError: The loss is not one number.
            UserError: The step is no whole number from 0, or is given by position.
        """
        number = self._steps.take(loss, *others, step=step)
        found = reported_losses(loss, self.objectives, self.metrics)
        if math.isfinite(found.loss):
            self.reports.append((number, found.loss))
            self.vectors.append(found.losses)


_IS_A_TRIAL: Callable[..., Trial] = FakeTrial  # Lets the type checker find attributes of Trial that are missing here.
