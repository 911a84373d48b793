"""After a search: evo test and evo train, on objectives that take no time and on the main job."""

from __future__ import annotations

import doctest
import json
import multiprocessing
import re
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from helpers import Ended, Launcher, call, wait_until

import evo
import evo.posthoc.figures
from evo.report.records import Evaluation, gather_evaluations, rank_evaluations
from evo.storage.rundir import RunDirectory

EVO = [sys.executable, "-c", "import sys; from evo.cli import main; sys.exit(main())"]

OWN = '''
import random, time
from pathlib import Path

import evo

class Loss:
    """Its weights are its parameter; the number of its trainings is that of the lines of a file."""

    def __call__(self, params, trial):
        with open("trainings", "a") as file:
            file.write(f"{trial.folder.name}\\n")
        if Path("wait").exists() and not (trial.folder / "saved.txt").exists():
            (trial.folder / "waiting").touch()
            while not trial.interrupted:
                time.sleep(0.01)
            (trial.folder / "saved.txt").touch()
            raise evo.Interrupted
        if params["x"] < -1 or Path("broken").exists():
            raise ArithmeticError("x is too small")
        (trial.folder / "best.ckpt").write_text(str(params["x"]))
        (trial.folder / "last.ckpt").write_text("state")
        trial.metrics["noise"] = random.Random(trial.seed).random()
        return params["x"] ** 2 + trial.metrics["noise"]

    def test(self, params, trial):
        if Path("broken").exists():
            raise ArithmeticError("no test data")
        assert trial.results.is_dir()
        return {"weight": float((trial.folder / "best.ckpt").read_text()), "seed": trial.seed}

loss = Loss()

def plain(params):
    return params["x"] ** 2

if __name__ == "__main__":
    for objective, folder in [(plain, "of_the_script"), (Loss(), "of_an_instance")]:
        evo.minimize(objective, {"x": (-5.0, 5.0)}, evaluations=3, run_dir=folder)
'''


