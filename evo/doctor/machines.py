"""What the facts of each machine mean: ranks and their GPUs, cores, torch, open files. Pure functions of facts."""

from __future__ import annotations

from collections.abc import Sequence

from evo.doctor.facts import Facts, RankFacts, Torch
from evo.doctor.finding import Finding
from evo.doctor.places import counted, hosts_of, map_lines, range_text, somewhere

_OWN_FILES = 100  # Files that a rank has open besides its connections: libraries, pipes, journals.


def judge_ranks(facts: Facts) -> Finding | None:
    """Who trains where; GPUs that several ranks share, or none uses."""
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
        return Finding("ranks", value, "note", "as meant for small networks, and faster with CUDA MPS")
    return Finding("ranks", value)


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
        return Finding("torch", value, "problem", "install torch for these GPUs; look at nvidia-smi for their driver")
    first, slowest = facts.torch[0], max(torch.seconds for torch in facts.torch)
    value = f"{first.version}, loaded with Lightning in {slowest:.0f} s"
    if bound:
        names = dict.fromkeys(torch.gpus[0] for torch in bound)
        return Finding("torch", f"{value}; every rank sees its GPU: {', '.join(names)}")
    unseen = [torch for torch in facts.torch if torch.gpus]
    if unseen and facts.gpus_wanted:
        value += f"; it sees {counted(len(unseen[0].gpus), 'GPU')} that evo does not"
        return Finding("torch", value, "note", f"--gpus-per-node {len(unseen[0].gpus)}, also for the search")
    if first.built_for and facts.gpus_wanted:
        return Finding("torch", f"{value}; it is built for {first.built_for}, but there is no GPU", "note")
    return Finding("torch", f"{value}; trains on the CPU")


def _refused(torch: Sequence[Torch]) -> list[list[Torch]]:
    """Those that cannot train, by reason, the most frequent first."""
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
