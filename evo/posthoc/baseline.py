"""The baseline of a search: parameters chosen by a person, trained once and tested as the best individual is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from evo.errors import UserError
from evo.population.events import Identity
from evo.population.outcome import Outcome
from evo.posthoc.single import SingleEvaluator
from evo.report.reading import Run
from evo.space.values import Params

_FILE = "baseline.json"
_IDENTITY: Identity = (0, 0)  # It gets the seed of the first individual, which is as good as any.


class Baseline(msgspec.Struct, frozen=True):
    """A baseline that has been trained, as RUN/baseline/baseline.json records it.

    Args:
        params: Its parameters, chosen by a person.
        loss: The loss of its training.
        metrics: What the training recorded beside the loss.
        seconds: The time that its training took.
    """

    params: Params
    loss: float
    metrics: dict[str, Any] = {}
    seconds: float = 0.0


def baseline_folder(run: Run) -> Path:
    """The folder of a search's baseline; it need not exist."""
    return run.directory.path / "baseline"


def find_baseline(run: Run) -> Baseline | None:
    """The baseline of a search; None when it has none yet.

    Raises:
        UserError: The record of the baseline cannot be read.
    """
    file = baseline_folder(run) / _FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=Baseline)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"baseline {file} cannot be read: {error}; remove it to train the baseline anew") from None


def check_baseline(known: Baseline, params: Params, run: Run) -> None:
    """Make sure that the baseline of a search is the one that is asked for.

    Raises:
        UserError: The search has another baseline.
    """
    for name in [*known.params, *params]:
        before, now = (dict(each).get(name, "absent") for each in (known.params, params))
        if before != now:
            raise UserError(
                f"{run.directory}/baseline holds another baseline: its {name} is {before}, not {now}; remove that "
                "folder, or leave out --baseline"
            )


def train_baseline(run: Run, params: Params, evaluator: SingleEvaluator) -> Baseline:
    """Train the baseline of a search, and record it.

    Raises:
        PosthocError: Its training failed.
        Interrupted: A signal stopped it, and it has saved its state.
    """
    outcome: Outcome = evaluator.train("the baseline", _IDENTITY, params, baseline_folder(run))
    assert outcome.loss is not None
    baseline = Baseline(dict(params), outcome.loss, outcome.metrics, outcome.seconds)
    run.directory.write(f"baseline/{_FILE}", baseline)
    return baseline


def test_baseline(run: Run, baseline: Baseline, evaluator: SingleEvaluator) -> dict[str, Any]:
    """Metrics of the baseline on the test set.

    Raises:
        PosthocError: The test failed.
    """
    folder = baseline_folder(run)
    return evaluator.test("the baseline", _IDENTITY, dict(baseline.params), folder, folder).metrics
