"""The batch system PBS."""

from __future__ import annotations

import contextlib
import datetime
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import final

from typing_extensions import override

from evo.runtime.batch.base import BatchSystem, ask, whole_number


@final
class PBS(BatchSystem):
    """PBS Professional, OpenPBS and Torque.

    The environment does not tell the end of the job, so `qstat -f` is asked. Sources of its attributes:
    pbs_job_attributes(7B) and qstat.c of OpenPBS (stime, Resource_List.walltime), stat_job.c of Torque
    (Walltime.Remaining). Sources of the variables: qsub(1B), start_exec.c of Torque (PBS_WALLTIME, PBS_NUM_NODES) and
    of OpenPBS (NCPUS, OMP_NUM_THREADS).
    """

    name = "PBS"
    job = "PBS_JOBID"
    threads = "NCPUS"
    again = "qsub the same script again"  # Users may not call qrerun, which is for operators.

    @override
    def end(self, environment: Mapping[str, str]) -> float | None:
        end = _parse_qstat(ask(["qstat", "-f", environment[self.job]]), time.time())
        return _end_by_torque(environment) if end is None else end

    @override
    def nodes(self, environment: Mapping[str, str]) -> int:
        told = whole_number(environment.get("PBS_NUM_NODES", ""))  # Only Torque sets this.
        with contextlib.suppress(OSError, KeyError, UnicodeDecodeError):
            # The file has one line with the name of the node for each process.
            return told or len(set(Path(environment["PBS_NODEFILE"]).read_text(encoding="utf-8").split()))
        return told


def _parse_qstat(answer: str, now: float) -> float | None:
    """The end of a job, from the lines of `qstat -f` such as `stime = Wed Aug 11 17:13:12 2021`."""
    attributes = dict(re.findall(r"^\s*([\w.]+) = (.*?)\s*$", answer, re.MULTILINE))
    if (left := attributes.get("Walltime.Remaining", "")).isdecimal():
        return now + int(left)
    limit = re.fullmatch(r"(?:(\d+):)?(\d+):(\d+)", attributes.get("Resource_List.walltime", ""))
    with contextlib.suppress(KeyError, ValueError):
        began = datetime.datetime.strptime(attributes["stime"], "%a %b %d %H:%M:%S %Y").timestamp()
        if limit:
            hours, minutes, seconds = (int(part or 0) for part in limit.groups())
            return began + 3600 * hours + 60 * minutes + seconds
    return None


def _end_by_torque(environment: Mapping[str, str]) -> float | None:
    """The end of a job of Torque, which sets the walltime and writes the file with the nodes when the job begins."""
    limit = whole_number(environment.get("PBS_WALLTIME", ""))
    with contextlib.suppress(OSError, KeyError):
        return Path(environment["PBS_NODEFILE"]).stat().st_mtime + limit if limit else None
    return None
