"""Where the best individual comes from, how individuals travelled, and which algorithm found what."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from evo.population.events import Migrated, Pollinated
from evo.population.identity import Identity
from evo.report.contributions import Contribution
from evo.report.improvements import ends_in_order, numbered
from evo.report.pages.picture import BEST_COLOUR, COLOURS, STATUS_COLOURS, Axis, Picture, Series
from evo.report.pages.scales import Scale, scale_of
from evo.report.records import Evaluation
from evo.report.tables import number_text

_MOST_ANCESTORS = 120
_MOST_ISLANDS = 32
_LINE_COLOUR = "#9aa4b0"
_Placed: TypeAlias = tuple[float, Evaluation]  # An individual, and its number among those that have ended.


class Ancestry(NamedTuple):
    """The ancestors of an individual.

    Args:
        members: The individual and those that it descends from, itself first, the nearest ancestors before others.
        links: Pairs of a parent and its child, both among the members.
        is_whole: Whether these are all of its ancestors.
    """

    members: Sequence[Identity]
    links: Sequence[tuple[Identity, Identity]]
    is_whole: bool


def ancestry(individual: Identity, parents: Mapping[Identity, Sequence[Identity]], most: int) -> Ancestry:
    """The nearest ancestors of an individual.

    Args:
        individual: Its identity.
        parents: The parents of each individual that has any.
        most: The number of members at most.

    Example:
        >>> ancestry((0, 2), {(0, 2): [(0, 1), (0, 0)], (0, 1): [(0, 0)]}, 9).members
        [(0, 2), (0, 1), (0, 0)]
    """
    members = [individual]
    known = {individual}
    is_whole = True
    for member in members:  # It grows meanwhile: breadth first.
        for parent in parents.get(member, ()):
            if parent not in known and len(members) < most:
                known.add(parent)
                members.append(parent)
            is_whole = is_whole and parent in known
    links = [(parent, child) for child in members for parent in parents.get(child, ()) if parent in known]
    return Ancestry(members, links, is_whole)


def lineage(
    evaluations: Sequence[Evaluation],
    best: Evaluation,
    parents: Mapping[Identity, Sequence[Identity]],
) -> Picture | None:
    """The best individual and its ancestors; None when nothing is known of its parents.

    Args:
        evaluations: All evaluations of the study.
        best: The best individual.
        parents: The parents of each individual that has any.
    """
    family = ancestry(best.individual, parents, _MOST_ANCESTORS)
    if len(family.members) < 2:
        return None
    known = set(family.members)
    places = {
        one.individual: (float(number), one)
        for number, one in numbered(ends_in_order(evaluations))
        if one.individual in known
    }
    scale = scale_of(one.loss for _, one in places.values() if one.loss is not None)
    members = [places[identity] for identity in family.members[1:] if identity in places]
    groups: dict[str, list[_Placed]] = defaultdict(list)
    for number, one in members:
        groups[one.bred_by or "unknown"].append((number, one))
    nodes = [
        _nodes(found, (name, COLOURS[place % len(COLOURS)], "circle"), scale)
        for place, (name, found) in enumerate(groups.items())
    ]
    star = _nodes([places[best.individual]], (f"the best, {best.name}", BEST_COLOUR, "star"), scale)
    return Picture(
        name="lineage",
        title="The ancestors of the best",
        hint="Lines go from parents to children, the best individual is the star. Steep lines are the steps that "
        "brought much: the colours at their ends say who took them."
        + ("" if family.is_whole else f" Only the {len(family.members) - 1} nearest ancestors are drawn."),
        x=Axis(title="evaluations that have ended"),
        y=Axis(title="loss", log=scale.log, ends=scale.ends),
        series=[_family_lines(family.links, places, scale), *nodes, star],
    )


def _family_lines(
    links: Sequence[tuple[Identity, Identity]], places: Mapping[Identity, _Placed], scale: Scale
) -> Series:
    x: list[float | None] = []
    y: list[float | None] = []
    for parent, child in links:
        if parent in places and child in places:
            x += [places[parent][0], places[child][0], None]
            y += [_height(places[parent][1], scale), _height(places[child][1], scale), None]
    return Series(kind="lines", x=x[:-1], y=y[:-1], colour=_LINE_COLOUR, width=1.0)


def _height(one: Evaluation, scale: Scale) -> float:
    return scale.place(scale.high if one.loss is None else one.loss)


def _nodes(found: Sequence[_Placed], label: tuple[str, str, Literal["circle", "star"]], scale: Scale) -> Series:
    return Series(
        kind="points",
        x=[number for number, _ in found],
        y=[_height(one, scale) for _, one in found],
        name=label[0],
        colour=label[1],
        texts=[f"{one.name}, {one.bred_by or 'unknown'}: {number_text(one.loss) or one.status}" for _, one in found],
        symbol=label[2],
        width=14.0 if label[2] == "star" else 7.0,
    )


def journeys(travels: Iterable[Migrated | Pollinated], born: Mapping[Identity, int]) -> Mapping[tuple[int, int], int]:
    """How many individuals, or copies of them, went from which island to which other one.

    Args:
        travels: All moves and copies, in their order.
        born: The island on which each individual was born.

    Example:
        >>> journeys([Migrated(time=1.0, individual=(0, 0), island=1, move=1)], {(0, 0): 0})
        {(0, 1): 1}
    """
    homes = dict(born)
    found: dict[tuple[int, int], int] = defaultdict(int)
    for travel in travels:
        home = homes.get(travel.individual)
        if home is None or home == travel.island:
            continue
        found[home, travel.island] += 1
        if isinstance(travel, Migrated):
            homes[travel.individual] = travel.island
    return dict(found)


def migrants(found: Mapping[tuple[int, int], int], islands: Collection[int]) -> Picture | None:
    """How many individuals went from which island to which other one; None when there is one island only.

    Args:
        found: What `journeys` returned.
        islands: The islands that occur; of many, those with the most travel are drawn.
    """
    if len(islands) < 2:
        return None
    travel: Counter[int] = Counter()
    for pair, count in found.items():
        travel.update(dict.fromkeys(pair, count))
    drawn = sorted(sorted(islands, key=lambda island: (-travel[island], island))[:_MOST_ISLANDS])
    names = [f"island {island}" for island in drawn]
    cells = [[float(found.get((origin, target), 0)) for target in drawn] for origin in drawn[::-1]]  # From below.
    few = f" The {len(drawn)} of {len(islands)} islands with the most travel are drawn."
    return Picture(
        name="migrants",
        title="Travel between islands",
        hint="How many individuals, or copies of them, went from the island of a row to that of a column. An island "
        "that nobody leaves or reaches searches alone." + (few if len(drawn) < len(islands) else ""),
        x=Axis(title="to", categories=names),
        y=Axis(title="from", categories=names[::-1]),
        series=[Series(kind="cells", x=names, y=names[::-1], cells=cells)],
        height=160 + 60 * min(len(drawn), 10),
    )


def proposers(found: Mapping[str, Contribution], has_front: bool = False) -> Picture | None:
    """How many individuals each algorithm proposed, and how often it improved the best; None when there are none.

    Args:
        found: See `evo.report.contributions.contributions`.
        has_front: Whether there are several objectives, so that an improvement is one of the front.
    """
    if not found:
        return None
    names = sorted(found, key=lambda name: (-found[name].improvements, -found[name].evaluations, name))
    most = max(one.evaluations for one in found.values())
    return Picture(
        name="proposers",
        title="Which algorithm found what",
        hint="How many individuals each algorithm proposed, and beside it how many of these "
        + ("entered the front. " if has_front else "were better than all before. ")
        + "Early improvements are cheap, so random points often have some; the later ones are what counts.",
        x=Axis(title="individuals that have ended", ends=(0.0, 1.25 * most)),
        y=Axis(title="", categories=names[::-1]),
        series=[
            Series(
                kind="bars",
                x=[found[name].evaluations for name in names],
                y=names,
                colour=STATUS_COLOURS["completed"],
                texts=[f"{name}: {found[name].improvements} of {found[name].evaluations}" for name in names],
                labels=[f"{found[name].improvements} of {found[name].evaluations}" for name in names],
            )
        ],
        height=130 + 30 * len(names),
    )
