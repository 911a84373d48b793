"""What the facts mean for a search: findings, each with a verdict and what to do next. Pure functions of facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from evo.doctor.facts import Facts
from evo.doctor.finding import NO_BREAK, Finding
from evo.doctor.machines import judge_cores, judge_open_files, judge_ranks, judge_torch
from evo.doctor.places import counted, hosts_of, somewhere
from evo.doctor.storage import judge_directory, judge_locks, judge_space
from evo.versions import other_evo_advice

_MOST_SKEW = 1.0  # Seconds; walltimes and the order of events in the journals depend on clocks.
_SLOW_MESSAGES = 0.01  # Seconds; a rank that waits looks for messages as often.
_LITTLE_TIME, _NO_TIME = 600.0, 60.0  # Seconds until the end of the allocation; a search stops a minute before it.


def judge(facts: Facts) -> list[Finding]:
    """All findings, in the order in which to read them.

    Args:
        facts: What the examination found.
    """
    judges: Sequence[Callable[[Facts], Finding | None]] = (judge_versions, judge_name, judge_mpi, judge_world)
    if facts.connected:
        judges = (
            *judges,
            judge_ranks,
            judge_cores,
            judge_torch,
            judge_open_files,
            judge_messages,
            judge_clocks,
            judge_faults,
            judge_directory,
            judge_space,
            judge_locks,
            judge_time_left,
        )
    return [finding for judge_one in judges if (finding := judge_one(facts))]


def judge_versions(facts: Facts) -> Finding:
    """The same ones everywhere?"""
    first = facts.ranks[0].versions
    value = ", ".join(f"{name}{NO_BREAK}{version}" for name, version in first.items())
    for name in dict.fromkeys(name for rank in facts.ranks for name in rank.versions):
        others = [rank for rank in facts.ranks if rank.versions.get(name) != first.get(name)]
        if others:
            here, there = first.get(name, "absent"), others[0].versions.get(name, "absent")
            what = f"{name} is {here} on {facts.ranks[0].host}, but {there} on {somewhere(others)}"
            return Finding("versions", what, "problem", "start the same virtual environment on every node")
    return Finding("versions", value)


def judge_name(facts: Facts) -> Finding | None:
    """Whether another project has overwritten files of evo, since its package has the same name."""
    having = [rank for rank in facts.ranks if rank.other_evo]
    if not having:
        return None
    return Finding("name", f"{having[0].other_evo} on {somewhere(having)}", "problem", other_evo_advice())


def judge_mpi(facts: Facts) -> Finding:
    """Which library, and started by what."""
    launch = facts.launch
    if not launch.launcher:
        return Finding("MPI", "not in use: this process was started by itself")
    how = {"srun": f"srun --mpi={launch.plugin}" if launch.plugin else "srun without an MPI plugin"}
    by = how.get(launch.launcher, launch.launcher)
    return Finding("MPI", f"{launch.library or 'not in use'}, started by {by}")


def judge_world(facts: Facts) -> Finding:
    """Whether all that were started know each other, and are as many as Slurm has tasks."""
    launch, size = facts.launch, len(facts.ranks)
    if launch.expected > size and launch.launcher == "srun":
        value = f"srun started {launch.expected} tasks, but each is alone"
        return Finding("world", value, "problem", "start them with srun --mpi=pmix, or with mpirun")
    if launch.refusal:
        return Finding("world", launch.refusal, "problem", "install what is missing")
    if launch.expected > size:
        value = f"{launch.launcher} started {launch.expected} processes, but each is alone with {launch.library}"
        return Finding("world", value, "problem", "use the mpirun of this very MPI library: the two must be one")
    hosts = len(hosts_of(facts.ranks))
    value = f"{counted(size, 'rank')} on {counted(hosts, 'machine')}" + (", all connected" if size > 1 else "")
    tasks = launch.slurm_tasks
    if size == 1 and tasks > 1:
        value += f", but the Slurm allocation has {tasks} tasks"
        return Finding(
            "world", value, "problem", "start one rank per task: srun --mpi=pmix, or mpirun, and the command"
        )
    if tasks and tasks != size:
        return Finding("world", f"{value}; the Slurm allocation has {counted(tasks, 'task')}", "note")
    return Finding("world", value + (f", as many as Slurm has tasks ({tasks})" if tasks > 1 else ""))


def judge_messages(facts: Facts) -> Finding | None:
    """How long a message takes, there and back."""
    if not facts.trips:
        return None
    silent = [facts.ranks[trip.rank] for trip in facts.trips if trip.seconds is None]
    if silent:
        value = f"no answer from {somewhere(silent)}"
        advice = "let MPI use the right network, for example mpirun --mca btl_tcp_if_include eth0"
        return Finding("messages", value, "problem", advice)
    seconds = {trip.rank: trip.seconds for trip in facts.trips if trip.seconds is not None}
    slowest = max(seconds, key=lambda rank: seconds[rank])
    value = f"{_microseconds(median(seconds.values()))} there and back"
    if len(seconds) > 1:
        value += f"; slowest {_microseconds(seconds[slowest])}, to {facts.ranks[slowest].host}"
    return Finding("messages", value, "note" if seconds[slowest] > _SLOW_MESSAGES else "ok")


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.3g} us" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


def judge_clocks(facts: Facts) -> Finding | None:
    """Whether the clocks of all machines agree."""
    here = facts.ranks[0].node
    trips = [trip for trip in facts.trips or () if trip.seconds is not None and facts.ranks[trip.rank].node != here]
    if not trips:
        return None
    worst = max(trips, key=lambda trip: abs(trip.ahead))
    host, first = facts.ranks[worst.rank].host, facts.ranks[0].host
    if abs(worst.ahead) - worst.uncertainty > _MOST_SKEW:
        how = "ahead of" if worst.ahead > 0 else "behind"
        value = f"that of {host} is {abs(worst.ahead):.1f} s {how} that of {first}"
        return Finding("clocks", value, "problem", f"have the clock of {host} set (chrony, NTP), or exclude that node")
    return Finding("clocks", f"within {max(abs(worst.ahead), worst.uncertainty) * 1e3:.2g} ms of that of {first}")


def judge_faults(facts: Facts) -> Finding | None:
    """What the death of a rank would mean."""
    if len(facts.ranks) == 1:
        return None
    if facts.launch.fault_tolerant:
        return Finding("faults", "started with --with-ft ulfm: when a rank dies, the others go on")
    value = "a rank that dies ends the job, and the same command goes on; with mpirun --with-ft ulfm the others go on"
    return Finding("faults", value, "note")


def judge_time_left(facts: Facts) -> Finding | None:
    """How long the allocation lasts."""
    left = facts.seconds_left
    if left is None:
        return None
    minutes = max(0, int(left / 60))
    value = f"the allocation ends in {minutes // 60} h {minutes % 60:02} min"
    if left < _NO_TIME:
        return Finding("time left", value, "problem", "ask for more: a search stops a minute before the end")
    return Finding("time left", value, "note" if left < _LITTLE_TIME else "ok")
