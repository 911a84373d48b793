"""The identity of an individual, and its name."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

_Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Identity: TypeAlias = tuple[_Number, _Number]
"""Worker and generation of birth: unique for the life of a study."""


def individual_name(identity: Identity) -> str:
    """The name of an individual, by which its folder is called and people speak of it.

    Args:
        identity: The rank and the generation of its birth.

    Example:
        >>> individual_name((3, 12))
        '3-12'
    """
    return "{}-{}".format(*identity)
