"""Checks what a user's own propagator returns, which a journal must be able to hold and to give back."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from evo.frames import cut_off, representation
from evo.population.identity import Identity
from evo.population.individual import Individual, Known
from evo.population.segments import Segment
from evo.space.space import Space
from evo.space.values import plain

_LONGEST_VALUE = 100  # The number of characters of a wrong value that a message shows.


def usable(individual: Individual, space: Space) -> Individual:
    """An individual whose parents are plain pairs of whole numbers; a known one is returned itself.

    Args:
        individual: What a propagator has returned.
        space: The space that it was bred in.

    Raises:
        ValueError: A journal could not give it back; the message names the field, its value and the rule.

    Example:
        >>> space = Space({"x": (0.0, 1.0)})
        >>> usable(Individual(genome=np.zeros(1), parents=[(np.int64(0), 3)]), space).parents
        ((0, 3),)
        >>> usable(Individual(genome=np.zeros(1), bred_by=7), space)
        Traceback (most recent call last):
            ...
        ValueError: bred_by 7: it must be a text, of type str
    """
    _check_genome(individual.genome, space)
    _check_strategy(individual.strategy)
    if isinstance(individual, Known):
        if not _is_kept(individual.identity, Identity):
            raise ValueError(f"identity {_shown(individual.identity)}: return known individuals as they were given")
        return individual
    if why := why_no_name(individual.bred_by):
        raise ValueError(why)
    usable_segment(individual.segment)
    if individual.parents is None:
        return individual
    return msgspec.structs.replace(individual, parents=_identities(individual.parents))


def usable_segment(segment: Any) -> Segment | None:
    """The segment that an algorithm gives, if a journal can give it back.

    Raises:
        ValueError: It cannot, or the segment has no step.
    """
    if segment is not None and not (isinstance(segment, Segment) and _is_kept(segment, Segment)):
        raise ValueError(f"segment {_shown(segment)}: it must be an evo.algorithms.Segment, or None")
    if segment is not None and segment.until <= segment.begin:
        raise ValueError(f"segment {_shown(segment)}: it must end after step {segment.begin}, from which it goes on")
    return segment


def why_no_name(name: Any) -> str:
    """The reason why a journal cannot hold this as the name of what has bred an individual; empty when it can."""
    return (
        "" if type(name) is str and _is_kept(name, str) else f"bred_by {_shown(name)}: it must be a text, of type str"
    )


def _check_genome(genome: Any, space: Space) -> None:
    if not isinstance(genome, np.ndarray) or genome.dtype.kind != "f":
        kind = f"an array of {genome.dtype}" if isinstance(genome, np.ndarray) else f"a {type(genome).__name__}"
        raise ValueError(f"genome {_shown(genome)}, {kind}: it must be a numpy array of floats")
    if genome.shape != (len(space),):
        raise ValueError(f"a genome of shape {genome.shape}: it must be of shape ({len(space)},)")


def _check_strategy(strategy: Any) -> None:
    if type(strategy) is not dict or (strategy and not _is_kept(strategy, dict[str, Any])):
        raise ValueError(
            f"strategy {_shown(strategy)}: it must be a mapping of names to what JSON gives back unchanged: texts, "
            "finite numbers of Python, true, false, null, and lists and mappings of these; an array as array.tolist()"
        )


def _identities(parents: Any) -> tuple[Identity, ...]:
    try:
        return msgspec.convert(plain(parents), tuple[Identity, ...])
    except Exception:
        raise ValueError(
            f"parents {_shown(parents)}: they must be identities, pairs of whole numbers from 0, such as "
            "tuple(parent.identity for parent in parents)"
        ) from None


def _is_kept(value: Any, kind: Any) -> bool:
    """Whether JSON gives a value back as it was."""
    try:
        return bool(msgspec.json.decode(msgspec.json.encode(value), type=kind) == value)
    except Exception:  # The value is the user's, so that comparing it may fail as well.
        return False


def _shown(value: Any) -> str:
    return cut_off(" ".join(representation(value).split()), _LONGEST_VALUE)
