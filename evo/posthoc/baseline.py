"""The baseline of a search: parameters chosen by a person, trained once and tested as the best individual is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from evo.errors import UserError
from evo.population.identity import Identity
from evo.population.outcome import Outcome
from evo.posthoc.past import make_folder
from evo.posthoc.single import SingleEvaluator
from evo.space.values import Params
from evo.storage.rundir import RunDirectory

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


def baseline_folder(directory: RunDirectory) -> Path:
    """The folder of a search's baseline; it need not exist.

    Args:
        directory: The run directory, or the one for results.
    """
    return directory.path / "baseline"


def baseline_file(directory: RunDirectory) -> Path:
    """The file that records a baseline; it need not exist."""
    return baseline_folder(directory) / _FILE


def find_baseline(directory: RunDirectory) -> Baseline | None:
    """The baseline that was trained in a directory; None when there is none yet.

    Raises:
        UserError: The record of the baseline cannot be read.
    """
    file = baseline_file(directory)
    try:
        return msgspec.json.decode(file.read_bytes(), type=Baseline)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"baseline {file} cannot be read: {error}; remove it to train the baseline anew") from None


def check_baseline(known: Baseline, params: Params, directory: RunDirectory) -> None:
    """Make sure that the baseline of a search is the one that is asked for.

    Raises:
        UserError: The search has another baseline.
    """
    for name in [*known.params, *params]:
        before, now = (dict(each).get(name, "absent") for each in (known.params, params))
        if before != now:
            raise UserError(
                f"{directory}/baseline holds another baseline: its {name} is {before}, not {now}; remove that "
                "folder, or leave out --baseline"
            )


def train_baseline(results: RunDirectory, params: Params, evaluator: SingleEvaluator) -> Baseline:
    """Train the baseline of a search, and record it.

    Args:
        results: The directory for what is found.
        params: The baseline's.
        evaluator: Trains it.

    Raises:
        PosthocError: Its training failed.
        Interrupted: A signal stopped it, and it has saved its state.
    """
    outcome: Outcome = evaluator.train("the baseline", _IDENTITY, params, make_folder(baseline_folder(results)))
    assert outcome.loss is not None
    baseline = Baseline(dict(params), outcome.loss, outcome.metrics, outcome.seconds)
    results.write(f"baseline/{_FILE}", baseline)
    return baseline


def test_baseline(
    directory: RunDirectory, baseline: Baseline, evaluator: SingleEvaluator, results: RunDirectory
) -> dict[str, Any]:
    """Metrics of the baseline on the test set.

    Args:
        directory: The one in which it was trained.
        baseline: What was recorded of it.
        evaluator: Tests it.
        results: The directory for what is found.

    Raises:
        PosthocError: The test failed.
    """
    folder, found = baseline_folder(directory), make_folder(baseline_folder(results))
    return evaluator.test("the baseline", _IDENTITY, dict(baseline.params), folder, found).metrics
