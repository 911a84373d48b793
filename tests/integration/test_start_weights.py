"""Trainings that begin from a file of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import Launcher
from test_inheriting import EPOCHS, SEEN, Data, Net, Train, inherits, same, train

from evo.errors import UserError
from evo.lightning import LightningObjective
from evo.lightning.weights import load_weights
from evo.testing.trials import FakeTrial

__all__ = ["train"]  # The fixture.

POINT = {"lr": 0.05, "weight_decay": 0.1, "momentum": 0.8}


def seen_first(params: dict[str, Any], trial: FakeTrial, model: Any = Net) -> dict[str, Any]:
    """The weights that a training has before its first step."""
    SEEN.clear()
    LightningObjective(model, Data, max_epochs=EPOCHS)(params, trial)
    return SEEN[0].weights


@pytest.mark.parametrize("form", ["checkpoint", "plain", "of a part", "wrapped", "module"])
def test_a_training_begins_from_weights_in_any_usual_form(form: str, tmp_path: Path) -> None:
    source = Net(**POINT)  # type: ignore[arg-type]
    weights = source.state_dict()
    content: dict[str, Any] = {
        "checkpoint": {"state_dict": weights, "epoch": 3},
        "plain": weights,
        "of a part": source.net.state_dict(),
        "wrapped": {"model": {f"module._orig_mod.{name}": value for name, value in weights.items()}},
        "module": {f"whole.{name}": value for name, value in weights.items()},
    }
    file = tmp_path / "weights.pth"
    torch.save(content[form], file)
    trial = FakeTrial(tmp_path / "0", until=1, weights=file)
    assert same(seen_first(POINT, trial), dict(weights))
    assert "reinitialised" not in trial.metrics
    wider = FakeTrial(tmp_path / "1", until=1, weights=file)
    seen_first(POINT | {"width": 7}, wider)
    assert wider.metrics["reinitialised"] == 3


def test_layers_that_are_made_late_get_them_too_and_a_donor_counts_more(tmp_path: Path, train: Train) -> None:
    class Late(Net):
        def configure_model(self) -> None:
            if not hasattr(self, "late"):
                self.late = torch.nn.Linear(1, 1)

    source = Late(**POINT)  # type: ignore[arg-type]
    source.configure_model()
    file = tmp_path / "weights.pth"
    torch.save(source.state_dict(), file)
    assert same(seen_first(POINT, FakeTrial(tmp_path / "late", until=1, weights=file), Late), dict(source.state_dict()))
    donor = train(POINT, 2)
    child = inherits(tmp_path / "child", 3, donor, weights=file)
    assert same(seen_first(POINT, child), dict(donor.state["state_dict"]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "is no file of weights: give what torch.save has written"),
        ({"epoch": 1}, "holds no weights: give a checkpoint of Lightning, or a state_dict by torch.save"),
        ({"a": torch.zeros(9, 9)}, "no weight of start_from.weights .* fits Net, whose first is net.0.weight"),
        (torch.nn.Linear(1, 1), "was not loaded, because it holds torch.nn.modules.linear.Linear: .* trust"),
    ],
)
def test_a_file_that_cannot_be_begun_from_is_refused_before_the_search(
    content: Any, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(UserError, match=message):
        LightningObjective(Net, max_epochs=1).check_weights(file, [POINT])
    if isinstance(content, torch.nn.Module):
        assert load_weights(file, trust=True).keys() == {"weight", "bias"}


STUDY = """
model: net.Net
data: net.Data
trainer: {max_epochs: 1}
limits: {model.lr: [0.01, 0.1], model.weight_decay: 0.1, model.momentum: 0.8}
start_from: {points: [{model.lr: 0.05}]}
evaluations: 1
run_dir: run
quiet: true
"""


def test_a_study_begins_from_weights_and_notices_another_file(tmp_path: Path, launcher: Launcher) -> None:
    (tmp_path / "net.py").write_text("from test_inheriting import Data, Net\n")
    (tmp_path / "study.yaml").write_text(STUDY)
    torch.save(Net(**POINT).state_dict(), tmp_path / "weights.pth")  # type: ignore[arg-type]
    search = ("study.yaml", "--start-from.weights", "weights.pth")
    ended = launcher.evo(*search)
    assert ended.status == 0, ended.err
    torch.save(Net(**POINT).state_dict(), tmp_path / "weights.pth")  # type: ignore[arg-type]
    again = launcher.evo(*search, "--evaluations", "2")
    assert again.status == 2
    assert "weights.pth holds something else now: bring the old file back" in again.err
    assert launcher.evo("study.yaml", "--evaluations", "2").status == 2
