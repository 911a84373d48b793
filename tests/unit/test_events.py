"""Records become one line of JSON and back, unchanged; anything else is refused."""

from __future__ import annotations

import json
import math
import re
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st
from records import NOW, finished, started

from evo.population.events import (
    AnyEvent,
    Died,
    Done,
    Finished,
    Joined,
    Judged,
    Migrated,
    Pollinated,
    Reported,
    Retired,
    Skipped,
    Started,
    decode,
    encode,
)
from evo.population.reason import StopKind
from evo.population.scalars import json_scalars

EXAMPLES: list[AnyEvent] = [
    Joined(time=NOW, rank=1, ranks=4, host="node", device="cuda:0"),
    started((1, 7), {"lr": 0.1, "layers": 3, "activation": "relu", "bias": True, "norm": None}, velocity=[0.1]),
    Reported(time=NOW, individual=(1, 7), step=2, loss=0.5),
    Judged(time=NOW, individual=(1, 7), rung=3, stop=True, value=0.5, threshold=0.25, among=4),
    finished((1, 7), 0.25),
    finished((1, 8), None),
    Retired(time=NOW, individual=(1, 7), island=0),
    Migrated(time=NOW, individual=(1, 7), island=2, move=1),
    Pollinated(time=NOW, individual=(1, 7), island=2),
    Skipped(time=NOW, individual=(1, 9)),
    Died(time=NOW, rank=3, heir=0),
    Done(time=NOW, rank=1, reason="7 generations are complete"),
]


def refused(fields: Any) -> None:
    with pytest.raises(ValueError, match="."):  # noqa: RUF043
        decode(json.dumps(fields).encode())


@given(event=strategies.events)
def test_a_record_survives_its_line_of_json(event: AnyEvent) -> None:
    line = encode(event)
    assert b"\n" not in line
    again = decode(line)
    assert type(again) is type(event)
    assert repr(again) == repr(event)  # Which tells 1 from 1.0 and -0.0 from 0.0.
    assert encode(again) == line
    assert decode(memoryview(line)) == again


@given(event=strategies.events)
def test_no_nan_and_no_infinity_is_ever_written(event: AnyEvent) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in {encode(event)!r}")

    json.loads(encode(event), parse_constant=refuse)


@given(line=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="replace")))
def test_junk_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="."):  # noqa: RUF043
        decode(line)


@given(event=strategies.events, data=st.data())
def test_a_torn_line_is_refused(event: AnyEvent, data: st.DataObject) -> None:
    line = encode(event)
    with pytest.raises(ValueError, match="."):  # noqa: RUF043
        decode(line[: data.draw(st.integers(0, len(line) - 1))])


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_a_record_with_another_field_or_without_one_of_its_own_is_refused(event: AnyEvent) -> None:
    fields = json.loads(encode(event))
    decode(json.dumps(fields).encode())
    refused(fields | {"other": 1})
    refused(fields | {"type": "Other"})
    for name in set(fields) - {"strategy", "loss"}:
        refused({other: value for other, value in fields.items() if other != name})


@pytest.mark.parametrize(
    ("event", "field", "value"),
    [
        (Started, "params", [0.1]),
        (Started, "individual", [1]),
        (Started, "individual", [1, 2, 3]),
        (Started, "individual", [1, 2.5]),
        (Started, "individual", "1-2"),
        (Started, "individual", [-1, 2]),
        (Started, "individual", [1, -2]),
        (Finished, "individual", [1, 2**60]),
        (Started, "island", None),
        (Started, "time", "now"),
        (Started, "rank", "2"),
        (Started, "rank", 0.5),
        (Migrated, "individual", [1]),
        (Migrated, "island", None),
        (Migrated, "move", 1.5),
        (Pollinated, "island", "2"),
        (Died, "rank", None),
        (Died, "heir", 0.5),
        (Finished, "status", "running"),
        (Finished, "status", "finished"),
        (Finished, "loss", "0.5"),
        (Finished, "loss", True),
        (Finished, "rank", 0.5),
        (Finished, "metrics", [1]),
        (Finished, "error", None),
        (Reported, "loss", None),
        (Reported, "step", 1.5),
        (Joined, "rank", "0"),
        (Done, "reason", 1),
    ],
)
def test_a_value_of_another_type_is_refused(event: type, field: str, value: Any) -> None:
    example = next(example for example in EXAMPLES if type(example) is event)
    refused(json.loads(encode(example)) | {field: value})


