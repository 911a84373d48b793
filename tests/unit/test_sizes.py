"""Nothing in evo/ is longer than can be read at one sitting, and every test stands in one of the tiers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import sizes
from helpers import TESTS
from sizes import MOST_LINES, MOST_LINES_OF_FUNCTION, MOST_PARAMETERS, Size, measure

FOUND = measure()

# What may be larger, and why. Names are those that `python tests/sizes.py` prints.
EXCEPTIONS = {
    "study/session.py:minimize": "the entry for users, whose documentation and typed arguments are its length",
    "problems/digits.py:DigitsNet.__init__": "the parameters of a network are what is searched",
}


def too_large(found: Sequence[Size], most: int) -> list[str]:
    return [f"{size.name}: {size.count}" for size in found if size.count > most and size.name not in EXCEPTIONS]


def test_no_file_is_too_long_to_be_read_at_one_sitting() -> None:
    assert too_large(FOUND.files, MOST_LINES) == []


def test_no_function_is_too_long_to_be_seen_at_one_look() -> None:
    assert too_large(FOUND.functions, MOST_LINES_OF_FUNCTION) == []


def test_no_function_has_more_parameters_than_can_be_kept_in_mind() -> None:
    assert too_large(FOUND.parameters, MOST_PARAMETERS) == []


def test_every_exception_is_still_one() -> None:
    large = {size.name for size in FOUND.files if size.count > MOST_LINES}
    large |= {size.name for size in FOUND.functions if size.count > MOST_LINES_OF_FUNCTION}
    large |= {size.name for size in FOUND.parameters if size.count > MOST_PARAMETERS}
    assert set(EXCEPTIONS) <= large


def test_sizes_are_counted_as_a_reader_counts_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.py").write_text(
        "class A:\n    @property\n    def long(self, a, /, b, *rest, c, **more):\n        def inner(self):\n"
        "            return 1\n\n        return inner\n\n\ndef plain(a, b): ...\n"
    )
    found = measure(tmp_path)
    assert found.files == [Size("deep/one.py", 10)]
    assert found.functions == [
        Size("deep/one.py:A.long", 5),
        Size("deep/one.py:A.long.inner", 2),
        Size("deep/one.py:plain", 1),
    ]
    assert found.parameters == [
        Size("deep/one.py:A.long", 5),
        Size("deep/one.py:plain", 2),
        Size("deep/one.py:A.long.inner", 0),
    ]
    sizes.main()
    assert capsys.readouterr().out.count("\n") == 3 * 11


def test_every_test_stands_in_one_of_the_three_tiers() -> None:
    folders = {file.parent.relative_to(TESTS).as_posix() for file in TESTS.rglob("test_*.py")}
    assert folders == {"unit", "integration", "cluster"}
    names = [file.name for file in TESTS.rglob("test_*.py")]
    assert len(names) == len(set(names)), "two files of one name cannot be imported side by side"
