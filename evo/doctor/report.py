"""The report: findings, ranks and machines in few words, and all of it as text. Pure functions."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evo.doctor.facts import RankFacts

NO_BREAK = "\N{NO-BREAK SPACE}"
"""Becomes a space in the report, at which no line is broken."""

Severity = Literal["ok", "note", "problem"]

_MOST_DEVICES = 4
_INDENT = " " * 24
_LEAST_WIDTH, _MOST_WIDTH = 60, 100


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        what: What was looked at.
        value: What was found, in one or several lines.
        verdict: Whether it is a problem for a search.
        advice: What to do next.
    """

    what: str
    value: str
    verdict: Severity = "ok"
    advice: str = ""


def hosts_of(ranks: Sequence[RankFacts]) -> list[list[RankFacts]]:
    """The ranks of each machine, in the order of their first ranks."""
    machines: dict[int, list[RankFacts]] = {}
    for rank in ranks:
        machines.setdefault(rank.node, []).append(rank)
    return list(machines.values())


def map_lines(ranks: Sequence[RankFacts]) -> list[str]:
    """Which ranks train where, in one line for all machines that are alike."""
    alike: dict[tuple[object, ...], list[list[RankFacts]]] = {}
    for machine in hosts_of(ranks):
        alike.setdefault(tuple((rank.place.device, rank.place.threads) for rank in machine), []).append(machine)
    return [_map_line(machines) for machines in alike.values()]


def _map_line(machines: Sequence[Sequence[RankFacts]]) -> str:
    first = machines[0]
    devices = list(dict.fromkeys(rank.place.device for rank in first))
    shown = devices if len(devices) <= _MOST_DEVICES else [*devices[:2], "…", devices[-1]]
    threads = [rank.place.threads for rank in first]
    each = f"{range_text([min(threads), max(threads)])} {'thread' if max(threads) == 1 else 'threads'} each"
    if len(machines) == 1:
        who = f"{first[0].host}: {ranks_text(first)}"
    else:
        names = _names_text([machine[0].host for machine in machines])
        who = f"{names} ({len(machines)} machines): {counted(len(first), 'rank')} each"
    return f"{who}, on {', '.join(shown)}; {each}"


def somewhere(ranks: Sequence[RankFacts]) -> str:
    """Which machines these ranks are on, and which ranks they are.

    Example: "node1 (ranks 0-3)", or "node1, …, node9 (5 machines, 20 ranks)".
    """
    hosts = list(dict.fromkeys(rank.host for rank in ranks))
    if len(hosts) == 1:
        return f"{hosts[0]} ({ranks_text(ranks)})"
    return f"{_names_text(hosts)} ({len(hosts)} machines, {counted(len(ranks), 'rank')})"


def _names_text(hosts: Sequence[str]) -> str:
    return ", ".join(hosts) if len(hosts) <= 2 else f"{hosts[0]}, …, {hosts[-1]}"


def ranks_text(ranks: Sequence[RankFacts]) -> str:
    """The numbers of some ranks, as a range or a list; of too many, only how many they are."""
    numbers = [rank.place.rank for rank in ranks]
    if len(numbers) == 1:
        return f"rank {numbers[0]}"
    if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
        return f"ranks {range_text(numbers)}"
    return f"ranks {', '.join(map(str, numbers))}" if len(numbers) <= _MOST_DEVICES else counted(len(numbers), "rank")


def range_text(numbers: Sequence[int]) -> str:
    """The numbers from the first to the last."""
    return "-".join(str(number) for number in dict.fromkeys((numbers[0], numbers[-1])))


def counted(number: int, noun: str) -> str:
    """A number with its noun, in singular or plural."""
    return f"{number} {noun}{'s' * (number != 1)}"


def report_text(findings: Sequence[Finding], width: int) -> str:
    """What people read: a verdict, what was looked at, what was found, and what to do about it.

    Args:
        findings: The findings, in their order.
        width: Columns of the terminal; 0 when there is none.
    """
    columns = max(_LEAST_WIDTH, min(width or _MOST_WIDTH, _MOST_WIDTH))
    lines = [line.replace(NO_BREAK, " ") for finding in findings for line in _lines(finding, columns)]
    return "\n".join([*lines, textwrap.fill(_conclusion(findings), columns)])


def _lines(finding: Finding, columns: int) -> list[str]:
    lines = [line for part in finding.value.splitlines() for line in _wrapped(part, "", columns)]
    if finding.advice:
        lines += _wrapped(finding.advice, "-> ", columns)
    lines[0] = f"{finding.verdict:<8} {finding.what:<14} {lines[0].lstrip()}"
    return lines


def _wrapped(text: str, mark: str, columns: int) -> list[str]:
    return textwrap.wrap(
        text,
        columns,
        initial_indent=_INDENT + mark,
        subsequent_indent=_INDENT + " " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _conclusion(findings: Sequence[Finding]) -> str:
    count = Counter(finding.verdict for finding in findings)
    notes = f", and {counted(count['note'], 'note')}" if count["note"] else ""
    if not count["problem"]:
        return f"evo doctor: no problem found{notes}"
    return f"evo doctor: {counted(count['problem'], 'problem')}{notes}: do what follows each arrow first"
