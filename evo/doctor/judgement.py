"""What the facts mean for a search: findings, each with a verdict and what to do next. Pure functions of facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from evo.doctor.facts import Facts, RankFacts, Torch
from evo.doctor.report import NO_BREAK, Finding, counted, hosts_of, map_lines, range_text, somewhere
from evo.doctor.storage import judge_directory, judge_locks, judge_space
from evo.runtime.gpus import make_of
from evo.versions import other_evo_advice

_OWN_FILES = 100  # Files that a rank has open besides its connections: libraries, pipes, journals.
_MOST_SKEW = 1.0  # Seconds; walltimes and the order of events in the journals depend on clocks.
_SLOW_MESSAGES = 0.01  # Seconds; a waiting rank looks for messages at this interval.
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
            judge_gpus,
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
    """Whether all ranks have the same packages."""
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
    """Which MPI library is used, and what started the ranks."""
    launch = facts.launch
    if not launch.launcher:
        return Finding("MPI", "not in use: this process was started by itself")
    return Finding("MPI", f"{launch.library or 'not in use'}, started by {launch.how}")


def judge_world(facts: Facts) -> Finding:
    """Whether all ranks that were started are connected, and fill the job."""
    launch, size = facts.launch, len(facts.ranks)
    if launch.refusal:
        return Finding("world", launch.refusal, "problem", "install what is missing")
    if launch.expected > size and launch.advice:
        value = f"{launch.launcher} started {launch.expected} tasks, but each is alone"
        return Finding("world", value, "problem", launch.advice)
    if launch.expected > size:
        value = f"{launch.launcher} started {launch.expected} processes, but each is alone with {launch.library}"
        return Finding("world", value, "problem", "use the mpirun of this very MPI library: the two must be one")
    hosts = len(hosts_of(facts.ranks))
    value = f"{counted(size, 'rank')} on {counted(hosts, 'machine')}" + (", all connected" if size > 1 else "")
    tasks = launch.tasks
    if size == 1 and tasks > 1:
        value += f", but the {launch.batch} allocation has {tasks} tasks"
        how = f"{launch.connecting}, or mpirun" if launch.connecting else "mpirun"
        return Finding("world", value, "problem", f"start one rank per task: {how}, and the command")
    if tasks and tasks != size:
        return Finding("world", f"{value}; the {launch.batch} allocation has {counted(tasks, 'task')}", "note")
    if hosts < launch.nodes:
        value += f"; the {launch.batch} allocation has {launch.nodes} nodes"
        return Finding("world", value, "note", "start ranks on all of them, or ask for fewer")
    return Finding("world", value + (f", as many as {launch.batch} has tasks ({tasks})" if tasks > 1 else ""))


def judge_ranks(facts: Facts) -> Finding | None:
    """Which rank trains where, and which GPUs several ranks share, or none uses."""
    known = {torch.rank: torch.identifier for torch in facts.torch or () if torch.identifier}
    value = "\n".join(map_lines(facts.ranks))
    idle, shared = [], 0
    for ranks in hosts_of(facts.ranks):
        devices = [known.get(rank.place.rank, rank.place.device) for rank in ranks if rank.place.device != "cpu"]
        shared = max([shared, *map(devices.count, devices)])
        if facts.gpus_wanted and len(set(devices)) < max(rank.gpus for rank in ranks):
            idle.append(ranks)
    if idle:
        ranks = idle[0]
        gpus = max(rank.gpus for rank in ranks)
        value += (
            f"\n{counted(gpus, 'GPU')} but {counted(len(ranks), 'rank')} on {somewhere([*ranks[:1]])}: some are idle"
        )
        return Finding("ranks", value, "note", "start as many ranks per node as it has GPUs")
    if shared > 1:
        value += f"\n{shared} ranks share one GPU"
        makes = [make for rank in facts.ranks if (make := make_of(rank.place.device))]
        return Finding("ranks", value, "note", makes[0].sharing)
    return Finding("ranks", value)


def judge_gpus(facts: Facts) -> Finding | None:
    """What the environment hides of GPUs that are there."""
    having = [rank for rank in facts.ranks if rank.gpu_remark]
    if not having or not facts.gpus_wanted:
        return None
    alike = [rank for rank in having if rank.gpu_remark == having[0].gpu_remark]
    value = f"{somewhere(alike)}: {having[0].gpu_remark}"
    return Finding("GPUs", value, "note", "unset it to train on all of them, or give --gpus-per-node 0 for none")


def judge_cores(facts: Facts) -> Finding:
    """Whether each rank may use its fair share of the cores of its machine."""
    crowded = [ranks for ranks in hosts_of(facts.ranks) if len(ranks) > max(rank.permitted for rank in ranks)]
    for ranks in hosts_of(facts.ranks):
        on_core = {core: sum(core in rank.cores for rank in ranks) for rank in ranks for core in rank.cores}
        fair = max(rank.permitted for rank in ranks) / len(ranks)
        bound = [rank for rank in ranks if sum(1 / on_core[core] for core in rank.cores) <= fair / 2]
        if bound:
            return _bound_too_tightly(bound, fair)
    places = [rank.place.threads for rank in facts.ranks]
    value = f"{range_text([min(places), max(places)])} {'thread' if max(places) == 1 else 'threads'} for each training"
    if crowded:
        cores = max(rank.permitted for rank in crowded[0])
        value += f"; {counted(len(crowded[0]), 'rank')} share {counted(cores, 'core')} of {crowded[0][0].host}"
        return Finding(
            "cores", value, "note", "trainings slow each other down: with fewer ranks each of them is faster"
        )
    return Finding("cores", value)


def _bound_too_tightly(bound: Sequence[RankFacts], fair: float) -> Finding:
    cores = sorted({len(rank.cores) for rank in bound})
    together = len(bound) > 1 and len({tuple(rank.cores) for rank in bound}) == 1
    each = "" if len(bound) == 1 else " together" if together else " each"
    value = (
        f"{somewhere(bound)}: bound to {range_text(cores)} {'core' if cores[-1] == 1 else 'cores'}{each}, although "
        f"the machine has {counted(bound[0].permitted, 'core')}: {fair:.3g} for each rank"
    )
    advice = f"mpirun --bind-to none, or srun --cpus-per-task={max(1, int(fair))} --cpu-bind=none"
    return Finding("cores", value, "problem", advice)


def judge_torch(facts: Facts) -> Finding | None:
    """Whether a training can start, and sees the GPU that it should."""
    if not facts.torch:
        return None
    place = {rank.place.rank: rank for rank in facts.ranks}
    for refused in _refused(facts.torch):
        where = somewhere([place[torch.rank] for torch in refused])
        return Finding(
            "torch",
            f"a training cannot start on {where}: {refused[0].refusal}",
            "problem",
            "run python -c 'import torch, lightning' there",
        )
    bound = [torch for torch in facts.torch if place[torch.rank].place.device != "cpu"]
    blind = [torch for torch in bound if not torch.gpus]
    if blind:
        where, version = somewhere([place[torch.rank] for torch in blind]), blind[0]
        value = f"{where}: torch {version.version} ({version.built_for or 'built for the CPU'}) sees no GPU"
        make = make_of(place[version.rank].place.device)
        tool = make.tool if make else "their tool"
        return Finding("torch", value, "problem", f"install torch for these GPUs; look at {tool} for their driver")
    first, slowest = facts.torch[0], max(torch.seconds for torch in facts.torch)
    value = f"{first.version}, loaded with Lightning in {slowest:.0f} s"
    if bound:
        names = dict.fromkeys(torch.gpus[0] for torch in bound)
        if remark := next((torch.remark for torch in bound if torch.remark), ""):
            return Finding("torch", f"{value}; sees {', '.join(names)}, but {remark}", "note")
        return Finding("torch", f"{value}; every rank sees its GPU: {', '.join(names)}")
    unseen = [torch for torch in facts.torch if torch.gpus]
    if unseen and facts.gpus_wanted:
        value += f"; it sees {counted(len(unseen[0].gpus), 'GPU')} that evo does not"
        return Finding("torch", value, "note", f"--gpus-per-node {len(unseen[0].gpus)}, also for the search")
    if first.built_for and facts.gpus_wanted:
        return Finding("torch", f"{value}; it is built for {first.built_for}, but there is no GPU", "note")
    return Finding("torch", f"{value}; trains on the CPU")


def _refused(torch: Sequence[Torch]) -> list[list[Torch]]:
    """The ranks that cannot train, by reason, the most frequent reason first."""
    reasons: dict[str, list[Torch]] = {}
    for one in torch:
        if one.refusal:
            reasons.setdefault(one.refusal, []).append(one)
    return sorted(reasons.values(), key=len, reverse=True)


def judge_open_files(facts: Facts) -> Finding | None:
    """Whether a rank may have a connection to every other one."""
    limits = [rank.open_files for rank in facts.ranks if rank.open_files]
    if not limits:
        return None
    needed = len(facts.ranks) + _OWN_FILES
    value = f"{min(limits)} for each rank"
    if min(limits) >= needed:
        return Finding("open files", value)
    value += f", but connections to {len(facts.ranks) - 1} others may need {needed}"
    return Finding(
        "open files", value, "problem", f"ulimit -n {2 * needed} in the batch script, before the ranks start"
    )


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
    value = "a rank that dies ends the job, and the same command goes on"
    if facts.launch.library.startswith("Open MPI"):
        value += "; with mpirun --with-ft ulfm the others go on"
    return Finding("faults", value, "note")


def judge_time_left(facts: Facts) -> Finding | None:
    """How long the allocation lasts."""
    left = facts.seconds_left
    if left is None:
        if not facts.launch.batch:
            return None
        value = f"{facts.launch.batch} does not say when this job ends"
        return Finding("time left", value, "note", "if it ends, give the search --walltime, so that it stops in time")
    minutes = max(0, int(left / 60))
    value = f"the allocation ends in {minutes // 60} h {minutes % 60:02} min"
    if left < _NO_TIME:
        return Finding("time left", value, "problem", "ask for more: a search stops a minute before the end")
    return Finding("time left", value, "note" if left < _LITTLE_TIME else "ok")
