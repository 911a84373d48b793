"""Arguments are read as type hints say, and numbers stay what they were given as."""

from __future__ import annotations

from typing import Any, Optional, Union

import lightning as L

from evo.lightning.making import read_arguments

# To Python's typing this and Union[int, float] are one: of both, it keeps the order that comes first.
FloatsFirst = Optional[Union[float, int]]  # noqa: UP007, UP045


class Rates:
    def __init__(self, share: FloatsFirst = None, rate: float = 0.5) -> None:
        self.share, self.rate = share, rate


class Holds:
    def __init__(self, one: Any = None, several: Any = None) -> None:
        self.one, self.several = one, several


def test_one_batch_is_not_all_of_them_whatever_hints_were_read_before() -> None:
    assert repr(read_arguments("model", Rates, {"share": 1})["share"]) == "1"
    given: dict[str, Any] = {"limit_train_batches": 1, "limit_val_batches": 1.0, "overfit_batches": 2}
    read = read_arguments("trainer", L.Trainer, given, make=False)
    assert {name: repr(read[name]) for name in given} == {name: repr(value) for name, value in given.items()}


def test_so_it_is_in_sections_within_sections() -> None:
    inner = {"class_path": "test_lightning_making.Rates", "init_args": {"share": 1, "rate": 1}}
    made = read_arguments("model", Holds, {"one": inner, "several": [inner, inner]})
    for rates in (made["one"], *made["several"]):
        assert (repr(rates.share), repr(rates.rate)) == ("1", "1.0")