def evo_command(launcher: Launcher, *arguments: str, **variables: str) -> Ended:
    return launcher.run(*EVO, *arguments, **variables)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a search in `here`, whose best three individuals have kept their weights."""
    with closing(Launcher(tmp_path_factory.mktemp("searched"))) as launcher:
        (launcher.folder / "own.py").write_text(OWN)
        command = ["own.py:loss", "--limits", "{x: [-5.0, 5.0]}", "--evaluations", "20", "--run-dir", "here", "--quiet"]
        assert launcher.evo(*command) == Ended(0, "", "")
        (launcher.folder / "trainings").unlink()
        return launcher.folder


@pytest.fixture
def folder(launcher: Launcher, searched: Path) -> Path:
    """A copy of it."""
    shutil.copytree(searched, launcher.folder, dirs_exist_ok=True)
    return launcher.folder


def evaluations(folder: Path) -> list[Evaluation]:
    return gather_evaluations(RunDirectory(folder / "here").events())


def ranking(folder: Path) -> list[Evaluation]:
    return rank_evaluations(evaluations(folder))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def table(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}


def test_the_best_individual_is_tested_from_its_weights_and_its_own_folder_is_left_alone(
    launcher: Launcher, folder: Path
) -> None:
    best = ranking(folder)[0]
    before = contents(folder / "here")
    ended = evo_command(launcher, "test", "here")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith(f"individual {best.name} of here on the test set, from its saved weights\n")
    assert table(ended.out)["weight"] == [f"{best.params['x']:.4g}"]
    assert ended.out.endswith("written to here/test: test.json\n")
    written = json.loads((folder / "here" / "test" / "test.json").read_text())
    assert (tuple(written["individual"]), written["loss"], written["params"]) == (
        best.individual, best.loss, best.params,
    )  # fmt: skip
    assert written["test"]["weight"] == best.params["x"]
    assert (written["confusion"], written["baseline"]) == (None, None)
    after = contents(folder / "here")
    assert {path: after[path] for path in before} == before
    assert {path.parent for path in after.keys() - before} == {folder / "here" / "test"}


def test_another_individual_is_tested_if_it_has_kept_its_weights(launcher: Launcher, folder: Path) -> None:
    second, beaten = ranking(folder)[1], ranking(folder)[-1]
    ended = evo_command(launcher, "test", "here", "--individual", second.name)
    assert ended.status == 0
    assert ended.out.endswith(f"written to here/test/{second.name}: test.json\n")
    refused = evo_command(launcher, "test", "here", "--individual", beaten.name)
    assert (refused.status, refused.out) == (2, "")
    kept = ", ".join(one.name for one in ranking(folder)[:3])
    assert refused.err == (
        f"evo: error: individual {beaten.name} has no weights in here, which keeps those of {kept}; "
        f"evo train here --individual {beaten.name} trains it again, and then it can be tested\n"
    )


def test_an_individual_that_is_trained_again_has_its_own_seed_and_a_folder_of_its_own(
    launcher: Launcher, folder: Path
) -> None:
    beaten = ranking(folder)[-1]
    before = contents(folder / "here")
    ended = evo_command(launcher, "train", "here", "--individual", beaten.name)
    assert (ended.status, ended.err) == (0, "")
    assert table(ended.out)["loss"] == [f"{beaten.loss:.4g}"] * 2
    assert ended.out.endswith(f"the same loss as recorded; its files are in here/trained/{beaten.name}\n")
    again = folder / "here" / "trained" / beaten.name
    after = contents(folder / "here")
    assert {path: after[path] for path in before} == before
    assert {path.name for path in after.keys() - before} == {"best.ckpt", "output.log", "trained.json"}
    written = json.loads((again / "trained.json").read_text())
    assert (written["loss"], written["metrics"]) == (beaten.loss, beaten.metrics)
    tested = evo_command(launcher, "test", "here", "--individual", beaten.name)
    assert tested.status == 0
    assert f"from its saved weights in here/trained/{beaten.name}\n" in tested.out
    assert evo_command(launcher, "train", "here").out.startswith(f"training individual {ranking(folder)[0].name} of")
    assert (folder / "trainings").read_text().split() == [beaten.name, ranking(folder)[0].name]


def test_an_individual_that_has_failed_is_trained_again_and_fails_with_its_reason(
    launcher: Launcher, folder: Path
) -> None:
    failed = next(one for one in evaluations(folder) if one.status == "failed")
    ended = evo_command(launcher, "train", "here", "--individual", failed.name)
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    why = f"the training of individual {failed.name} failed: ArithmeticError: x is too small; see "
    assert ended.err.startswith(f"evo: error: {why}")
    assert "Traceback" in Path(ended.err.split("; see ")[1].strip()).read_text()
    (folder / "own.py").write_text(OWN.replace("< -1", "< -9"))
    ended = evo_command(launcher, "train", "here", "--individual", failed.name)
    assert ended.status == 0
    assert not (folder / "here" / "trained" / failed.name / "traceback.txt").exists()
    assert "the one recorded is failed (ArithmeticError: x is too small); its files" in ended.out


def test_a_training_that_is_stopped_saves_its_state_and_goes_on(launcher: Launcher, folder: Path) -> None:
    (folder / "wait").touch()
    process = launcher.start(*EVO, "train", "here")
    again = folder / "here" / "trained" / ranking(folder)[0].name
    wait_until((again / "waiting").exists)
    process.send_signal(signal.SIGINT)
    ended = launcher.finish(process, 20)
    assert ended.status == 85
    assert ended.err.endswith("is interrupted: SIGINT asked to stop; run the same command again\n")
    assert (again / "saved.txt").exists()
    assert not (again / "trained.json").exists()
    assert evo_command(launcher, "train", "here").status == 0
    wait_until(lambda: not launcher.survivors())


def test_a_baseline_is_trained_once_and_shown_beside_the_best(launcher: Launcher, folder: Path) -> None:
    (folder / "baseline.yaml").write_text("x: 2.0\n")
    first = evo_command(launcher, "test", "here", "--baseline", "baseline.yaml")
    assert (first.status, first.err) == (0, "")
    assert first.out.startswith("training the baseline in here/baseline\n")
    best = ranking(folder)[0]
    assert re.search(rf"^ +baseline +best, {best.name}$", first.out, re.MULTILINE)
    assert table(first.out)["weight"] == ["2", f"{best.params['x']:.4g}"]
    written = json.loads((folder / "here" / "test" / "test.json").read_text())["baseline"]
    assert (written["params"], written["test"]["weight"], written["loss"] >= 4.0) == ({"x": 2.0}, 2.0, True)
    again = evo_command(launcher, "test", "here", "--baseline", "baseline.yaml")
    without = evo_command(launcher, "test", "here")
    assert again == without == Ended(0, first.out.partition("\n")[2], "")
    assert (folder / "trainings").read_text() == "baseline\n"
    assert (folder / "here" / "baseline" / "best.ckpt").exists()
    assert not (folder / "here" / "baseline" / "last.ckpt").exists()
    (folder / "baseline.yaml").write_text("x: 3.0\n")
    other = evo_command(launcher, "test", "here", "--baseline", "baseline.yaml")
    assert other.status == 2
    assert other.err == (
        "evo: error: here/baseline holds another baseline: its x is 2.0, not 3.0; remove that folder, or leave out "
        "--baseline\n"
    )
    (folder / "here" / "baseline" / "baseline.json").write_text("{")
    damaged = evo_command(launcher, "test", "here")
    assert damaged.status == 2
    assert "baseline.json cannot be read" in damaged.err


FROM_PYTHON = """
import json, sys
import evo, own

