"""The batch system Flux."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import final

from typing_extensions import override

from evo.runtime.batch.base import BatchSystem, Step, ask, whole_number

_WITHOUT_END = 2**32 - 1  # The answer, or a larger one, when there is no limit.


@final
class Flux(BatchSystem):
    """Flux. Its variables are documented in flux-environment(7), the time left, in whole seconds, in flux-job(1)."""

    name = "Flux"
    job = "FLUX_JOB_ID"
    prefixes = ("FLUX_",)
    tasks = "FLUX_JOB_SIZE"
    again = "flux batch the same script again"
    step = Step(
        launcher="flux run",
        rank="FLUX_TASK_RANK",
        size="FLUX_JOB_SIZE",
        local_rank="FLUX_TASK_LOCAL_ID",
        pmi="-o pmi=",
        connecting="flux run -o pmi=pmix",
    )

    @override
    def end(self, environment: Mapping[str, str]) -> float | None:
        left = whole_number(ask(["flux", "job", "timeleft"]).strip())
        return time.time() + left if 0 < left < _WITHOUT_END else None

    @override
    def nodes(self, environment: Mapping[str, str]) -> int:
        return whole_number(environment.get("FLUX_JOB_NNODES", ""))
