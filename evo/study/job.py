"""Job: what a command line or a call of `evo.minimize` asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evo.algorithms.bred import Breeding
from evo.objective.references import Named
from evo.study.config import Config


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a command line or a call of `evo.minimize` asks for.

    Args:
        config: The settings.
        objective: What is minimised.
        limits: What is searched, if the configuration does not say.
        propagator: A propagator or an algorithm, or its description. None means that of the configuration.
        notes: What to tell the user at the start about how the settings were understood.
    """

    config: Config
    objective: Callable[..., Any] | Named
    limits: Mapping[str, Any] | None = None
    propagator: Breeding | str | Mapping[str, Any] | None = None
    notes: Sequence[str] = ()
