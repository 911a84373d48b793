"""What is installed: the versions of packages, and whether another project has the name `evo`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from evo import __version__

if TYPE_CHECKING:
    from importlib.metadata import Distribution

DISTRIBUTION = "evo-mpi"
"""What pip calls this project; `evo` alone is another one."""
_PACKAGE = "evo"
_COMMANDS = ("evo.__main__:main", "evo.cli:main")  # The second one is that of an older evo.


def versions_of(distributions: Iterable[str]) -> dict[str, str]:
    """The versions of evo and of what is installed beside it; what is not installed is absent.

    Args:
        distributions: Their names, as pip has them.
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
    """What of another project is installed under the name `evo`; empty: nothing is.

    Both projects bring a package and a command of this name, and the one that was installed last has overwritten files
    of the other.
    """
    from importlib.metadata import distributions

    for each in distributions(name=_PACKAGE):
        if not _is_this_project(each):
            return f"another project's evo {each.version}, in {os.path.normpath(str(each.locate_file('')))}"
    return ""


def is_installed_by_former_name() -> bool:
    """Whether an older version of this project is installed, by its former name `evo`."""
    from importlib.metadata import distributions

    return any(_is_this_project(each) for each in distributions(name=_PACKAGE))


def other_evo_advice() -> str:
    """What to do about another project's evo."""
    return f"pip uninstall {_PACKAGE}, then pip install --force-reinstall --no-deps {DISTRIBUTION}"


def _is_this_project(distribution: Distribution) -> bool:
    scripts = distribution.entry_points.select(group="console_scripts", name=_PACKAGE)
    return any(script.value in _COMMANDS for script in scripts)