if __name__ == "__main__":
    baseline = json.loads(sys.argv[1]) if len(sys.argv) > 1 else None
    try:
        found = evo.test("of_an_instance", own.loss, baseline=baseline)
    except (ValueError, evo.Interrupted) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps(found))
"""


def test_from_python_the_same_is_tested_with_the_objective_itself(launcher: Launcher, folder: Path) -> None:
    (folder / "compare.py").write_text(FROM_PYTHON)
    assert launcher.python("own.py").status == 0
    compared = launcher.python("compare.py", '{"x": 2.0}')
    assert (compared.status, compared.err) == (0, "")
    *shown, returned = compared.out.splitlines()
    results = folder / "of_an_instance" / "test" / "test.json"
    assert json.loads(returned) == json.loads(results.read_text())
    assert json.loads(returned)["baseline"]["test"]["weight"] == 2.0
    assert shown[0] == "training the baseline in of_an_instance/baseline"
    again = launcher.python("compare.py")
    assert again == Ended(0, compared.out.partition("\n")[2], "")
    deep = launcher.python("compare.py", '{"x": NaN}')
    assert (deep.status, deep.err) == (
        1,
        "UserError: baseline: 'x' is nan: a number must be finite\n",
    )


def test_a_study_may_name_its_baseline(launcher: Launcher, folder: Path) -> None:
    (folder / "study.yaml").write_text("""
