"""evo train and evo test of an individual that goes on from others: segment after segment, from the start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import evo
from evo.cli import main
from evo.run import main as search

# Its state is a sum from which each step takes a number that its seed and its rate decide. A file tells it to fail,
# and another one tells what it has done.
LOSS = """
import json
import random
from pathlib import Path


class Loss:
    def __call__(self, params, trial):
        here = Path(__file__).parent
        state = json.loads((trial.inherit / "last.ckpt").read_text()) if trial.inherit else {"sum": 9.0, "steps": 0}
        assert state["steps"] == trial.begin
        if (here / "stop").exists() and trial.begin == 4:
            raise ArithmeticError("stopped")
        with (here / "trained").open("a") as file:
            file.write(f"{trial.begin} {trial.until}\\n")
        numbers = random.Random(trial.seed)
        for step in range(trial.begin, trial.until):
            state = {"sum": state["sum"] - params["rate"] * numbers.random(), "steps": step + 1}
            trial.report(state["sum"], step=step)
        (trial.folder / "last.ckpt").write_text(json.dumps(state))
        (trial.folder / "best.ckpt").write_text(json.dumps(state))
        return state["sum"]

    def test(self, params, trial):
        return {"weights": json.loads((trial.folder / "best.ckpt").read_text())["sum"]}


loss = Loss()
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two members and four segments each."""
    folder = tmp_path_factory.mktemp("divided")
    (folder / "segments.py").write_text(LOSS)
    given = ["--limits", "{rate: {type: float, low: 0.1, high: 1.0, mutable: true}}", "--run-dir", f"{folder}/run"]
    given += ["--propagator", "{name: pbt, interval: 2, population: 2}", "--evaluations", "8", "--seed", "3", "--quiet"]
    assert search([f"{folder}/segments.py:loss", *given], ends=False) == 0
    (folder / "trained").unlink()
    return folder / "run"


def trained(run: Path) -> list[str]:
    """What has been trained since this was last asked, as the steps of each segment."""
    file = run.parent / "trained"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def test_a_lineage_is_trained_again_to_the_same_loss_and_goes_on_where_it_was_stopped(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = evo.load(run).best
    assert best is not None
    assert best.until is not None
    (run.parent / "stop").touch()
    assert main(["train", str(run)]) == 1
    assert f"individual {best.name} from step 4 to 6 failed: ArithmeticError: stopped" in capsys.readouterr().err
    assert main(["train", str(run), "--seed", "7"]) == 1  # It has a folder of its own.
    (run.parent / "stop").unlink()
    assert trained(run) == ["0 2", "2 4"] * 2
    assert main(["train", str(run)]) == 0
    assert trained(run) == ["4 6", "6 8", "8 10"][: (best.until - 4) // 2]
    assert "the same loss as recorded" in capsys.readouterr().out
    folder = run / "trained" / best.name
    assert json.loads((folder / "trained.json").read_text())["loss"] == best.loss
    assert [file.name for file in (run / "trained").rglob("*.ckpt") if "seed" not in str(file)] == ["best.ckpt"]
    assert main(["test", str(run)]) == 0
    assert json.loads((run / "test" / "test.json").read_text())["test"] == {"weights": best.loss}


def test_a_schedule_is_trained_from_its_file_with_one_seed_and_a_corrected_one_is_not_held_up_by_one_that_failed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["best", str(run), "--yaml"]) == 0
    file = tmp_path / "best.yaml"
    file.write_text(capsys.readouterr().out)
    trained(run)
    (run.parent / "stop").touch()
    assert main(["train", str(run), "--schedule", str(file)]) == 1
    text = file.read_text()
    file.write_text(text.replace("until: 2\n", "until: 3\n", 1))
    (run.parent / "stop").unlink()
    assert main(["train", str(run), "--schedule", str(file)]) == 0
    assert trained(run)[:4] == ["0 2", "2 4", "0 3", "3 4"]
    file.write_text(text)
    assert main(["train", str(run), "--schedule", str(file)]) == 0
    assert trained(run)[:1] == ["4 6"]  # The same schedule goes on.
    file.write_text("schedule: [{until: 2, params: {rat: 0.1}}]")
    assert main(["train", str(run), "--schedule", str(file)]) == 2
    assert "parameter 'rat', which" in capsys.readouterr().err
