"""The versions of installed packages, and whether another project named `evo` is installed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from evo import __version__

if TYPE_CHECKING:
    from importlib.metadata import Distribution

DISTRIBUTION = "evo-mpi"
"""The name of this project for pip; `evo` alone is another project."""
_PACKAGE = "evo"
_COMMANDS = ("evo.__main__:main", "evo.cli:main")  # The second one is that of an older evo.


def versions_of(distributions: Iterable[str]) -> dict[str, str]:
    """The versions of evo and of other distributions; those that are not installed are left out.

    Args:
        distributions: The names of the other distributions, as pip knows them.
    """
    # Most ranks do not need this, and it takes 30 ms to load.
    from importlib.metadata import PackageNotFoundError, version

    found = {_PACKAGE: __version__}  # True also of a copy that is not installed but stands in the path.
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def other_evo() -> str:
    """Another project that is installed under the name `evo`, with its version and place; empty when there is none.

    Both projects bring a package and a command of this name, so the one installed last has overwritten files of the
    other.
    """
    from importlib.metadata import distributions

    for each in distributions(name=_PACKAGE):
        if not _is_this_project(each):
            return f"another project's evo {each.version}, in {os.path.normpath(str(each.locate_file('')))}"
    return ""


def is_installed_by_former_name() -> bool:
    """Whether an older version of this project is installed under its former name `evo`."""
    from importlib.metadata import distributions

    return any(_is_this_project(each) for each in distributions(name=_PACKAGE))


def other_evo_advice() -> str:
    """The commands that replace another project's evo with this one."""
    return f"pip uninstall {_PACKAGE}, then pip install --force-reinstall --no-deps {DISTRIBUTION}"


def _is_this_project(distribution: Distribution) -> bool:
    scripts = distribution.entry_points.select(group="console_scripts", name=_PACKAGE)
    return any(script.value in _COMMANDS for script in scripts)