objective: own.py:loss
limits: {x: [0.0, 1.0]}
baseline: {x: 2.0}
evaluations: 2
run_dir: with_baseline
""")
    assert evo_command(launcher, "run", "study.yaml", "--quiet").status == 0
    ended = evo_command(launcher, "test", "with_baseline")
    assert ended.status == 0, ended.err
    assert ended.out.startswith("training the baseline in with_baseline/baseline\n")
    written = json.loads((folder / "with_baseline" / "test" / "test.json").read_text())
    assert written["baseline"]["params"] == {"x": 2.0}
    # The same command goes on without it, and not with another one.
    assert evo_command(launcher, "run", "study.yaml", "--quiet", "--evaluations", "3").status == 0
    for baseline, problem in (("{x: 3.0}", "its baseline is {'x': 2.0}, not {'x': 3.0}"), ("{x: .nan}", "'x' is nan")):
        ended = evo_command(launcher, "run", "study.yaml", "--baseline", baseline)
        assert (ended.status, problem in ended.err) == (2, True), ended.err


def test_a_baseline_that_is_stopped_is_interrupted_and_goes_on(launcher: Launcher, folder: Path) -> None:
    (folder / "compare.py").write_text(FROM_PYTHON)
    assert launcher.python("own.py").status == 0
    (folder / "wait").touch()
    process = launcher.start(sys.executable, "compare.py", '{"x": 2.0}')
    baseline = folder / "of_an_instance" / "baseline"
    wait_until((baseline / "waiting").exists)
    process.send_signal(signal.SIGTERM)
    ended = launcher.finish(process, 20)
    why = "SIGTERM asked to stop; run the same command again"
    assert (ended.status, ended.err) == (1, f"Interrupted: the training of the baseline is interrupted: {why}\n")
    assert (baseline / "saved.txt").exists()
    assert launcher.python("compare.py", '{"x": 2.0}').status == 0


def test_a_test_that_fails_is_one_line_and_status_1(launcher: Launcher, folder: Path) -> None:
    (folder / "broken").touch()
    ended = evo_command(launcher, "test", "here")
    assert ended.status == 1
    line = OWN[: OWN.index('raise ArithmeticError("no test')].count("\n") + 1
    place = f'{folder}/own.py, line {line}: raise ArithmeticError("no test data")'
    assert ended.err == (
        f"evo: error: individual {ranking(folder)[0].name} cannot be tested: ArithmeticError: no test data ({place})\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["test", "absent"], "absent is no run directory: it has no study.json"),
        (["train", "absent"], "absent is no run directory: it has no study.json"),
        (["test", "here", "--individual", "9-9"], "here has no individual 9-9; evo best here shows the best one"),
        (["train", "here", "--individual", "best"], "individual is 'best': it must be rank-generation"),
        (["test", "here", "--baseline", "none.yaml"], "baseline none.yaml cannot be read: No such file"),
        (["test", "here", "--baseline", "own.py"], "baseline own.py is not valid YAML"),
        (["test", "here", "--baseline", "list.yaml"], "baseline list.yaml holds [1]: it must hold a mapping"),
        (["test", "here", "--baseline", "deep.yaml"], "baseline deep.yaml: 'x' is [1, nan]: a number must be"),
        (["test", "here", "--objective", "own.py"], "objective 'own.py' is neither"),
        (["test", "here", "--objective", "own.py:lost"], "own.py has no 'lost'"),
        (["test", "here", "--mistaken"], "unrecognized arguments: --mistaken; see evo test --help"),
        (["train"], "the following arguments are required: RUN; see evo train --help"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    folder: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "list.yaml").write_text("[1]\n")
    (folder / "deep.yaml").write_text("x: [1, .nan]\n")
    before = contents(folder / "here")
    ended = call(*arguments)
    assert (ended.status, ended.out) == (2, "")
    assert re.fullmatch(rf"evo: error: .*{re.escape(message)}.*\n", ended.err), ended.err
    assert contents(folder / "here") == before


def test_an_objective_that_study_json_does_not_name_well_enough_is_named_by_the_user(
    launcher: Launcher, folder: Path, searched: Path
) -> None:
    assert launcher.python("own.py").status == 0
    assert evo_command(launcher, "train", "of_the_script").status == 0
    study = folder / "of_the_script" / "study.json"
    study.write_text(study.read_text().replace('"own:plain"', '"plain"'))  # As of a notebook.
    unnamed = evo_command(launcher, "train", "of_the_script")
    assert (unnamed.status, unnamed.out) == (2, "")
    assert unnamed.err == (
        "evo: error: run directory of_the_script: its objective is 'plain', of a notebook or a script, or of a "
        "function in it, and cannot be found again: name it with --objective path/to/file.py:name, or give it to "
        "evo.test itself\n"
    )
    assert evo_command(launcher, "train", "of_the_script", "--objective", "own.py:plain").status == 0
    instance = evo_command(launcher, "test", "of_an_instance")
    assert instance.status == 2
    assert "its objective was an instance of own:Loss, and study.json does not say which; " in instance.err
    assert evo_command(launcher, "test", "of_an_instance", "--objective", "own:loss").status == 0
    (folder / "own.py").rename(folder / "renamed.py")
    study = folder / "here" / "study.json"
    study.write_text(study.read_text().replace(str(searched), "/gone"))
    gone = evo_command(launcher, "test", "here")
    assert gone.status == 2
    assert (
        "there is no module 'own', here or installed; run this where the search was run, or name the objective"
        in gone.err
    )
    assert evo_command(launcher, "test", "here", "--objective", "renamed.py:loss").status == 0


def test_an_objective_without_a_test_is_told_how_to_have_one(launcher: Launcher, folder: Path) -> None:
    ended = evo_command(launcher, "test", "here", "--objective", "own.py:plain")
    assert ended.status == 1
    assert "the objective own.py:plain has no test" in ended.err
    assert "a LightningModule logs them in test_step" in ended.err


def test_the_examples_in_the_documentation_run() -> None:
    assert doctest.testmod(evo.posthoc.figures).failed == 0


@pytest.mark.parametrize(
    ("name", "call"), [("test", lambda: evo.test("here")), ("minimize", lambda: evo.minimize(min, {"x": (0.0, 1.0)}))]
)
def test_a_call_that_a_child_would_make_as_well_is_refused(
    name: str, call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As multiprocessing marks a process that still imports the main module of the one that has started it.
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(ValueError, match=f"{name} was called in a child process: put the call under `if __name__"):
        call()
