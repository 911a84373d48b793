"""The batch system IBM Spectrum LSF."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import final

from typing_extensions import override

from evo.runtime.batch.base import BatchSystem, Step, ask, whole_number


@final
class LSF(BatchSystem):
    """IBM Spectrum LSF. Its variables: "Environment variables set for job execution" in its documentation.

    The environment does not tell the end of the job, so `bjobs -WL` is asked. It prints the hours and minutes left, and
    L when these come from the limit. `jsrun` sets the variables that Lightning's LSFEnvironment reads too.
    """

    name = "LSF"
    job = "LSB_JOBID"
    prefixes = ("JSM_NAMESPACE_",)
    again = "bsub the same script again; with bsub -Q 85 LSF queues it again by itself"
    step = Step(
        launcher="jsrun",
        rank="JSM_NAMESPACE_RANK",
        size="JSM_NAMESPACE_SIZE",
        local_rank="JSM_NAMESPACE_LOCAL_RANK",
    )

    @override
    def end(self, environment: Mapping[str, str]) -> float | None:
        job, index = environment[self.job], whole_number(environment.get("LSB_JOBINDEX", ""))
        return _parse_bjobs(ask(["bjobs", "-WL", f"{job}[{index}]" if index else job]), job, time.time())

    @override
    def nodes(self, environment: Mapping[str, str]) -> int:
        # Each host is followed by its number of slots.
        return len(set(environment.get("LSB_MCPU_HOSTS", "").split()[::2]))


def _parse_bjobs(answer: str, job: str, now: float) -> float | None:
    """The end of a job, from a line such as `123 me RUN normal hostA hostB search 1:05 L` with the time left."""
    for line in answer.splitlines():
        left = re.search(r"\s(\d+):(\d+) L$", line.rstrip())
        if left and line.split()[0] == job:
            return now + 3600 * int(left[1]) + 60 * int(left[2])
    return None
