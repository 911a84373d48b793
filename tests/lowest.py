"""The lowest versions that pyproject.toml allows of the small packages, as pip takes them, for `make test-lowest`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

# Another version of these would bring another torch, hundreds of megabytes, or not suit other packages here.
KEPT = {"torch", "torchvision", "lightning", "lightning-utilities", "torchmetrics", "tensorboard", "matplotlib"}
KEPT |= {"scikit-learn", "scipy", "mpi4py", "typing-extensions"}


def lowest() -> Iterator[str]:
    """Each small package with its lower bound."""
    root = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
    project = (root / "pyproject.toml").read_text()
    dependencies = project.partition("\ndependencies = [\n")[2].partition("\n]\n")[0]
    for name, bound in re.findall(r'^    "([\w-]+)[^">]*(?:>=([\w.]+))?"', dependencies, re.MULTILINE):
        if name not in KEPT:
            assert bound, f"{name} has no lower bound in pyproject.toml: give the lowest with which the tests pass"
            yield f"{name}=={bound}"


if __name__ == "__main__":
    print(*lowest())
