"""The confusion matrix of a test, from whatever a module's test_step returns."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from test_lightning_objective import Scripted, Zeros, scripted

import evo.lightning.predictions
from evo.lightning.predictions import Predictions
from evo.testing.trials import FakeTrial


def collected(*returned: Any) -> Predictions:
    predictions = Predictions()
    for each in returned:
        predictions.add("Net", each)
    return predictions


@pytest.mark.parametrize(
    ("returned", "matrix"),
    [
        ([{"preds": [0, 2, 2], "target": [0, 1, 2]}], [[1, 0, 0], [0, 0, 1], [0, 0, 1]]),
        ([{"preds": [0, 0], "target": [0, 0]}], [[2, 0], [0, 0]]),
        ([{"preds": [[0.1, 0.7, 0.2]], "target": [1]}], [[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
        ([{"preds": [[-3.0, 7.0]], "target": [0]}, {"preds": [[9.0, 7.0]], "target": [0]}], [[1, 1], [0, 0]]),
        ([{"preds": [0.9, 0.2, 0.6], "target": [1, 0, 0]}], [[1, 1], [0, 1]]),
        ([{"preds": [3.0, -2.0], "target": [1.0, 1.0]}], [[0, 0], [1, 1]]),
        ([{"preds": [1, 0], "target": [1.0, 0.0], "loss": 0.5}], [[1, 0], [0, 1]]),
        ([None, {"preds": [1], "target": [1]}], [[0, 0], [0, 1]]),
    ],
)
def test_classes_scores_and_probabilities_are_counted(returned: list[Any], matrix: list[list[int]]) -> None:
    assert collected(*returned).matrix().tolist() == matrix


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        ([], "there was no test batch"),
        ([None], 'test_step of Net returns nothing: let it return {"preds": predictions, "target": labels}'),
        ([torch.zeros(3)], "test_step of Net returns a Tensor: let it return"),
        ([{}], "test_step of Net returns a mapping with nothing in it: let it"),
        ([{"loss": 1.0, "preds": [1]}], "test_step of Net returns a mapping with 'loss', 'preds': let it return"),
        ([{"preds": [[[1]]], "target": [1]}], r"preds of shape \(1, 1, 1\) and target of shape \(1,\): it needs one"),
        ([{"preds": [1], "target": [1, 2]}], r"preds of shape \(1,\) and target of shape \(2,\): it needs one class"),
        ([{"preds": 1, "target": 1}], r"preds of shape \(\) and target of shape \(\)"),
        ([{"preds": [1.0], "target": [0.25]}], r"a target with 0\.25: that is no class"),
        ([{"preds": [0, 1], "target": [-1, 1]}], "test_step of Net returns classes below 0: they count from 0"),
        ([{"preds": [-1, 1], "target": [0, 1]}], "test_step of Net returns classes below 0: they count from 0"),
        ([{"preds": [0.5, 0.5], "target": [0, 2]}], "target"),
    ],
)
def test_what_makes_no_matrix_is_said_in_plain_words(returned: list[Any], problem: str, tmp_path: Path) -> None:
    predictions = collected(*returned)
    with pytest.raises(ValueError, match=problem):
        predictions.matrix()
    remark = predictions.write(tmp_path)
    assert remark.startswith("no confusion matrix: ")
    assert "\n" not in remark
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_a_matrix_is_written_as_a_table_and_as_a_picture(classes: int, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install matplotlib: it draws the picture")
    labels = torch.arange(classes)
    assert collected({"preds": labels, "target": labels}).write(tmp_path) == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confusion.csv", "confusion.png"]
    rows = (tmp_path / "confusion.csv").read_text().splitlines()
    assert rows[0].startswith("true / predicted,0,1")
    assert rows[2].startswith("1,0,1")
    assert len(rows) == classes + 1
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("names", "row"),
    [(["cat", "dog"], "dog,0,1"), (["cat", "dog", "cow"], "1,0,1"), (2, "1,0,1")],
    ids=["right", "too many", "a number"],
)
def test_the_classes_have_their_names_if_the_data_module_has_these(
    names: Any, row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Zeros, "classes", names, raising=False)
    predictions = collected({"preds": [0, 1], "target": [0, 1]})
    predictions.on_test_start(SimpleNamespace(datamodule=Zeros()), Scripted())
    predictions.write(tmp_path)
    assert (tmp_path / "confusion.csv").read_text().splitlines()[2] == row


def test_without_matplotlib_there_is_the_table_and_a_word_on_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    remark = collected({"preds": [0, 1], "target": [0, 1]}).write(tmp_path)
    assert remark.startswith("no picture of the confusion matrix: ")
    assert remark.endswith("; pip install matplotlib")
    assert [path.name for path in tmp_path.iterdir()] == ["confusion.csv"]


class Classifies(Scripted):
    def test_step(self, batch: Any, index: int) -> Any:
        super().test_step(batch, index)
        return {"preds": torch.zeros(len(batch[0]), 3), "target": torch.ones(len(batch[0]), dtype=torch.long)}


@pytest.mark.parametrize(
    ("model", "remark"), [(Classifies, ""), (Scripted, "no confusion matrix: test_step of Scripted returns nothing")]
)
def test_a_test_with_a_folder_for_results_leaves_the_matrix_there_or_says_why_there_is_none(
    tmp_path: Path, model: type[L.LightningModule], remark: str
) -> None:
    trial = FakeTrial(tmp_path / "individual")
    objective = scripted(model=model, max_epochs=1, data=Zeros)
    objective({}, trial)
    plain = objective.test({}, trial)
    assert "confusion" not in trial.metrics
    trial.results = tmp_path
    assert objective.test({}, trial) == plain
    if remark:
        assert trial.metrics["confusion"].startswith(remark)
    else:
        assert (tmp_path / "confusion.csv").read_text().splitlines()[2] == "1,4,0,0"


def test_the_examples_in_the_documentation_run() -> None:
    assert doctest.testmod(evo.lightning.predictions).failed == 0
