"""`evo train`: an individual trained again with its own seed, beside what the search has recorded of it."""

from __future__ import annotations

from evo.posthoc.figures import figures_text
from evo.posthoc.past import check_parameters, find_objective, find_results, make_folder, recorded_in, trained_folder
from evo.posthoc.single import SingleEvaluator
from evo.report.reading import load
from evo.report.records import Evaluation
from evo.texts import printable


def train_individual(
    run: str, name: str | None, objective: str | None, trust: bool = False, results: str | None = None
) -> None:
    """Train an individual again in RUN/trained/R-G, print its loss beside the recorded one, and write trained.json.

    Args:
        run: The run directory.
        name: Rank and generation of the individual. None means the best.
        objective: The name of the search's objective. None means the one that study.json names.
        trust: Whether other users' checkpoints are loaded in full, and the code that their run directory names.
        results: The folder for everything that is written, in place of RUN. None means RUN itself.

    Raises:
        UserError: Something that was asked for does not exist or does not fit.
        PosthocError: The training failed.
        Interrupted: A signal stopped it, and it has saved its state.
    """
    past = load(run)
    recorded = past.find(name)
    check_parameters(recorded.params, f"individual {recorded.name}", recorded_in(past), trust)
    directory = find_results(past, results)
    minimised = find_objective(past, objective, trust)
    folder = make_folder(trained_folder(directory, recorded))
    with SingleEvaluator(past, minimised, trust) as evaluator:
        print(f"training individual {recorded.name} of {past.directory} again", flush=True)
        outcome = evaluator.train(f"individual {recorded.name}", recorded.individual, recorded.params, folder)
    columns = {
        "recorded": {"loss": recorded.loss, **recorded.metrics, "seconds": recorded.seconds},
        "again": {"loss": outcome.loss, **outcome.metrics, "seconds": outcome.seconds},
    }
    print(figures_text(columns))
    place = f"trained/{recorded.name}"
    directory.write(
        f"{place}/trained.json",
        {
            "individual": recorded.individual,
            "params": recorded.params,
            "loss": outcome.loss,
            "metrics": outcome.metrics,
            "seconds": outcome.seconds,
            "recorded": {"status": recorded.status, "loss": recorded.loss, "metrics": recorded.metrics},
        },
    )
    print(f"{_comparison(recorded, outcome.loss)}; its files are in {directory}/{place}")


def _comparison(recorded: Evaluation, loss: float | None) -> str:
    if recorded.status != "completed":
        return f"the one recorded is {recorded.status}{f' ({printable(recorded.error)})' if recorded.error else ''}"
    if recorded.loss == loss:
        return "the same loss as recorded"
    return "another loss than recorded, as another device, number of threads or version may give"
