"""The confusion matrix of a test, from what the module's `test_step` returns."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import lightning as L
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import BinaryConfusionMatrix, MulticlassConfusionMatrix
from typing_extensions import override

from evo.errors import UserError

PICTURE, TABLE = "confusion.png", "confusion.csv"
_MOST_WITH_NUMBERS = 30  # The most classes with numbers in the picture, where more would cover each other.
_WANTED = 'let it return {"preds": predictions, "target": labels}'


@final
class Predictions(L.Callback):
    """Collects what `test_step` returns as "preds" and "target", and draws their confusion matrix.

    The labels are classes from 0 on, one for each example: target of shape (batch,). The predictions are classes of
    the same shape; or scores of shape (batch, classes), of which the highest counts; or, with two classes,
    probabilities or logits of class 1, of shape (batch,).

    Attributes:
        names: The names of the classes, if the data module has them as `classes`, as torchvision's datasets do. None
            means that their numbers are shown.

    Example:
        >>> import torch
        >>> predictions = Predictions()
        >>> predictions.add("Net", {"preds": torch.tensor([[0.9, 0.1], [0.2, 0.8]]), "target": torch.tensor([0, 0])})
        >>> predictions.matrix().tolist()
        [[1, 1], [0, 0]]
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: Sequence[str] | None = None
        self._predictions: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._classes = 0
        self._problem = "there was no test batch"

    @override
    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        named = getattr(trainer.datamodule, "classes", None)  # type: ignore[attr-defined]
        self.names = named if isinstance(named, list | tuple) else None

    @override
    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.add(type(pl_module).__name__, outputs)

    def add(self, module: str, returned: Any) -> None:
        """Take note of one batch.

        Args:
            module: Name of the module's class.
            returned: What the module's test_step has returned.
        """
        if not isinstance(returned, Mapping) or not {"preds", "target"} <= set(returned):
            self._problem = f"test_step of {module} returns {_kind(returned)}: {_WANTED}"
            return
        predictions, labels = (torch.as_tensor(returned[name]).detach().cpu() for name in ("preds", "target"))
        if labels.ndim != 1 or predictions.shape[:1] != labels.shape or predictions.ndim > 2:
            shapes = f"preds of shape {tuple(predictions.shape)} and target of shape {tuple(labels.shape)}"
            self._problem = f"test_step of {module} returns {shapes}: it needs one class for each example"
            return
        if not torch.equal(labels, labels.round()):
            self._problem = f"test_step of {module} returns a target with {_first_fraction(labels)}: that is no class"
            return
        if len(labels) and (labels.min() < 0 or (not predictions.is_floating_point() and predictions.min() < 0)):
            self._problem = f"test_step of {module} returns classes below 0: they count from 0"
            return
        if predictions.ndim == 2:
            self._classes = max(self._classes, predictions.shape[1])
            predictions = predictions.argmax(1)
        self._predictions.append(predictions)
        self._labels.append(labels.long())

    def matrix(self) -> Tensor:
        """How many examples of each class were taken for which; shape (classes, classes), a row for each true class.

        Raises:
            UserError: There is no matrix; the message says what test_step should return.
        """
        if not self._labels:
            raise UserError(self._problem)
        predictions, labels = torch.cat(self._predictions), torch.cat(self._labels)
        metric: Metric
        if predictions.is_floating_point():
            metric = BinaryConfusionMatrix()
        else:
            classes = max(self._classes, int(max(predictions.max(), labels.max())) + 1, 2)
            metric = MulticlassConfusionMatrix(classes)
        try:
            metric.update(predictions, labels)
        except (RuntimeError, ValueError) as error:
            raise UserError(" ".join(str(error).split())) from None
        counts: Tensor = metric.compute()
        return counts

    def write(self, folder: Path) -> str:
        """Write the matrix as a table and as a picture.

        Args:
            folder: The folder for both, which exists.

        Returns:
            Why there is no matrix, or no picture of it; empty when there are both.
        """
        try:
            counts = self.matrix()
        except UserError as error:
            return f"no confusion matrix: {error}"
        names = list(map(str, self.names or ()))
        if len(names) != len(counts):
            names = list(map(str, range(len(counts))))
        with (folder / TABLE).open("w", newline="", encoding="utf-8") as stream:
            rows = csv.writer(stream)
            rows.writerow(["true / predicted", *names])
            rows.writerows([name, *row] for name, row in zip(names, counts.tolist(), strict=True))
        try:
            _draw(counts, names, folder / PICTURE)
        except ModuleNotFoundError as error:
            return f"no picture of the confusion matrix: {error}; pip install matplotlib"
        return ""


def _draw(counts: Tensor, names: list[str], file: Path) -> None:
    from matplotlib.figure import Figure  # Unlike pyplot, it does not look for a screen.

    classes = len(counts)
    side = min(4 + 0.5 * classes, 30)  # Inches.
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    metric = MulticlassConfusionMatrix(classes)
    metric.plot(counts, ax=axes, add_text=classes <= _MOST_WITH_NUMBERS, labels=names, cmap="Blues")
    axes.set_title(f"{int(counts.trace())} of {int(counts.sum())} right")
    figure.savefig(file)


def _first_fraction(labels: Tensor) -> float:
    return float(labels[labels != labels.round()][0])


def _kind(returned: Any) -> str:
    if isinstance(returned, Mapping):
        return f"a mapping with {', '.join(map(repr, returned)) or 'nothing in it'}"
    return "nothing" if returned is None else f"a {type(returned).__name__}"
