"""Which parameters of an individual go to which part of its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evo.errors import UserError
from evo.lightning.parts import Part
from evo.lightning.trees import DICT_KWARGS, INIT_ARGS


def share_out(
    params: Mapping[str, Any], parts: Sequence[Part], dotted_only: Sequence[Part], *, at_once: bool = True
) -> list[dict[str, Any]]:
    """Which parameters each part gets, by their relative names.

    `model.lr` and `model.init_args.lr` go to the model; `lr` to each part that takes it by name, or else to those that
    take any.

    Args:
        params: The parameters of an individual.
        parts: The parts that get parameters without a dot.
        dotted_only: The parts that get parameters with a dot only.
        at_once: Whether the parameters belong to one individual, so that no two may be for the same argument.

    Raises:
        UserError: No part takes one of the parameters, or two of them are for the same argument.
    """
    everyone = [*parts, *dotted_only]
    shares = [_Share(at_once) for _ in everyone]
    places = {part.name: number for number, part in enumerate(everyone)}
    rest = {}
    for name, value in params.items():
        first, _, relative = name.partition(".")
        takers = [share for share, part in zip(shares, parts, strict=False) if name in part.named]
        if relative and first in places:
            steps = [step for step in relative.split(".") if step not in (INIT_ARGS, DICT_KWARGS)]
            shares[places[first]].put(".".join(steps), value, name)
        elif takers:
            for share in takers:
                share.put(name, value, name)
        else:
            rest[name] = value
    greedy = [share for share, part in zip(shares, parts, strict=False) if part.takes_any]
    if rest and not greedy:
        takes = ". ".join(f"{part.title} takes: {', '.join(part.named) or 'none'}" for part in parts)
        raise UserError(
            f"No constructor takes {', '.join(map(repr, rest))}. {takes}. Rename it in the limits, or add it to a "
            "constructor."
        )
    for share in greedy:
        for name, value in rest.items():
            share.put(name, value, name)
    return [share.arguments for share in shares]


class _Share:
    """What one part gets."""

    def __init__(self, at_once: bool) -> None:
        self.arguments: dict[str, Any] = {}
        self._at_once = at_once

    def put(self, place: str, value: Any, name: str) -> None:
        if self._at_once and place in self.arguments:
            raise UserError(
                f"{name!r} is searched twice, by two names for the same argument: leave one out of the limits"
            )
        self.arguments[place] = value
