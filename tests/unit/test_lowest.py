"""What `make test-lowest` tries: the oldest small packages that pyproject.toml allows."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import pytest
from lowest import lowest
from packaging.version import Version


def test_every_small_package_has_a_lower_bound() -> None:
    bounds = dict(each.split("==") for each in lowest())
    assert {"numpy", "msgspec", "jsonargparse", "rich"} <= bounds.keys()


def test_what_is_tried_at_its_lowest_is_what_is_installed() -> None:
    bounds = dict(each.split("==") for each in lowest())
    if not os.environ.get("PYTHONPATH", "").endswith("lowest"):
        assert all(Version(version(name)) >= Version(bound) for name, bound in bounds.items())
        pytest.skip("these are newer than the lowest: make test-lowest")
    assert {name: Version(version(name)) for name in bounds} == {name: Version(bound) for name, bound in bounds.items()}


def test_a_search_runs(tmp_path: Path) -> None:
    import evo

    result = evo.minimize(
        lambda params: params["x"] ** 2,
        {"x": (-1.0, 1.0), "n": (1, 9), "kind": ("a", "b")},
        evaluations=30,
        run_dir=str(tmp_path / "run"),
        quiet=False,
    )
    assert result.best is not None
    assert evo.__version__
