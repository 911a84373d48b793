"""What the facts mean for the run directory."""

from __future__ import annotations

from evo.doctor.facts import Directory, Facts, RankFacts
from evo.doctor.report import Finding, hosts_of, somewhere

_LITTLE_SPACE, _NO_SPACE = 1e9, 5e7  # Bytes; journals are small, checkpoints of the best few are not.


def judge_directory(facts: Facts) -> Finding | None:
    """Whether all ranks see the same run directory, and may write there."""
    directory = facts.directory
    if directory is None:
        return None
    what, path, first = "run directory", directory.path, facts.ranks[0].host
    choose = "choose another with --run-dir, on a file system that all nodes share"
    if directory.refusal:
        return Finding(what, f"{path} cannot be written on {first}: {directory.refusal}", "problem", choose)
    for problem, why in _views_with_problems(facts, directory):
        return Finding(what, f"{path}: {problem} on {somewhere(why)}", "problem", choose)
    if directory.unseen:
        where = somewhere([facts.ranks[rank] for rank in directory.unseen])
        return Finding(what, f"{path}: {first} does not see what was written on {where}", "problem", choose)
    if directory.left_behind:
        return Finding(what, f"{path}: cannot be removed again: {directory.left_behind}", "note")
    everywhere = "" if len(hosts_of(facts.ranks)) == 1 else " from every machine, and the same on all"
    return Finding(what, f"{path} can be written{everywhere}")


def _views_with_problems(facts: Facts, directory: Directory) -> list[tuple[str, list[RankFacts]]]:
    problems: dict[str, list[RankFacts]] = {}
    for rank, view in zip(facts.ranks, directory.views, strict=True):
        if view.unread:
            problems.setdefault(f"what {facts.ranks[0].host} wrote is not there ({view.unread})", []).append(rank)
        elif view.unwritten:
            problems.setdefault(f"cannot be written ({view.unwritten})", []).append(rank)
    return sorted(problems.items(), key=lambda problem: -len(problem[1]))


def judge_space(facts: Facts) -> Finding | None:
    """Whether there is room for journals and checkpoints."""
    if facts.directory is None or facts.directory.refusal:
        return None
    free = facts.directory.free
    value = f"{free / 1e9:,.1f} GB free"
    if free < _NO_SPACE:
        return Finding("space", f"{free / 1e6:.0f} MB free", "problem", "make room, or choose another with --run-dir")
    return Finding("space", value, "note" if free < _LITTLE_SPACE else "ok")


def judge_locks(facts: Facts) -> Finding | None:
    """Whether a second run in the same directory would be noticed."""
    tried = [view.excluded for view in facts.directory.views if view.excluded is not None] if facts.directory else []
    if not tried:
        return None
    if all(tried):
        return Finding("locks", "work: a second run in the same directory is noticed")
    value = "do not keep other machines out" if any(tried) else "do not work on this file system"
    return Finding("locks", f"{value}: never start two runs in the same directory at once", "note")