def test_a_start_names_its_rank_only_when_that_is_not_the_one_of_the_birth() -> None:
    own = started((1, 7), {"lr": 0.1})
    assert b"rank" not in encode(own)
    again = decode(encode(own)[:-1] + b',"rank":2}')
    assert isinstance(again, Started)
    assert (own.rank, again.rank) == (None, 2)
    assert again == Started(time=NOW, individual=(1, 7), island=0, params={"lr": 0.1}, rank=2)


@pytest.mark.parametrize("line", [b"", b"null", b"[]", b"{}", b"1", b'{"type":"Done"}', b'{"type":"Done"} {}'])
def test_json_that_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="."):  # noqa: RUF043
        decode(line)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "null"])
def test_a_loss_that_is_not_finite_cannot_be_read(number: str) -> None:
    for event in (EXAMPLES[2], finished((1, 7), 0.5)):
        line = re.sub(rb'"loss":[0-9.]+', f'"loss":{number}'.encode(), encode(event))
        with pytest.raises(ValueError, match="."):  # noqa: RUF043
            decode(line)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_cannot_be_recorded(loss: float) -> None:
    with pytest.raises(ValueError, match=f"the loss is {loss}"):
        Reported(time=NOW, individual=(0, 0), step=0, loss=loss)
    for status in ("completed", "pruned", "failed"):
        with pytest.raises(ValueError, match=f"the loss is {loss}"):
            finished((0, 0), loss, status)  # type: ignore[arg-type]


def test_a_completed_evaluation_has_a_loss() -> None:
    with pytest.raises(ValueError, match="no loss"):
        finished((0, 0), None, "completed")


def test_metrics_become_what_json_can_hold() -> None:
    class Colour(IntEnum):
        RED = 1

    class Share(float):
        pass

    metrics = json_scalars(
        {
            "int": 3,
            "float": 0.5,
            "bool": True,
            "none": None,
            "text": "ok",
            "nan": math.nan,
            "infinity": -math.inf,
            "numpy": np.float32(1.5),
            "numpy nan": np.float64(math.nan),
            "numpy bool": np.bool_(True),
            "array of one": np.array([[2]]),
            "array": np.array([1, 2]),
            "list": [1, 2],
            "path": Path("a/b"),
            "bytes of a file name": "\udcff",
            "enum": Colour.RED,
            "share": Share(0.5),
            7: 10**30,
        }
    )
    assert metrics == {
        "int": 3,
        "float": 0.5,
        "bool": True,
        "none": None,
        "text": "ok",
        "numpy": 1.5,
        "numpy bool": True,
        "array of one": 2,
        "array": "[1 2]",
        "list": "[1, 2]",
        "path": "a/b",
        "bytes of a file name": "\\udcff",
        "enum": str(Colour.RED),
        "share": "0.5",
        "7": 10**30,
    }
    record = decode(encode(Finished(time=NOW, individual=(0, 0), status="failed", rank=0, metrics=metrics)))
    assert isinstance(record, Finished)
    assert repr(record.metrics) == repr(metrics)


def test_a_tensor_of_one_number_is_that_number() -> None:
    class Tensor:  # As torch has it: `size` is a method.
        shape = ()

        def size(self) -> tuple[int, ...]:
            return self.shape

        def item(self) -> float:
            return 0.25

    assert json_scalars({"accuracy": Tensor()}) == {"accuracy": 0.25}


def test_what_stopped_a_worker_has_a_kind_that_journals_of_an_earlier_version_lack() -> None:
    old = b'{"type":"Done","time":1.0,"rank":0,"reason":"2 generations are complete"}'
    assert decode(old) == Done(time=1.0, rank=0, reason="2 generations are complete")
    assert encode(decode(old)) == old
    new = Done(time=1.0, rank=0, reason="the walltime is over", kind=StopKind.DEADLINE)
    assert b'"kind":"deadline"' in encode(new)
    assert decode(encode(new)) == new
